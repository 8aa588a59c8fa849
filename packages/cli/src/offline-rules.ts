/** Rules for the commands that ask about them alone, without packets: lookup, prove, diff, lint. */
import { nodeProvider } from '@xfrm/crypto/node';
import { PROFILES } from '@xfrm/engine';
import { Explainer, InputError, Secrets } from '@xfrm/explain';
import type { RulesStep } from '@xfrm/iproute';
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
import { PROFILE_DEFAULT } from './version.ts';

export type ProfileName = keyof typeof PROFILES;

export interface OfflineOptions {
	readonly profile: ProfileName;
	/** Does a key manager listen? Default: yes. */
	readonly listener?: boolean;
	/** Is told of each step of a file, before it is carried out. */
	readonly note?: (file: string, step: RulesStep) => void;
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
	const refused = rules.flatMap((one) => loadRules(explainer, one, secrets, options.note));
	explainer.takeEvents();
	explainer.prepare();
	return { explainer, refused };
}

/** Options by which a command is given rules, and a target in their place or beside them. */
export interface RulesValues {
	readonly rules?: readonly string[];
	readonly profile?: string;
	readonly strict?: boolean;
	readonly 'no-listener'?: boolean;
	readonly 'show-keys'?: boolean;
}

/**
 * Loads the rules and asks; what cannot be read, and with --strict a rule that Linux would refuse, is told on
 * stderr and ends with status 2.
 */
export async function askRules(
	values: RulesValues,
	target: Target | undefined,
	ask: (explainer: Explainer, warn: (text: string) => void) => number,
): Promise<number> {
	const secrets = new Secrets(values['show-keys'] === true);
	const warn = (text: string): void => {
		process.stderr.write(`xfrm: ${secrets.hide(text)}\n`);
	};
	try {
		const rules = await gatherRules(values.rules ?? [], target);
		const { explainer, refused } = hostWithRules(rules, secrets, {
			profile: profileOf(values.profile ?? PROFILE_DEFAULT),
			listener: values['no-listener'] !== true,
		});
		for (const { file, line, text } of refused) {
			warn(`${file}:${line}: refused: ${text}`);
		}
		return values.strict === true && refused.length > 0 ? 2 : ask(explainer, warn);
	} catch (error) {
		if (error instanceof InputError) {
			warn(error.message);
			return 2;
		}
		throw error;
	}
}

/** The files' rules, and with `--kernel` or `--daemon` those that are in force here. */
async function gatherRules(
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
