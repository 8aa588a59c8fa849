/**
 * What `prove` and `diff` say of sets of flows, against lookups of single flows: each flow in question has to
 * be in exactly one of the boxes told when its lookup goes against the claim (has changed), else in none.
 */
import type { KernelProfile } from '@xfrm/engine';
import type { World } from '@xfrm/explain';
import { anyRegion, type Region } from '../../packages/explain/src/box.ts';
import { cutChanges, differs } from '../../packages/explain/src/diff.ts';
import { parseSetQuestion } from '../../packages/explain/src/flow-question.ts';
import type { FlowContext } from '../../packages/explain/src/flow-sample.ts';
import type { Part, Treatment } from '../../packages/explain/src/flow-set.ts';
import { InputError, splitWords } from '../../packages/explain/src/input.ts';
import { FlowLookup } from '../../packages/explain/src/lookup.ts';
import { FlowLine } from '../../packages/explain/src/lookup-line.ts';
import { against, cutQuestion, lineText, treatmentKey } from '../../packages/explain/src/prove.ts';
import { numbers } from '../../packages/explain/src/random-rules-fixture.test.ts';
import { PartIndex } from './part-index.ts';
import { FlowSource, randomQuestion } from './random-flows.ts';
import { changedRules, hostOf, randomRules } from './random-rules.ts';

/** Rules to ask about: of `prove` the question, of `diff` the rules to compare with. */
export interface RuleSet {
	readonly profile: KernelProfile;
	readonly listener: boolean;
	readonly rules: readonly string[];
	readonly question?: string;
	readonly changed?: readonly string[];
}

/** A flow of which a lookup says one thing and `prove` or `diff` another. */
export interface Contradiction {
	readonly set: RuleSet;
	/** Which of the sets of flows that have something in common. */
	readonly name: string;
	readonly line: FlowLine;
	readonly looked: string;
	readonly told: string;
}

/** What was checked. */
export interface Tally {
	sets: number;
	flows: number;
	/** Boxes told. */
	parts: number;
	/** Flows that went against the claim, or changed. */
	against: number;
}

/** Flows that have something in common, and all that was told of them. */
interface Asked {
	readonly name: string;
	readonly context: FlowContext;
	readonly regions: readonly Region[];
	/** Of one of the worlds. */
	readonly lookup: FlowLookup;
	readonly parts: number;
	/** Looks a flow up; what is wrong about what was told of it. */
	readonly judge: (line: FlowLine) => Judgement;
}

interface Judgement {
	readonly against: boolean;
	readonly wrong?: { readonly looked: string; readonly told: string };
}

/** Questions that may be asked of a set. */
const QUESTIONS_MAX = 40;

/** Random rules, and random questions about them. */
export function proveSets(seed: number, policiesMax: number, profile: KernelProfile): RuleSet[] {
	const random = numbers(seed);
	const rules = randomRules(random, policyCount(random, policiesMax));
	const common = { profile, listener: random(2) === 0, rules };
	const world = hostOf(rules, profile, common.listener);
	return Array.from({ length: QUESTIONS_MAX }, () => ({
		...common,
		question: randomQuestion(random, world),
	}));
}

/** Random rules, and what became of them. */
export function diffSet(seed: number, policiesMax: number, profile: KernelProfile): RuleSet {
	const random = numbers(seed);
	const rules = randomRules(random, policyCount(random, policiesMax));
	return { profile, listener: random(2) === 0, rules, changed: changedRules(random, rules) };
}

function policyCount(random: (below: number) => number, max: number): number {
	return random(3) === 0 ? max : 1 + random(max);
}

/** Asks, and looks so many flows up; the first contradiction. */
export function check(
	set: RuleSet,
	flows: number,
	seed: number,
	tally: Tally,
): Contradiction | undefined {
	const worlds = worldsOf(set);
	const source = new FlowSource(numbers(seed), worlds);
	const asked = askAll(set, worlds);
	const line = new FlowLine();
	for (const { name, context, regions, lookup, parts, judge } of asked) {
		tally.parts += parts;
		const share = Math.ceil(flows / asked.length / regions.length);
		for (const region of regions) {
			for (let i = 0; i < share; i++) {
				if (!source.draw(region, context, lookup, line)) {
					continue;
				}
				const { against: isAgainst, wrong } = judge(line);
				tally.flows++;
				tally.against += isAgainst ? 1 : 0;
				if (wrong !== undefined) {
					return { set, name, line, ...wrong };
				}
			}
		}
	}
	return undefined;
}

