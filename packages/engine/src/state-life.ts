/**
 * The birth and death of states: into the tables with their timers running, and out of them with their
 * keys wiped. What a command checks before is in state-commands.ts; whom it is told is the caller's.
 */
import { Family, hasTimeLimits } from '@xfrm/wire/xfrm';
import type { Namespace } from './namespace.ts';
import { startKeepalive, stopKeepalive } from './nat-keepalive.ts';
import { startReplayTimer } from './replay.ts';
import { StateCondition, type XfrmState } from './state.ts';

/** A state's and a policy's first look at its time limits comes so long after it was inserted. */
export const FIRST_LOOK_US = 1_000_000;

/**
 * Puts a ready state into the tables (__xfrm_state_insert): its mark is masked, its timers start.
 *
 * @spec S-1 S-2 S-8 S-9 R-12
 */
export function insertState(net: Namespace, state: XfrmState): void {
	const { mark } = state.config;
	state.markValue &= state.markMask;
	if (mark !== undefined && (mark.v & ~mark.m) !== 0) {
		state.config = { ...state.config, mark: { v: (mark.v & mark.m) >>> 0, m: mark.m } };
	}
	net.sad.insert(state);
	if (hasTimeLimits(state.config.lifetime)) {
		net.timers.set(state.lifetimeTimer, (net.now[0] ?? 0) + FIRST_LOOK_US);
	}
	if (state.replay.maxAgeTicks !== 0) {
		startReplayTimer(net, state);
	}
	startKeepalive(net, state);
	net.generation++;
	net.watcher?.stateChanged(state);
}

/**
 * Puts a larval state into the tables: it lives as long as xfrm_acq_expires says, its mark stays as it is.
 * No bundle can depend on it, so none becomes stale.
 *
 * @spec S-2 L-8
 */
export function insertLarval(net: Namespace, state: XfrmState): void {
	state.condition = StateCondition.Acq;
	net.sad.insert(state);
	const lifeUs = net.sysctl.xfrm_acq_expires * 1_000_000;
	net.timers.set(state.lifetimeTimer, (net.now[0] ?? 0) + lifeUs);
	net.watcher?.stateChanged(state);
}

/**
 * Takes a state out of the tables, DEAD from now on, and wipes its keys; false when it is dead already. A
 * snapshot with keys has to be made before.
 *
 * @spec S-12 S-19
 */
export function deleteState(net: Namespace, state: XfrmState): boolean {
	if (state.condition === StateCondition.Dead) {
		return false;
	}
	net.sad.remove(state);
	state.stopTimers(net.timers);
	stopKeepalive(net, state);
	if (state.kernelOwned && state.family === Family.Ipv6) {
		net.helperSpis.release(state.saddr);
	}
	net.generation++;
	net.watcher?.stateGone(state);
	disposeState(net, state);
	const { aead, auth, crypt } = state.config;
	aead?.key.fill(0);
	auth?.key.fill(0);
	crypt?.key.fill(0);
	return true;
}

/**
 * As `disposeState`, for a state that did not make it into the table: in newer kernels its claim on a helper
 * stays.
 *
 * @spec S-19
 */
export function disposeRefused(net: Namespace, state: XfrmState): void {
	if (net.profile.refusedKeepsHelper) {
		state.helper = null;
	}
	disposeState(net, state);
}

/**
 * Gives back what a state holds, whether or not it was ever inserted: the provider's key, and its use of
 * a helper. The configuration keeps its keys, for what is still to be told of the state.
 */
export function disposeState(net: Namespace, state: XfrmState): void {
	state.condition = StateCondition.Dead;
	state.key?.wipe();
	state.key = undefined;
	const { helper } = state;
	state.helper = null;
	if (helper !== null && --helper.helperUsers === 0) {
		deleteState(net, helper);
	}
}
