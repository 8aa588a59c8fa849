/** `xfrm diff`: which flows are treated in another way by other rules? */
import { parseArgs } from 'node:util';
import { diffRules, diffText, InputError, Secrets, type World } from '@xfrm/explain';
import { readRules } from './explain-input.ts';
import { hostWithRules, type ProfileName, profileOf } from './offline-rules.ts';
import { columns } from './terminal.ts';
import { UsageError, usageErrorOf } from './usage.ts';
import { PROFILE_DEFAULT } from './version.ts';

const OPTIONS = {
	profile: { type: 'string' },
	json: { type: 'boolean' },
	'no-listener': { type: 'boolean' },
	'show-keys': { type: 'boolean' },
} as const;

/** Runs the command with the arguments behind `diff`; 1 when some flow is treated in another way. */
export function diffCommand(args: readonly string[]): number {
	const { values, positionals } = argumentsOf(args);
	const [before, after, ...more] = positionals;
	if (before === undefined || after === undefined || more.length > 0) {
		throw new UsageError('expected two files of rules, as in xfrm diff BEFORE AFTER');
	}
	const secrets = new Secrets(values['show-keys'] === true);
	const warn = (text: string): void => {
		process.stderr.write(`xfrm: ${secrets.hide(text)}\n`);
	};
	const profile: ProfileName = profileOf(values.profile ?? PROFILE_DEFAULT);
	const listener = values['no-listener'] !== true;
	const load = (path: string): World => {
		const { explainer, refused } = hostWithRules([readRules(path)], secrets, { profile, listener });
		for (const { file, line, text } of refused) {
			warn(`${file}:${line}: refused: ${text}`);
		}
		return explainer.world;
	};
	try {
		const diff = diffRules(load(before), load(after));
		const text =
			values.json === true
				? JSON.stringify(diff)
				: diffText(diff, columns(process.stdout)).join('\n');
		process.stdout.write(`${text}\n`);
		return diff.same ? 0 : 1;
	} catch (error) {
		if (error instanceof InputError) {
			warn(error.message);
			return 2;
		}
		throw error;
	}
}

function argumentsOf(args: readonly string[]) {
	try {
		return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
	} catch (error) {
		throw usageErrorOf(error, 'diff');
	}
}
