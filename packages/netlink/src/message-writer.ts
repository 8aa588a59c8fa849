/**
 * Builds one netlink message from front to back in memory that grows: header, payload, attributes.
 * What it appends is zeroed, so padding is zero as in everything the kernel sends (spec 2.4).
 */
import { align4, MESSAGE_HEADER_OCTETS, type MessageHeader, viewOf } from './message.ts';

const FIRST_OCTETS = 512;

/** Memory that a finished writer has left, zeroed, for the next one: making it costs more than a message. */
let spare: DataView | undefined;

export class MessageWriter {
	/** Memory of the message so far; replaced when it grows, so read it behind each `append`, not in the same expression. */
	bytes: Uint8Array;
	/** View of `bytes`. */
	view: DataView;
	#length: number = 0;

	/** Begins a message; its length is filled in by `finish`. */
	constructor(header: MessageHeader) {
		this.view = spare ?? new DataView(new ArrayBuffer(FIRST_OCTETS));
		spare = undefined;
		this.bytes = new Uint8Array(this.view.buffer);
		this.#begin(header);
	}

	#begin(header: MessageHeader): void {
		this.append(MESSAGE_HEADER_OCTETS);
		this.view.setUint16(4, header.type, true);
		this.view.setUint16(6, header.flags, true);
		this.view.setUint32(8, header.seq, true);
		this.view.setUint32(12, header.pid, true);
	}

	/** Drops the message so far and begins another in the same memory: for who makes many (`copyTo`). */
	restart(header: MessageHeader): void {
		this.bytes.fill(0, 0, this.#length);
		this.#length = 0;
		this.#begin(header);
	}

	/** Octets so far. */
	get length(): number {
		return this.#length;
	}

	/** Makes room for so many octets, all zero, on a boundary of four; returns where they begin. */
	append(octets: number): number {
		const at = align4(this.#length);
		const end = at + octets;
		if (align4(end) > this.bytes.length) {
			const grown = new Uint8Array(Math.max(align4(end), this.bytes.length * 2));
			grown.set(this.bytes);
			this.bytes = grown;
			this.view = viewOf(grown);
		}
		this.#length = end;
		return at;
	}

	/** Appends octets as they are, on a boundary of four. */
	appendBytes(bytes: Uint8Array): void {
		const at = this.append(bytes.length);
		this.bytes.set(bytes, at);
	}

	/** Appends an attribute's header and room for its value; returns where the value begins. */
	appendAttribute(type: number, octets: number): number {
		const at = this.append(4 + octets);
		this.view.setUint16(at, 4 + octets, true);
		this.view.setUint16(at + 2, type, true);
		return at + 4;
	}

	/** Octets that `copyTo` needs: padding of the last part included, as the kernel counts it. */
	get paddedLength(): number {
		return align4(this.#length);
	}

	/** Fills in the length and copies the message; the writer stays as it is. */
	copyTo(bytes: Uint8Array, at: number): void {
		const length = this.paddedLength;
		this.view.setUint32(0, length, true);
		bytes.set(this.bytes.subarray(0, length), at);
	}

	/**
	 * Fills in the length and gives the message, a copy of its own; the writer is done with. The kernel counts
	 * the padding of the last part in the length; user programs do not when that part is a payload (`exact`).
	 */
	finish(exact: boolean = false): Uint8Array {
		const length = exact ? this.#length : align4(this.#length);
		this.view.setUint32(0, length, true);
		const message = this.bytes.slice(0, length);
		if (this.bytes.length === FIRST_OCTETS) {
			this.bytes.fill(0, 0, this.#length);
			spare = this.view;
		}
		return message;
	}
}
