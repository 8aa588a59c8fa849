/**
 * Where policies are found: a tuple space. Policies of one direction, type and family are sorted into tuples
 * by the bits of a flow that they look at (policy-tuple.ts). A lookup asks each tuple, however many policies it
 * has, and stops at the first one that cannot do better.
 *
 * Most tuples have nothing for a flow, so to ask one is to look at bits. The plan has what the loop needs of each
 * tuple side by side: first a bit for what one word of the key is, which is all that is ever seen of a tuple of
 * few policies, so that a table of nothing but such tuples costs no more than a list; then the parts of the hash.
 * The filter, one for all tuples, says by two bits of that whether there may be such a policy. Only then the
 * tuple itself is read.
 *
 * The kernel's hash table and its trees of inexact policies (net/xfrm/xfrm_policy.c) answer the same; which
 * of several matches wins is not decided here but in spd.ts.
 *
 * @hotpath
 */
import type { Flow } from '@xfrm/wire';
import { HashChains, NONE } from './hash-chains.ts';
import { invariant } from './invariant.ts';
import type { XfrmPolicy } from './policy.ts';
import {
	asked,
	askedShape,
	askFlow,
	askShape,
	hasAskedShape,
	hashOfSum,
	ifIdSum,
	KeyWord,
	KIND_WORDS,
	kindSum,
	PREFIX_COUNT,
} from './policy-key.ts';
import { PrefixesInUse } from './policy-prefixes.ts';
import { Tuple } from './policy-tuple.ts';

/** Words of the plan a tuple, and where its parts are. */
const PLAN_WORDS = 12;
const PRIORITY = 0;
/** The word of the key that is looked at first, its mask, and a bit for each value that it has (`bitOf`). */
const WORD = 1;
const MASK = 2;
const BITS = 3;
const PREFIX_D = 4;
const PREFIX_S = 5;
const SALT = 6;
/** 0 when the kind that follows is all zeros. */
const HAS_KIND = 7;
const KIND = 8;

/** Of more policies the bits of the plan are not kept: nearly all would be set. */
const BITS_POLICIES_MAX = 64;
/** Bits of the filter a policy: two of them are set, so that 2 of 100 misses get through. */
const FILTER_BITS_EACH = 16;
const FILTER_BITS_LOG_FIRST = 7;

/** Is this policy met before that one in a list of both: lower priority value, then list order? */
export function comesBefore(a: XfrmPolicy, b: XfrmPolicy): boolean {
	return a.priority < b.priority || (a.priority === b.priority && a.listOrder < b.listOrder);
}

/** A priority, u32, as an int32 of the same order. */
function ordered(priority: number): number {
	return (priority | 0) ^ -0x8000_0000;
}

/** What the addresses of the flow at hand add to hashes, by prefix length. */
const sumsD: Int32Array = new Int32Array(PREFIX_COUNT);
const sumsS: Int32Array = new Int32Array(PREFIX_COUNT);

/** The policies of one direction, type and family. */
export class PolicyTable {
	/** Those that a flow may fall under, by `priorityMin`. */
	private readonly tuples: Tuple[] = [];
	/** The same for the lookup's loop. */
	private plan: Int32Array = new Int32Array(8 * PLAN_WORDS);
	private readonly prefixesD: PrefixesInUse = new PrefixesInUse();
	private readonly prefixesS: PrefixesInUse = new PrefixesInUse();
	/** All tuples, by a hash of their shape. */
	private readonly byShape: HashChains<Tuple> = new HashChains();
	private saltLast: number = 0;
	private filter: Int32Array = new Int32Array((1 << FILTER_BITS_LOG_FIRST) >> 5);
	/** The filter is indexed by the upper bits of a hash. */
	private filterShift: number = 32 - FILTER_BITS_LOG_FIRST;
	/** Hashes put in since the filter was made; those that went are still in it. */
	private filterCount: number = 0;
	private count: number = 0;

	insert(policy: XfrmPolicy): void {
		const shapeHash = askShape(policy);
		let tuple = this.tupleOf(policy, shapeHash);
		if (tuple === undefined) {
			this.saltLast = (this.saltLast + 0x9e37_79b1) | 0;
			tuple = new Tuple(askedShape(policy), this.saltLast);
			this.byShape.insert(shapeHash, tuple);
		}
		const { priorityMin } = tuple;
		const hash = tuple.insert(policy);
		this.count++;
		if (tuple.shape.impossible) {
			return;
		}
		this.replan(tuple, priorityMin);
		this.notePlanned(tuple);
		if (++this.filterCount * FILTER_BITS_EACH > this.filter.length * 32) {
			this.rebuildFilter();
		} else {
			this.setFilterBits(hash);
		}
	}

