/**
 * One tuple of the policy tables: policies whose selectors look at the same bits of a flow (prefix lengths,
 * port masks, protocol or not, interface or not, mark's mask). To fall under such a policy is to have these
 * bits equal, so a tuple is a hash table of them, and nothing else of a policy is read to find it:
 *
 *     filter (bits) -> heads[hash] -> entry: | hash | next | key: 14 words |  owners[entry]: the policy
 *
 * Flat arrays, as a lookup in a large table costs what its cache misses cost: an entry is one cache line.
 * Most probes of a lookup find nothing, which two bits of the filter tell; it stays in the cache.
 *
 * @hotpath
 */
import type { Flow } from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';
import { invariant } from './invariant.ts';
import type { XfrmPolicy } from './policy.ts';
import { SelectorWord } from './policy-words.ts';

/** Words of an entry, and where its parts are. */
const ENTRY_WORDS = 16;
const HASH = 0;
const NEXT = 1;
const KEY = 2;
const KEY_WORDS = 14;
/** Word of the key that is 1 for selectors which no flow falls under (P-25). */
const IMPOSSIBLE = 13;
/** No entry. */
export const NONE = -1;

/** Entries that a new tuple has room for. */
const CAPACITY_FIRST = 8;
/** Bits of the filter an entry: two of them are set, so that 2 of 100 misses get through. */
const FILTER_BITS_EACH = 16;

/** An odd number a word of the key, without any pattern. */
const MULTIPLIERS: Int32Array = Int32Array.of(
	0xc9caa919,
	0xdeabcc3d,
	0x499cf83f,
	0x07125015,
	0xb153ad6d,
	0xa24c6eb9,
	0x25b696cf,
	0xf245ed05,
	0x4c9d81fb,
	0xbc2cec41,
	0x393c6b59,
	0x2a7c7abd,
	0x480e7dbd,
	0xf14caeef,
);

/** Everything a key may ask of the flow at hand; set once a lookup, for all tuples. */
const asked: Int32Array = new Int32Array(KEY_WORDS);

/** Makes this the flow that `Tuple.find` looks for. */
export function askFlow(flow: Flow, ifId: number): void {
	setAsked(flow.daddr, flow.saddr, flow.sport, flow.dport, flow.mark, flow.proto, flow.oif, ifId);
	asked[IMPOSSIBLE] = 0;
}

export class Tuple {
	/** What is looked at, in the order of the key: addresses, ports, mark, protocol, interface, if_id. */
	private readonly masks: Int32Array;
	/** Words of the key that are not always 0, so that short keys cost little. */
	private readonly used: Int32Array;
	private entries: Int32Array = new Int32Array(CAPACITY_FIRST * ENTRY_WORDS);
	private heads: Int32Array = new Int32Array(2 * CAPACITY_FIRST).fill(NONE);
	private filter: Int32Array = new Int32Array((CAPACITY_FIRST * FILTER_BITS_EACH) >> 5);
	/** Heads and filter are indexed by the upper bits of a hash. */
	private headShift: number = 32 - 4;
	private filterShift: number = 32 - 7;
	private readonly owners: (XfrmPolicy | null)[] = [];
	/** Entries that were given back, linked by their next word. */
	private free: number = NONE;
	/** Hashes put in since the filter was made; those that went are still in it. */
	private filterCount: number = 0;
	count: number = 0;
	/** No policy of the tuple has a lower priority; may lag behind after removals. */
	priorityMin: number = Number.POSITIVE_INFINITY;
	/** Number of policies at which `priorityMin` is computed anew. */
	private refreshAt: number = 0;

	/** For policies that look at the same bits as this one. */
	constructor(policy: XfrmPolicy) {
		askMasks(policy);
		this.masks = askedMasks.slice();
		this.used = usedWords(this.masks);
	}

