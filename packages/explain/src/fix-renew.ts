/**
 * Edits for packets of a state that is at its end: its numbers are used up, or a limit has taken it away, before the
 * packet or by it. It was there behind the last rule, where an edit is tried; whoever reads of it has it no more.
 */
import type { XfrmState } from '@xfrm/engine';
import { addressEquals, StateFlag, UNLIMITED } from '@xfrm/wire/xfrm';
import { freshSpi, withNewKeys } from './fix-outbound.ts';
import { addState, type Generator, type Situation, updateState } from './fix-parts.ts';
import { configOf, type Edit } from './fix-trial.ts';
import { stateName } from './names.ts';

/** A state that should have been rekeyed before. */
export const renewState: Generator = (at) => {
	const { answer, digest } = at;
	const refused = digest.refused ?? digest.verdictOf(answer.counter ?? undefined)?.state;
	switch (answer.counter) {
		case 'XfrmOutStateExpired':
			return refused === undefined ? [] : [anotherState(at, refused, 'its hard limit')];
		case 'XfrmOutStateSeqError':
			return refused === undefined ? [] : [anotherState(at, refused, 'its numbers run out')];
		case 'XfrmInStateExpired':
			return refused === undefined ? [] : withoutLimit(at, refused);
		case 'XfrmInNoStates': {
			const gone = goneState(at);
			return gone === undefined ? [] : withoutLimit(at, gone);
		}
		default:
			return [];
	}
};

/** The state that would have taken the packet, had it not expired since the last rule. */
function goneState({ digest, before, explainer }: Situation): XfrmState | undefined {
	const lookup = digest.stateLookup;
	if (lookup === undefined) {
		return undefined;
	}
	const isAsked = (state: XfrmState): boolean =>
		state.proto === lookup.proto &&
		state.spi >>> 0 === lookup.spi >>> 0 &&
		addressEquals(state.config.id.daddr, lookup.daddr, state.family) &&
		state.markFits(lookup.mark);
	const isThere = [...explainer.world.engine.states()].some(isAsked);
	return isThere ? undefined : [...before.world.engine.states()].find(isAsked);
}

/** Outbound: the key has sealed packets under these numbers, so it is not taken again. */
function anotherState(at: Situation, state: XfrmState, end: string): Edit {
	const { replay: _replay, replayEsn: _replayEsn, ...config } = configOf(at.before, state);
	const next = withNewKeys({
		...config,
		id: { ...config.id, spi: freshSpi(at) },
		replayWindow: Math.min(state.replay.windowPackets, 32),
		flags: config.flags & ~StateFlag.Esn,
		lifetime: UNLIMITED,
	});
	return {
		text:
			`rekey ${stateName(state)} in time, before ${end}: a new state beside it, with an SPI and a key of its own ` +
			'(the peer first)',
		commands: [addState(at, next, { word: 'KEY' })],
		want: 'protected',
	};
}

/** Inbound: the peer still seals with the key. */
function withoutLimit(at: Situation, state: XfrmState): Edit[] {
	const { shown } = addState(at, { ...configOf(at.before, state), lifetime: UNLIMITED });
	const [update] = updateState(at, state, { lifetime: UNLIMITED });
	return update?.real === undefined
		? []
		: [
				{
					text: `rekey ${stateName(state)} in time, before its hard limit; or raise the limit`,
					commands: [{ shown, real: update.real }],
					want: 'protected',
				},
			];
}
