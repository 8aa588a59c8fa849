/**
 * What can be asked of the set of states (xfrm_state.c: xfrm_state_add, xfrm_state_update …;
 * xfrm_user.c around them): each answers a value, or errno and sentence. Requests are well-formed by the
 * time they come here; nothing in them makes a command throw. Notifications are the caller's.
 * ALLOCSPI is in larval.ts.
 */

import {
	anyAddress,
	Errno,
	hasTimeLimits,
	IpProto,
	SaDirection,
	type StateConfig,
	type StateSnapshot,
} from '@xfrm/wire/xfrm';
import { type Answer, answer, refuse } from './answer.ts';
import type { AeventUpdate, SadInfo, StateQuery } from './engine.ts';
import { attachHelper } from './helper-states.ts';
import { findAcquired, findAcquiredBySeq, hasSpi } from './larval.ts';
import { checkExpire } from './lifetime.ts';
import type { Namespace } from './namespace.ts';
import { ReplayMode } from './replay-window.ts';
import { wordsEqual } from './sad.ts';
import { addressWords, SelectorMatcher } from './selector-match.ts';
import { describeState, snapshotState } from './snapshot.ts';
import { Current, StateCondition, type XfrmState } from './state.ts';
import { BUCKETS_MAX } from './state-buckets.ts';
import { initState } from './state-init.ts';
import {
	deleteState,
	disposeRefused,
	disposeState,
	FIRST_LOOK_US,
	insertState,
} from './state-life.ts';

/** A VOID state with its helper, in no table yet. */
function constructState(net: Namespace, config: StateConfig): Answer<XfrmState> {
	const made = initState(net, config);
	if (made.refusal !== undefined) {
		return made;
	}
	const refusal = attachHelper(net, made.value);
	if (refusal !== undefined) {
		disposeState(net, made.value);
		return { refusal };
	}
	return made;
}

/** The state that has this one's identity and a mark that fits (__xfrm_state_locate). */
function locate(net: Namespace, state: XfrmState): XfrmState | null {
	const mark = state.markValue & state.markMask;
	return hasSpi(state.proto)
		? net.sad.bySpi(state.family, state.daddr, state.spi, state.proto, mark)
		: net.sad.byAddress(state.family, state.daddr, state.saddr, state.proto, mark);
}

/**
 * Adds a state: NEWSA. A larval state that it answers goes without a word.
 *
 * @spec S-3 S-6 S-7 S-8 S-9
 */
export function addState(net: Namespace, config: StateConfig): Answer<XfrmState> {
	const made = constructState(net, config);
	if (made.refusal !== undefined) {
		return made;
	}
	const state = made.value;
	if (!insertUnique(net, state)) {
		disposeRefused(net, state);
		return refuse(Errno.EEXIST);
	}
	state.condition = StateCondition.Valid;
	return answer(state);
}

/**
 * Inserts a state unless its identity is taken, and removes the larval state that it answers.
 *
 * @spec S-3 S-7
 */
export function insertUnique(net: Namespace, state: XfrmState): boolean {
	if (locate(net, state) !== null) {
		return false;
	}
	const larval = hasSpi(state.proto) ? findAnswered(net, state) : null;
	insertState(net, state);
	if (larval !== null) {
		deleteState(net, larval);
	}
	return true;
}

/** The larval state that a new one answers: by sequence number, else by tuple. */
function findAnswered(net: Namespace, state: XfrmState): XfrmState | null {
	const mark = state.markValue & state.markMask;
	if (state.seq !== 0) {
		const larval = findAcquiredBySeq(net, state.seq, mark, state.pcpu);
		if (
			larval !== null &&
			larval.proto === state.proto &&
			wordsEqual(larval.daddr, state.daddr, state.family)
		) {
			return larval;
		}
	}
	return findAcquired(net, state);
}

/**
 * Updates a state: UPDSA. A larval one is replaced; of a VALID one a few fields change (S-11). The answer is
 * the state that was made of the request, which is what the notification tells of (N-17): in the table only
 * when it replaced a larval one.
 *
 * @spec S-10 S-11 S-19
 */
