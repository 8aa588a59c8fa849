/**
 * A request, checked as netlink's core and xfrm_user_rcv_msg check it before any handler sees it: payload
 * long enough, each attribute long enough, numbers from SA_DIR on exactly as their policy says, no
 * attribute that is forbidden for the message (lib/nlattr.c: validate_nla; spec N-5, N-7, N-8).
 */

import type { AttributeSpace } from '@xfrm/netlink';
import {
	ATTRIBUTE_HEADER_OCTETS,
	AttributeFlag,
	type AttributeName,
	type AttributePolicy,
	AttributeReader,
	type AttributeSource,
	type AttributeSpec,
	type AttributeValues,
	align4,
	attributeSpec,
	type ExtendedAck,
	MESSAGE_HEADER_OCTETS,
	PolicyKind,
	type RawMessage,
	STRICT_FROM,
	XFRM_ATTRIBUTES,
} from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import { invalid, XfrmError } from './xfrm-error.ts';

/** Integer attributes by the name of their codec: their kind and largest value. */
const INTEGERS: Readonly<Record<string, readonly [kind: PolicyKind, max: number]>> = {
	u8: [PolicyKind.U8, 0xff],
	u16: [PolicyKind.U16, 0xffff],
	u32: [PolicyKind.U32, 0xffff_ffff],
	u64: [PolicyKind.U64, Number.POSITIVE_INFINITY],
};

/** What an ext-ack tells of an attribute's policy: only integers and flags are described. */
function policyOf(spec: AttributeSpec): AttributePolicy | undefined {
	if (spec.codec.name === 'flag') {
		return { kind: PolicyKind.Flag };
	}
	const integer = INTEGERS[spec.codec.name];
	if (integer === undefined) {
		return undefined;
	}
	const [kind, max] = integer;
	return { kind, min: spec.range?.[0] ?? 0, max: spec.range?.[1] ?? max };
}

/** Checks one attribute; `offset` is from the start of the request. */
function checkAttribute(spec: AttributeSpec, reader: AttributeReader, space: AttributeSpace): void {
	const refuse = (errno: Errno, message: string): never => {
		const policy = policyOf(spec);
		const where: ExtendedAck = { offset: MESSAGE_HEADER_OCTETS + reader.headerAt };
		throw new XfrmError(errno, message, policy === undefined ? where : { ...where, policy });
	};
	const strict = space === XFRM_ATTRIBUTES && spec.number >= STRICT_FROM;
	const isFlag = spec.codec.name === 'flag';
	if (strict && !isFlag && reader.length !== spec.codec.octetsMin) {
		refuse(Errno.EINVAL, 'invalid attribute length');
	}
	if (strict && (reader.flags & AttributeFlag.Nested) !== 0) {
		refuse(Errno.EINVAL, 'NLA_F_NESTED not expected');
	}
	if (reader.length < spec.codec.octetsMin || (isFlag && reader.length > 0)) {
		refuse(Errno.ERANGE, 'Attribute failed policy validation');
	}
	if (spec.range !== undefined) {
		const value = reader.view.getUint8(reader.at);
		if (value < spec.range[0] || value > spec.range[1]) {
			refuse(Errno.ERANGE, 'integer out of range');
		}
	}
}

/** A request's attributes: of repeated ones the last wins. Values are read when asked for. */
export class RequestAttributes implements AttributeSource {
	/** Octets behind the attributes that are none: a warning, not an error (N-8). */
	readonly leftover: number;
	readonly #reader: AttributeReader;
	readonly #places: Map<number, readonly [at: number, length: number]> = new Map();

	/** Checks them all; numbers above `max` are unknown to this kernel. @throws XfrmError */
	constructor(payload: Uint8Array, from: number, space: AttributeSpace, max: number) {
		const reader = new AttributeReader(payload, from);
		while (reader.next()) {
			const spec = reader.type > max ? undefined : space.byNumber(reader.type);
			if (spec !== undefined && spec.answerOnly === undefined) {
				checkAttribute(spec, reader, space);
			}
			if (reader.type > 0 && reader.type <= max) {
				this.#places.set(reader.type, [reader.at, reader.length]);
			}
		}
		this.leftover = reader.leftover;
		this.#reader = reader;
	}

	/** Of the payload. */
	get view(): DataView {
		return this.#reader.view;
	}

	/** Where the header of the lowest-numbered attribute is that is not listed, from the start of the request. */
	offsetOfUnlisted(listed: ReadonlySet<AttributeName>): number | undefined {
		const numbers = new Set<number>();
		for (const name of listed) {
			numbers.add(attributeSpec(name).number);
		}
		const others = [...this.#places.keys()].filter((number) => !numbers.has(number));
		const place = this.#places.get(Math.min(...others));
		return place && MESSAGE_HEADER_OCTETS + place[0] - ATTRIBUTE_HEADER_OCTETS;
	}

	has(name: AttributeName): boolean {
		return this.#places.has(attributeSpec(name).number);
	}

	/** Octets of the value, 0 when it is absent. */
	lengthOf(name: AttributeName): number {
		return this.#places.get(attributeSpec(name).number)?.[1] ?? 0;
	}

	/** Writes into the request, as the kernel does: a refusal that quotes it shows that. */
	overwrite(name: AttributeName, offset: number, octets: readonly number[]): void {
		const place = this.#places.get(attributeSpec(name).number);
		if (place !== undefined) {
			this.#reader.bytes.set(octets, place[0] + offset);
		}
	}

	get<N extends AttributeName>(name: N): AttributeValues[N] | undefined {
		const spec = attributeSpec(name);
		const place = this.#places.get(spec.number);
		return place && spec.codec.read(this.#reader.view, place[0], place[1]);
	}
}

/** The payload is long enough for its struct, or EINVAL. */
export function checkPayload(raw: RawMessage, octets: number): void {
	if (raw.payload.length < octets) {
		invalid('Invalid header length');
	}
}

/** Where attributes begin behind a payload of so many octets (N-2). */
export function attributesAt(octets: number): number {
	return align4(octets);
}
