/**
 * Sequence numbers and replay (RFC 4302 and 4303 section 3.4.3, RFC 4303 Appendix A; net/xfrm/xfrm_replay.c).
 * On input: `replayCheck` before the ICV is looked at, `replayRecheck` behind it, then `replayAdvance`, so
 * that a forged packet never moves the window. On output: `replayNext`.
 *
 * Numbers are u32 kept as int32; `>>> 0` wherever order matters.
 *
 * @hotpath
 */
import { AeventFlag, Errno, ExtraFlag, Group } from '@xfrm/wire/xfrm';
import { TICKS_PER_SECOND } from './limits.ts';
import type { Namespace } from './namespace.ts';
import { ReplayCounter, ReplayMode, type ReplayWindow } from './replay-window.ts';
import { describeState } from './snapshot.ts';
import { StateCondition, StateStat, type XfrmState } from './state.ts';

// V8 compiles these in; an imported constant is read each time (CONTRIBUTING.md, Style).
const { Oseq, OseqHi, Seq, SeqHi } = ReplayCounter;
const { Esn, Legacy } = ReplayMode;
const { Aevents } = Group;

const SIGN_BIT = 0x80000000 | 0;

/**
 * The high half that an incoming sequence number is taken to have, as u32; 0 without ESN. The window of
 * the last packets tells in which of two subspaces it lies.
 *
 * @spec R-6; RFC 4303 Appendix A2.2
 */
export function replaySeqHi(window: ReplayWindow, seq: number): number {
	const hi = topSeqHi(window);
	if (window.mode !== Esn) {
		return hi;
	}
	const top = (window.counters[Seq] ?? 0) >>> 0;
	const bottom = (top - window.windowPackets + 1) >>> 0;
	if (top >= window.windowPackets - 1) {
		return seq >>> 0 < bottom ? (hi + 1) | 0 : hi;
	}
	return seq >>> 0 >= bottom ? (hi - 1) | 0 : hi;
}

/** The high half of the window's top; 0 without ESN. */
export function topSeqHi(window: ReplayWindow): number {
	return window.mode === Esn ? (window.counters[SeqHi] ?? 0) : 0;
}

/** Larger as u32. Integers all along: `>>> 0` would make doubles of those above 2^31. */
export function isLarger(a: number, b: number): boolean {
	return (a ^ SIGN_BIT) > (b ^ SIGN_BIT);
}

/**
 * Is this number above the window, in the subspace of its top? Then it is new and its high half is the
 * top's: what nearly every packet is, and all that has to be asked of it.
 *
 * @param seq low half as on the wire
 * @spec R-3 R-6 R-7
 */
export function isAboveWindow(window: ReplayWindow, seq: number): boolean {
	const top = window.counters[Seq] ?? 0;
	return isLarger(seq, top) && (window.mode !== Esn || top < 0 || top >= window.windowPackets - 1);
}

/**
 * Would this sequence number be accepted? Changes nothing but the state's statistics.
 *
 * @param seq low half as on the wire, int32
 * @returns 0 or EINVAL (XfrmInStateSeqError)
 * @spec R-2 R-3 R-7 S-17; RFC 4303 3.4.3
 */
export function replayCheck(state: XfrmState, seq: number): number {
	const window = state.replay;
	const packets = window.windowPackets;
	if (packets === 0) {
		return 0;
	}
	const low = seq >>> 0;
	const top = (window.counters[Seq] ?? 0) >>> 0;
	if (window.mode === Esn) {
		const hi = window.counters[SeqHi] ?? 0;
		if (low === 0 && hi === 0 && top < packets - 1) {
			return Errno.EINVAL;
		}
		const bottom = (top - packets + 1) >>> 0;
		// The window lies in one subspace, or its lower part in the one before.
		const isNew = top >= packets - 1 ? low > top || low < bottom : low > top && low < bottom;
		if (isNew) {
			return 0;
		}
	} else {
		if (low === 0) {
			return Errno.EINVAL;
		}
		if (low > top) {
			return 0;
		}
	}
	const behind = (top - low) >>> 0;
	if (behind >= packets) {
		state.stats[StateStat.ReplayWindow] = (state.stats[StateStat.ReplayWindow] ?? 0) + 1;
		return Errno.EINVAL;
	}
	const bit = window.mode === Legacy ? behind : circularBit(top, behind, packets);
	if (((window.bitmap[bit >> 5] ?? 0) & (1 << (bit & 31))) !== 0) {
		state.stats[StateStat.Replay] = (state.stats[StateStat.Replay] ?? 0) + 1;
		return Errno.EINVAL;
	}
	return 0;
}