export function updateState(net: Namespace, config: StateConfig): Answer<XfrmState> {
	const made = constructState(net, config);
	if (made.refusal !== undefined) {
		return made;
	}
	const state = made.value;
	const errno = replaceOrChange(net, state);
	if (errno !== 0) {
		disposeRefused(net, state);
		return refuse(errno);
	}
	if (state.condition === StateCondition.Void) {
		state.condition = StateCondition.Valid;
	}
	return answer(state);
}

function replaceOrChange(net: Namespace, state: XfrmState): 0 | Errno {
	const old = locate(net, state);
	if (old === null) {
		return Errno.ESRCH;
	}
	if (old.kernelOwned) {
		return Errno.EEXIST;
	}
	const isLarval = old.condition === StateCondition.Acq;
	const minds = !isLarval || state.direction !== SaDirection.Unset;
	if (minds && old.direction !== state.direction) {
		return Errno.ESRCH;
	}
	if (isLarval) {
		insertState(net, state);
		deleteState(net, old);
		return 0;
	}
	if (old.condition !== StateCondition.Valid || old.encap?.type !== state.encap?.type) {
		return Errno.EINVAL;
	}
	changeState(net, old, state);
	disposeRefused(net, state);
	return 0;
}

/** Takes over into a VALID state what an update may change. */
function changeState(net: Namespace, old: XfrmState, update: XfrmState): void {
	const { config } = update;
	const takesSelector = !hasSpi(old.proto);
	const takesCoaddr = old.coaddr !== undefined && update.coaddr !== undefined;
	const takesMark = update.outputMarkValue !== 0 || update.outputMarkMask !== 0;
	old.config = {
		...old.config,
		lifetime: config.lifetime,
		...(config.encap === undefined ? {} : { encap: config.encap }),
		...(takesCoaddr && config.coaddr !== undefined ? { coaddr: config.coaddr } : {}),
		...(takesSelector ? { selector: config.selector } : {}),
		...(takesMark && config.outputMark !== undefined ? { outputMark: config.outputMark } : {}),
		...(update.ifId !== 0 && config.ifId !== undefined ? { ifId: config.ifId } : {}),
	};
	old.encap = update.encap;
	if (takesCoaddr) {
		old.coaddr = update.coaddr;
	}
	if (takesSelector) {
		old.selector = new SelectorMatcher(config.selector);
	}
	if (takesMark) {
		old.outputMarkValue = update.outputMarkValue;
		old.outputMarkMask = update.outputMarkMask;
	}
	if (update.ifId !== 0) {
		old.ifId = update.ifId;
	}
	old.setLimits(config);
	old.dying = false;
	net.generation++;
	if (hasTimeLimits(config.lifetime)) {
		net.timers.set(old.lifetimeTimer, (net.now[0] ?? 0) + FIRST_LOOK_US);
	}
	if ((old.lifetime[Current.UseTime] ?? 0) !== 0) {
		checkExpire(net, old);
	}
	net.watcher?.stateChanged(old);
}

/**
 * The state that a request names, by SPI or, for protocols without, by source address.
 *
 * @spec S-3 S-5
 */
export function findState(net: Namespace, query: StateQuery): XfrmState | undefined {
	const { family, id, saddr, mark } = query;
	const daddr = addressWords(id.daddr, family);
	if (hasSpi(id.proto)) {
		return net.sad.bySpi(family, daddr, id.spi | 0, id.proto, mark) ?? undefined;
	}
	const source = addressWords(saddr ?? anyAddress(), family);
	return net.sad.byAddress(family, daddr, source, id.proto, mark) ?? undefined;
}

/**
 * Deletes a state: DELSA. The answer is the state as it was, with its keys.
 *
 * @spec S-12 S-19
 */
export function deleteStateByQuery(net: Namespace, query: StateQuery): Answer<StateSnapshot> {
	if (!hasSpi(query.id.proto) && query.saddr === undefined) {
		return refuse(Errno.EINVAL);
	}
	const state = findState(net, query);
	if (state === undefined) {
		return refuse(Errno.ESRCH);
	}
	if (state.kernelOwned) {
		return refuse(Errno.EPERM);
	}
	const snapshot = snapshotState(state);
	deleteState(net, state);
	return answer(snapshot);
}

