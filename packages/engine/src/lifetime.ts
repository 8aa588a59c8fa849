/**
 * Lifetimes (xfrm_state.c: xfrm_state_check_expire, xfrm_timer_handler; xfrm_policy.c: xfrm_policy_timer).
 * Octets and packets are looked at when a packet comes, seconds by timers with a resolution of one second,
 * the first time one second after the object was inserted.
 */
import { Errno, MAX_DEPTH } from '@xfrm/wire/xfrm';
import { CRYPTO_JOBS_MAX } from './limits.ts';
import type { Namespace } from './namespace.ts';
import type { XfrmPolicy } from './policy.ts';
import { removePolicy } from './policy-life.ts';
import { describeState, snapshotPolicy } from './snapshot.ts';
import { Current, Limit, StateCondition, type XfrmState } from './state.ts';
import { deleteState } from './state-life.ts';

const { Bytes, Packets, UseTime } = Current;
const { HardByte, HardPacket, SoftByte, SoftPacket } = Limit;

/** A policy's soft expiry is told again after so many seconds (XFRM_KM_TIMEOUT). */
const SOFT_REPEAT_SECONDS = 30;

/**
 * May one more packet go through this state? Call it before counting the packet; it sets use_time. At a
 * hard limit the state expires on the spot: by the time this returns it is deleted and told of.
 *
 * @returns 0 or EINVAL (XfrmInStateExpired, XfrmOutStateExpired)
 * @spec L-1 L-2 L-3 L-10
 */
export function checkExpire(net: Namespace, state: XfrmState): number {
	const { lifetime, limits } = state;
	if (lifetime[UseTime] === 0) {
		lifetime[UseTime] = net.nowSeconds();
	}
	if (!state.hasCountLimits) {
		return 0;
	}
	const bytes = lifetime[Bytes] ?? 0;
	const packets = lifetime[Packets] ?? 0;
	if (bytes >= (limits[HardByte] ?? 0) || packets >= (limits[HardPacket] ?? 0)) {
		state.condition = StateCondition.Expired;
		expireHard(net, state);
		return Errno.EINVAL;
	}
	if (!state.dying && (bytes >= (limits[SoftByte] ?? 0) || packets >= (limits[SoftPacket] ?? 0))) {
		state.dying = true;
		net.emit({ kind: 'expire', state: describeState(state), hard: false });
	}
	return 0;
}

/** More than the packets of one call of the crypto provider can be, and their octets. */
const CALL_PACKETS_MAX = CRYPTO_JOBS_MAX * MAX_DEPTH;
const CALL_OCTETS_MAX = CALL_PACKETS_MAX * 65535;

/**
 * May the packets of one call of the crypto provider bring the state to a byte or packet limit? Then input
 * handles them one by one, as the limit ends the state or tells of it at a certain packet.
 *
 * @spec L-1 L-3
 */
export function isNearLimit(state: XfrmState): boolean {
	if (!state.hasCountLimits) {
		return false;
	}
	const { lifetime, limits } = state;
	const bytes = (lifetime[Bytes] ?? 0) + CALL_OCTETS_MAX;
	const packets = (lifetime[Packets] ?? 0) + CALL_PACKETS_MAX;
	if (bytes >= (limits[HardByte] ?? 0) || packets >= (limits[HardPacket] ?? 0)) {
		return true;
	}
	return !state.dying && (bytes >= (limits[SoftByte] ?? 0) || packets >= (limits[SoftPacket] ?? 0));
}

/**
 * Deletes an expired state and tells of it.
 *
 * @spec L-6 L-8
 */
function expireHard(net: Namespace, state: XfrmState): void {
	if (deleteState(net, state)) {
		net.emit({ kind: 'expire', state: describeState(state), hard: true });
	}
}

/**
 * Looks at a state's time limits, now that its timer ran out, and sets the next look.
 *
 * @spec L-4 L-5 L-7 L-8
 */
