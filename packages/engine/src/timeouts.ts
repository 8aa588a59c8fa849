/**
 * What happens when timers run out. Deadlines are met one after the other, each at its own time, so that a
 * caller who comes late (or a test that jumps) gets what a punctual one would have got.
 */
import { HoldQueue } from './hold-queue.ts';
import { retryHoldQueue } from './hold-retry.ts';
import { policyTimeout, stateTimeout } from './lifetime.ts';
import { TIMEOUT_STEPS_MAX } from './limits.ts';
import type { Namespace } from './namespace.ts';
import { NatKeepalives } from './nat-keepalive.ts';
import { keepaliveTimeout } from './nat-keepalive-send.ts';
import { XfrmPolicy } from './policy.ts';
import { replayTimeout } from './replay.ts';
import { XfrmState } from './state.ts';
import { type Timer, TimerKind } from './timer-table.ts';
import { iptfsInputTimeout } from './transforms/iptfs-input.ts';
import { iptfsOutputTimeout } from './transforms/iptfs-output.ts';
import { IptfsQueue } from './transforms/iptfs-queue.ts';
import { IptfsReceiver } from './transforms/iptfs-receiver.ts';

/**
 * Handles every timer that is due. After so many steps the rest is handled at the present time: a clock
 * that jumped by years must not keep a one-second timer busy for all of them.
 *
 * @spec L-4 P-16
 */
export function handleTimeout(net: Namespace, nowUs: number): void {
	for (let step = 0; net.timers.next() <= nowUs; step++) {
		net.now[0] = step < TIMEOUT_STEPS_MAX ? net.timers.next() : nowUs;
		const timer = net.timers.takeDue(nowUs);
		if (timer !== undefined) {
			runOut(net, timer);
		}
	}
	net.now[0] = nowUs;
}

function runOut(net: Namespace, timer: Timer): void {
	const { owner, kind } = timer;
	if (owner instanceof XfrmState) {
		if (kind === TimerKind.StateReplay) {
			replayTimeout(net, owner);
		} else {
			stateTimeout(net, owner);
		}
	} else if (owner instanceof XfrmPolicy) {
		policyTimeout(net, owner);
	} else if (owner instanceof HoldQueue) {
		retryHoldQueue(net, owner);
	} else if (owner instanceof NatKeepalives) {
		keepaliveTimeout(net);
	} else if (owner instanceof IptfsReceiver) {
		iptfsInputTimeout(net, owner);
	} else if (owner instanceof IptfsQueue) {
		iptfsOutputTimeout(net, owner);
	}
}
