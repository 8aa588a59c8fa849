/**
 * ESP and IKE in a TCP stream (RFC 9329 §3): messages one behind the other, each with its length. The
 * prefix "IKETCP" at the beginning of a stream is its owner's business.
 *
 *     | length (2, itself included) | SPI ≠ 0, rest of an ESP packet |
 *     | length                      | 0 0 0 0, IKE message           |
 *     | 0 3                         | 0xff: keepalive                |
 *
 * What a message is, the engine decides (tcp-encap.ts).
 */

/** Octets of the length field. */
export const STREAM_LENGTH_OCTETS = 2;

/** Longest message without its length field. */
export const STREAM_MESSAGE_OCTETS_MAX: number = 0xffff - STREAM_LENGTH_OCTETS;

/** A message behind its length field; undefined when it is too long for that. */
export function frameMessage(message: Uint8Array): Uint8Array | undefined {
	if (message.length > STREAM_MESSAGE_OCTETS_MAX) {
		return undefined;
	}
	const framed = new Uint8Array(STREAM_LENGTH_OCTETS + message.length);
	new DataView(framed.buffer).setUint16(0, framed.length);
	framed.set(message, STREAM_LENGTH_OCTETS);
	return framed;
}

/**
 * Cuts a stream into messages. Holds at most the one that is not complete, in a buffer of its length. A
 * length that does not even cover its own field ends the stream: nobody knows where the next message is.
 *
 * @spec T-12
 */
export class StreamMessages {
	/** The stream has ended by a wrong length; what comes is ignored. */
	broken: boolean = false;
	/** First octet of a length whose second one is to come, -1 for none. */
	private lengthHigh: number = -1;
	private message: Uint8Array | null = null;
	private filled: number = 0;

	/** Takes octets as they come; the messages that they complete, without their lengths. */
	push(octets: Uint8Array): Uint8Array[] {
		const complete: Uint8Array[] = [];
		let at = 0;
		while (!this.broken) {
			if (this.message === null) {
				at = this.takeLength(octets, at);
			}
			if (this.message === null) {
				break;
			}
			const { message } = this;
			const part = octets.subarray(at, at + message.length - this.filled);
			message.set(part, this.filled);
			this.filled += part.length;
			at += part.length;
			if (this.filled < message.length) {
				break;
			}
			complete.push(message);
			this.message = null;
		}
		return complete;
	}

	/** Reads a length, as far as it is there, and makes room for the message; returns the place behind. */
	private takeLength(octets: Uint8Array, from: number): number {
		let at = from;
		if (this.lengthHigh < 0) {
			this.lengthHigh = octets[at++] ?? -1;
		}
		const low = octets[at++];
		if (this.lengthHigh < 0 || low === undefined) {
			return at;
		}
		const length = this.lengthHigh * 256 + low;
		this.lengthHigh = -1;
		if (length < STREAM_LENGTH_OCTETS) {
			this.broken = true;
		} else {
			this.message = new Uint8Array(length - STREAM_LENGTH_OCTETS);
			this.filled = 0;
		}
		return at;
	}
}
