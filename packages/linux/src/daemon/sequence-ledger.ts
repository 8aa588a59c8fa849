/**
 * What a successor must know of sequence numbers, whenever this daemon dies: a file of slots, one a state,
 * written in place.
 *
 *     0               8               16              24      32
 *     | journal number | lease         | top           | 0     |      little-endian doubles
 *
 * - **Outward** numbers are leased in blocks: a block is in the file before its first number is used, and a
 *   successor begins behind it. So no number is used twice under a key, at the cost of those left over.
 * - **Inward** the top of the window is in the file before what it belongs to is delivered; a successor
 *   takes all numbers up to it for seen.
 *
 * The file's room is taken when it is made, so that a full disk hardly ever stands in the way of a lease; where it
 * does, what has no lease is not sent. It need not survive the machine: another boot inherits nothing.
 *
 * On a tmpfs, where it is unless somebody wants it elsewhere, the file is memory of this process too: what is written
 * there is in the file as if it had been written, without a system call. Other file systems may want room again
 * for what they have, and would end the process if there is none.
 */
import { closeSync, fstatSync, openSync, readSync, statfsSync, writeSync } from 'node:fs';
import { ReplayCounter, type XfrmState } from '@xfrm/engine';
import { LEDGER_SLOTS_FIRST } from '../limits.ts';
import type { Native } from '../native/seam.ts';

const SLOT_OCTETS = 32;
const SLOT_WORDS: number = SLOT_OCTETS / 8;
/** `TMPFS_MAGIC`. */
const TMPFS = 0x0102_1994;
/** Numbers of a lease: a write for so many packets. */
export const LEASE_NUMBERS = 65_536;

/** What the ledger says of a state; all 0 for one that has sent and received nothing. */
export interface SlotContent {
	/** All outward numbers up to this one may have been used. */
	readonly lease: number;
	/** Highest number received. */
	readonly top: number;
}

interface Slot {
	readonly index: number;
	readonly number: number;
	lease: number;
	top: number;
}

export class SequenceLedger {
	readonly #fd: number;
	readonly #native: Pick<Native, 'mapFile'> | undefined;
	/** The file as memory; null where it is written by calls. */
	#words: Float64Array | null = null;
	readonly #slots: Map<XfrmState, Slot> = new Map();
	readonly #free: number[] = [];
	#slotCount: number = 0;
	readonly #bytes: Uint8Array = new Uint8Array(SLOT_OCTETS);
	readonly #view: DataView = new DataView(this.#bytes.buffer);
	/** The state that was asked for last: most packets in a row are one state's. */
	#lastState: XfrmState | null = null;
	#lastSlot: Slot | null = null;
	#failure: string | undefined;

