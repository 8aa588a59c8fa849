/**
 * Where policies are found: a tuple space. Policies whose selectors look at the same bits of a flow (prefix
 * lengths, port masks, protocol or not, interface or not, mark's mask) form a tuple, and in a tuple a hash
 * of these bits leads to the few that may match:
 *
 *     table (direction, type, family) -> tuples, best priority first -> Map of int32 -> bucket
 *
 * A lookup thus costs one probe a tuple, however many policies there are, and stops at the first tuple that
 * cannot do better. The kernel's hash table and its trees of inexact policies (xfrm_policy.c) answer the
 * same; which of several wins is not decided here but in spd.ts.
 *
 * @hotpath
 */
import type { Flow } from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';
import type { XfrmPolicy } from './policy.ts';

/** The bits of a flow that the policies of a tuple look at. */
class Tuple {
	readonly daddrMask: Int32Array;
	readonly saddrMask: Int32Array;
	readonly isIpv4: boolean;
	/** Masks of source port (high half) and destination port. */
	readonly portMask: number;
	readonly markMask: number;
	/** All ones, or 0 where the selector does not ask. */
	readonly protoMask: number;
	readonly ifindexMask: number;
	/** Nothing but addresses and if_id: the common case saves two rounds of hashing. */
	readonly isPlain: boolean;
	readonly buckets: Map<number, XfrmPolicy[]> = new Map();
	count: number = 0;
	/** No policy of the tuple has a lower priority; may lag behind after removals. */
	priorityMin: number = Number.POSITIVE_INFINITY;
	/** Number of policies at which `priorityMin` is computed anew. */
	private refreshAt: number = 0;

	constructor(policy: XfrmPolicy) {
		const { selector } = policy;
		this.daddrMask = selector.daddrMask;
		this.saddrMask = selector.saddrMask;
		this.isIpv4 = policy.family === Family.Ipv4;
		this.portMask = (selector.sportMask << 16) | selector.dportMask;
		this.markMask = policy.markMask;
		this.protoMask = selector.proto === 0 ? 0 : -1;
		this.ifindexMask = selector.ifindex === 0 ? 0 : -1;
		this.isPlain = (this.portMask | this.markMask | this.protoMask | this.ifindexMask) === 0;
	}

	/** Do this policy's selector and mark look at the same bits? */
	fits(policy: XfrmPolicy): boolean {
		const { selector } = policy;
		return (
			this.portMask === ((selector.sportMask << 16) | selector.dportMask) &&
			this.markMask === policy.markMask &&
			this.protoMask === (selector.proto === 0 ? 0 : -1) &&
			this.ifindexMask === (selector.ifindex === 0 ? 0 : -1) &&
			masksEqual(this.daddrMask, selector.daddrMask) &&
			masksEqual(this.saddrMask, selector.saddrMask)
		);
	}

	/** Hash of the bits that count; of a flow, or of what a policy's selector wants them to be. */
	hash(
		daddr: Int32Array,
		saddr: Int32Array,
		ports: number,
		proto: number,
		ifindex: number,
		mark: number,
		ifId: number,
	): number {
		const { daddrMask, saddrMask } = this;
		let hash = mix(ifId, (daddr[0] ?? 0) & (daddrMask[0] ?? 0));
		hash = mix(hash, (saddr[0] ?? 0) & (saddrMask[0] ?? 0));
		if (!this.isIpv4) {
			for (let i = 1; i < 4; i++) {
				hash = mix(hash, (daddr[i] ?? 0) & (daddrMask[i] ?? 0));
				hash = mix(hash, (saddr[i] ?? 0) & (saddrMask[i] ?? 0));
			}
		}
		if (!this.isPlain) {
			hash = mix(hash, ports & this.portMask);
			hash = mix(hash, mark & this.markMask);
			hash = mix(hash, (proto & this.protoMask) ^ ((ifindex & this.ifindexMask) << 8));
		}
		return hash;
	}

	hashOf(policy: XfrmPolicy): number {
		const { selector } = policy;
		return this.hash(
			selector.daddr,
			selector.saddr,
			(selector.sport << 16) | selector.dport,
			selector.proto,
			selector.ifindex,
			policy.markValue,
			policy.ifId,
		);
	}

	/** Puts a policy into its bucket, which is sorted by priority and place in the list. */
	insert(policy: XfrmPolicy): void {
		const hash = this.hashOf(policy);
		const bucket = this.buckets.get(hash);
		this.count++;
		this.priorityMin = Math.min(this.priorityMin, policy.priority);
		if (bucket === undefined) {
			this.buckets.set(hash, [policy]);
			return;
		}
		let at = bucket.length;
		for (; at > 0; at--) {
			const before = bucket[at - 1];
			if (before !== undefined && comesBefore(before, policy)) {
				break;
			}
		}
		bucket.splice(at, 0, policy);
	}

