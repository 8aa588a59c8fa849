/**
 * Edits for packets of a state or policy that is at its end: its numbers are used up, or a limit has taken it away,
 * before the packet or by it. It was there behind the last rule, where an edit is tried; whoever reads of it has it
 * no more.
 */
import type { XfrmPolicy, XfrmState } from '@xfrm/engine';
import { addressEquals, Direction, StateFlag, UNLIMITED } from '@xfrm/wire/xfrm';
import { freshSpi, withNewKeys } from './fix-outbound.ts';
import {
	addPolicy,
	addState,
	type Generator,
	type Situation,
	selectorTakes,
	updatePolicy,
	updateState,
} from './fix-parts.ts';
import { configOf, type Edit, policyConfig } from './fix-trial.ts';
import { policyName, stateName } from './names.ts';

/** A state that should have been rekeyed before, or a policy that is gone too. */
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
		case 'XfrmInNoPols':
		case null:
			return renewPolicy(at);
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

/** A policy for the packet was there behind the last rule, and has expired since. */
function renewPolicy(at: Situation): Edit[] {
	const { answer, digest, before, explainer } = at;
	const lookup = digest.lastPolicyLookup;
	const flow = lookup?.flow ?? digest.plainFlow();
	const isMissing = /\.policy\.none$/.test(answer.code);
	if (!isMissing || flow === undefined) {
		return [];
	}
	const leaves = answer.outcome === 'pass' && answer.direction !== 'in';
	const direction = leaves ? Direction.Out : (lookup?.direction ?? Direction.In);
	const present = new Set([...explainer.world.engine.policies()].map(nameOf));
	const gone = [...before.world.engine.policies()].find(
		(policy) =>
			policy.direction === direction &&
			policy.templates.length > 0 &&
			!present.has(nameOf(policy)) &&
			selectorTakes(policy.config.selector, flow),
	);
	if (gone === undefined) {
		return [];
	}
	const { real } = updatePolicy(at, gone, { lifetime: UNLIMITED });
	const { shown } = addPolicy(at, { ...policyConfig(gone), lifetime: UNLIMITED });
	return real === undefined
		? []
		: [
				{
					text: `${policyName(gone)} reached its hard limit and is gone: add it anew, without that limit`,
					commands: [{ shown, real }],
					want: 'protected',
				},
			];
}

function nameOf(policy: XfrmPolicy): string {
	return `${policy.type} ${policy.direction} ${policy.index}`;
}
