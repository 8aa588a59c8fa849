/**
 * Netlink attributes: a walk over them that never throws (include/uapi/linux/netlink.h, spec N-2, N-8).
 *
 *      0        2       4
 *     +--------+-------+----------------+--------+
 *     |length  |N B type| value          | pad 4  |    N nested, B network byte order
 *     +--------+-------+----------------+--------+
 *
 * Which attributes there are and what their values mean is in xfrm/attributes.ts.
 */
import { align4, viewOf } from './message.ts';

export const ATTRIBUTE_HEADER_OCTETS = 4;

/** `NLA_F_*`. */
export const AttributeFlag = { Nested: 0x8000, NetByteOrder: 0x4000, TypeMask: 0x3fff } as const;

/**
 * A cursor over attributes, by `for (; reader.next(); )`. Damage does not throw: the walk ends and
 * `leftover` says how many octets were not understood.
 *
 * @spec N-2 N-8
 */
export class AttributeReader {
	/** Number without its flags. */
	type: number = 0;
	/** `AttributeFlag`s that were set. */
	flags: number = 0;
	/** Where the attribute's header is, in `view`. */
	headerAt: number = 0;
	/** Where its value is, and how long. */
	at: number = 0;
	length: number = 0;
	/** Octets behind the last attribute that are none; valid once `next` has said false. */
	leftover: number = 0;
	readonly view: DataView;
	#next: number;
	readonly #end: number;

	/** A view is taken as it is; of octets one is made, which takes longer than most walks. */
	constructor(memory: Uint8Array | DataView, from: number, end: number = memory.byteLength) {
		this.view = memory instanceof DataView ? memory : viewOf(memory);
		this.#next = from;
		this.#end = Math.min(end, memory.byteLength);
	}

	/** Goes to the next attribute; false when there is none. */
	next(): boolean {
		const rest = this.#end - this.#next;
		const length = rest >= ATTRIBUTE_HEADER_OCTETS ? this.view.getUint16(this.#next, true) : 0;
		if (length < ATTRIBUTE_HEADER_OCTETS || length > rest) {
			this.leftover = Math.max(rest, 0);
			return false;
		}
		const type = this.view.getUint16(this.#next + 2, true);
		this.type = type & AttributeFlag.TypeMask;
		this.flags = type & ~AttributeFlag.TypeMask;
		this.headerAt = this.#next;
		this.at = this.#next + ATTRIBUTE_HEADER_OCTETS;
		this.length = length - ATTRIBUTE_HEADER_OCTETS;
		this.#next += align4(length);
		return true;
	}

	/** The value's octets, a view of the same memory. */
	value(): Uint8Array {
		const { buffer, byteOffset } = this.view;
		return new Uint8Array(buffer, byteOffset + this.at, this.length);
	}
}
