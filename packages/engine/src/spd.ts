/**
 * The set of policies (SPD) and the rules of which one wins (net/xfrm/xfrm_policy.c: xfrm_policy_insert,
 * xfrm_policy_lookup_bytype, xfrm_sk_policy_lookup). Main and sub policies stand in tables by direction,
 * type and family (policy-tuples.ts); sockets' policies beside them; all of them in one newest-first list.
 *
 * Ties of equal priority follow from the kernel's lists. A policy is in one of five:
 *
 *     exact          both prefixes reach the thresholds (32/32, 128/128 unless set)
 *     both, source, destination, any    which addresses are narrow: at least /16, IPv6 /48, and not ::
 *
 * In a list the order is priority, then place; only the first match of each list counts (P-4b). Between
 * lists the older policy wins in kernels from 6.12 on; before, exact beats the others, unless the other is
 * the very first of its direction (P-4).
 *
 * The plain twin of the lookup is spd-scan.ts.
 *
 * @hotpath
 */
import type { Flow } from '@xfrm/wire';
import { Direction, Errno, Family, type Refusal, type Selector } from '@xfrm/wire/xfrm';
import { invariant } from './invariant.ts';
import type { KernelProfile } from './kernel-profile.ts';
import type { XfrmPolicy } from './policy.ts';
import { PolicyList } from './policy.ts';
import { comesBefore } from './policy-order.ts';
import { PolicyTable } from './policy-tuples.ts';
import { SelectorWord } from './policy-words.ts';

const LIST_COUNT = 5;
/** Directions × types × families. */
const TABLE_COUNT = 12;
/** Prefixes from which an inexact address counts as narrow (INEXACT_PREFIXLEN_IPV4, _IPV6). */
const NARROW_IPV4 = 16;
const NARROW_IPV6 = 48;
/** An index has its direction in the low three bits (P-8). */
const INDEX_STEP = 8;
/** Sockets' policies have 3 + direction there. */
const SOCKET_DIRECTION = 3;

/** Most buckets of the kernel's tables (xfrm_policy_hashmax). */
const BUCKETS_MAX = 1 << 20;

function nextMask(mask: number): number {
	return mask + 1 < BUCKETS_MAX ? 2 * mask + 1 : mask;
}

function tableNumber(direction: number, type: number, family: number): number {
	return direction * 4 + type * 2 + (family === Family.Ipv4 ? 0 : 1);
}

export class Spd {
	readonly profile: KernelProfile;
	/** Policies by direction: in, out, fwd (main and sub together), then the same of sockets. */
	readonly counts: Int32Array = new Int32Array(6);
	/** Prefix lengths from which a policy is exact: local, remote (P-11). */
	readonly threshold4: [local: number, remote: number] = [32, 32];
	readonly threshold6: [local: number, remote: number] = [128, 128];
	newest: XfrmPolicy | null = null;
	/** What the mask of the kernel's index table would be: it grows with the policies, never shrinks. */
	indexMask: number = 7;

	private readonly tables: PolicyTable[] = [];
	private readonly byIndex: Map<number, XfrmPolicy> = new Map();
	/** By socket: its policies in and out. */
	private readonly sockets: Map<number, [XfrmPolicy | null, XfrmPolicy | null]> = new Map();
	/** Likewise of its tables by direction. */
	private readonly bucketMasks: [number, number, number] = [7, 7, 7];
	private indexLast: number = 0;
	private ageLast: number = 0;
	/** Per direction the first of all inexact policies, as of the last one inserted (P-4). */
	private readonly inexactFirst: (XfrmPolicy | null)[] = [null, null, null];
	/** First match of each list, of the lookup in progress. */
	private readonly first: (XfrmPolicy | null)[] = new Array<XfrmPolicy | null>(LIST_COUNT).fill(
		null,
	);

	constructor(profile: KernelProfile) {
		this.profile = profile;
		for (let i = 0; i < TABLE_COUNT; i++) {
			this.tables.push(new PolicyTable());
		}
	}

	/**
	 * The policy that decides over a flow, of those of this direction, type and if_id; notes the use.
	 *
	 * @spec P-2 P-3 P-4 P-4b P-11 P-15
	 */
	lookup(
		flow: Flow,
		direction: number,
		type: number,
		ifId: number,
		nowSeconds: number,
	): XfrmPolicy | null {
		const policy = this.best(flow, direction, type, ifId);
		if (policy !== null) {
			policy.useTime = nowSeconds;
		}
		return policy;
	}

