/** What generators of edits share: the situation of a packet, and edits of one state or policy. */
import type { XfrmPolicy, XfrmState } from '@xfrm/engine';
import type { Flow } from '@xfrm/wire';
import {
	addressFrom,
	Family,
	type PolicyConfig,
	type Selector,
	type StateConfig,
} from '@xfrm/wire/xfrm';
import type { Answer } from './answer.ts';
import type { Digest } from './digest.ts';
import { hostAddresses, includes } from './direction.ts';
import type { Explainer, PacketOptions } from './explainer.ts';
import {
	type KeyWriter,
	keyOctets,
	policyCommand,
	policyDelete,
	stateCommand,
	stateDelete,
} from './fix-command.ts';
import { configOf, type Edit, type EditCommand, policyConfig } from './fix-trial.ts';

/** What a generator of edits looks at. */
export interface Situation {
	readonly packet: Uint8Array;
	readonly options: PacketOptions;
	readonly answer: Answer;
	readonly digest: Digest;
	/** The world in which it was asked. */
	readonly explainer: Explainer;
	/** The rules before the packet. */
	readonly before: Explainer;
	/** How keys are told. */
	readonly keyName: KeyWriter;
	/** States that were there once, and are no more. */
	readonly gone: readonly StateConfig[];
	/** Policies that trials are made with. */
	readonly isWanted: (policy: XfrmPolicy) => boolean;
	/** States of the peer, none where it is not known. */
	readonly peerStates: readonly StateConfig[];
}

export type Generator = (at: Situation) => readonly Edit[];

/** Prefix length of one host. */
export function hostBits(family: number): number {
	return family === Family.Ipv4 ? 32 : 128;
}

function nameOf(at: Situation): (ifindex: number) => string | undefined {
	return (ifindex) => at.explainer.world.deviceName(ifindex);
}

/** A key that somebody has to fill in; octets of its length for the trial. */
export interface NewKeys {
	/** The word that stands in its place. */
	readonly word: string;
}

/** The command that adds a state. */
export function addState(at: Situation, config: StateConfig, keys?: NewKeys): EditCommand {
	const name = nameOf(at);
	const shownKey: KeyWriter = keys === undefined ? at.keyName : () => keys.word;
	return {
		shown: stateCommand('add', config, shownKey, name),
		real: stateCommand('add', config, keyOctets, name),
		...(keys === undefined ? {} : { unknownKey: true }),
	};
}

/** A state made anew with some things otherwise: what `update` cannot change. */
export function remakeState(
	at: Situation,
	state: XfrmState,
	changes: Partial<StateConfig>,
	without: readonly (keyof StateConfig)[] = [],
): readonly EditCommand[] {
	const config = configOf(at.before, state);
	const gone = stateDelete(config);
	const hidden = at.explainer.hidesKey(state);
	const next: { -readonly [K in keyof StateConfig]: StateConfig[K] } = { ...config, ...changes };
	for (const field of without) {
		delete next[field];
	}
	const made = addState(at, next);
	return [{ shown: gone, real: gone }, hidden ? { ...made, unknownKey: true } : made];
}

/** A state with some things otherwise, by `update`. */
export function updateState(
	at: Situation,
	state: XfrmState,
	changes: Partial<StateConfig>,
): readonly EditCommand[] {
	const config = { ...configOf(at.before, state), ...changes };
	const name = nameOf(at);
	return [
		{
			shown: stateCommand('update', config, at.keyName, name),
			real: stateCommand('update', config, keyOctets, name),
		},
	];
}

export function addPolicy(at: Situation, config: PolicyConfig): EditCommand {
	const text = policyCommand('add', config, nameOf(at));
	return { shown: text, real: text };
}

/** A policy with some things otherwise that are no part of its identity. */
export function updatePolicy(
	at: Situation,
	policy: XfrmPolicy,
	changes: Partial<PolicyConfig>,
): EditCommand {
	const text = policyCommand('update', { ...policyConfig(policy), ...changes }, nameOf(at));
	return { shown: text, real: text };
}

export function deletePolicy(at: Situation, policy: XfrmPolicy): EditCommand {
	const text = policyDelete(policyConfig(policy), nameOf(at));
	return { shown: text, real: text };
}

/** What only the shell can do; tried in another way. */
export function shellOnly(shown: string): EditCommand {
	return { shown };
}

/** An `ip` command that is told and carried out as it is. */
export function hostCommand(text: string): EditCommand {
	return { shown: text, real: text };
}

/** The ends of a packet. */
export function endsOf(packet: Uint8Array): {
	readonly family: number;
	readonly source: Uint8Array;
	readonly destination: Uint8Array;
} {
	const v4 = (packet[0] ?? 0) >> 4 === 4;
	return {
		family: v4 ? Family.Ipv4 : Family.Ipv6,
		source: v4 ? addressFrom(packet, 12, 4) : addressFrom(packet, 8, 16),
		destination: v4 ? addressFrom(packet, 16, 4) : addressFrom(packet, 24, 16),
	};
}

/** Is it an address of this host? */
export function isOwnAddress(at: Situation, family: number, address: Uint8Array): boolean {
	return includes(hostAddresses(at.before.world.host), family, address);
}

/** The address with its bits behind the prefix cleared. */
export function network(address: Uint8Array, bits: number): Uint8Array {
	return address.map((octet, i) => {
		const kept = Math.min(8, Math.max(0, bits - 8 * i));
		return octet & (0xff00 >> kept) & 0xff;
	});
}

/** An address of a flow's words. */
export function wordsAddress(words: Int32Array): Uint8Array {
	const bytes = new Uint8Array(16);
	const view = new DataView(bytes.buffer);
	for (let i = 0; i < 4; i++) {
		view.setInt32(4 * i, words[i] ?? 0);
	}
	return bytes;
}

/** Does a selector take a flow? For proposals: whether it does is the engine's to say. */
export function selectorTakes(selector: Selector, flow: Flow): boolean {
	const inside = (words: Int32Array, address: Uint8Array, bits: number): boolean => {
		const have = network(wordsAddress(words), bits);
		return network(address, bits).every((octet, i) => octet === have[i]);
	};
	return (
		selector.family === flow.family &&
		inside(flow.saddr, selector.saddr, selector.prefixlenS) &&
		inside(flow.daddr, selector.daddr, selector.prefixlenD) &&
		(selector.proto === 0 || selector.proto === flow.proto) &&
		((selector.sport ^ flow.sport) & selector.sportMask) === 0 &&
		((selector.dport ^ flow.dport) & selector.dportMask) === 0
	);
}
