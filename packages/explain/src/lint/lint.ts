/** Looks rules over: everything that is wrong, dangerous or odd about them, without a packet. */
import type { World } from '../world.ts';
import { LintFacts, type LintOptions } from './facts.ts';
import { type Finding, type LintObject, lintObject, type Severity } from './finding.ts';
import { checkGaps, checkPolicies } from './policies.ts';
import { checkStates } from './states.ts';
import { checkDevices, checkNat, checkShadows, checkSizes } from './surroundings.ts';
import { checkDirections, checkTemplates } from './templates.ts';

const RANK: Readonly<Record<Severity, number>> = { error: 0, warning: 1, info: 2 };

/**
 * All findings, the worst first.
 *
 * @param world with its rules loaded, and prepared (`Explainer.prepare`)
 */
export function lintRules(world: World, options: Partial<LintOptions> = {}): readonly Finding[] {
	const facts = new LintFacts(world, {
		hostKnown: options.hostKnown ?? false,
		nat: options.nat,
		places: options.places,
	});
	const found = [
		...checkTemplates(facts),
		...checkDirections(facts),
		...checkPolicies(facts),
		...checkStates(facts),
		...checkShadows(facts),
		...checkDevices(facts),
		...checkNat(facts),
		...checkGaps(facts),
		...checkSizes(facts),
	];
	return withPlaces(facts, withoutEchoes(found)).sort(
		(a, b) => RANK[a.severity] - RANK[b.severity],
	);
}

/** Names the lines at which objects were made. */
function withPlaces({ policies, states, options }: LintFacts, found: Finding[]): Finding[] {
	const { places } = options;
	if (places === undefined) {
		return found;
	}
	const named = new Map<string, LintObject>();
	for (const object of [...policies, ...states]) {
		const place = places.placeOf(object);
		if (place !== undefined) {
			const { file, line, lastLine } = place;
			const one = lintObject(object);
			named.set(one.text, { ...one, file, line, last_line: lastLine });
		}
	}
	return found.map((finding) => ({
		...finding,
		objects: finding.objects.map((object) => named.get(object.text) ?? object),
	}));
}

/** A state that nearly serves a template is told so; that it serves none says nothing new. */
function withoutEchoes(findings: readonly Finding[]): Finding[] {
	const near = new Set(
		findings
			.filter(({ id, severity }) => id.startsWith('template-') && severity === 'error')
			.flatMap(({ objects }) => objects.map(({ text }) => text)),
	);
	return findings.filter(
		({ id, objects }) => id !== 'state-unused' || !objects.some(({ text }) => near.has(text)),
	);
}

/** Is a finding at least this severe? */
export function isAtLeast(severity: Severity, least: Severity): boolean {
	return RANK[severity] <= RANK[least];
}

export type { Finding, LintObject, Severity } from './finding.ts';
export { lintText } from './lint-text.ts';
export { PAGES } from './pages.ts';
export { type RulePlace, RulePlaces } from './rule-places.ts';
export { sarifOf } from './sarif.ts';
