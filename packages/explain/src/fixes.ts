/**
 * Fixes: the smallest edits that make a packet right which was dropped, asked a key manager, or left in clear
 * where a policy was meant for it. Generators propose by what decided; every proposal is tried on the engine,
 * with all packets of the case, and only what came out right is told. Where one edit is not enough, the
 * next is looked for in what became of the packet after it.
 */
import type { XfrmPolicy } from '@xfrm/engine';
import { Flow } from '@xfrm/wire';
import type { StateConfig } from '@xfrm/wire/xfrm';
import type { Fix, Outcome } from './answer.ts';
import type { Explainer, PacketOptions } from './explainer.ts';
import { mendBinding } from './fix-binding.ts';
import type { KeyWriter } from './fix-command.ts';
import { mendEnds } from './fix-ends.ts';
import { addFamilyTwin } from './fix-family.ts';
import { isHarmless, protectionOf } from './fix-harm.ts';
import { addAddress, setSysctls } from './fix-host.ts';
import { findState, mendIcv, mendMismatch, widenWindow } from './fix-inbound.ts';
import { mendInterface } from './fix-interface.ts';
import { mendKeys } from './fix-keys.ts';
import { addPeer } from './fix-node.ts';
import { addMissingState, alignStates, turnState } from './fix-outbound.ts';
import { endsOf, type Generator, type Situation } from './fix-parts.ts';
import { addPolicyFor, mendTemplates, preferPolicy } from './fix-policy.ts';
import { rekeyBothEnds } from './fix-rekey.ts';
import { renewState } from './fix-renew.ts';
import { addRoute, passNeighbours } from './fix-route.ts';
import { shrinkPacket } from './fix-size.ts';
import { type Attempt, attempt, type Edit, worldBefore } from './fix-trial.ts';
import { turnPolicy } from './fix-turned.ts';
import type { Question } from './journal.ts';
import { misses } from './near-miss.ts';

/** Fixes that are told. */
export const FIXES_MAX = 3;
/** Edits that are combined. */
const DEPTH_MAX = 3;
/** Attempts whose outcome is looked at further, at each depth. */
const BREADTH_MAX = 3;
/** Worlds that are made to find fixes for one packet, and packets that are asked about again in them. */
const TRIALS_MAX = 48;
const PACKETS_TRIED_MAX = 4_000;
/** Of more entries than this only the policies near the packet are carried out again. */
const SMALL_MAX = 2_000;
/** Above this many entries it is not looked for states that are no more. */
const GONE_ENTRIES_MAX = 400;

/** In the order in which their edits are preferred. */
const GENERATORS: readonly Generator[] = [
	mendInterface,
	alignStates,
	mendEnds,
	renewState,
	findState,
	mendBinding,
	mendMismatch,
	mendTemplates,
	turnPolicy,
	addPolicyFor,
	preferPolicy,
	addFamilyTwin,
	addPeer,
	turnState,
	widenWindow,
	rekeyBothEnds,
	mendKeys,
	mendIcv,
	shrinkPacket,
	setSysctls,
	addAddress,
	addRoute,
	passNeighbours,
	addMissingState,
];

export interface FixOptions {
	/** What a key is called: `key#1`, or its octets where they may be shown. */
	readonly keyName: KeyWriter;
	/** States of the peer, where they are known: their keys are tried. */
	readonly peerStates?: readonly StateConfig[];
}

/** Outcomes for which a fix is looked for. */
const WRONG: ReadonlySet<Outcome> = new Set(['drop', 'acquire', 'pass']);

/** Fixes for the packet that was asked about last; best first, none for one that went right. */
export function findFixes(explainer: Explainer, options: FixOptions): readonly Fix[] {
	const { question } = explainer;
	if (question === undefined || !WRONG.has(question.answer.outcome)) {
		return [];
	}
	const isWanted = wantedPolicies(explainer, question);
	const before = worldBefore(explainer, isWanted);
	return before === undefined
		? []
		: new Search(explainer, question, before, isWanted, options).run();
}

/**
 * Policies that trials are made with. All of them in a small table; in a large one those that the packet's flows
 * (and the answers to them) could meet, and the nearest. Whether one that is left out would have decided is
 * looked up in the whole table behind each trial.
 */
