/**
 * Counters of states against what was really done under their keys: packets sealed and accepted, and where
 * the replay window stands. A window that is above everything accepted was moved by something that was
 * not authenticated.
 */
import { StateCondition, type XfrmState } from '@xfrm/engine';
import type { KeyUse } from '../ledger.ts';
import type { Machine } from '../machine.ts';
import type { Invariant } from './invariant.ts';

/** Places in `XfrmState.lifetime` and in `ReplayWindow.counters`. */
const PACKETS = 1;
const SEQ = 2;
const SEQ_HI = 3;

function wrongCounts(state: XfrmState, use: KeyUse): string | undefined {
	const counted = state.lifetime[PACKETS] ?? 0;
	const done = use.sealedCount + use.acceptedCount;
	if (counted !== done) {
		return `counts ${counted} packets, ${done} were sealed or accepted`;
	}
	const { counters, windowPackets } = state.replay;
	if (windowPackets === 0 || use.sealedCount > 0) {
		return undefined;
	}
	const top = ((counters[SEQ_HI] ?? 0) >>> 0) * 0x1_0000_0000 + ((counters[SEQ] ?? 0) >>> 0);
	const { seq = 0, seqHi = 0 } = state.config.replayEsn ?? {};
	const expected = use.acceptedTop < 0 ? seqHi * 0x1_0000_0000 + seq : use.acceptedTop;
	return top === expected
		? undefined
		: `has its window at ${top}, the largest number accepted is ${expected}`;
}

function check(machine: Machine): string | undefined {
	for (const state of machine.engine.states()) {
		const use = state.key && machine.ledger.useOf(state.key);
		if (use !== undefined && state.condition === StateCondition.Valid) {
			const wrong = wrongCounts(state, use);
			if (wrong !== undefined) {
				return `state 0x${(state.spi >>> 0).toString(16)} ${wrong}`;
			}
		}
	}
	return undefined;
}

export const keyCounts: Invariant = { name: 'counters of states add up', check };
