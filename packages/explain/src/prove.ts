/**
 * Answers questions about sets of flows: does a claim hold for all of them, and if not, for which does it
 * fail? Exact: the set is cut up (flow-set.ts), nothing is sampled.
 */
import { verdictName } from '@xfrm/engine';
import { formatHex32 } from '@xfrm/wire';
import { type Direction, Family, formatAddress } from '@xfrm/wire/xfrm';
import type { Region } from './box.ts';
import { mergeParts } from './box-merge.ts';
import { regionText } from './box-text.ts';
import { parseSetQuestion, type SetQuestion } from './flow-question.ts';
import { type FlowContext, sampleOf } from './flow-sample.ts';
import { FlowSets, type Part, type Treatment } from './flow-set.ts';
import { splitWords } from './input.ts';
import { answerOf, FlowLookup, Found, type LookupAnswer } from './lookup.ts';
import { FlowLine } from './lookup-line.ts';
import {
	defaultActionName,
	directionName,
	hexNumber,
	policyName,
	policyText,
	protocolName,
	stateName,
} from './names.ts';
import { COLUMNS_DEFAULT, hanging } from './text.ts';
import type { World } from './world.ts';

/** Flows that are treated alike, in words, and one of them. */
export interface FlowBox extends LookupAnswer {
	/** The flows, in the words of a selector. */
	readonly flows: string;
	/** One flow of them, as `xfrm lookup` takes it. */
	readonly witness: string;
	/** What decides, in words. */
	readonly because: string;
}

/** The contract of `xfrm prove --json` (schema 1). */
export interface Proof {
	readonly schema: 1;
	readonly question: string;
	/** Does the claim hold? null where nothing was claimed. */
	readonly holds: boolean | null;
	/** Flows for which it does not; without a claim all flows. */
	readonly boxes: readonly FlowBox[];
	/** Boxes that were left out, at least: counting ends at some thousand. */
	readonly left_out: number;
	/** The rest of the question: how many boxes, and what becomes of their flows. */
	readonly rest: { readonly boxes: number; readonly outcomes: readonly string[] };
}

export interface ProveOptions {
	/** Boxes that are told; default 20. */
	readonly boxesMax?: number;
}

const BOXES_MAX = 20;
/** Boxes that are counted beyond those told. */
const COUNTED_MAX = 2000;

/**
 * Answers a question in words.
 *
 * @param world with its rules loaded, and prepared (`Explainer.prepare`)
 * @throws InputError for a question that cannot be read
 */
export function prove(world: World, text: string, options: ProveOptions = {}): Proof {
	const question = parseSetQuestion(splitWords(text));
	const boxes: FlowBox[] = [];
	const rest = { boxes: 0, outcomes: new Set<string>() };
	let leftOut = 0;
	for (const { context, against, other } of cutQuestion(world, question, COUNTED_MAX)) {
		for (const part of against) {
			if (boxes.length < (options.boxesMax ?? BOXES_MAX)) {
				boxes.push(flowBox(world, context, part, part.treatments[0]));
			} else {
				leftOut++;
			}
		}
		for (const part of other) {
			rest.boxes++;
			rest.outcomes.add(part.treatments[0]?.outcome ?? '');
		}
	}
	return {
		schema: 1,
		question: text,
		holds: question.claim === undefined ? null : boxes.length === 0,
		boxes,
		left_out: leftOut,
		rest: { boxes: rest.boxes, outcomes: [...rest.outcomes].sort() },
	};
}

/** The flows of a question that have their context in common. */
export interface CutSet {
	readonly context: FlowContext;
	/** Those that are asked for, or that go against the claim. */
	readonly against: readonly Part[];
	/** All others, where there is a claim. */
	readonly other: readonly Part[];
}

/** Cuts up what is in question; `partsMax` at most of each kind. */
export function* cutQuestion(
	world: World,
	question: SetQuestion,
	partsMax: number,
): Generator<CutSet> {
	const lookup = new FlowLookup(world);
	const isAgainst = against(question);
	for (const { context, regions } of question.sets) {
		const sets = new FlowSets([{ world, lookup }], context);
		const collect = (wanted: (one: Treatment) => boolean): readonly Part[] =>
			collectParts(sets, regions, wanted, partsMax);
		yield {
			context,
			against: collect(isAgainst),
			other: question.claim === undefined ? [] : collect((one) => !isAgainst(one)),
		};
	}
}

/** The parts of these regions that are wanted, in as few words as there may be. */
function collectParts(
	sets: FlowSets,
	regions: readonly Region[],
	wanted: (treatment: Treatment) => boolean,
	partsMax: number,
): readonly Part[] {
	const parts: Part[] = [];
	const all = regions.map((region) =>
		sets.parts(region, ([one]) => one === undefined || wanted(one)),
	);
	for (const some of all) {
		for (const part of some) {
			if (parts.push(part) >= partsMax) {
				return mergeParts(parts, sets.protos, treatmentsKey);
			}
		}
	}
	return mergeParts(parts, sets.protos, treatmentsKey);
}

/** The same for parts whose treatments are the same. */
export function treatmentsKey({ treatments }: Part): string {
	return treatments.map(treatmentKey).join('|');
}

