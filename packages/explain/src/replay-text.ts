/** Why a replay window refuses a sequence number, in words (spec ). */
import type { XfrmState } from '@xfrm/engine';
import { IpProto } from '@xfrm/wire/xfrm';

/** `sequence number 3 is 997 behind the newest, 1000, outside the replay window of 32`. */
export function replayText(state: XfrmState, seq: number): string {
	const top = (state.replay.counters[2] ?? 0) >>> 0;
	const window = state.replay.windowPackets;
	const behind = (top - seq) >>> 0;
	if (state.proto === IpProto.Comp) {
		return `IPComp has no sequence numbers, so a state with a replay window, ${window}, takes nothing`;
	}
	if (seq === 0) {
		return 'sequence number 0 is never sent';
	}
	return behind >= window
		? `sequence number ${seq} is ${behind} behind the newest, ${top}, outside the replay window of ${window}`
		: `sequence number ${seq} was seen before: a replay (the newest is ${top}, the window ${window})`;
}

/** Is the number too old, rather than seen before? */
export function isTooOld(state: XfrmState, seq: number): boolean {
	const top = (state.replay.counters[2] ?? 0) >>> 0;
	return (
		state.proto !== IpProto.Comp && seq !== 0 && (top - seq) >>> 0 >= state.replay.windowPackets
	);
}