/** Is it still a contradiction with other rules? */
export function checkAgain({ line, name }: Contradiction, set: RuleSet): Contradiction | undefined {
	try {
		const asked = askAll(set, worldsOf(set)).find((one) => one.name === name);
		const wrong = asked?.judge(line).wrong;
		return wrong === undefined ? undefined : { set, name, line, ...wrong };
	} catch (error) {
		if (error instanceof InputError) {
			return undefined; // A state of `via` is gone.
		}
		throw error;
	}
}

export function flowText({ line }: Contradiction): string {
	return lineText(line);
}

function worldsOf({ rules, changed, profile, listener }: RuleSet): World[] {
	const all = changed === undefined ? [rules] : [rules, changed];
	return all.map((one) => hostOf(one, profile, listener));
}

function askAll({ question }: RuleSet, [world, after]: readonly World[]): Asked[] {
	if (world !== undefined && question !== undefined) {
		return askProve(world, question);
	}
	if (world !== undefined && after !== undefined) {
		return askDiff(world, after);
	}
	throw new RangeError('neither a question nor other rules');
}

function askProve(world: World, text: string): Asked[] {
	const question = parseSetQuestion(splitWords(text));
	const isAgainst = against(question);
	const lookup = new FlowLookup(world);
	const cuts = [...cutQuestion(world, question, Number.POSITIVE_INFINITY)];
	return cuts.map(({ context, against: bad, other }, i) => {
		const badIndex = new PartIndex(bad);
		const otherIndex = new PartIndex(other);
		return {
			name: `family ${context.family}`,
			context,
			regions: question.sets[i]?.regions ?? [],
			lookup,
			parts: bad.length + other.length,
			judge: (line) => {
				const looked = kept(lookup.lookLine(line));
				const goesAgainst = isAgainst(looked);
				const [mine, others] = goesAgainst ? [badIndex, otherIndex] : [otherIndex, badIndex];
				return judgement(goesAgainst, [looked], mine.find(line), others.find(line));
			},
		};
	});
}

function askDiff(before: World, after: World): Asked[] {
	const cuts = [...cutChanges(before, after, Number.POSITIVE_INFINITY)];
	return cuts.flatMap(({ worlds, context, via, parts }) => {
		const [side] = worlds;
		const index = new PartIndex(parts);
		const { family, direction, ifId, device } = context;
		const judge = (line: FlowLine): Judgement => {
			const looked = worlds.map(({ lookup, via: own }) => {
				line.via.splice(0, line.via.length, ...own);
				return kept(lookup.lookLine(line));
			});
			const changed = differs(looked);
			const found = index.find(line);
			return changed
				? judgement(true, looked, found, [])
				: judgement(false, looked, undefined, found);
		};
		const name = `${family} ${direction} ${ifId} ${device} ${via?.association ?? ''}`;
		const regions = [anyRegion()];
		return side === undefined
			? []
			: [{ name, context, regions, lookup: side.lookup, parts: parts.length, judge }];
	});
}

/** @param mine parts of which a flow has to be in exactly one; undefined: it has to be in none */
function judgement(
	isAgainst: boolean,
	looked: readonly Treatment[],
	mine: readonly Part[] | undefined,
	others: readonly Part[],
): Judgement {
	const keys = looked.map(treatmentKey).join(' → ');
	const own = mine?.map(({ treatments }) => treatments.map(treatmentKey).join(' → ')) ?? [];
	const isRight =
		others.length === 0 && (mine === undefined || (own.length === 1 && own[0] === keys));
	if (isRight) {
		return { against: isAgainst };
	}
	const told = [
		...own,
		...others.map(({ treatments }) => treatments.map(treatmentKey).join(' → ')),
	];
	return {
		against: isAgainst,
		wrong: { looked: keys, told: told.length === 0 ? 'in no box' : told.join(', ') },
	};
}

function kept({ outcome, verdict, policies, states }: Treatment): Treatment {
	return { outcome, verdict, policies: [...policies], states: [...states] };
}