export function stateTimeout(net: Namespace, state: XfrmState): void {
	if (state.condition === StateCondition.Dead) {
		return;
	}
	const { lifetime, limits } = state;
	const now = net.nowSeconds();
	const hardAdd = limits[Limit.HardAdd] ?? 0;
	const hardUse = limits[Limit.HardUse] ?? 0;
	let next = Number.POSITIVE_INFINITY;
	if (hardAdd !== 0) {
		let left = hardAdd + (lifetime[Current.AddTime] ?? 0) - now;
		if (left <= 0) {
			if (!state.softAddPending) {
				expireHard(net, state);
				return;
			}
			// The clock jumped over the soft limit: move the birth, so that soft comes first.
			lifetime[Current.AddTime] = now - state.softAddSeconds - 1;
			left = hardAdd - state.softAddSeconds;
		}
		next = Math.min(next, left);
	}
	if (hardUse !== 0) {
		const left = hardUse + (lifetime[UseTime] || now) - now;
		if (left <= 0) {
			expireHard(net, state);
			return;
		}
		next = Math.min(next, left);
	}
	if (!state.dying) {
		next = checkSoft(net, state, now, next);
	}
	if (next !== Number.POSITIVE_INFINITY) {
		net.timers.set(state.lifetimeTimer, (net.now[0] ?? 0) + next * 1_000_000);
	}
}

/** The two soft limits; answers the seconds to the next look. */
function checkSoft(net: Namespace, state: XfrmState, now: number, nextHard: number): number {
	const { lifetime, limits } = state;
	const softAdd = limits[Limit.SoftAdd] ?? 0;
	const softUse = limits[Limit.SoftUse] ?? 0;
	let next = nextHard;
	if (softAdd !== 0) {
		const left = softAdd + (lifetime[Current.AddTime] ?? 0) - now;
		if (left <= 0) {
			state.dying = true;
			state.softAddPending = false;
		} else if (left < next) {
			next = left;
			state.softAddPending = true;
			state.softAddSeconds = left;
		}
	}
	if (softUse !== 0) {
		const left = softUse + (lifetime[UseTime] || now) - now;
		if (left <= 0) {
			state.dying = true;
		} else {
			next = Math.min(next, left);
		}
	}
	if (state.dying) {
		net.emit({ kind: 'expire', state: describeState(state), hard: false });
	}
	return next;
}

/**
 * Looks at a policy's time limits; use counts from the adding while it was never used.
 *
 * @spec P-15 P-16
 */
export function policyTimeout(net: Namespace, policy: XfrmPolicy): void {
	if (policy.dead) {
		return;
	}
	const { limits } = policy;
	const now = net.nowSeconds();
	const addTime = policy.lifetime[0] ?? 0;
	const useTime = policy.lifetime[1] || addTime;
	const hardAdd = secondsLeft(limits.hardAddExpiresSeconds, addTime, now);
	const hardUse = secondsLeft(limits.hardUseExpiresSeconds, useTime, now);
	if (hardAdd <= 0 || hardUse <= 0) {
		removePolicy(net, policy);
		net.emit({ kind: 'policy-expire', policy: snapshotPolicy(policy), hard: true });
		return;
	}
	const softAdd = secondsLeft(limits.softAddExpiresSeconds, addTime, now);
	const softUse = secondsLeft(limits.softUseExpiresSeconds, useTime, now);
	const softPassed = softAdd <= 0 || softUse <= 0;
	const next = Math.min(
		hardAdd,
		hardUse,
		softAdd <= 0 ? SOFT_REPEAT_SECONDS : softAdd,
		softUse <= 0 ? SOFT_REPEAT_SECONDS : softUse,
	);
	if (softPassed) {
		net.emit({ kind: 'policy-expire', policy: snapshotPolicy(policy), hard: false });
	}
	if (next !== Number.POSITIVE_INFINITY) {
		net.timers.set(policy.lifetimeTimer, (net.now[0] ?? 0) + next * 1_000_000);
	}
}

/** Seconds until a limit of so many from `since`; Infinity without one. */
function secondsLeft(limit: number, since: number, now: number): number {
	return limit === 0 ? Number.POSITIVE_INFINITY : limit + since - now;
}