	/** As `lookup`, without noting a use. */
	best(flow: Flow, direction: number, type: number, ifId: number): XfrmPolicy | null {
		const table = this.tables[tableNumber(direction, type, flow.family)];
		if (table === undefined) {
			return null;
		}
		const { first } = this;
		for (let i = 0; i < LIST_COUNT; i++) {
			first[i] = null;
		}
		table.firstMatches(flow, ifId, first);
		return this.decide(direction, first);
	}

	/**
	 * Which of the first matches of the five lists wins?
	 *
	 * @spec P-4 P-4b
	 */
	decide(direction: number, first: readonly (XfrmPolicy | null)[]): XfrmPolicy | null {
		const exact = first[PolicyList.Exact] ?? null;
		let other: XfrmPolicy | null = null;
		for (let i = 1; i < LIST_COUNT; i++) {
			const candidate = first[i] ?? null;
			if (candidate !== null && (other === null || this.beats(candidate, other))) {
				other = candidate;
			}
		}
		if (exact === null || other === null) {
			return exact ?? other;
		}
		if (exact.priority !== other.priority) {
			return exact.priority < other.priority ? exact : other;
		}
		if (this.profile.tiesByAge) {
			return exact.age < other.age ? exact : other;
		}
		return other === this.inexactFirst[direction] ? other : exact;
	}

	/** Between two inexact lists: by age over all lists, in old kernels by place in the direction's list. */
	private beats(a: XfrmPolicy, b: XfrmPolicy): boolean {
		if (!this.profile.tiesByAge) {
			return comesBefore(a, b);
		}
		return a.priority < b.priority || (a.priority === b.priority && a.age < b.age);
	}

	/**
	 * A socket's own policy, if it has one for this direction (0 in, 1 out) that fits the flow. Direction IN
	 * counts as a use at once; OUT when the policy has its states.
	 *
	 * @spec P-1 P-19
	 */
	socketPolicy(
		socketId: number,
		direction: number,
		flow: Flow,
		ifId: number,
		nowSeconds: number,
	): XfrmPolicy | null {
		const policy = this.ofSocket(socketId, direction);
		if (
			policy === null ||
			policy.family !== flow.family ||
			!policy.selector.matches(flow) ||
			!policy.markFits(flow.mark) ||
			policy.ifId !== ifId
		) {
			return null;
		}
		if (direction === Direction.In) {
			policy.useTime = nowSeconds;
		}
		return policy;
	}

	/** The policy a socket has for this direction, fitting or not. */
	ofSocket(socketId: number, direction: number): XfrmPolicy | null {
		if (socketId === 0 || this.sockets.size === 0) {
			return null;
		}
		return this.sockets.get(socketId)?.[direction] ?? null;
	}

	/** Has the socket any policy for this direction, fitting or not (I-21)? */
	hasSocketPolicy(socketId: number, direction: number): boolean {
		return this.ofSocket(socketId, direction) !== null;
	}

	/**
	 * The policy of the same identity: direction, type, if_id, mark and all octets of the selector.
	 *
	 * @spec P-5 P-6
	 */
	twin(policy: XfrmPolicy): XfrmPolicy | null {
		const table = this.tables[tableNumber(policy.direction, policy.type, policy.family)];
		return table?.twin(policy) ?? null;
	}

	byPolicyIndex(index: number): XfrmPolicy | null {
		return this.byIndex.get(index >>> 0) ?? null;
	}

	/**
	 * An index for a new policy: the wanted one if it is free, else the next of the generator.
	 *
	 * @spec P-8
	 */
	freeIndex(direction: number, wanted: number): number {
		let index = wanted >>> 0;
		for (;;) {
			if (index === 0) {
				index = (this.indexLast | direction) >>> 0;
				this.indexLast = (this.indexLast + INDEX_STEP) | 0;
			}
			if (index === 0) {
				index = INDEX_STEP;
			}
			if (!this.byIndex.has(index)) {
				return index;
			}
			index = 0;
		}
	}