/**
 * Deletes all states of a protocol: 0 all, 255 ESP, AH and IPComp. Answers how many went; helpers go with
 * their users and do not count.
 *
 * @spec S-19
 */
export function flushStates(net: Namespace, proto: number): number {
	let count = 0;
	for (const state of net.sad.states()) {
		const isMeant =
			proto === 0 || proto === state.proto || (proto === IpProto.Raw && hasSpi(state.proto));
		if (isMeant && !state.kernelOwned && deleteState(net, state)) {
			count++;
		}
	}
	return count;
}

/**
 * Sets replay values, lifetimes and thresholds: NEWAE. They count as reported.
 *
 * @spec R-10 R-11
 */
export function updateAevent(
	net: Namespace,
	query: StateQuery,
	update: AeventUpdate,
): Answer<XfrmState> {
	const state = findBySpi(net, query);
	if (state === null) {
		return refuse(Errno.ESRCH);
	}
	if (state.condition !== StateCondition.Valid) {
		return refuse(Errno.EINVAL, 'SA must be in VALID state');
	}
	const { replay } = state;
	const esn = replay.mode === ReplayMode.Legacy ? undefined : update.replayEsn;
	if (esn !== undefined) {
		if (esn.bmp.length < esn.bmpLen) {
			return refuse(Errno.EINVAL, 'ESN attribute is too short');
		}
		if (esn.bmpLen !== replay.bitmap.length) {
			return refuse(Errno.EINVAL, "New ESN size doesn't match the existing SA's ESN size");
		}
		if (esn.replayWindow > esn.bmpLen * 32) {
			return refuse(Errno.EINVAL, 'ESN replay window is longer than the bitmap');
		}
		replay.windowPackets = esn.replayWindow;
		replay.setCounters(esn.oseq, esn.oseqHi, esn.seq, esn.seqHi);
		replay.bitmap.set(esn.bmp.subarray(0, esn.bmpLen));
		replay.markReported();
	}
	if (update.replay !== undefined && replay.mode === ReplayMode.Legacy) {
		replay.setLegacy(update.replay.oseq, update.replay.seq, update.replay.bitmap);
	}
	const current = update.lifetimeCurrent;
	if (current !== undefined) {
		state.lifetime[Current.Bytes] = current.bytes;
		state.lifetime[Current.Packets] = current.packets;
		state.lifetime[Current.AddTime] = current.addTime;
		state.lifetime[Current.UseTime] = current.useTime;
		state.packetsToSpare = 0;
	}
	replay.maxAgeTicks = update.expiryTimer ?? replay.maxAgeTicks;
	replay.maxDiff = update.replayThreshold ?? replay.maxDiff;
	state.mappingThresholdSeconds = update.mappingThresholdSeconds ?? state.mappingThresholdSeconds;
	net.watcher?.stateChanged(state);
	return answer(state);
}

/** NEWAE, GETAE and EXPIRE look by SPI whatever the protocol: states without one are never found. */
export function findBySpi(net: Namespace, query: StateQuery): XfrmState | null {
	const { family, id, mark } = query;
	return net.sad.bySpi(family, addressWords(id.daddr, family), id.spi | 0, id.proto, mark);
}

/**
 * Expires a state because a user says so: EXPIRE. The answer is what to tell of it.
 *
 * @spec L-9
 */
export function expireState(
	net: Namespace,
	query: StateQuery,
	hard: boolean,
): Answer<StateSnapshot> {
	const state = findBySpi(net, query);
	if (state === null) {
		return refuse(Errno.ENOENT);
	}
	if (state.condition !== StateCondition.Valid) {
		return refuse(Errno.EINVAL, 'SA must be in VALID state');
	}
	const snapshot = describeState(state);
	if (hard) {
		deleteState(net, state);
	}
	return answer(snapshot);
}

/**
 * Counts as GETSADINFO tells them.
 *
 * @spec S-20
 */
export function sadInfo({ sad }: Namespace): SadInfo {
	return { stateCount: sad.count, bucketCount: sad.bucketCount, bucketCountMax: BUCKETS_MAX };
}