function wantedPolicies(
	explainer: Explainer,
	{ digest }: Question<PacketOptions>,
): (policy: XfrmPolicy) => boolean {
	if (explainer.journal.length <= SMALL_MAX) {
		return () => true;
	}
	const wanted = new Set<XfrmPolicy>(digest.policies);
	for (const { flow, ifId } of digest.policyLookups) {
		const back = reversed(flow);
		for (const policy of explainer.world.engine.policies()) {
			const near =
				misses(policy, flow, ifId) <= NEAR_MISSES || misses(policy, back, ifId) <= NEAR_MISSES;
			if (near && wanted.size < SMALL_MAX) {
				wanted.add(policy);
			}
		}
	}
	return (policy) => wanted.has(policy);
}

/** At most a mark, an if_id or a port is not as the flow has it. */
const NEAR_MISSES = 1;

function reversed(flow: Flow): Flow {
	const back = new Flow();
	back.copyFrom(flow);
	back.saddr.set(flow.daddr);
	back.daddr.set(flow.saddr);
	back.sport = flow.dport;
	back.dport = flow.sport;
	return back;
}

/** An attempt that came out right. */
interface Success {
	readonly tried: Attempt;
	readonly last: boolean;
}

class Search {
	readonly #explainer: Explainer;
	readonly #question: Question<PacketOptions>;
	readonly #before: Explainer;
	readonly #isWanted: (policy: XfrmPolicy) => boolean;
	readonly #keyName: KeyWriter;
	readonly #earlier: readonly Outcome[];
	readonly #peerStates: readonly StateConfig[];
	readonly #depthMax: number;
	#trialsLeft: number;
	#gone: readonly StateConfig[] | undefined;

	constructor(
		explainer: Explainer,
		question: Question<PacketOptions>,
		before: Explainer,
		isWanted: (policy: XfrmPolicy) => boolean,
		options: FixOptions,
	) {
		this.#explainer = explainer;
		this.#question = question;
		this.#before = before;
		this.#isWanted = isWanted;
		this.#keyName = options.keyName;
		this.#peerStates = options.peerStates ?? [];
		this.#earlier = explainer.journal.earlierOutcomes();
		const affordable = Math.floor(PACKETS_TRIED_MAX / (this.#earlier.length + 1));
		this.#trialsLeft = Math.max(FIXES_MAX, Math.min(TRIALS_MAX, affordable));
		// Numbers of policies are those of the whole table only before the first edit.
		this.#depthMax = explainer.journal.length > SMALL_MAX ? 1 : DEPTH_MAX;
	}

	run(): readonly Fix[] {
		const successes: Success[] = [];
		let level: readonly (Attempt | undefined)[] = [undefined];
		for (let depth = 1; depth <= this.#depthMax && level.length > 0; depth++) {
			const next: Attempt[] = [];
			for (const from of level) {
				this.#expand(from, successes, next);
			}
			// A fix that only makes way in clear, or hangs on a key nobody knows, does not end the search for a real one.
			if (successes.some(({ last, tried }) => !last && !isUnknown(tried))) {
				break;
			}
			level = next.slice(0, BREADTH_MAX);
		}
		return this.#told(successes);
	}

	/** Tries what the generators propose for where an attempt has led. */
	#expand(from: Attempt | undefined, successes: Success[], next: Attempt[]): void {
		const at = this.#situation(from);
		const edits = from?.edits ?? [];
		for (const generate of GENERATORS) {
			for (const edit of generate(at)) {
				const enough = successes.filter(({ last }) => !last).length >= FIXES_MAX;
				if (this.#trialsLeft <= 0 || enough) {
					return;
				}
				this.#trialsLeft--;
				const tried = attempt(this.#explainer, [...edits, edit], this.#isWanted);
				if (tried === undefined) {
					continue;
				}
				// More edits that still hang on a key nobody knows are no better than fewer.
				const vague = isUnknown(tried) && edits.length > 0 && successes.length > 0;
				if (!vague && this.#isRight(tried, edit)) {
					successes.push({ tried, last: tried.edits.some((one) => one.last === true) });
				} else if (edit.last !== true && isProgress(at, tried)) {
					next.push(tried);
				}
			}
		}
	}

	#situation(from: Attempt | undefined): Situation {
		const { packet, options, answer, digest } = from?.question ?? this.#question;
		return {
			packet,
			options,
			answer,
			digest,
			explainer: from?.explainer ?? this.#explainer,
			before: this.#before,
			keyName: this.#keyName,
			gone: this.#goneStates(),
			peerStates: this.#peerStates,
			isWanted: this.#isWanted,
		};
	}

	#isRight(tried: Attempt, edit: Edit): boolean {
		const { outcome, states } = tried.question.answer;
		const keyMissing = tried.edits.some(({ commands }) => commands.some((one) => one.unknownKey));
		const right =
			edit.want === 'blocked'
				? tried.question.answer.counter === 'XfrmOutPolBlock'
				: edit.want === 'clear'
					? outcome === 'pass' || outcome === 'transform'
					: (outcome === 'transform' && states.length > 0) || (outcome === 'unknown' && keyMissing);
		return right && this.#earlierAsGood(tried) && this.#harmless(tried);
	}