	/** Opens or makes the file. @throws Error of the file system, ENOSPC among them */
	constructor(path: string, native?: Pick<Native, 'mapFile'>) {
		this.#fd = openSync(path, 'a+', 0o600);
		closeSync(this.#fd);
		this.#fd = openSync(path, 'r+', 0o600);
		this.#native = statfsSync(path).type === TMPFS ? native : undefined;
		this.#grow(LEDGER_SLOTS_FIRST);
	}

	/** What a predecessor wrote for a journal number; undefined when the slot is another's. */
	read(index: number, number: number): SlotContent | undefined {
		if (readSync(this.#fd, this.#bytes, 0, SLOT_OCTETS, index * SLOT_OCTETS) !== SLOT_OCTETS) {
			return undefined;
		}
		if (this.#view.getFloat64(0, true) !== number) {
			return undefined;
		}
		return { lease: this.#view.getFloat64(8, true), top: this.#view.getFloat64(16, true) };
	}

	/** Gives a state a slot, its own of before when it had one. @throws Error of the file system */
	assign(state: XfrmState, number: number, before?: number): number {
		const known = this.#slots.get(state);
		if (known !== undefined) {
			return known.index;
		}
		if (before !== undefined) {
			this.#take(before);
		}
		const index = before ?? this.#nextFree();
		const { counters } = state.replay;
		const slot: Slot = {
			index,
			number,
			lease: wide(counters, ReplayCounter.Oseq),
			top: wide(counters, ReplayCounter.Seq),
		};
		try {
			this.#write(slot);
		} catch (error) {
			this.#free.push(index);
			throw error;
		}
		this.#slots.set(state, slot);
		if (this.#lastState === state) {
			this.#lastState = null;
		}
		return index;
	}

	/** The state is gone; its slot is the next one's. */
	release(state: XfrmState): void {
		const slot = this.#slots.get(state);
		if (slot !== undefined) {
			this.#slots.delete(state);
			this.#free.push(slot.index);
			this.#lastState = null;
		}
	}

	/** Why the last slot could not be written; undefined when it could. */
	get failure(): string | undefined {
		return this.#failure;
	}

	/** Makes sure that the next `count` outward numbers are leased, before they are used; false when it cannot. */
	cover(state: XfrmState, count: number): boolean {
		const slot = this.#slotOf(state);
		return slot === null || this.#extend(slot, state, count);
	}

	#extend(slot: Slot, state: XfrmState, count: number): boolean {
		const needed = wide(state.replay.counters, ReplayCounter.Oseq) + count;
		if (needed <= slot.lease) {
			return true;
		}
		const before = slot.lease;
		slot.lease = needed + LEASE_NUMBERS;
		if (this.#tryWrite(slot)) {
			return true;
		}
		slot.lease = before;
		return false;
	}

	/** Notes how far a window has come, before what it let in is delivered; what cannot be written is tried again. */
	note(state: XfrmState): void {
		const slot = this.#slotOf(state);
		const top = wide(state.replay.counters, ReplayCounter.Seq);
		if (slot !== null && top !== slot.top) {
			const before = slot.top;
			slot.top = top;
			if (!this.#tryWrite(slot)) {
				slot.top = before;
			}
		}
	}

	close(): void {
		closeSync(this.#fd);
	}

	#slotOf(state: XfrmState): Slot | null {
		if (state !== this.#lastState) {
			this.#lastState = state;
			this.#lastSlot = this.#slots.get(state) ?? null;
		}
		return this.#lastSlot;
	}

	#nextFree(): number {
		if (this.#free.length === 0) {
			this.#grow(this.#slotCount * 2);
		}
		// `grow` has added some, or thrown.
		return this.#free.pop() as number;
	}

	/** Takes a certain slot out of the free ones. @throws Error of the file system */
	#take(index: number): void {
		if (index >= this.#slotCount) {
			this.#grow(index + 1);
		}
		const at = this.#free.indexOf(index);
		if (at >= 0) {
			this.#free.splice(at, 1);
		}
	}

	/** Takes room for so many slots, all or none: what was there stays. @throws Error of the file system */
	#grow(count: number): void {
		const { size } = fstatSync(this.#fd);
		const missing = count * SLOT_OCTETS - size;
		// A hole in the file would be no room.
		if (missing > 0 && writeSync(this.#fd, new Uint8Array(missing), 0, missing, size) < missing) {
			throw new Error('no space left');
		}
		for (let index = count - 1; index >= this.#slotCount; index--) {
			this.#free.push(index);
		}
		this.#slotCount = count;
		const memory = this.#native?.mapFile(this.#fd, count * SLOT_OCTETS);
		this.#words = memory instanceof ArrayBuffer ? new Float64Array(memory) : null;
	}

	#write(slot: Slot): void {
		this.#view.setFloat64(0, slot.number, true);
		this.#view.setFloat64(8, slot.lease, true);
		this.#view.setFloat64(16, slot.top, true);
		const octets = writeSync(this.#fd, this.#bytes, 0, SLOT_OCTETS, slot.index * SLOT_OCTETS);
		if (octets !== SLOT_OCTETS) {
			throw new Error('no space left');
		}
	}

	/** Writes the lease and the top of a slot that is its own already. */
	#tryWrite(slot: Slot): boolean {
		const words = this.#words;
		if (words !== null) {
			const at = slot.index * SLOT_WORDS;
			words[at + 1] = slot.lease;
			words[at + 2] = slot.top;
			return true;
		}
		try {
			this.#write(slot);
			this.#failure = undefined;
			return true;
		} catch (error) {
			this.#failure = error instanceof Error ? error.message : String(error);
			return false;
		}
	}
}

/** A counter with its high half; exact, as no state lives for 2^53 packets. */
function wide(counters: Int32Array, low: number): number {
	return ((counters[low + 1] ?? 0) >>> 0) * 2 ** 32 + ((counters[low] ?? 0) >>> 0);
}
