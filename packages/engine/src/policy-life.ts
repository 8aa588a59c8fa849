/**
 * The birth and death of policies: into the table with the timer running, and out of it. What a command
 * checks before is in policy-commands.ts; whom it is told is the caller's.
 */
import { purgeHeld, requeueHeld } from './hold-queue.ts';
import type { Namespace } from './namespace.ts';
import type { XfrmPolicy } from './policy.ts';
import { FIRST_LOOK_US } from './state-life.ts';

/**
 * Puts a policy into the table, in the place of the one that it replaces. Packets held for that one are
 * held for the new one.
 *
 * @spec P-7 P-9 P-10 P-16
 */
export function insertPolicy(
	net: Namespace,
	policy: XfrmPolicy,
	replaced: XfrmPolicy | null,
): void {
	net.spd.insert(policy, replaced);
	policy.addTime = net.nowSeconds();
	policy.useTime = 0;
	if (policy.hasTimeLimits) {
		net.timers.set(policy.lifetimeTimer, (net.now[0] ?? 0) + FIRST_LOOK_US);
	}
	if (replaced !== null) {
		requeueHeld(net, replaced, policy);
		stopTimer(net, replaced);
		replaced.bundle = null;
	}
	net.generation++;
	net.watcher?.policyChanged(policy, replaced);
}

/** Takes a policy out of the table; false when it is dead already. */
export function removePolicy(net: Namespace, policy: XfrmPolicy): boolean {
	if (policy.dead) {
		return false;
	}
	net.spd.remove(policy);
	stopTimer(net, policy);
	purgeHeld(net, policy);
	policy.bundle = null;
	net.generation++;
	net.watcher?.policyGone(policy);
	return true;
}

function stopTimer(net: Namespace, policy: XfrmPolicy): void {
	if (policy.hasTimeLimits) {
		net.timers.stop(policy.lifetimeTimer);
	}
}