	/** Packets before this one fare no worse. */
	#earlierAsGood(tried: Attempt): boolean {
		return this.#earlier.every(
			(outcome, i) =>
				(outcome !== 'transform' && outcome !== 'pass') ||
				tried.earlier[i] === outcome ||
				tried.earlier[i] === 'transform',
		);
	}

	#harmless(tried: Attempt): boolean {
		const clear = tried.edits.every(({ want }) => want === 'clear');
		const deletes = tried.edits.some(({ commands }) =>
			commands.every((one) => one.real?.includes(' policy delete ') === true),
		);
		// To take left-over policies away is the edit: their traffic is told to leave in clear.
		if (clear && deletes) {
			return true;
		}
		const except = clear ? endsOf(this.#question.packet) : undefined;
		return isHarmless(protectionOf(this.#before), tried.explainer, except);
	}

	/** States that some command or time took away before the packet. */
	#goneStates(): readonly StateConfig[] {
		if (this.#gone === undefined) {
			const { journal } = this.#explainer;
			this.#gone =
				journal.length > GONE_ENTRIES_MAX ? [] : goneStates(this.#explainer, this.#before);
		}
		return this.#gone;
	}

	#told(successes: readonly Success[]): readonly Fix[] {
		const fixes: Fix[] = [];
		const ranked = [...successes].sort((a, b) => rank(a) - rank(b));
		for (const { tried } of ranked) {
			const commands = tried.edits.flatMap((edit) => edit.commands.map(({ shown }) => shown));
			const known = fixes.some((fix) => fix.commands.join('\n') === commands.join('\n'));
			if (!known && fixes.length < FIXES_MAX) {
				const text = tried.edits.map((edit) => edit.text).join('; and ');
				fixes.push({ commands, text, outcome: tried.question.answer.outcome });
			}
		}
		return fixes;
	}
}

/** Smaller is better: protected before clear, certain before unknown, fewer edits. Otherwise order stays. */
function rank({ tried, last }: Success): number {
	return (last ? 100 : 0) + (isUnknown(tried) ? 10 : 0) + tried.edits.length;
}

/** Does it hang on a key that has to be filled in? */
function isUnknown({ question }: Attempt): boolean {
	return question.answer.outcome === 'unknown';
}

/** Has the packet come further, or at least to another end? */
function isProgress(at: Situation, tried: Attempt): boolean {
	const { answer } = tried.question;
	if (answer.outcome === 'pass' && at.answer.outcome !== 'pass') {
		return false;
	}
	return answer.code !== at.answer.code || answer.states.length > at.answer.states.length;
}

function goneStates(explainer: Explainer, before: Explainer): readonly StateConfig[] {
	const key = (config: StateConfig): string =>
		`${config.id.proto} ${config.id.spi} ${config.id.daddr} ${config.mark?.v ?? 0}`;
	const present = new Set([...before.world.engine.states()].map((state) => key(state.config)));
	const gone = new Map<string, StateConfig>();
	explainer.journal.watch(
		explainer.fresh((bytes) => bytes.fill(0x5a)),
		(other) => {
			for (const state of other.world.engine.states()) {
				if (state.condition === 2 && !state.kernelOwned && !present.has(key(state.config))) {
					gone.set(key(state.config), other.world.engine.snapshotState(state));
				}
			}
		},
	);
	return [...gone.values()];
}