/**
 * The check behind the ICV: other packets of a batch may have moved the window meanwhile. `seqHi` is what
 * the ICV was computed with.
 *
 * @returns 0 or EINVAL
 * @spec R-8
 */
export function replayRecheck(state: XfrmState, seq: number, seqHi: number): number {
	const window = state.replay;
	return isAboveWindow(window, seq) && topSeqHi(window) === seqHi
		? 0
		: recheckElsewhere(state, seq, seqHi);
}

function recheckElsewhere(state: XfrmState, seq: number, seqHi: number): number {
	if (state.replay.mode === Esn && (replaySeqHi(state.replay, seq) | 0) !== (seqHi | 0)) {
		state.stats[StateStat.ReplayWindow] = (state.stats[StateStat.ReplayWindow] ?? 0) + 1;
		return Errno.EINVAL;
	}
	return replayCheck(state, seq);
}

/**
 * Marks an authenticated sequence number as seen and moves the window up to it.
 *
 * @spec R-2 R-4 R-5
 */
export function replayAdvance(net: Namespace, state: XfrmState, seq: number): void {
	const window = state.replay;
	if (window.windowPackets === 0) {
		return;
	}
	if (isAboveWindow(window, seq)) {
		moveTop(window, seq);
	} else {
		advanceElsewhere(window, seq);
	}
	if (net.listens(Aevents)) {
		replayNotify(net, state, AeventFlag.CausedByReplay);
	}
}

/** The number is not above the window in the subspace of its top: within it, or in the next subspace. */
function advanceElsewhere(window: ReplayWindow, seq: number): void {
	const { counters, bitmap, windowPackets: packets } = window;
	const top = (counters[Seq] ?? 0) >>> 0;
	const low = seq >>> 0;
	// How many subspaces ahead: 1, 0 or -1; always 0 without ESN.
	const wrap = window.mode === Esn ? (replaySeqHi(window, seq) - (counters[SeqHi] ?? 0)) | 0 : 0;
	if (wrap > 0 || (wrap === 0 && low > top)) {
		moveTop(window, seq);
		if (wrap > 0) {
			counters[SeqHi] = (counters[SeqHi] ?? 0) + 1;
		}
		return;
	}
	const behind = (top - low) | 0;
	const bit = window.mode === Legacy ? behind : circularBit(top, behind, packets);
	bitmap[bit >> 5] = (bitmap[bit >> 5] ?? 0) | (1 << (bit & 31));
}

/** Moves the top up to a number, modulo 2^32: forgets those that were skipped, marks the new top. */
function moveTop(window: ReplayWindow, seq: number): void {
	const { counters, bitmap, windowPackets: packets } = window;
	const top = counters[Seq] ?? 0;
	counters[Seq] = seq;
	// Below 0: more than 2^31, which no window has.
	const ahead = (seq - top) | 0;
	if (window.mode === Legacy || ahead <= 0 || ahead >= packets) {
		moveElsewhere(window, top, ahead);
		return;
	}
	let bit = topPlace(top, packets);
	for (let left = ahead; left > 0; left--) {
		bit = bit + 1 < packets ? bit + 1 : 0;
		const word = bitmap[bit >> 5] ?? 0;
		const mask = 1 << (bit & 31);
		bitmap[bit >> 5] = left === 1 ? word | mask : word & ~mask;
	}
}

/** A window of one word, which is shifted, or a number so far ahead that nothing stays in the window. */
function moveElsewhere(window: ReplayWindow, top: number, ahead: number): void {
	const { bitmap, windowPackets: packets } = window;
	if (window.mode === Legacy) {
		bitmap[0] = ahead > 0 && ahead < packets ? ((bitmap[0] ?? 0) << ahead) | 1 : 1;
		return;
	}
	bitmap.fill(0, 0, ((packets - 1) >> 5) + 1);
	const bit = (topPlace(top, packets) + (ahead >>> 0)) % packets;
	bitmap[bit >> 5] = 1 << (bit & 31);
}

