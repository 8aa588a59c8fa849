/**
 * Which of two policies is met first in a list of both, and the first of each list while a lookup goes on.
 *
 * @hotpath
 */
import type { XfrmPolicy } from './policy.ts';

/** The worst priority, as `ordered` has it. */
export const LAST_PRIORITY = 0x7fff_ffff;

/** Is this policy met before that one in a list of both: lower priority value, then list order? */
export function comesBefore(a: XfrmPolicy, b: XfrmPolicy): boolean {
	return a.priority < b.priority || (a.priority === b.priority && a.listOrder < b.listOrder);
}

/** A priority, u32, as an int32 of the same order. */
export function ordered(priority: number): number {
	return (priority | 0) ^ -0x8000_0000;
}

/** Takes a policy that matches into `first` if it is its list's first; answers its priority (`ordered`). */
export function takeFirst(policy: XfrmPolicy, first: (XfrmPolicy | null)[]): number {
	const other = first[policy.list] ?? null;
	if (other === null || comesBefore(policy, other)) {
		first[policy.list] = policy;
	}
	return ordered(policy.priority);
}
