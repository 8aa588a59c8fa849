/**
 * One tuple of the policy tables: policies of one shape, whose selectors look at the same bits of a flow
 * (policy-key.ts). It is a hash table of these bits, and nothing else of a policy is read to find it:
 *
 *     heads[hash]    tag (8 bits), entry (24 bits) of which the chain begins
 *     entry          | hash | next | key: 13 words | - |   owners[entry]: the policy
 *
 * Flat arrays, as a lookup in a large table costs what its cache misses cost: an entry is one cache line, and a
 * flow that falls under nothing mostly ends at the head, whose tag has a bit set for each hash of the chain.
 *
 * @hotpath
 */
import { NONE } from './hash-chains.ts';
import { invariant } from './invariant.ts';
import type { XfrmPolicy } from './policy.ts';
import type { PolicyGroup } from './policy-groups.ts';
import {
	addressSum,
	asked,
	askPolicy,
	hashOfSum,
	ifIdSum,
	KEY_WORDS,
	KeyWord,
	kindSum,
	type Shape,
} from './policy-key.ts';

/** Words of an entry, and where its parts are. */
const ENTRY_WORDS = 16;
const HASH = 0;
const NEXT = 1;
const KEY = 2;

/** Of a head the entry, counted from 1: a head of 0 has no chain. */
const HEAD_ENTRY = 0x00ff_ffff;
/** Lowest of the bits of its tag, and which of them a hash sets. */
const TAG = 24;
const TAG_MASK = 7;

/** Entries that a new tuple has room for: in odd tables many tuples have one policy each. */
const CAPACITY_FIRST = 2;

export class Tuple {
	readonly shape: Shape;
	/** Keeps the hashes of tuples apart, as equal sums of theirs often are. */
	readonly salt: number;
	/** Words of the key that are not always 0, so that short keys cost little. */
	private readonly used: Int32Array;
	private entries: Int32Array = new Int32Array(CAPACITY_FIRST * ENTRY_WORDS);
	/** Twice as many as entries, indexed by the upper bits of a hash. */
	private heads: Int32Array = new Int32Array(2 * CAPACITY_FIRST);
	private headShift: number = 32 - 2;
	private readonly owners: (XfrmPolicy | null)[] = [];
	/** Entries that were given back, linked by their next word. */
	private free: number = NONE;
	count: number = 0;
	/** One bit: which of the sieve's columns (policy-sieve.ts); kept by the table. */
	column: number = 0;
	/** Place in the table's plan, -1 outside of it; kept by the table. */
	place: number = -1;
	/** Where its policies are found while it is not planned; kept by the table. */
	group: PolicyGroup | null = null;
	/** No policy of the tuple has a lower priority; may lag behind after removals. */
	priorityMin: number = Number.POSITIVE_INFINITY;
	/** Number of policies at which `priorityMin` is computed anew. */
	private refreshAt: number = 0;

	constructor(shape: Shape, salt: number) {
		this.shape = shape;
		this.salt = salt;
		this.used = usedWords(shape.masks);
	}

	/** The first entry of the asked key, which hashes to this; NONE without. The order of several is undefined. */
	find(hash: number): number {
		const head = this.heads[hash >>> this.headShift] ?? 0;
		return (head & tagOf(hash)) === 0 ? NONE : this.follow((head & HEAD_ENTRY) - 1, hash);
	}

	/** The next entry of the same key; right behind the call that found this one. */
	findNext(entry: number): number {
		const at = entry * ENTRY_WORDS;
		return this.follow(this.entries[at + NEXT] ?? NONE, this.entries[at + HASH] ?? 0);
	}

	/** The policy of an entry. */
	owner(entry: number): XfrmPolicy | null {
		return this.owners[entry] ?? null;
	}

	/** The first entry whose key is this policy's. */
	findLike(policy: XfrmPolicy): number {
		askPolicy(policy);
		return this.find(this.hashAsked());
	}

	/** Its key is the asked one afterwards. */
	insert(policy: XfrmPolicy): void {
		if (this.free === NONE && this.owners.length * ENTRY_WORDS === this.entries.length) {
			this.grow();
		}
		askPolicy(policy);
		const hash = this.hashAsked();
		let entry = this.free;
		if (entry === NONE) {
			entry = this.owners.length;
			this.owners.push(policy);
		} else {
			this.free = this.entries[entry * ENTRY_WORDS + NEXT] ?? NONE;
			this.owners[entry] = policy;
		}
		const { masks } = this.shape;
		this.entries[entry * ENTRY_WORDS + HASH] = hash;
		for (let word = 0; word < KEY_WORDS; word++) {
			this.entries[entry * ENTRY_WORDS + KEY + word] = (asked[word] ?? 0) & (masks[word] ?? 0);
		}
		this.link(entry, hash);
		this.count++;
		this.priorityMin = Math.min(this.priorityMin, policy.priority);
	}