	/**
	 * Puts a policy in, at the head of the global list. The one that it replaces (its twin) is taken out.
	 * Of unchanged priority it keeps that one's place in its list, though it is the youngest of all.
	 *
	 * @spec P-4b P-7 N-13
	 */
	insert(policy: XfrmPolicy, replaced: XfrmPolicy | null): void {
		policy.age = ++this.ageLast;
		policy.listOrder =
			replaced !== null && replaced.priority === policy.priority ? replaced.listOrder : policy.age;
		policy.list = this.listOf(policy);
		this.noteInexactFirst(policy, replaced);
		if (replaced !== null) {
			this.remove(replaced);
		}
		this.link(policy);
		this.counts[policy.direction] = (this.counts[policy.direction] ?? 0) + 1;
		this.byIndex.set(policy.index, policy);
		this.tableOf(policy).insert(policy);
		if (replaced === null) {
			this.growMasks(policy.direction);
		}
	}

	/** Too many for a direction's table make the kernel look at all its tables. */
	private growMasks(direction: number): void {
		if ((this.counts[direction] ?? 0) <= (this.bucketMasks[direction] ?? 0)) {
			return;
		}
		let total = 0;
		for (let i = 0; i < this.bucketMasks.length; i++) {
			const count = this.counts[i] ?? 0;
			const mask = this.bucketMasks[i] ?? 0;
			total += count;
			this.bucketMasks[i] = count > mask ? nextMask(mask) : mask;
		}
		this.indexMask = total > this.indexMask ? nextMask(this.indexMask) : this.indexMask;
	}

	/** Takes a policy out: it is dead from now on. Its `older` stays, so that a walk can go on. */
	remove(policy: XfrmPolicy): void {
		this.unlink(policy);
		this.counts[policy.direction] = (this.counts[policy.direction] ?? 0) - 1;
		if (this.byIndex.get(policy.index) === policy) {
			this.byIndex.delete(policy.index);
		}
		this.tableOf(policy).remove(policy);
	}

	/**
	 * Sets or clears a socket's policy of one direction; answers the one that it had.
	 *
	 * @spec P-19
	 */
	setSocketPolicy(
		socketId: number,
		direction: number,
		policy: XfrmPolicy | null,
	): XfrmPolicy | null {
		const pair = this.sockets.get(socketId) ?? [null, null];
		const old = pair[direction] ?? null;
		const place = SOCKET_DIRECTION + direction;
		pair[direction === Direction.In ? 0 : 1] = policy;
		if (pair[0] === null && pair[1] === null) {
			this.sockets.delete(socketId);
		} else {
			this.sockets.set(socketId, pair);
		}
		if (policy !== null) {
			this.link(policy);
			this.counts[place] = (this.counts[place] ?? 0) + 1;
		}
		if (old !== null) {
			this.unlink(old);
			this.counts[place] = (this.counts[place] ?? 0) - 1;
		}
		return old;
	}

	/**
	 * Sets the prefix lengths from which policies are exact, and sorts all of them in anew, in the order of
	 * their age.
	 *
	 * @spec P-11
	 */
	setThreshold(family: number, local: number, remote: number): Refusal | undefined {
		const bits = family === Family.Ipv4 ? 32 : 128;
		if (local > bits || remote > bits) {
			return { errno: Errno.EINVAL, message: 'Invalid hash threshold' };
		}
		const threshold = family === Family.Ipv4 ? this.threshold4 : this.threshold6;
		threshold[0] = local;
		threshold[1] = remote;
		const oldestFirst: XfrmPolicy[] = [];
		for (const policy of this.policies()) {
			if (policy.socketId === 0) {
				oldestFirst.push(policy);
			}
		}
		oldestFirst.reverse();
		for (const policy of oldestFirst) {
			this.tableOf(policy).remove(policy);
		}
		this.inexactFirst.fill(null);
		for (const policy of oldestFirst) {
			policy.list = this.listOf(policy);
			policy.listOrder = policy.age;
			this.tableOf(policy).insert(policy);
		}
		for (const policy of oldestFirst) {
			this.noteInexactFirst(policy, null);
		}
		return undefined;
	}

	/** The next older policy of the global list that is still there; `policy` itself may be gone. */
	olderThan(policy: XfrmPolicy): XfrmPolicy | null {
		let older = policy.older;
		while (older?.dead === true) {
			older = older.older;
		}
		return older;
	}