/** The same for treatments that are the same. */
export function treatmentKey({ outcome, verdict, policies, states }: Treatment): string {
	const met = policies.map(({ direction, index }) => `${direction}.${index}`);
	return `${outcome} ${verdict} ${met.join()} ${states.map(({ order }) => order).join()}`;
}

/** Is a treatment one of those that are asked for, or that go against the claim? */
export function against({ claim }: SetQuestion): (treatment: Treatment) => boolean {
	return ({ outcome }) =>
		claim === undefined || claim.outcomes.includes(outcome) === (claim.word === 'never');
}

/** A part in words. */
export function flowBox(
	world: World,
	context: FlowContext,
	part: Part,
	treatment: Treatment | undefined,
): FlowBox {
	const line = new FlowLine();
	sampleOf(part.region, context, line);
	const found = new Found();
	if (treatment !== undefined) {
		found.outcome = treatment.outcome;
		found.verdict = treatment.verdict;
		found.policies.push(...treatment.policies);
		found.states.push(...treatment.states);
	}
	return {
		flows: regionText(part.region, context.family),
		witness: lineText(line),
		because: becauseOf(world, context, found),
		...answerOf(found),
	};
}

/** A flow in the words that lookups take. */
export function lineText(line: FlowLine): string {
	const v4 = line.family === Family.Ipv4;
	const address = (words: Int32Array): string => {
		const bytes = new Uint8Array(16);
		const view = new DataView(bytes.buffer);
		for (const [i, word] of words.entries()) {
			view.setInt32(4 * i, word);
		}
		return formatAddress(bytes, v4 ? Family.Ipv4 : Family.Ipv6);
	};
	const { proto, sport, dport, direction, mark, ifId, device, via } = line;
	const name = protocolName(proto);
	const known = /^(udp|tcp|icmp|ipv6-icmp|gre|sctp)$/.test(name);
	const [typed, coded] = name.includes('icmp') ? ['type', 'code'] : ['sport', 'dport'];
	const ports = known || (sport | dport) !== 0 ? `${typed} ${sport} ${coded} ${dport} ` : '';
	return [
		`src ${address(line.saddr)} dst ${address(line.daddr)} proto ${known ? name : proto}`,
		`${ports}dir ${directionName(direction)}`,
		...(mark === 0 ? [] : [`mark ${hexNumber(mark)}`]),
		...(ifId === 0 ? [] : [`if_id ${hexNumber(ifId)}`]),
		...(device === '' ? [] : [`dev ${device}`]),
		...(via.length === 0 ? [] : [`via ${via.map(formatHex32).join(' ')}`]),
	].join(' ');
}

function becauseOf(world: World, context: FlowContext, found: Found): string {
	const policies = found.policies.map(
		(policy) => `${policyName(policy)} (${policyText(policy, (index) => world.deviceName(index))})`,
	);
	const { defaults } = world.engine.net;
	const { direction } = context;
	const action = defaultActionName(defaults[direction as Direction] ?? 0);
	const met =
		policies.length === 0
			? `meets no policy; default ${directionName(direction)} is ${action}`
			: `meets ${policies.join(' and ')}`;
	const states = found.states.map(stateName);
	const counter = verdictName(found.verdict);
	return [
		met,
		...(states.length === 0 ? [] : [`goes through ${states.join(', ')}`]),
		...(counter === undefined ? [] : [counter]),
	].join('; ');
}

/**
 * Answers as people read them; lines without newlines.
 *
 * @param columns width; a witness is never broken, it is to be pasted
 */
export function proofText(proof: Proof, columns: number = COLUMNS_DEFAULT): readonly string[] {
	const { holds, boxes, rest } = proof;
	const lines: string[] = [];
	if (holds === true) {
		lines.push(`YES: it holds for all flows in question (${boxCount(rest.boxes)}).`);
		return lines;
	}
	for (const [i, box] of boxes.entries()) {
		const lead = holds === false ? (i === 0 ? 'NO: ' : 'and ') : '';
		const told = `${box.flows} ${OUTCOME_WORDS[box.outcome]}. For example`;
		lines.push(...hanging(lead, told, 4, columns), `  ${box.witness}`);
		lines.push(...hanging('    ', box.because, 6, columns));
	}
	if (proof.left_out > 0) {
		const atLeast = proof.left_out >= COUNTED_MAX ? 'at least ' : '';
		lines.push(`and ${atLeast}${proof.left_out} more boxes of flows.`);
	}
	if (holds === false) {
		lines.push(
			rest.boxes === 0
				? 'Nothing else is in question.'
				: `The rest of the question (${boxCount(rest.boxes)}): ${rest.outcomes.join(', ')}.`,
		);
	}
	if (boxes.length === 0) {
		lines.push('No flow is in question.');
	}
	return lines;
}

function boxCount(count: number): string {
	const least = count >= COUNTED_MAX ? 'at least ' : '';
	return `${least}${count} ${count === 1 ? 'box' : 'boxes'}`;
}

const OUTCOME_WORDS: Readonly<Record<LookupAnswer['outcome'], string>> = {
	pass: 'goes in clear',
	transform: 'is protected',
	drop: 'is dropped',
	acquire: 'waits for a state: a key manager is asked',
	consume: 'is held until there is a state',
};
