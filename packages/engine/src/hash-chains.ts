/**
 * A multimap from hashes to objects, newest first, in flat arrays:
 *
 *     heads[upper bits of the hash] -> entry: | hash | next |   owners[entry]: the object
 *
 * A Map of arrays would take four times the memory, most of it for arrays of one member. Objects whose hashes
 * are equal need not be equal: whoever reads compares what he looks for.
 *
 * @hotpath
 */
import { invariant } from './invariant.ts';

/** No entry. */
export const NONE = -1;

const ENTRY_WORDS = 2;
const HASH = 0;
const NEXT = 1;
const CAPACITY_FIRST = 8;

export class HashChains<T extends object> {
	private entries: Int32Array = new Int32Array(CAPACITY_FIRST * ENTRY_WORDS);
	private heads: Int32Array = new Int32Array(CAPACITY_FIRST).fill(NONE);
	private headShift: number = 32 - 3;
	private readonly owners: (T | null)[] = [];
	/** Entries that were given back, linked by their next word. */
	private free: number = NONE;

	/** The newest entry of a hash (int32, all bits mixed), NONE without. */
	first(hash: number): number {
		return this.follow(this.heads[hash >>> this.headShift] ?? NONE, hash);
	}

	/** The next older entry of the same hash, NONE without. */
	next(entry: number): number {
		const at = entry * ENTRY_WORDS;
		return this.follow(this.entries[at + NEXT] ?? NONE, this.entries[at + HASH] ?? 0);
	}

	/** The object of an entry; null only of entries that nobody was given. */
	owner(entry: number): T | null {
		return this.owners[entry] ?? null;
	}

	/** Takes everything out; the room stays. */
	clear(): void {
		this.heads.fill(NONE);
		this.owners.length = 0;
		this.free = NONE;
	}

	/** Puts an object in as the newest of its hash. */
	insert(hash: number, owner: T): void {
		if (this.free === NONE && this.owners.length * ENTRY_WORDS === this.entries.length) {
			this.grow();
		}
		let entry = this.free;
		if (entry === NONE) {
			entry = this.owners.length;
			this.owners.push(owner);
		} else {
			this.free = this.entries[entry * ENTRY_WORDS + NEXT] ?? NONE;
			this.owners[entry] = owner;
		}
		const head = hash >>> this.headShift;
		this.entries[entry * ENTRY_WORDS + HASH] = hash;
		this.entries[entry * ENTRY_WORDS + NEXT] = this.heads[head] ?? NONE;
		this.heads[head] = entry;
	}

	/** Takes an object out that was put in under this hash. */
	remove(hash: number, owner: T): void {
		const { entries, heads, owners } = this;
		const head = hash >>> this.headShift;
		let before = NONE;
		let entry = heads[head] ?? NONE;
		while (entry !== NONE && owners[entry] !== owner) {
			before = entry;
			entry = entries[entry * ENTRY_WORDS + NEXT] ?? NONE;
		}
		invariant(entry !== NONE, 'what is taken out was put in under the same hash');
		const next = entries[entry * ENTRY_WORDS + NEXT] ?? NONE;
		if (before === NONE) {
			heads[head] = next;
		} else {
			entries[before * ENTRY_WORDS + NEXT] = next;
		}
		owners[entry] = null;
		entries[entry * ENTRY_WORDS + NEXT] = this.free;
		this.free = entry;
	}

	/** Walks a chain to the next entry of this hash. */
	private follow(from: number, hash: number): number {
		const { entries } = this;
		let entry = from;
		while (entry >= 0 && entries[entry * ENTRY_WORDS + HASH] !== hash) {
			entry = entries[entry * ENTRY_WORDS + NEXT] ?? NONE;
		}
		return entry;
	}

	/** Twice the room; only called when no entry is free. Each chain becomes two of the same order. */
	private grow(): void {
		const entries = new Int32Array(2 * this.entries.length);
		entries.set(this.entries);
		const { heads: old } = this;
		const heads = new Int32Array(2 * old.length).fill(NONE);
		const headShift = this.headShift - 1;
		for (const first of old) {
			let [even, odd] = [NONE, NONE];
			for (let entry = first; entry !== NONE; ) {
				const head = (entries[entry * ENTRY_WORDS + HASH] ?? 0) >>> headShift;
				const next = entries[entry * ENTRY_WORDS + NEXT] ?? NONE;
				const last = (head & 1) === 0 ? even : odd;
				if (last === NONE) {
					heads[head] = entry;
				} else {
					entries[last * ENTRY_WORDS + NEXT] = entry;
				}
				entries[entry * ENTRY_WORDS + NEXT] = NONE;
				if ((head & 1) === 0) {
					even = entry;
				} else {
					odd = entry;
				}
				entry = next;
			}
		}
		this.entries = entries;
		this.heads = heads;
		this.headShift = headShift;
	}
}