	/** Does the policy of `askMasks` look at the same bits? */
	fits(): boolean {
		for (let word = 0; word < KEY_WORDS; word++) {
			if (this.masks[word] !== askedMasks[word]) {
				return false;
			}
		}
		return true;
	}

	/** The first entry that the asked flow falls under, NONE without. The order of several is undefined. */
	find(): number {
		const hash = this.hashAsked();
		const bits = filterBits(hash, this.filterShift);
		if (((this.filter[(hash >>> this.filterShift) >>> 5] ?? 0) & bits) !== bits) {
			return NONE;
		}
		return this.follow(this.heads[hash >>> this.headShift] ?? NONE, hash);
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
		const hash = this.askPolicy(policy);
		return this.follow(this.heads[hash >>> this.headShift] ?? NONE, hash);
	}

	insert(policy: XfrmPolicy): void {
		if (this.free === NONE && this.owners.length * ENTRY_WORDS === this.entries.length) {
			this.grow();
		}
		const hash = this.askPolicy(policy);
		let entry = this.free;
		if (entry === NONE) {
			entry = this.owners.length;
			this.owners.push(policy);
		} else {
			this.free = this.entries[entry * ENTRY_WORDS + NEXT] ?? NONE;
			this.owners[entry] = policy;
		}
		this.entries[entry * ENTRY_WORDS + HASH] = hash;
		for (let word = 0; word < KEY_WORDS; word++) {
			this.entries[entry * ENTRY_WORDS + KEY + word] = (asked[word] ?? 0) & (this.masks[word] ?? 0);
		}
		this.link(entry, hash);
		this.count++;
		this.priorityMin = Math.min(this.priorityMin, policy.priority);
		if (++this.filterCount * FILTER_BITS_EACH > this.filter.length * 32) {
			this.rebuildFilter();
		} else {
			this.setFilterBits(hash);
		}
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
		const { entries, masks, used } = this;
		for (let i = 0; i < used.length; i++) {
			const word = used[i] ?? 0;
			if (entries[at + word] !== ((asked[word] ?? 0) & (masks[word] ?? 0))) {
				return false;
			}
		}
		return true;
	}

	private askPolicy(policy: XfrmPolicy): number {
		const { words } = policy;
		for (let word = 0; word < 8; word++) {
			asked[word] = words[SelectorWord.Daddr + word] ?? 0;
		}
		asked[8] = words[SelectorWord.Ports] ?? 0;
		asked[9] = policy.markValue;
		asked[10] = words[SelectorWord.Proto] ?? 0;
		asked[11] = words[SelectorWord.Ifindex] ?? 0;
		asked[12] = policy.ifId;
		asked[IMPOSSIBLE] = 1;
		return this.hashAsked();
	}

	/**
	 * Hash of what counts of what is asked: a sum of products, which a processor computes side by side, and one
	 * final mix.
	 */
	private hashAsked(): number {
		const { masks, used } = this;
		let sum = 0;
		for (let i = 0; i < used.length; i++) {
			const word = used[i] ?? 0;
			const masked = (asked[word] ?? 0) & (masks[word] ?? 0);
			sum = (sum + Math.imul(masked, MULTIPLIERS[word] ?? 0)) | 0;
		}
		const hash = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
		return Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
	}

	private link(entry: number, hash: number): void {
		const head = hash >>> this.headShift;
		this.entries[entry * ENTRY_WORDS + NEXT] = this.heads[head] ?? NONE;
		this.heads[head] = entry;
	}

	private unlink(entry: number): void {
		const { entries, heads } = this;
		const next = entries[entry * ENTRY_WORDS + NEXT] ?? NONE;
		const head = (entries[entry * ENTRY_WORDS + HASH] ?? 0) >>> this.headShift;
		let before = heads[head] ?? NONE;
		if (before === entry) {
			heads[head] = next;
			return;
		}
		while (entries[before * ENTRY_WORDS + NEXT] !== entry) {
			before = entries[before * ENTRY_WORDS + NEXT] ?? NONE;
		}
		entries[before * ENTRY_WORDS + NEXT] = next;
	}

