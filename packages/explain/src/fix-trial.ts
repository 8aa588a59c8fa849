/**
 * Tries an edit: everything that the explainer went through is gone through again in a world of its own, the
 * edit carried out behind the last rule, then the packet is asked about anew. Nothing of it touches the
 * world that was asked.
 */
import type { XfrmPolicy, XfrmState } from '@xfrm/engine';
import {
	addressEquals,
	type Mark,
	type PolicyConfig,
	PolicyType,
	type StateConfig,
} from '@xfrm/wire/xfrm';
import type { Outcome } from './answer.ts';
import type { Digest } from './digest.ts';
import type { Explainer, PacketOptions } from './explainer.ts';
import type { Question } from './journal.ts';

/** One command of an edit. */
export interface EditCommand {
	/** As it is told: keys by their names. */
	readonly shown: string;
	/** As it is carried out; absent for what only somebody else can do (a firewall rule, the peer). */
	readonly real?: string;
	/** A sysctl that it sets, in place of `real`. */
	readonly sysctl?: { readonly name: string; readonly value: number };
	/** The state that it makes has a key that nobody told. */
	readonly unknownKey?: boolean;
}

/** Something that may make the packet right. */
export interface Edit {
	readonly text: string;
	readonly commands: readonly EditCommand[];
	/** The packet goes by other ways: with a mark, by an XFRM interface. */
	readonly options?: Partial<PacketOptions>;
	/** Another packet in its place: a smaller one. */
	readonly packet?: Uint8Array;
	/** What is meant to become of it: `clear` is right where somebody wants it so, `blocked` where it leaked. */
	readonly want: 'protected' | 'clear' | 'blocked';
	/** The edit makes way for this packet alone, in clear. */
	readonly last?: boolean;
}

/** What came of edits. */
export interface Attempt {
	readonly edits: readonly Edit[];
	readonly explainer: Explainer;
	readonly question: Question<PacketOptions>;
	/** Outcomes of the packets before it, behind the last setting. */
	readonly earlier: readonly Outcome[];
}

/** Octets for trials; what they seal is never sent. */
function trialRandom(): (bytes: Uint8Array) => void {
	let state = 0x6d2b79f5;
	return (bytes) => {
		for (let i = 0; i < bytes.length; i++) {
			state ^= state << 13;
			state ^= state >>> 17;
			state ^= state << 5;
			bytes[i] = state >>> 11;
		}
	};
}

/** The world behind the last rule, before the packets: rules as they were, keys and all. */
export function worldBefore(
	asked: Explainer,
	isWanted: (policy: XfrmPolicy) => boolean,
): Explainer | undefined {
	const before = asked.fresh(trialRandom());
	let reached = false;
	// Stops where an edit would be.
	asked.journal.replay(
		before,
		() => {
			reached = true;
			return false;
		},
		isWanted,
	);
	return reached ? before : undefined;
}

/** Carries edits out on everything again; undefined when one of them is refused. */
export function attempt(
	asked: Explainer,
	edits: readonly Edit[],
	isWanted: (policy: XfrmPolicy) => boolean,
): Attempt | undefined {
	const { question } = asked;
	if (question === undefined) {
		return undefined;
	}
	const other = asked.fresh(trialRandom());
	const done = asked.journal.replay(
		other,
		() => edits.every((edit) => carryOut(other, edit)),
		isWanted,
	);
	if (!done) {
		return undefined;
	}
	const options = Object.assign({}, question.options, ...edits.map((edit) => edit.options ?? {}));
	const packet = edits.findLast((edit) => edit.packet !== undefined)?.packet ?? question.packet;
	other.ask(packet, options);
	const tried = other.question;
	return tried === undefined || !wouldDecideAlike(asked, tried.digest, isWanted)
		? undefined
		: { edits, explainer: other, question: tried, earlier: other.journal.earlierOutcomes() };
}

/** No policy that was left out would have won one of the lookups. */
function wouldDecideAlike(
	asked: Explainer,
	digest: Digest,
	isWanted: (policy: XfrmPolicy) => boolean,
): boolean {
	const { spd } = asked.world.engine.net;
	return digest.policyLookups.every(({ table, flow, direction, ifId }) => {
		const type = table === 'sub' ? PolicyType.Sub : PolicyType.Main;
		const winner = table === 'socket' ? null : spd.best(flow, direction, type, ifId);
		return winner === null || isWanted(winner);
	});
}

function carryOut(explainer: Explainer, edit: Edit): boolean {
	for (const { real, unknownKey, sysctl } of edit.commands) {
		if (sysctl !== undefined && explainer.setSysctl(sysctl.name, sysctl.value).status !== 0) {
			return false;
		}
		if (real === undefined) {
			continue;
		}
		if (explainer.run(real).status !== 0) {
			return false;
		}
		if (unknownKey === true) {
			explainer.hideNewestKey();
		}
	}
	return true;
}

function sameMark(a: Mark | undefined, b: Mark | undefined): boolean {
	return ((a?.v ?? 0) | 0) === ((b?.v ?? 0) | 0) && ((a?.m ?? 0) | 0) === ((b?.m ?? 0) | 0);
}

/** What a state was made of, keys and counters too: deleted ones have lost theirs. */
export function configOf(before: Explainer, state: XfrmState): StateConfig {
	const { engine } = before.world;
	for (const one of engine.states()) {
		const same =
			one.spi === state.spi &&
			one.proto === state.proto &&
			one.family === state.family &&
			addressEquals(one.config.id.daddr, state.config.id.daddr, one.family) &&
			addressEquals(one.config.saddr, state.config.saddr, one.family) &&
			sameMark(one.config.mark, state.config.mark);
		if (same) {
			return engine.snapshotState(one);
		}
	}
	return state.config;
}

export function policyConfig(policy: XfrmPolicy): PolicyConfig {
	return { ...policy.config, index: 0 };
}