	remove(policy: XfrmPolicy): void {
		const shapeHash = askShape(policy);
		const tuple = this.tupleOf(policy, shapeHash);
		invariant(tuple !== undefined, 'a policy is in the tuple of its selector');
		const { priorityMin } = tuple;
		tuple.remove(policy);
		this.count--;
		if (!tuple.shape.impossible) {
			this.replan(tuple, priorityMin);
		}
		if (tuple.count === 0) {
			this.byShape.remove(shapeHash, tuple);
		}
	}

	/** Policies that look at the same bits with the same values: one of equal identity is among them. */
	siblings(policy: XfrmPolicy): XfrmPolicy[] {
		const siblings: XfrmPolicy[] = [];
		const tuple = this.tupleOf(policy, askShape(policy));
		if (tuple !== undefined) {
			for (let entry = tuple.findLike(policy); entry !== NONE; entry = tuple.findNext(entry)) {
				const sibling = tuple.owner(entry);
				if (sibling !== null) {
					siblings.push(sibling);
				}
			}
		}
		return siblings;
	}

	/**
	 * Finds for each list (`XfrmPolicy.list`) the first policy that matches and puts it into `first`, which
	 * the caller has cleared; lists whose first one has a worse priority than another's may be left out.
	 */
	firstMatches(flow: Flow, ifId: number, first: (XfrmPolicy | null)[]): void {
		const { tuples, plan, filter, filterShift } = this;
		let best = 0x7fff_ffff;
		askFlow(flow, ifId);
		this.prefixesD.sum(KeyWord.Daddr, sumsD);
		this.prefixesS.sum(KeyWord.Saddr, sumsS);
		const common = ifIdSum();
		for (let i = 0, at = 0; i < tuples.length; i++, at += PLAN_WORDS) {
			if ((plan[at + PRIORITY] ?? 0) > best) {
				return;
			}
			const value = (asked[plan[at + WORD] ?? 0] ?? 0) & (plan[at + MASK] ?? 0);
			if (((plan[at + BITS] ?? 0) & bitOf(value)) === 0) {
				continue;
			}
			const sum =
				common +
				(plan[at + SALT] ?? 0) +
				(sumsD[plan[at + PREFIX_D] ?? 0] ?? 0) +
				(sumsS[plan[at + PREFIX_S] ?? 0] ?? 0);
			const hash = hashOfSum(
				(plan[at + HAS_KIND] === 0 ? sum : sum + kindSum(plan, at + KIND)) | 0,
			);
			const bits = filterBits(hash, filterShift);
			if (((filter[(hash >>> filterShift) >>> 5] ?? 0) & bits) === bits) {
				best = takeMatches(tuples[i], hash, best, first);
			}
		}
	}

	/** `tupleOf` the policy of `askShape`. */
	private tupleOf(policy: XfrmPolicy, shapeHash: number): Tuple | undefined {
		const { byShape } = this;
		for (let entry = byShape.first(shapeHash); entry !== NONE; entry = byShape.next(entry)) {
			const tuple = byShape.owner(entry);
			if (tuple !== null && hasAskedShape(policy, tuple.shape)) {
				return tuple;
			}
		}
		return undefined;
	}

	/** Puts a tuple in its place in the plan, or takes it out, when its least priority is not what it was. */
	private replan(tuple: Tuple, priorityBefore: number): void {
		const { priorityMin, count } = tuple;
		if (priorityMin === priorityBefore && count > 0) {
			return;
		}
		if (priorityBefore !== Number.POSITIVE_INFINITY) {
			this.unplan(tuple);
		}
		if (count > 0) {
			this.planAt(this.placeFor(priorityMin), tuple);
		}
	}

	/** Behind all of the same least priority. */
	private placeFor(priority: number): number {
		let from = 0;
		let to = this.tuples.length;
		while (from < to) {
			const middle = (from + to) >> 1;
			if ((this.tuples[middle]?.priorityMin ?? 0) <= priority) {
				from = middle + 1;
			} else {
				to = middle;
			}
		}
		return from;
	}

	private planAt(place: number, tuple: Tuple): void {
		const { tuples } = this;
		const { shape } = tuple;
		if ((tuples.length + 1) * PLAN_WORDS > this.plan.length) {
			const plan = new Int32Array(2 * this.plan.length);
			plan.set(this.plan);
			this.plan = plan;
		}
		const { plan } = this;
		const at = place * PLAN_WORDS;
		plan.copyWithin(at + PLAN_WORDS, at, tuples.length * PLAN_WORDS);
		tuples.splice(place, 0, tuple);
		this.number(place);
		plan[at + PRIORITY] = ordered(tuple.priorityMin);
		plan[at + PREFIX_D] = shape.prefixD;
		plan[at + PREFIX_S] = shape.prefixS;
		plan[at + SALT] = tuple.salt;
		plan[at + WORD] = tellingWord(shape.masks);
		plan[at + MASK] = shape.masks[tellingWord(shape.masks)] ?? 0;
		plan[at + BITS] = this.bitsOf(tuple);
		plan[at + HAS_KIND] = 0;
		for (let i = 0; i < KIND_WORDS; i++) {
			const mask = shape.masks[KeyWord.Ports + i] ?? 0;
			plan[at + KIND + i] = mask;
			plan[at + HAS_KIND] = mask === 0 ? (plan[at + HAS_KIND] ?? 0) : 1;
		}
		this.prefixesD.add(shape.prefixD);
		this.prefixesS.add(shape.prefixS);
	}