	remove(policy: XfrmPolicy): void {
		const hash = this.hashOf(policy);
		const bucket = this.buckets.get(hash);
		const at = bucket?.indexOf(policy) ?? -1;
		if (bucket === undefined || at < 0) {
			throw new RangeError('policy is not in its tuple');
		}
		bucket.splice(at, 1);
		if (bucket.length === 0) {
			this.buckets.delete(hash);
		}
		this.count--;
		if (policy.priority === this.priorityMin && this.count <= this.refreshAt) {
			this.refreshPriority();
		}
	}

	/** Anew only when half of the policies went, so that removing all of them is not quadratic. */
	private refreshPriority(): void {
		this.refreshAt = this.count >> 1;
		this.priorityMin = Number.POSITIVE_INFINITY;
		for (const bucket of this.buckets.values()) {
			this.priorityMin = Math.min(this.priorityMin, bucket[0]?.priority ?? this.priorityMin);
		}
	}
}

/** One round of a multiplicative hash; the shift brings high bits down to where a Map looks. */
function mix(hash: number, word: number): number {
	const mixed = Math.imul(hash ^ word, 0x9e3779b1 | 0);
	return mixed ^ (mixed >>> 15);
}

function masksEqual(a: Int32Array, b: Int32Array): boolean {
	return a[0] === b[0] && a[1] === b[1] && a[2] === b[2] && a[3] === b[3];
}

/** Is this policy met before that one in a list of both: lower priority value, then list order? */
export function comesBefore(a: XfrmPolicy, b: XfrmPolicy): boolean {
	return a.priority < b.priority || (a.priority === b.priority && a.listOrder < b.listOrder);
}

/** The policies of one direction, type and family. */
export class PolicyTable {
	/** By `priorityMin`. */
	private readonly tuples: Tuple[] = [];

	insert(policy: XfrmPolicy): void {
		let tuple = this.tupleOf(policy);
		if (tuple === undefined) {
			tuple = new Tuple(policy);
			this.tuples.push(tuple);
		}
		tuple.insert(policy);
		this.sortTuples();
	}

	remove(policy: XfrmPolicy): void {
		const tuple = this.tupleOf(policy);
		if (tuple === undefined) {
			throw new RangeError('policy is in no tuple');
		}
		tuple.remove(policy);
		if (tuple.count === 0) {
			this.tuples.splice(this.tuples.indexOf(tuple), 1);
		}
		this.sortTuples();
	}

	/** Policies that look at the same bits with the same values: where one of equal identity would be. */
	siblings(policy: XfrmPolicy): readonly XfrmPolicy[] {
		const tuple = this.tupleOf(policy);
		return tuple?.buckets.get(tuple.hashOf(policy)) ?? [];
	}

	/**
	 * Finds for each list (`XfrmPolicy.list`) the first policy that matches and puts it into `first`, which
	 * the caller has cleared; lists whose first one has a worse priority than another's may be left out.
	 */
	firstMatches(flow: Flow, ifId: number, first: (XfrmPolicy | null)[]): void {
		let priorityBest = Number.POSITIVE_INFINITY;
		const ports = (flow.sport << 16) | flow.dport;
		for (let i = 0; i < this.tuples.length; i++) {
			const tuple = this.tuples[i];
			if (tuple === undefined || tuple.priorityMin > priorityBest) {
				return;
			}
			const bucket = tuple.buckets.get(
				tuple.hash(flow.daddr, flow.saddr, ports, flow.proto, flow.oif, flow.mark, ifId),
			);
			if (bucket === undefined) {
				continue;
			}
			for (let j = 0; j < bucket.length; j++) {
				const policy = bucket[j];
				if (policy === undefined || policy.priority > priorityBest) {
					break;
				}
				if (policy.ifId !== ifId || !policy.markFits(flow.mark) || !policy.selector.matches(flow)) {
					continue;
				}
				priorityBest = policy.priority;
				const other = first[policy.list] ?? null;
				if (other === null || comesBefore(policy, other)) {
					first[policy.list] = policy;
				}
			}
		}
	}

	private tupleOf(policy: XfrmPolicy): Tuple | undefined {
		for (const tuple of this.tuples) {
			if (tuple.fits(policy)) {
				return tuple;
			}
		}
		return undefined;
	}

	/** Insertion sort: at most one tuple is out of place. */
	private sortTuples(): void {
		const { tuples } = this;
		for (let i = 1; i < tuples.length; i++) {
			const tuple = tuples[i];
			let at = i;
			for (; tuple !== undefined && at > 0; at--) {
				const before = tuples[at - 1];
				if (before === undefined || before.priorityMin <= tuple.priorityMin) {
					break;
				}
				tuples[at] = before;
			}
			if (tuple !== undefined) {
				tuples[at] = tuple;
			}
		}
	}
}
