/**
 * Lifetimes (xfrm_state.c: xfrm_state_check_expire, xfrm_timer_handler; xfrm_policy.c: xfrm_policy_timer).
 * Octets and packets are looked at when a packet comes, seconds by timers with a resolution of one second,
 * the first time one second after the object was inserted.
 */
import { BUFFER_OCTETS_MAX } from '@xfrm/wire';
import { Errno, MAX_DEPTH } from '@xfrm/wire/xfrm';
import { CRYPTO_JOBS_MAX } from './limits.ts';
import type { Namespace } from './namespace.ts';
import type { XfrmPolicy } from './policy.ts';
import { removePolicy } from './policy-life.ts';
import { describeState, snapshotPolicy } from './snapshot.ts';
import { Current, Limit, StateCondition, type XfrmState } from './state.ts';
import { deleteState } from './state-life.ts';

// V8 compiles these in; an imported constant is read each time (CONTRIBUTING.md, Style).
const { Bytes, Packets, UseTime } = Current;
const { HardByte, HardPacket, SoftByte, SoftPacket } = Limit;

/** A policy's soft expiry is told again after so many seconds (XFRM_KM_TIMEOUT). */
const SOFT_REPEAT_SECONDS = 30;

/**
 * May one more packet go through this state? Call it before counting the packet; it sets use_time. At a
 * hard limit the state expires on the spot: by the time this returns it is deleted and told of.
 *
 * Nearly every packet is one of those that the last look at the limits found room for, and is only counted
 * off.
 *
 * @returns 0 or EINVAL (XfrmInStateExpired, XfrmOutStateExpired)
 * @spec L-1 L-2 L-3 L-10
 */
export function checkExpire(net: Namespace, state: XfrmState): number {
	if (state.packetsToSpare > 0) {
		state.packetsToSpare--;
		return 0;
	}
	return checkLimits(net, state);
}

/** The look itself; what it finds in `packetsToSpare` need not be looked at. */
function checkLimits(net: Namespace, state: XfrmState): number {
	const { lifetime, limits } = state;
	if (lifetime[UseTime] === 0) {
		lifetime[UseTime] = net.nowSeconds();
	}
	if (isAtHardLimit(state)) {
		state.condition = StateCondition.Expired;
		expireHard(net, state);
		return Errno.EINVAL;
	}
	const bytes = lifetime[Bytes] ?? 0;
	const packets = lifetime[Packets] ?? 0;
	if (!state.dying && (bytes >= (limits[SoftByte] ?? 0) || packets >= (limits[SoftPacket] ?? 0))) {
		beginDying(net, state);
		net.emit({ kind: 'expire', state: describeState(state), hard: false });
	}
	state.packetsToSpare = sparePackets(state);
	return 0;
}

/** Has a hard limit of octets or packets come? */
export function isAtHardLimit(state: XfrmState): boolean {
	const { lifetime, limits } = state;
	return (
		(lifetime[Bytes] ?? 0) >= (limits[HardByte] ?? 0) ||
		(lifetime[Packets] ?? 0) >= (limits[HardPacket] ?? 0)
	);
}

/**
 * May the packets of one call of the crypto provider bring the state to a byte or packet limit? Then input
 * handles them one by one, as the limit ends the state or tells of it at a certain packet.
 *
 * @spec L-1 L-3
 */
export function isNearLimit(state: XfrmState): boolean {
	return state.packetsToSpare === 0 && sparePackets(state) === 0;
}

/** Packets that input may have admitted and not yet counted: those of one call of the crypto provider. */
const UNCOUNTED_PACKETS_MAX = CRYPTO_JOBS_MAX * MAX_DEPTH;
/** Without limits too, a look is due now and then, so that the number stays a small integer. */
const SPARE_PACKETS_MAX = 0x3fff_ffff;

/**
 * How many packets, however long, can come before one might meet a limit that is still ahead, even when
 * those that input has admitted are not counted yet.
 */
function sparePackets({ lifetime, limits, dying }: XfrmState): number {
	const softByte = dying ? Number.POSITIVE_INFINITY : (limits[SoftByte] ?? 0);
	const softPacket = dying ? Number.POSITIVE_INFINITY : (limits[SoftPacket] ?? 0);
	const octets = Math.min(limits[HardByte] ?? 0, softByte) - (lifetime[Bytes] ?? 0) - 1;
	const packets = Math.min(limits[HardPacket] ?? 0, softPacket) - (lifetime[Packets] ?? 0) - 1;
	const spare = Math.min(Math.floor(octets / BUFFER_OCTETS_MAX), packets) - UNCOUNTED_PACKETS_MAX;
	return Math.max(0, Math.min(spare, SPARE_PACKETS_MAX));
}

/** From now on another state may be the better choice, so what was chosen before is stale (S-23). */
function beginDying(net: Namespace, state: XfrmState): void {
	state.dying = true;
	net.generation++;
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
			beginDying(net, state);
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
			beginDying(net, state);
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
	const { limits, addTime } = policy;
	const now = net.nowSeconds();
	const useTime = policy.useTime || addTime;
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
