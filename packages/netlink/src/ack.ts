/**
 * NLMSG_ERROR and NLMSG_DONE: how a request ended (include/uapi/linux/netlink.h, spec N-8, N-10, N-12).
 *
 *      NLMSG_ERROR   errno s32 (negative, 0 is an acknowledgement) | header of the request (16)
 *                    | rest of the request, unless CAPPED | attributes, if ACK_TLVS
 *      NLMSG_DONE    errno s32 | attributes, if ACK_TLVS
 */
import { AttributeReader } from './attribute.ts';
import {
	align4,
	ControlType,
	MESSAGE_HEADER_OCTETS,
	MessageFlag,
	type MessageHeader,
	type RawMessage,
	viewOf,
} from './message.ts';
import { MessageWriter } from './message-writer.ts';

/** `NLMSGERR_ATTR_*`. */
const AckAttribute = {
	Message: 1,
	Offset: 2,
	Cookie: 3,
	Policy: 4,
	MissingType: 5,
	MissingNest: 6,
} as const;

/** `NL_ATTR_TYPE_*` and `NL_POLICY_TYPE_ATTR_*`, as far as integers need them. */
const PolicyAttribute = { Type: 1, MinUnsigned: 4, MaxUnsigned: 5 } as const;
export const PolicyKind = { Flag: 1, U8: 2, U16: 3, U32: 4, U64: 5 } as const;
export type PolicyKind = (typeof PolicyKind)[keyof typeof PolicyKind];

/** What an attribute should have been (`NLMSGERR_ATTR_POLICY`). */
export interface AttributePolicy {
	readonly kind: PolicyKind;
	/** Smallest and largest value; absent for flags. XFRM_INF is `Infinity`. */
	readonly min?: number;
	readonly max?: number;
}

/** The extended part of an acknowledgement; each field absent unless told. */
export interface ExtendedAck {
	readonly message?: string;
	/** Of the attribute in question, from the start of the request's header. */
	readonly offset?: number;
	readonly policy?: AttributePolicy;
	readonly missingType?: number;
	readonly missingNest?: number;
}

/** How a request ended. */
export interface Ack {
	/** 0 for success, else the error number, positive. */
	readonly errno: number;
	readonly extended: ExtendedAck;
	/** The request's header; undefined in NLMSG_DONE. */
	readonly request?: MessageHeader;
}

const ALL_ONES = 0xffff_ffff;

function readText(bytes: Uint8Array): string {
	let text = '';
	for (const octet of bytes) {
		if (octet === 0) {
			break;
		}
		text += String.fromCharCode(octet);
	}
	return text;
}

function readUnsigned(view: DataView, at: number): number {
	const low = view.getUint32(at, true);
	const high = view.getUint32(at + 4, true);
	return low === ALL_ONES && high === ALL_ONES ? Number.POSITIVE_INFINITY : high * 2 ** 32 + low;
}

function readPolicy(bytes: Uint8Array): AttributePolicy | undefined {
	let kind: number | undefined;
	let min: number | undefined;
	let max: number | undefined;
	for (const reader = new AttributeReader(bytes, 0); reader.next(); ) {
		if (reader.type === PolicyAttribute.Type && reader.length >= 4) {
			kind = reader.view.getUint32(reader.at, true);
		} else if (reader.type === PolicyAttribute.MinUnsigned && reader.length >= 8) {
			min = readUnsigned(reader.view, reader.at);
		} else if (reader.type === PolicyAttribute.MaxUnsigned && reader.length >= 8) {
			max = readUnsigned(reader.view, reader.at);
		}
	}
	if (kind === undefined) {
		return undefined;
	}
	return {
		// Kinds that we do not name are passed on as they came.
		kind: kind as PolicyKind,
		...(min === undefined ? {} : { min }),
		...(max === undefined ? {} : { max }),
	};
}

function readExtended(payload: Uint8Array, from: number): ExtendedAck {
	const found: { -readonly [K in keyof ExtendedAck]: ExtendedAck[K] } = {};
	for (const reader = new AttributeReader(payload, from); reader.next(); ) {
		const word = reader.length >= 4 ? reader.view.getUint32(reader.at, true) : 0;
		switch (reader.type) {
			case AckAttribute.Message:
				found.message = readText(reader.value());
				break;
			case AckAttribute.Offset:
				found.offset = word;
				break;
			case AckAttribute.MissingType:
				found.missingType = word;
				break;
			case AckAttribute.MissingNest:
				found.missingNest = word;
				break;
			case AckAttribute.Policy: {
				const policy = readPolicy(reader.value());
				if (policy !== undefined) {
					found.policy = policy;
				}
				break;
			}
		}
	}
	return found;
}

/** Reads NLMSG_ERROR or NLMSG_DONE; undefined for other messages and ones that are too short. */
export function parseAck(raw: RawMessage): Ack | undefined {
	const { payload } = raw;
	const done = raw.type === ControlType.Done;
	if ((!done && raw.type !== ControlType.Error) || payload.length < 4) {
		return undefined;
	}
	const view = viewOf(payload);
	const errno = Math.abs(view.getInt32(0, true));
	if (!done && payload.length < 4 + MESSAGE_HEADER_OCTETS) {
		return undefined;
	}
	const quoted = done ? 0 : view.getUint32(4, true);
	const capped = (raw.flags & MessageFlag.Capped) !== 0;
	const from = done ? 4 : 4 + (capped ? MESSAGE_HEADER_OCTETS : align4(quoted));
	const hasAttributes = (raw.flags & MessageFlag.AckAttributes) !== 0;
	const extended = hasAttributes ? readExtended(payload, from) : {};
	if (done) {
		return { errno, extended };
	}
	const request: MessageHeader = {
		type: view.getUint16(8, true),
		flags: view.getUint16(10, true),
		seq: view.getUint32(12, true),
		pid: view.getUint32(16, true),
	};
	return { errno, extended, request };
}

