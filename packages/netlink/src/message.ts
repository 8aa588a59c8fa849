/**
 * Netlink messages: the 16-octet header, walking through a datagram, and building one (RFC 3549 §2.3.2;
 * include/uapi/linux/netlink.h, spec N-2).
 *
 *      0       4      6       8      12      16
 *     +-------+------+-------+-------+-------+---------------+---------------+
 *     |length |type  |flags  |seq    |pid    |payload, pad 4 |attributes …   |
 *     +-------+------+-------+-------+-------+---------------+---------------+
 *
 * Integers are those of the machine; we know little-endian ones only, as every Linux that Node runs on
 * but s390x. What the payloads mean is in attribute.ts, ack.ts and xfrm/.
 */

export const MESSAGE_HEADER_OCTETS = 16;

/** `NLM_F_*`; values above 0xff depend on the kind of message. */
export const MessageFlag = {
	Request: 1,
	Multi: 2,
	Ack: 4,
	Echo: 8,
	DumpInterrupted: 0x10,
	/** GET: either bit asks for a dump (N-12). */
	Dump: 0x300,
	/** NEW: demanded by NEWAE (N-11). */
	Replace: 0x100,
	Exclusive: 0x200,
	Create: 0x400,
	/** NLMSG_ERROR quotes the header of the request only. */
	Capped: 0x100,
	/** NLMSG_ERROR and NLMSG_DONE carry attributes. */
	AckAttributes: 0x200,
} as const;

/** Message types below 0x10 are netlink's own (N-6). */
export const ControlType = { Noop: 1, Error: 2, Done: 3, Overrun: 4, Min: 0x10 } as const;

/** The fields of a header but its length. */
export interface MessageHeader {
	readonly type: number;
	readonly flags: number;
	readonly seq: number;
	readonly pid: number;
}

/** A message as it stands in a datagram: all of it shows the datagram's memory. */
export interface RawMessage extends MessageHeader {
	/** Padding not included. */
	readonly payload: Uint8Array;
	/** The whole message, header included. */
	readonly bytes: Uint8Array;
	/** The datagram, in which the message's header is at `at` and its payload ends before `end`. */
	readonly view: DataView;
	readonly at: number;
	readonly end: number;
}

/** The next multiple of four. */
export function align4(octets: number): number {
	return (octets + 3) & ~3;
}

/** A little-endian view of the same memory. */
export function viewOf(bytes: Uint8Array): DataView {
	return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Arrays over a message are made when somebody asks for them: making them takes longer than to read a message. */
class DatagramMessage implements RawMessage {
	readonly type: number;
	readonly flags: number;
	readonly seq: number;
	readonly pid: number;
	readonly view: DataView;
	readonly at: number;
	readonly end: number;

	constructor(view: DataView, at: number, end: number) {
		this.type = view.getUint16(at + 4, true);
		this.flags = view.getUint16(at + 6, true);
		this.seq = view.getUint32(at + 8, true);
		this.pid = view.getUint32(at + 12, true);
		this.view = view;
		this.at = at;
		this.end = end;
	}

	get payload(): Uint8Array {
		return bytesOf(this.view, this.at + MESSAGE_HEADER_OCTETS, this.end);
	}

	get bytes(): Uint8Array {
		return bytesOf(this.view, this.at, this.end);
	}
}

function bytesOf(view: DataView, at: number, end: number): Uint8Array {
	return new Uint8Array(view.buffer, view.byteOffset + at, end - at);
}

/**
 * Splits a datagram into its messages. A rest shorter than a header, or a message that says it is
 * shorter than a header or longer than the rest, ends the walk silently, as in the kernel.
 *
 * @spec N-2 N-3 N-16b
 */
export function splitMessages(datagram: Uint8Array): RawMessage[] {
	return messagesOf(viewOf(datagram), datagram.length);
}

/**
 * As `splitMessages`, of the first `octets` that a view shows.
 *
 * @spec N-2 N-3 N-16b
 */
export function messagesOf(view: DataView, octets: number): RawMessage[] {
	const messages: RawMessage[] = [];
	let at = 0;
	while (at + MESSAGE_HEADER_OCTETS <= octets) {
		const length = view.getUint32(at, true);
		if (length < MESSAGE_HEADER_OCTETS || length > octets - at) {
			break;
		}
		messages.push(new DatagramMessage(view, at, at + length));
		at += align4(length);
	}
	return messages;
}

/** Joins messages to one datagram, each on a boundary of four. */
export function joinMessages(messages: readonly Uint8Array[]): Uint8Array {
	let end = 0;
	for (const message of messages) {
		end = align4(end) + message.length;
	}
	const datagram = new Uint8Array(end);
	let at = 0;
	for (const message of messages) {
		datagram.set(message, at);
		at = align4(at + message.length);
	}
	return datagram;
}