/**
 * The bit of the top: (top - 1) mod window, which for most windows is a mask. Otherwise in two halves, so
 * that no number passes 2^31: V8 divides larger ones as doubles, which takes 20 ns.
 */
function topPlace(top: number, packets: number): number {
	const before = (top - 1) | 0;
	if ((packets & (packets - 1)) === 0) {
		return before & (packets - 1);
	}
	const high = ((before >>> 16) % packets) << 16;
	return (high + (before & 0xffff)) % packets;
}

/**
 * The bit of the packet `behind` (less than `packets`) below the top. Below a top of 0 stands 2^32 - 1, so
 * that a window that does not divide 2^32 marks its first number in the wrong place: as the kernel does.
 */
function circularBit(top: number, behind: number, packets: number): number {
	const place = topPlace(top, packets);
	return place >= behind ? place - behind : packets - (behind - place);
}

/**
 * Takes the next sequence number of a state with replay protection: `Oseq` and `OseqHi` of its counters
 * are the packet's. A number once taken stays taken, whatever becomes of the packet.
 *
 * @returns 0, or EOVERFLOW when there is none left: then nothing changed
 * @spec R-9 O-16
 */
export function replayNext(net: Namespace, state: XfrmState): number {
	const { counters } = state.replay;
	const next = ((counters[Oseq] ?? 0) + 1) | 0;
	if (next === 0 && !beginSubspace(state)) {
		return Errno.EOVERFLOW;
	}
	counters[Oseq] = next;
	if (net.listens(Aevents)) {
		replayNotify(net, state, AeventFlag.CausedByReplay);
	}
	return 0;
}

/** The low halves of the outgoing numbers are used up: may they begin again? */
function beginSubspace(state: XfrmState): boolean {
	const { counters, mode } = state.replay;
	if (mode !== Esn) {
		return (state.extraFlags & ExtraFlag.OseqMayWrap) !== 0;
	}
	const high = ((counters[OseqHi] ?? 0) + 1) | 0;
	if (high === 0) {
		return false;
	}
	counters[OseqHi] = high;
	return true;
}

/**
 * Tells key managers of the replay values, if they changed enough. `cause` is CausedByReplay after a packet,
 * CausedByTimer when the timer ran out. The caller has made sure that somebody listens.
 *
 * @spec R-11
 */
export function replayNotify(net: Namespace, state: XfrmState, cause: number): void {
	const window = state.replay;
	let flags = cause;
	if (cause === AeventFlag.CausedByReplay) {
		if (!movedEnough(window)) {
			if (!window.deferred) {
				return;
			}
			flags = AeventFlag.CausedByTimer;
		}
	} else if (!window.hasNews()) {
		window.deferred = true;
		return;
	}
	window.markReported();
	net.emit({ kind: 'aevent', state: describeState(state), flags });
	// As in the kernel, the deferral ends only when the timer was not running.
	if (window.maxAgeTicks !== 0 && !startReplayTimer(net, state)) {
		window.deferred = false;
	}
}

function movedEnough(window: ReplayWindow): boolean {
	if (window.maxDiff === 0) {
		return false;
	}
	const { counters, reportedCounters } = window;
	const seqMoved = ((counters[Seq] ?? 0) - (reportedCounters[Seq] ?? 0)) >>> 0;
	const oseqMoved = ((counters[Oseq] ?? 0) - (reportedCounters[Oseq] ?? 0)) >>> 0;
	return seqMoved >= window.maxDiff || oseqMoved >= window.maxDiff;
}

/** Starts or moves the replay timer; true when it was running. */
export function startReplayTimer(net: Namespace, state: XfrmState): boolean {
	const waitUs = (state.replay.maxAgeTicks * 1_000_000) / TICKS_PER_SECOND;
	return net.timers.set(state.replayTimer, (net.now[0] ?? 0) + waitUs);
}

/**
 * The replay timer ran out.
 *
 * @spec R-11 R-12
 */
export function replayTimeout(net: Namespace, state: XfrmState): void {
	if (state.condition !== StateCondition.Valid) {
		return;
	}
	if (net.listens(Aevents)) {
		replayNotify(net, state, AeventFlag.CausedByTimer);
	} else {
		state.replay.deferred = true;
	}
}