function writeText(writer: MessageWriter, text: string): void {
	const at = writer.appendAttribute(AckAttribute.Message, text.length + 1);
	for (let i = 0; i < text.length; i++) {
		writer.bytes[at + i] = text.charCodeAt(i);
	}
}

function writeUnsigned(writer: MessageWriter, type: number, value: number): void {
	const at = writer.appendAttribute(type, 8);
	const infinite = value === Number.POSITIVE_INFINITY;
	writer.view.setUint32(at, infinite ? ALL_ONES : value % 2 ** 32, true);
	writer.view.setUint32(at + 4, infinite ? ALL_ONES : value / 2 ** 32, true);
}

function writeWord(writer: MessageWriter, type: number, value: number): void {
	const at = writer.appendAttribute(type, 4);
	writer.view.setUint32(at, value, true);
}

/** Limits first, then the kind, as the kernel nests them. */
function writePolicy(writer: MessageWriter, policy: AttributePolicy): void {
	const nestAt = writer.appendAttribute(AckAttribute.Policy | 0x8000, 0);
	if (policy.min !== undefined && policy.max !== undefined) {
		writeUnsigned(writer, PolicyAttribute.MinUnsigned, policy.min);
		writeUnsigned(writer, PolicyAttribute.MaxUnsigned, policy.max);
	}
	writeWord(writer, PolicyAttribute.Type, policy.kind);
	writer.view.setUint16(nestAt - 4, writer.length - nestAt + 4, true);
}

function writeExtended(writer: MessageWriter, extended: ExtendedAck): void {
	if (extended.message !== undefined) {
		writeText(writer, extended.message);
	}
	if (extended.offset !== undefined) {
		writeWord(writer, AckAttribute.Offset, extended.offset);
	}
	if (extended.policy !== undefined) {
		writePolicy(writer, extended.policy);
	}
	if (extended.missingType !== undefined) {
		writeWord(writer, AckAttribute.MissingType, extended.missingType);
	}
	if (extended.missingNest !== undefined) {
		writeWord(writer, AckAttribute.MissingNest, extended.missingNest);
	}
}

/** How an NLMSG_ERROR is written. */
export interface AckOptions {
	readonly pid: number;
	/** NETLINK_CAP_ACK: quote the header only, also of a refused request. */
	readonly capAck: boolean;
	/** Absent when NETLINK_EXT_ACK is off or there is nothing to say. */
	readonly extended?: ExtendedAck;
}

/**
 * Writes the NLMSG_ERROR that answers a request; `errno` 0 acknowledges, and then only the request's
 * header is quoted.
 *
 * @spec N-8 N-10
 */
export function encodeError(request: RawMessage, errno: number, options: AckOptions): Uint8Array {
	const { extended } = options;
	if (errno === 0 && extended === undefined) {
		return acknowledgement(request, options.pid);
	}
	const { view, at } = request;
	const capped = errno === 0 || options.capAck;
	const flags =
		(capped ? MessageFlag.Capped : 0) | (extended === undefined ? 0 : MessageFlag.AckAttributes);
	const writer = new MessageWriter({
		type: ControlType.Error,
		flags,
		seq: request.seq,
		pid: options.pid,
	});
	const errorAt = writer.append(4);
	writer.view.setInt32(errorAt, -errno, true);
	const quoted = capped ? MESSAGE_HEADER_OCTETS : request.end - at;
	writer.appendBytes(new Uint8Array(view.buffer, view.byteOffset + at, quoted));
	if (extended !== undefined) {
		writeExtended(writer, extended);
	}
	return writer.finish();
}

/** Length, type, flags, seq and pid, then errno 0 and the header of the request. */
const ACKNOWLEDGEMENT_OCTETS = 36;
/** The last one; what all have in common stays. */
const lastAcknowledgement: Uint8Array = new Uint8Array(ACKNOWLEDGEMENT_OCTETS);
const lastView: DataView = viewOf(lastAcknowledgement);
lastView.setUint32(0, ACKNOWLEDGEMENT_OCTETS, true);
lastView.setUint16(4, ControlType.Error, true);
lastView.setUint16(6, MessageFlag.Capped, true);

/** By far the most answers are this one. */
function acknowledgement({ view, at, seq }: RawMessage, pid: number): Uint8Array {
	lastView.setUint32(8, seq, true);
	lastView.setUint32(12, pid, true);
	for (let i = 0; i < MESSAGE_HEADER_OCTETS; i += 4) {
		lastView.setInt32(20 + i, view.getInt32(at + i));
	}
	return lastAcknowledgement.slice();
}

/**
 * Writes the NLMSG_DONE that ends a dump, with the error found at its start.
 *
 * @spec N-12
 */
export function encodeDone(
	header: { readonly seq: number; readonly pid: number },
	errno: number,
	extended?: ExtendedAck,
): Uint8Array {
	const flags = MessageFlag.Multi | (extended === undefined ? 0 : MessageFlag.AckAttributes);
	const { seq, pid } = header;
	const writer = new MessageWriter({ type: ControlType.Done, flags, seq, pid });
	const errorAt = writer.append(4);
	writer.view.setInt32(errorAt, -errno, true);
	if (extended !== undefined) {
		writeExtended(writer, extended);
	}
	return writer.finish();
}