	remove(policy: XfrmPolicy): void {
		let entry = this.findLike(policy);
		while (entry !== NONE && this.owners[entry] !== policy) {
			entry = this.findNext(entry);
		}
		invariant(entry !== NONE, 'a policy keeps its selector while it is inserted');
		this.unlink(entry);
		this.owners[entry] = null;
		this.entries[entry * ENTRY_WORDS + NEXT] = this.free;
		this.free = entry;
		this.count--;
		if (policy.priority === this.priorityMin && this.count <= this.refreshAt) {
			this.refreshPriority();
		}
	}

	/** Entries are numbered from 0; those that were given back have no owner. */
	get entryCount(): number {
		return this.owners.length;
	}

	/** Makes the key of an entry, of which the tuple's masks are, the asked one. */
	ask(entry: number): void {
		for (let word = 0; word < KEY_WORDS; word++) {
			asked[word] = this.entries[entry * ENTRY_WORDS + KEY + word] ?? 0;
		}
	}

	/** Walks a chain to the next entry with the asked key. */
	private follow(first: number, hash: number): number {
		const { entries } = this;
		let entry = first;
		while (entry >= 0) {
			const at = entry * ENTRY_WORDS;
			if (entries[at + HASH] === hash && this.hasAskedKey(at + KEY)) {
				return entry;
			}
			entry = entries[at + NEXT] ?? NONE;
		}
		return NONE;
	}

	private hasAskedKey(at: number): boolean {
		const { entries, used } = this;
		const { masks } = this.shape;
		for (let i = 0; i < used.length; i++) {
			const word = used[i] ?? 0;
			if (entries[at + word] !== ((asked[word] ?? 0) & (masks[word] ?? 0))) {
				return false;
			}
		}
		return true;
	}

	/** The hash that the table's lookup computes of its parts. */
	private hashAsked(): number {
		const { prefixD, prefixS, masks } = this.shape;
		return hashOfSum(
			(addressSum(KeyWord.Daddr, prefixD) +
				addressSum(KeyWord.Saddr, prefixS) +
				kindSum(masks, KeyWord.Ports) +
				ifIdSum() +
				this.salt) |
				0,
		);
	}

	private link(entry: number, hash: number): void {
		const { heads } = this;
		const at = hash >>> this.headShift;
		const head = heads[at] ?? 0;
		this.entries[entry * ENTRY_WORDS + NEXT] = (head & HEAD_ENTRY) - 1;
		heads[at] = (head & ~HEAD_ENTRY) | tagOf(hash) | (entry + 1);
	}

	/** Puts the chain together anew without this entry. */
	private unlink(gone: number): void {
		const { entries, heads } = this;
		const at = (entries[gone * ENTRY_WORDS + HASH] ?? 0) >>> this.headShift;
		let entry = ((heads[at] ?? 0) & HEAD_ENTRY) - 1;
		heads[at] = 0;
		while (entry !== NONE) {
			const next = entries[entry * ENTRY_WORDS + NEXT] ?? NONE;
			if (entry !== gone) {
				this.link(entry, entries[entry * ENTRY_WORDS + HASH] ?? 0);
			}
			entry = next;
		}
	}

	/** Twice the room; only called when no entry is free. */
	private grow(): void {
		invariant(
			this.owners.length < HEAD_ENTRY,
			'a tuple of 16 million policies has no room for more',
		);
		const entries = new Int32Array(2 * this.entries.length);
		entries.set(this.entries);
		this.entries = entries;
		this.heads = new Int32Array(2 * this.heads.length);
		this.headShift--;
		for (let entry = 0; entry < this.owners.length; entry++) {
			this.link(entry, entries[entry * ENTRY_WORDS + HASH] ?? 0);
		}
	}

	/** Anew only when half of the policies went, so that removing all of them is not quadratic. */
	private refreshPriority(): void {
		this.refreshAt = this.count >> 1;
		this.priorityMin = Number.POSITIVE_INFINITY;
		for (const owner of this.owners) {
			this.priorityMin = Math.min(this.priorityMin, owner?.priority ?? this.priorityMin);
		}
	}
}

function tagOf(hash: number): number {
	return 1 << (TAG + (hash & TAG_MASK));
}

/** Places of the masks that are not 0. */
function usedWords(masks: Int32Array): Int32Array {
	const used = new Int32Array(KEY_WORDS);
	let count = 0;
	for (let word = 0; word < KEY_WORDS; word++) {
		if (masks[word] !== 0) {
			used[count++] = word;
		}
	}
	return used.slice(0, count);
}