	/** Twice the room; only called when no entry is free. */
	private grow(): void {
		const entries = new Int32Array(2 * this.entries.length);
		entries.set(this.entries);
		this.entries = entries;
		this.heads = new Int32Array(2 * this.heads.length).fill(NONE);
		this.headShift--;
		for (let entry = 0; entry < this.owners.length; entry++) {
			this.link(entry, entries[entry * ENTRY_WORDS + HASH] ?? 0);
		}
	}

	/** Anew for twice the policies that there are. */
	private rebuildFilter(): void {
		const bitsLog = Math.ceil(Math.log2(2 * this.count * FILTER_BITS_EACH));
		this.filter = new Int32Array((1 << bitsLog) >> 5);
		this.filterShift = 32 - bitsLog;
		this.filterCount = this.count;
		for (let entry = 0; entry < this.owners.length; entry++) {
			if (this.owners[entry] !== null) {
				this.setFilterBits(this.entries[entry * ENTRY_WORDS + HASH] ?? 0);
			}
		}
	}

	private setFilterBits(hash: number): void {
		const at = (hash >>> this.filterShift) >>> 5;
		this.filter[at] = (this.filter[at] ?? 0) | filterBits(hash, this.filterShift);
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

/** The two bits of a word of the filter, from different ends of the hash. */
function filterBits(hash: number, shift: number): number {
	return (1 << ((hash >>> shift) & 31)) | (1 << (hash & 31));
}

/** Fills `asked`, in the order of the key. */
function setAsked(
	daddr: Int32Array,
	saddr: Int32Array,
	sport: number,
	dport: number,
	mark: number,
	proto: number,
	ifindex: number,
	ifId: number,
): void {
	asked[0] = daddr[0] ?? 0;
	asked[1] = daddr[1] ?? 0;
	asked[2] = daddr[2] ?? 0;
	asked[3] = daddr[3] ?? 0;
	asked[4] = saddr[0] ?? 0;
	asked[5] = saddr[1] ?? 0;
	asked[6] = saddr[2] ?? 0;
	asked[7] = saddr[3] ?? 0;
	asked[8] = (sport << 16) | dport;
	asked[9] = mark;
	asked[10] = proto;
	asked[11] = ifindex;
	asked[12] = ifId;
}

/** Masks of the policy at hand; set once for all tuples. */
const askedMasks: Int32Array = new Int32Array(KEY_WORDS);

/**
 * Makes this the policy that `Tuple.fits` is about: the bits that its selector and mark look at, in the order of
 * the key. if_id always counts.
 */
export function askMasks(policy: XfrmPolicy): void {
	const { words } = policy;
	const shape = words[SelectorWord.Shape] ?? 0;
	const prefixlenD = (shape >>> 8) & 0xff;
	const prefixlenS = shape & 0xff;
	for (let word = 0; word < 4; word++) {
		askedMasks[word] = prefixMask(prefixlenD, word);
		askedMasks[4 + word] = prefixMask(prefixlenS, word);
	}
	askedMasks[8] = words[SelectorWord.PortMasks] ?? 0;
	askedMasks[9] = policy.markMask;
	askedMasks[10] = words[SelectorWord.Proto] === 0 ? 0 : -1;
	askedMasks[11] = words[SelectorWord.Ifindex] === 0 ? 0 : -1;
	askedMasks[12] = -1;
	const bits = policy.family === Family.Ipv4 ? 32 : 128;
	askedMasks[IMPOSSIBLE] = prefixlenD > bits || prefixlenS > bits ? -1 : 0;
}

/** Mask of one of the four words of an address, of a prefix of so many bits. */
function prefixMask(prefix: number, word: number): number {
	const bits = Math.min(32, Math.max(0, prefix - 32 * word));
	return bits === 0 ? 0 : -1 << (32 - bits);
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