	/** Main, sub and sockets' policies, newest first. They may come and go between two steps. */
	*policies(): Generator<XfrmPolicy, void, undefined> {
		for (let policy = this.newest; policy !== null; policy = this.olderThan(policy)) {
			yield policy;
		}
	}

	private tableOf(policy: XfrmPolicy): PolicyTable {
		const table = this.tables[tableNumber(policy.direction, policy.type, policy.family)];
		invariant(table !== undefined, 'commands refuse directions and types without a table');
		return table;
	}

	private link(policy: XfrmPolicy): void {
		policy.newer = null;
		policy.older = this.newest;
		if (this.newest !== null) {
			this.newest.newer = policy;
		}
		this.newest = policy;
	}

	private unlink(policy: XfrmPolicy): void {
		policy.dead = true;
		if (policy.newer === null) {
			this.newest = policy.older;
		} else {
			policy.newer.older = policy.older;
		}
		if (policy.older !== null) {
			policy.older.newer = policy.newer;
		}
		policy.newer = null;
	}

	/** Which of the five lists the selector puts a policy into; for OUT the destination is remote. */
	private listOf(policy: XfrmPolicy): PolicyList {
		const { words } = policy;
		const shape = words[SelectorWord.Shape] ?? 0;
		const prefixlenD = (shape >>> 8) & 0xff;
		const prefixlenS = shape & 0xff;
		const isIpv4 = policy.family === Family.Ipv4;
		const [local, remote] = isIpv4 ? this.threshold4 : this.threshold6;
		const isOut = policy.direction === Direction.Out;
		if (prefixlenD >= (isOut ? remote : local) && prefixlenS >= (isOut ? local : remote)) {
			return PolicyList.Exact;
		}
		const narrow = isIpv4 ? NARROW_IPV4 : NARROW_IPV6;
		const isNarrowD = prefixlenD >= narrow && !isAny(words, SelectorWord.Daddr, policy.family);
		const isNarrowS = prefixlenS >= narrow && !isAny(words, SelectorWord.Saddr, policy.family);
		if (isNarrowD) {
			return isNarrowS ? PolicyList.Both : PolicyList.Destination;
		}
		return isNarrowS ? PolicyList.Source : PolicyList.Any;
	}

	/** Keeps `inexactFirst` when a policy is about to be inserted: to find it anew means to look at all of them. */
	private noteInexactFirst(policy: XfrmPolicy, replaced: XfrmPolicy | null): void {
		if (policy.list === PolicyList.Exact || this.profile.tiesByAge) {
			return;
		}
		const { direction } = policy;
		let head = this.inexactFirst[direction] ?? null;
		if (head === null || head.dead) {
			head = this.findInexactFirst(direction);
		}
		const goesBefore =
			head === null ||
			comesBefore(policy, head) ||
			(head === replaced && policy.priority === head.priority);
		this.inexactFirst[direction] = goesBefore ? policy : head;
	}

	private findInexactFirst(direction: number): XfrmPolicy | null {
		let head: XfrmPolicy | null = null;
		for (const policy of this.policies()) {
			if (
				policy.socketId === 0 &&
				policy.direction === direction &&
				policy.list !== PolicyList.Exact &&
				(head === null || comesBefore(policy, head))
			) {
				head = policy;
			}
		}
		return head;
	}
}

/** Is the address at this place the any-address of its family? */
function isAny(words: readonly number[], at: number, family: number): boolean {
	return (
		words[at] === 0 &&
		(family === Family.Ipv4 || (words[at + 1] === 0 && words[at + 2] === 0 && words[at + 3] === 0))
	);
}

/** Equality of all 56 octets: host bits, user and interface count too. */
export function selectorsEqual(a: Selector, b: Selector): boolean {
	for (let i = 0; i < a.daddr.length; i++) {
		if (a.daddr[i] !== b.daddr[i] || a.saddr[i] !== b.saddr[i]) {
			return false;
		}
	}
	return (
		a.dport === b.dport &&
		a.dportMask === b.dportMask &&
		a.sport === b.sport &&
		a.sportMask === b.sportMask &&
		a.family === b.family &&
		a.prefixlenD === b.prefixlenD &&
		a.prefixlenS === b.prefixlenS &&
		a.proto === b.proto &&
		a.ifindex === b.ifindex &&
		a.user === b.user
	);
}
