/**
 * Where policies are found: a tuple space. Policies of one direction, type and family are sorted into tuples
 * by the bits of a flow that they look at (policy-tuple.ts). A lookup costs one probe a tuple, however many
 * policies there are, and stops at the first tuple that cannot do better.
 *
 * The kernel's hash table and its trees of inexact policies (net/xfrm/xfrm_policy.c) answer the same; which
 * of several matches wins is not decided here but in spd.ts.
 *
 * @hotpath
 */
import type { Flow } from '@xfrm/wire';
import { invariant } from './invariant.ts';
import type { XfrmPolicy } from './policy.ts';
import { askFlow, askMasks, NONE, Tuple } from './policy-tuple.ts';

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
		invariant(tuple !== undefined, 'a policy is in the tuple of its selector');
		tuple.remove(policy);
		if (tuple.count === 0) {
			this.tuples.splice(this.tuples.indexOf(tuple), 1);
		}
		this.sortTuples();
	}

	/** Policies that look at the same bits with the same values: one of equal identity is among them. */
	siblings(policy: XfrmPolicy): XfrmPolicy[] {
		const siblings: XfrmPolicy[] = [];
		const tuple = this.tupleOf(policy);
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
		const { tuples } = this;
		let priorityBest = Number.POSITIVE_INFINITY;
		askFlow(flow, ifId);
		for (let i = 0; i < tuples.length; i++) {
			const tuple = tuples[i];
			if (tuple === undefined || tuple.priorityMin > priorityBest) {
				return;
			}
			for (let entry = tuple.find(); entry !== NONE; entry = tuple.findNext(entry)) {
				const policy = tuple.owner(entry);
				if (policy === null || policy.priority > priorityBest) {
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
		askMasks(policy);
		for (const tuple of this.tuples) {
			if (tuple.fits()) {
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
