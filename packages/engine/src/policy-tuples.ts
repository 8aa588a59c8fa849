/**
 * Where policies are found: a tuple space. Policies of one direction, type and family are sorted into tuples
 * by the bits of a flow that they look at (policy-tuple.ts). A lookup asks each tuple, however many policies it
 * has, and stops at the first one that cannot do better. Tuples of few policies are not asked one by one: their
 * policies are found in groups (policy-groups.ts).
 *
 * Most tuples have nothing for a flow: the sieve says in which columns something may be (policy-sieve.ts), and the
 * table which tuples of a block have these. The plan has what the loop over them needs of each tuple side by side.
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
import { PolicyGroups } from './policy-groups.ts';
import {
	askedShape,
	askFlow,
	askShape,
	hasAskedShape,
	hashOfSum,
	ifIdSum,
	KeyWord,
	KIND_WORDS,
	kindSum,
} from './policy-key.ts';
import { LAST_PRIORITY, ordered, takeFirst } from './policy-order.ts';
import { COLUMN_COUNT, PolicySieve, sumsD, sumsS } from './policy-sieve.ts';
import { Tuple } from './policy-tuple.ts';
import { selectorWordsEqual } from './policy-words.ts';

/** Words of the plan a tuple, and where its parts are. */
const PLAN_WORDS = 9;
const PRIORITY = 0;
const PREFIX_D = 1;
const PREFIX_S = 2;
const SALT = 3;
/** 0 when the kind that follows is all zeros. */
const HAS_KIND = 4;
const KIND = 5;

/** Tuples of a block: their places in it are the bits of a word. */
const BLOCK_TUPLES = 32;

/** A tuple of more policies is asked for itself, until it has fewer than the other number. */
const GROUPED_MAX = 16;
const PLANNED_MIN = 4;

/** The policies of one direction, type and family. */
export class PolicyTable {
	/** Those of many policies that a flow may fall under, by `priorityMin`. */
	private readonly tuples: Tuple[] = [];
	/** The same for the lookup's loop. */
	private plan: Int32Array = new Int32Array(BLOCK_TUPLES * PLAN_WORDS);
	/** Of each block and column, `[32 * block + column]`: which of the block's tuples have the column. */
	private places: Int32Array = new Int32Array(COLUMN_COUNT);
	private readonly sieve: PolicySieve = new PolicySieve();
	/** All tuples, by a hash of their shape. */
	private readonly byShape: HashChains<Tuple> = new HashChains();
	private saltLast: number = 0;
	/** The policies of all other tuples that a flow may fall under. */
	private readonly groups: PolicyGroups = new PolicyGroups();

	insert(policy: XfrmPolicy): void {
		const shapeHash = askShape(policy);
		let tuple = this.tupleOf(policy, shapeHash);
		if (tuple === undefined) {
			this.saltLast = (this.saltLast + 0x9e37_79b1) | 0;
			tuple = new Tuple(askedShape(policy), this.saltLast);
			this.byShape.insert(shapeHash, tuple);
		}
		const { priorityMin } = tuple;
		tuple.insert(policy);
		if (tuple.shape.impossible) {
			return;
		}
		if (tuple.place >= 0) {
			this.replan(tuple, priorityMin);
			this.sieve.note(this.tuples, tuple);
		} else if (tuple.count <= GROUPED_MAX) {
			tuple.group ??= this.groups.groupFor(tuple.shape);
			this.groups.insert(tuple.group, policy);
		} else {
			this.promote(tuple, policy);
		}
	}

	remove(policy: XfrmPolicy): void {
		const shapeHash = askShape(policy);
		const tuple = this.tupleOf(policy, shapeHash);
		invariant(tuple !== undefined, 'a policy is in the tuple of its selector');
		const { priorityMin } = tuple;
		tuple.remove(policy);
		if (tuple.group !== null) {
			this.groups.remove(tuple.group, policy);
		} else if (tuple.place >= 0) {
			if (tuple.count < PLANNED_MIN) {
				this.demote(tuple);
			} else {
				this.replan(tuple, priorityMin);
			}
		}
		if (tuple.count === 0) {
			this.byShape.remove(shapeHash, tuple);
		}
	}

	/** The policy of equal identity: if_id, mark and all octets of the selector. */
	twin(policy: XfrmPolicy): XfrmPolicy | null {
		const tuple = this.tupleOf(policy, askShape(policy));
		if (tuple === undefined) {
			return null;
		}
		// Those that look at the same bits with the same values.
		for (let entry = tuple.findLike(policy); entry !== NONE; entry = tuple.findNext(entry)) {
			const sibling = tuple.owner(entry);
			if (
				sibling !== null &&
				sibling.ifId === policy.ifId &&
				sibling.markValue === policy.markValue &&
				sibling.markMask === policy.markMask &&
				selectorWordsEqual(sibling.words, policy.words)
			) {
				return sibling;
			}
		}
		return null;
	}

