/** Templates and the states that should serve them: which one is nearest, and what keeps the two apart. */
import type { XfrmPolicy, XfrmState } from '@xfrm/engine';
import { Direction, isAnyAddress, MAX_DEPTH, Mode, PolicyType, SaDirection } from '@xfrm/wire/xfrm';
import { hexNumber, markText, policyName, stateName, templateText } from '../names.ts';
import {
	type Demand,
	hasOwnAddresses,
	type LintFacts,
	misses,
	selectorCovers,
	selectorsMeet,
} from './facts.ts';
import { type Finding, finding } from './finding.ts';

/** Fields that a finding is made of; a state that differs in others only is another one. */
const TOLD = ['reqid', 'mark', 'if_id', 'spi', 'endpoints', 'mode', 'proto'] as const;

export function checkTemplates(facts: LintFacts): Finding[] {
	return [
		...facts.demands.flatMap((demand) => checkDemand(facts, demand)),
		...checkDepth(facts.policies),
	];
}

function checkDemand(facts: LintFacts, demand: Demand): Finding[] {
	const { policy, template } = demand;
	const found: Finding[] = [];
	const here = templateText(template, template.family || policy.family);
	if (template.mode === Mode.InTrigger) {
		return template.optional === 0
			? [finding('template-in-trigger', [policy], `${policyName(policy)} requires ${here}`)]
			: [];
	}
	found.push(...checkAddresses(facts, demand, here));
	const outward = policy.direction === Direction.Out;
	const isForIt = (state: XfrmState): boolean =>
		outward ? state.direction !== SaDirection.In : facts.isInward(state);
	const either = facts.serving(demand);
	const serving = either.filter(isForIt);
	if (serving.length > 0) {
		return [...found, ...checkServing(demand, serving)];
	}
	if (outward && either.some((state) => state.direction === SaDirection.In)) {
		return found; // Told by checkDirections.
	}
	const near = nearest(facts, demand, facts.states.filter(isForIt));
	if (near === undefined) {
		const reason = `${policyName(policy)} wants ${here}, and no state comes near`;
		return policy.direction === Direction.Fwd
			? found
			: [...found, finding('template-no-state', [policy], reason)];
	}
	const [state, field] = near;
	const would = `${stateName(state)} would serve ${policyName(policy)}`;
	const reason = `${would} but for its ${field}: ${compare(demand, state, field)}`;
	return [...found, finding(`template-${field.replace('_', '-')}`, [state, policy], reason)];
}

/** The state that differs in one field, and that no other template has use for. */
function nearest(
	facts: LintFacts,
	demand: Demand,
	states: readonly XfrmState[],
): readonly [XfrmState, (typeof TOLD)[number]] | undefined {
	for (const field of TOLD) {
		const state = states.find((one) => {
			const missed = misses(demand, one);
			return missed.length === 1 && missed[0] === field && !facts.used.has(one);
		});
		if (state !== undefined) {
			return [state, field];
		}
	}
	return undefined;
}

function compare({ policy, template }: Demand, state: XfrmState, field: string): string {
	switch (field) {
		case 'reqid':
			return `want ${template.reqid}, have ${state.reqid >>> 0}`;
		case 'mark': {
			const want = markText(state.markValue, state.markMask);
			const have = markText(policy.markValue, policy.markMask);
			return `the state wants ${want || 'none'}, the policy has ${have || 'none'}`;
		}
		case 'if_id':
			return `want ${hexNumber(policy.ifId)}, have ${hexNumber(state.ifId)}`;
		case 'spi':
			return `want ${hexNumber(template.id.spi)}, have ${hexNumber(state.spi)}`;
		default:
			return `want ${templateText(template, template.family || policy.family)}`;
	}
}

function checkAddresses(facts: LintFacts, demand: Demand, text: string): Finding[] {
	const { policy, template } = demand;
	const family = template.family || policy.family;
	const outward = policy.direction === Direction.Out;
	const own = outward ? template.saddr : template.id.daddr;
	if (!hasOwnAddresses(template.mode)) {
		const named = !isAnyAddress(template.saddr, family) || !isAnyAddress(template.id.daddr, family);
		return named && outward && template.mode === Mode.Transport
			? [finding('template-transport-address', [policy], `${policyName(policy)}: ${text}`)]
			: [];
	}
	const isTop = !facts.demands.some(
		(other) =>
			other.policy === policy &&
			other.position > demand.position &&
			hasOwnAddresses(other.template.mode),
	);
	if (
		!facts.options.hostKnown ||
		!isTop ||
		isAnyAddress(own, family) ||
		facts.isLocal(family, own)
	) {
		return [];
	}
	return [finding('template-local-address', [policy], `${policyName(policy)}: ${text}`)];
}

/** States that serve the template, but not for all flows of the policy. */
function checkServing({ policy }: Demand, serving: readonly XfrmState[]): Finding[] {
	const own = policy.config.selector;
	const [narrow] = serving;
	// Outward a selector is of one family; inward only its prefixes are compared.
	const isOther = (family: number): boolean =>
		policy.direction === Direction.Out && family !== policy.family;
	const limited = serving.every(({ config: { selector } }) => {
		const covers = !isOther(selector.family) && selectorCovers(selector, own, policy.family);
		return selector.family !== 0 && !covers;
	});
	if (narrow === undefined || !limited) {
		return [];
	}
	const meets = serving.some(
		({ config }) =>
			config.selector.family === policy.family &&
			selectorsMeet(config.selector, own, policy.family),
	);
	const isHost = narrow.mode === Mode.Transport && meets;
	if (isHost || serving.length > 8) {
		return []; // Transport states are for hosts; many states may cover it together.
	}
	const id = meets ? 'template-selector-partial' : 'template-selector';
	const reason = `${stateName(narrow)} serves ${policyName(policy)}, for ${meets ? 'a part' : 'none'} of its flows`;
	return [finding(id, [narrow, policy], reason)];
}

/** A lookup fails when all templates together are six or more (P-24). */
function checkDepth(policies: readonly XfrmPolicy[]): Finding[] {
	const found = policies
		.filter(({ templates }) => templates.length >= MAX_DEPTH)
		.map((policy) =>
			finding(
				'templates-six',
				[policy],
				`${policyName(policy)} has ${policy.templates.length} templates`,
			),
		);
	const subs = policies.filter(
		({ type, templates }) => type === PolicyType.Sub && templates.length > 0,
	);
	for (const sub of subs) {
		const main = policies.find(
			(other) =>
				other.type === PolicyType.Main &&
				other.family === sub.family &&
				other.direction === sub.direction &&
				other.templates.length < MAX_DEPTH &&
				sub.templates.length < MAX_DEPTH &&
				other.templates.length + sub.templates.length >= MAX_DEPTH &&
				selectorsMeet(other.config.selector, sub.config.selector, sub.family),
		);
		if (main !== undefined) {
			const sum = main.templates.length + sub.templates.length;
			const reason = `${policyName(sub)} and ${policyName(main)} have ${sum} templates together`;
			found.push(finding('templates-six', [sub, main], reason));
		}
	}
	return found;
}

/** Output chooses without regard to direction, and refuses then (S-34). */
export function checkDirections(facts: LintFacts): Finding[] {
	return facts.demands.flatMap((demand) => {
		if (demand.policy.direction !== Direction.Out) {
			return [];
		}
		const [newest] = facts.serving(demand);
		return newest?.direction === SaDirection.In
			? [
					finding(
						'state-direction',
						[newest, demand.policy],
						`${stateName(newest)} has dir in and is the newest for ${policyName(demand.policy)}`,
					),
				]
			: [];
	});
}
