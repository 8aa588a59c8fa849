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

/** Refuses an attribute; `offset` is from the start of the request. */
function refuseAttribute(spec: AttributeSpec, offset: number, errno: Errno, text: string): never {
	const policy = policyOf(spec);
	throw new XfrmError(errno, text, policy === undefined ? { offset } : { offset, policy });
}

/** Checks one attribute of a request that begins at `requestAt`. */
function checkAttribute(
	spec: AttributeSpec,
	reader: AttributeReader,
	space: AttributeSpace,
	requestAt: number,
): void {
	const offset = reader.headerAt - requestAt;
	const strict = space === XFRM_ATTRIBUTES && spec.number >= STRICT_FROM;
	const isFlag = spec.codec.name === 'flag';
	if (strict && !isFlag && reader.length !== spec.codec.octetsMin) {
		refuseAttribute(spec, offset, Errno.EINVAL, 'invalid attribute length');
	}
	if (strict && (reader.flags & AttributeFlag.Nested) !== 0) {
		refuseAttribute(spec, offset, Errno.EINVAL, 'NLA_F_NESTED not expected');
	}
	if (reader.length < spec.codec.octetsMin || (isFlag && reader.length > 0)) {
		refuseAttribute(spec, offset, Errno.ERANGE, 'Attribute failed policy validation');
	}
	if (spec.range !== undefined) {
		const value = reader.view.getUint8(reader.at);
		if (value < spec.range[0] || value > spec.range[1]) {
			refuseAttribute(spec, offset, Errno.ERANGE, 'integer out of range');
		}
	}
}

/** Of an attribute that is there: its number, where its value is, and how long. */
const PLACE_WORDS = 3;

/** A request's attributes: of repeated ones the last wins. Values are read when asked for. */
export class RequestAttributes implements AttributeSource {
	/** Octets behind the attributes that are none: a warning, not an error (N-8). */
	readonly leftover: number;
	/** Of the datagram. */
	readonly view: DataView;
	readonly #requestAt: number;
	/** In order, `PLACE_WORDS` each: requests have few attributes. */
	readonly #places: number[] = [];

	/**
	 * Checks them all, from behind a payload of so many octets on; numbers above `max` are unknown to this
	 * kernel.
	 *
	 * @throws XfrmError
	 */
	constructor(request: RawMessage, payloadOctets: number, space: AttributeSpace, max: number) {
		const { view, at, end } = request;
		const from = at + MESSAGE_HEADER_OCTETS + attributesAt(payloadOctets);
		const reader = new AttributeReader(view, from, end);
		while (reader.next()) {
			const spec = reader.type > max ? undefined : space.byNumber(reader.type);
			if (spec !== undefined && spec.answerOnly === undefined) {
				checkAttribute(spec, reader, space, at);
			}
			if (reader.type > 0 && reader.type <= max) {
				this.#places.push(reader.type, reader.at, reader.length);
			}
		}
		this.leftover = reader.leftover;
		this.view = view;
		this.#requestAt = at;
	}

	/** Where the last attribute of this name stands in `#places`, -1 without. */
	#placeOf(name: AttributeName): number {
		const { number } = attributeSpec(name);
		const places = this.#places;
		let place = places.length - PLACE_WORDS;
		while (place >= 0 && places[place] !== number) {
			place -= PLACE_WORDS;
		}
		return place < 0 ? -1 : place;
	}

	/** Where the header of the lowest-numbered attribute is that is not listed, from the start of the request. */
	offsetOfUnlisted(listed: ReadonlySet<AttributeName>): number | undefined {
		const numbers = new Set<number>();
		for (const name of listed) {
			numbers.add(attributeSpec(name).number);
		}
		const places = this.#places;
		let lowest: number | undefined;
		let offset: number | undefined;
		for (let place = 0; place < places.length; place += PLACE_WORDS) {
			const number = places[place] ?? 0;
			if (!numbers.has(number) && number <= (lowest ?? number)) {
				lowest = number;
				offset = (places[place + 1] ?? 0) - ATTRIBUTE_HEADER_OCTETS - this.#requestAt;
			}
		}
		return offset;
	}

	has(name: AttributeName): boolean {
		return this.#placeOf(name) >= 0;
	}

	/** Where the value begins in `view`; only asked for attributes that are there. */
	atOf(name: AttributeName): number {
		return this.#places[this.#placeOf(name) + 1] ?? 0;
	}

	/** Octets of the value, 0 when it is absent. */
	lengthOf(name: AttributeName): number {
		const place = this.#placeOf(name);
		return place < 0 ? 0 : (this.#places[place + 2] ?? 0);
	}

	/** Writes into the request, as the kernel does: a refusal that quotes it shows that. */
	overwrite(name: AttributeName, offset: number, octets: readonly number[]): void {
		const place = this.#placeOf(name);
		if (place >= 0) {
			const at = (this.#places[place + 1] ?? 0) + offset;
			for (const [i, octet] of octets.entries()) {
				this.view.setUint8(at + i, octet);
			}
		}
	}

	get<N extends AttributeName>(name: N): AttributeValues[N] | undefined {
		const place = this.#placeOf(name);
		if (place < 0) {
			return undefined;
		}
		const at = this.#places[place + 1] ?? 0;
		return attributeSpec(name).codec.read(this.view, at, this.#places[place + 2] ?? 0);
	}
}

/** The payload is long enough for its struct, or EINVAL. */
export function checkPayload(raw: RawMessage, octets: number): void {
	if (raw.end - raw.at - MESSAGE_HEADER_OCTETS < octets) {
		invalid('Invalid header length');
	}
}

/** Where attributes begin behind a payload of so many octets (N-2). */
export function attributesAt(octets: number): number {
	return align4(octets);
}
