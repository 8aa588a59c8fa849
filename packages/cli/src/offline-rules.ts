/** Rules for the commands that ask about them alone, without packets: lookup, prove, diff, lint. */
import { nodeProvider } from '@xfrm/crypto/node';
import { PROFILES } from '@xfrm/engine';
import { Explainer, type Secrets } from '@xfrm/explain';
import {
	loadRules,
	newestTimeOf,
	type RefusedRule,
	type RulesText,
	readRules,
} from './explain-input.ts';
import { seededRandom } from './seeded-random.ts';
import type { Target } from './target.ts';
import { UsageError } from './usage.ts';

export type ProfileName = keyof typeof PROFILES;

export interface OfflineOptions {
	readonly profile: ProfileName;
	/** Does a key manager listen? Default: yes. */
	readonly listener?: boolean;
}

/**
 * A host with these rules, at the newest time that they tell of.
 *
 * @param prepare says what of the host is known, before the rules are loaded
 * @throws InputError for a line that cannot be read
 */
export function hostWithRules(
	rules: readonly RulesText[],
	secrets: Secrets,
	options: OfflineOptions,
	prepare: (explainer: Explainer) => void = () => undefined,
): { readonly explainer: Explainer; readonly refused: readonly RefusedRule[] } {
	const explainer = new Explainer({
		profile: PROFILES[options.profile],
		provider: nodeProvider(),
		random: seededRandom(),
		startUs: Math.floor((newestTimeOf(rules) ?? Date.now() / 1000) * 1_000_000),
		listener: options.listener ?? true,
	});
	prepare(explainer);
	const refused = rules.flatMap((one) => loadRules(explainer, one, secrets));
	explainer.takeEvents();
	explainer.prepare();
	return { explainer, refused };
}

/** The files' rules, and with `--kernel` or `--daemon` those that are in force here. */
export async function gatherRules(
	paths: readonly string[],
	target: Target | undefined,
): Promise<readonly RulesText[]> {
	if (target === undefined) {
		return paths.map(readRules);
	}
	const { readRunning } = await import('./running-rules.ts');
	// What host it is does not matter: the ends of states and templates say enough.
	const { rules } = await readRunning(target, { hosts: [], locals: [] });
	return [...paths.map(readRules), rules];
}

/** A name of a profile. */
export function profileOf(name: string): ProfileName {
	if (!Object.hasOwn(PROFILES, name)) {
		throw new UsageError(`found "${name}", expected --profile ${Object.keys(PROFILES).join('|')}`);
	}
	return name as ProfileName;
}