	private unplan(tuple: Tuple): void {
		const { place } = tuple;
		const at = place * PLAN_WORDS;
		this.plan.copyWithin(at, at + PLAN_WORDS, this.tuples.length * PLAN_WORDS);
		this.tuples.splice(place, 1);
		this.number(place);
		tuple.place = -1;
		this.prefixesD.drop(tuple.shape.prefixD);
		this.prefixesS.drop(tuple.shape.prefixS);
	}

	/** Anew for twice the policies that there are. */
	private rebuildFilter(): void {
		const bitsLog = Math.ceil(Math.log2(2 * this.count * FILTER_BITS_EACH));
		this.filter = new Int32Array((1 << bitsLog) >> 5);
		this.filterShift = 32 - bitsLog;
		this.filterCount = this.count;
		for (const tuple of this.tuples) {
			for (let entry = 0; entry < tuple.entryCount; entry++) {
				if (tuple.owner(entry) !== null) {
					this.setFilterBits(tuple.hashOf(entry));
				}
			}
			this.plan[tuple.place * PLAN_WORDS + BITS] = this.bitsOf(tuple);
		}
	}

	/** Bits of the plan for what a tuple's policies have in its telling word. */
	private bitsOf(tuple: Tuple): number {
		if (tuple.count > BITS_POLICIES_MAX) {
			return -1;
		}
		const word = tellingWord(tuple.shape.masks);
		let bits = 0;
		for (let entry = 0; entry < tuple.entryCount; entry++) {
			if (tuple.owner(entry) !== null) {
				bits |= bitOf(tuple.wordOf(entry, word));
			}
		}
		return bits;
	}

	/** Sets the bit of the policy that was put into a tuple: its key is the asked one. */
	private notePlanned({ place, count }: Tuple): void {
		const { plan } = this;
		const at = place * PLAN_WORDS;
		const value = (asked[plan[at + WORD] ?? 0] ?? 0) & (plan[at + MASK] ?? 0);
		plan[at + BITS] = count > BITS_POLICIES_MAX ? -1 : (plan[at + BITS] ?? 0) | bitOf(value);
	}

	/** Tells the tuples from a place on where they are. */
	private number(from: number): void {
		const { tuples } = this;
		for (let place = from; place < tuples.length; place++) {
			const tuple = tuples[place];
			if (tuple !== undefined) {
				tuple.place = place;
			}
		}
	}

	private setFilterBits(hash: number): void {
		const at = (hash >>> this.filterShift) >>> 5;
		this.filter[at] = (this.filter[at] ?? 0) | filterBits(hash, this.filterShift);
	}
}

/** One of 32 bits for a value. */
function bitOf(value: number): number {
	return 1 << (Math.imul(value ^ (value >>> 15), 0x9e37_79b1) >>> 27);
}

/** The word of the key that tells policies apart best: of which most bits count, the first of several. */
function tellingWord(masks: Int32Array): number {
	let best = 0;
	let most = -1;
	for (let word = 0; word < KeyWord.IfId; word++) {
		const count = bitCount(masks[word] ?? 0);
		if (count > most) {
			best = word;
			most = count;
		}
	}
	return best;
}

function bitCount(word: number): number {
	const pairs = word - ((word >>> 1) & 0x5555_5555);
	const fours = (pairs & 0x3333_3333) + ((pairs >>> 2) & 0x3333_3333);
	return Math.imul((fours + (fours >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

/** The two bits of a word of the filter, from different ends of the hash. */
function filterBits(hash: number, shift: number): number {
	return (1 << ((hash >>> shift) & 31)) | (1 << (hash & 31));
}

/** Takes what a tuple has for the asked key into `first`; answers the best priority from then on. */
function takeMatches(
	tuple: Tuple | undefined,
	hash: number,
	bestBefore: number,
	first: (XfrmPolicy | null)[],
): number {
	let best = bestBefore;
	for (
		let entry = tuple?.find(hash) ?? NONE;
		entry !== NONE;
		entry = tuple?.findNext(entry) ?? NONE
	) {
		const policy = tuple?.owner(entry) ?? null;
		if (policy === null || ordered(policy.priority) > best) {
			continue;
		}
		best = ordered(policy.priority);
		const other = first[policy.list] ?? null;
		if (other === null || comesBefore(policy, other)) {
			first[policy.list] = policy;
		}
	}
	return best;
}