	/**
	 * Finds for each list (`XfrmPolicy.list`) the first policy that matches and puts it into `first`, which
	 * the caller has cleared; lists whose first one has a worse priority than another's may be left out.
	 */
	firstMatches(flow: Flow, ifId: number, first: (XfrmPolicy | null)[]): void {
		const { tuples, plan } = this;
		askFlow(flow, ifId);
		let best = this.groups.firstMatches(LAST_PRIORITY, first);
		const columns = this.sieve.sift();
		if (columns === 0) {
			return;
		}
		const common = ifIdSum();
		for (let begin = 0; begin < tuples.length; begin += BLOCK_TUPLES) {
			for (let left = this.placesOf(begin, columns); left !== 0; left &= left - 1) {
				const place = begin + lowestBit(left);
				const at = place * PLAN_WORDS;
				if ((plan[at + PRIORITY] ?? 0) > best) {
					return;
				}
				const sum =
					common +
					(plan[at + SALT] ?? 0) +
					(sumsD[plan[at + PREFIX_D] ?? 0] ?? 0) +
					(sumsS[plan[at + PREFIX_S] ?? 0] ?? 0);
				const hash = hashOfSum(
					(plan[at + HAS_KIND] === 0 ? sum : sum + kindSum(plan, at + KIND)) | 0,
				);
				best = takeMatches(tuples[place], hash, best, first);
			}
		}
	}

	/** Which tuples of the block that begins here have one of these columns? */
	private placesOf(begin: number, columns: number): number {
		const { places } = this;
		let found = 0;
		for (let left = columns; left !== 0; left &= left - 1) {
			found |= places[begin + lowestBit(left)] ?? 0;
		}
		return found;
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

	/** From now on a tuple is asked for itself: all of its policies but the one that is new leave their group. */
	private promote(tuple: Tuple, added: XfrmPolicy): void {
		const { group } = tuple;
		const { tuples, sieve } = this;
		invariant(group !== null, 'a tuple that is not planned has its policies in a group');
		tuple.group = null;
		tuple.column = sieve.columnFor(tuples);
		this.planAt(this.placeFor(tuple.priorityMin), tuple);
		sieve.setTuples(tuples);
		for (let entry = 0; entry < tuple.entryCount; entry++) {
			const policy = tuple.owner(entry);
			if (policy !== null && policy !== added) {
				this.groups.remove(group, policy);
			}
			if (policy !== null) {
				tuple.ask(entry);
				sieve.note(tuples, tuple);
			}
		}
	}

	/** The way back. */
	private demote(tuple: Tuple): void {
		this.unplan(tuple);
		this.sieve.setTuples(this.tuples);
		if (tuple.count === 0) {
			return;
		}
		tuple.group = this.groups.groupFor(tuple.shape);
		for (let entry = 0; entry < tuple.entryCount; entry++) {
			const policy = tuple.owner(entry);
			if (policy !== null) {
				this.groups.insert(tuple.group, policy);
			}
		}
	}

	/** Puts a planned tuple in its place when its least priority is not what it was. */
	private replan(tuple: Tuple, priorityBefore: number): void {
		if (tuple.priorityMin !== priorityBefore) {
			this.unplan(tuple);
			this.planAt(this.placeFor(tuple.priorityMin), tuple);
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
			this.plan = doubled(this.plan);
			this.places = doubled(this.places);
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
		plan[at + HAS_KIND] = 0;
		for (let i = 0; i < KIND_WORDS; i++) {
			const mask = shape.masks[KeyWord.Ports + i] ?? 0;
			plan[at + KIND + i] = mask;
			plan[at + HAS_KIND] = mask === 0 ? (plan[at + HAS_KIND] ?? 0) : 1;
		}
	}

	private unplan(tuple: Tuple): void {
		const { place } = tuple;
		const at = place * PLAN_WORDS;
		this.plan.copyWithin(at, at + PLAN_WORDS, this.tuples.length * PLAN_WORDS);
		this.tuples.splice(place, 1);
		this.number(place);
		tuple.place = -1;
	}

	/** Tells the tuples from a place on where they are, and the blocks from that one's on what they have. */
	private number(from: number): void {
		const { tuples, places } = this;
		const begin = from & -BLOCK_TUPLES;
		places.fill(0, begin);
		for (let place = begin; place < tuples.length; place++) {
			// No holes.
			const tuple = tuples[place] as Tuple;
			tuple.place = place;
			const row = (place & -BLOCK_TUPLES) + lowestBit(tuple.column);
			places[row] = (places[row] ?? 0) | (1 << place);
		}
	}
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
		best = takeFirst(policy, first);
	}
	return best;
}

/** The number of the lowest bit that is set; only asked when there is one. */
function lowestBit(word: number): number {
	return 31 - Math.clz32(word & -word);
}

function doubled(words: Int32Array): Int32Array {
	const more = new Int32Array(2 * words.length);
	more.set(words);
	return more;
}
