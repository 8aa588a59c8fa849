/** `xfrm lint`: what is wrong, dangerous or odd about rules, without a packet. */
import { parseArgs } from 'node:util';
import {
	type Explainer,
	type Finding,
	InputError,
	isAtLeast,
	lintRules,
	lintText,
	RulePlaces,
	Secrets,
	type Severity,
	sarifOf,
} from '@xfrm/explain';
import type { RulesStep } from '@xfrm/iproute';
import { loadHost, loadHostText, type RulesText, readBytes, readRules } from './explain-input.ts';
import { hostWithRules, profileOf } from './offline-rules.ts';
import { readRunning } from './running-rules.ts';
import { namedTarget } from './target.ts';
import { colours } from './terminal.ts';
import { UsageError, usageErrorOf } from './usage.ts';
import { PROFILE_DEFAULT, versionNumber } from './version.ts';

const OPTIONS = {
	rules: { type: 'string', multiple: true },
	kernel: { type: 'boolean' },
	daemon: { type: 'boolean' },
	host: { type: 'string', multiple: true },
	local: { type: 'string', multiple: true },
	nft: { type: 'string', multiple: true },
	'fail-on': { type: 'string' },
	profile: { type: 'string' },
	json: { type: 'boolean' },
	sarif: { type: 'boolean' },
	'show-keys': { type: 'boolean' },
} as const;

type Values = ReturnType<typeof argumentsOf>['values'];

/** Runs the command with the arguments behind `lint`; 1 when something as bad as --fail-on was found. */
export async function lintCommand(args: readonly string[]): Promise<number> {
	const { values, positionals } = argumentsOf(args);
	const failOn = failOnOf(values['fail-on'] ?? 'error');
	const paths = [...(values.rules ?? []), ...positionals];
	if ((paths.length === 0) === (namedTarget(values) === undefined)) {
		throw new UsageError(
			'expected rules: xfrm lint FILE…, --kernel or --daemon (see xfrm help lint)',
		);
	}
	const secrets = new Secrets(values['show-keys'] === true);
	const warn = (text: string): void => {
		process.stderr.write(`xfrm: ${secrets.hide(text)}\n`);
	};
	try {
		const places = new RulePlaces();
		const { explainer, rules } = await load(values, paths, secrets, warn, places);
		const nat = (values.nft ?? []).map((path) => new TextDecoder().decode(readBytes(path)));
		const findings = lintRules(explainer.world, {
			hostKnown: isHostKnown(values),
			nat: nat.length === 0 ? undefined : nat.join('\n'),
			places,
		});
		const engine = explainer.world.engine;
		const output =
			values.sarif === true
				? JSON.stringify(
						sarifOf(
							findings,
							rules.map(({ file }) => file),
							versionNumber(),
						),
						null,
						2,
					)
				: values.json === true
					? findings.map((one) => JSON.stringify(one)).join('\n')
					: lintText(
							findings,
							{ states: [...engine.states()].length, policies: [...engine.policies()].length },
							{ colours: colours(process.stdout) },
						).join('\n');
		process.stdout.write(output === '' ? '' : `${secrets.hide(output)}\n`);
		return failOn !== undefined && findings.some(({ severity }) => isAtLeast(severity, failOn))
			? 1
			: 0;
	} catch (error) {
		if (error instanceof InputError) {
			warn(error.message);
			return 2;
		}
		throw error;
	}
}

/** What lint finds in what runs here, the host around it known. @throws UsageError without the right */
export async function runningFindings(
	target: '--kernel' | '--daemon',
): Promise<readonly Finding[]> {
	const { values } = argumentsOf([target]);
	const { explainer } = await load(values, [], new Secrets(false), () => {});
	return lintRules(explainer.world, { hostKnown: true });
}

function argumentsOf(args: readonly string[]) {
	try {
		return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
	} catch (error) {
		throw usageErrorOf(error, 'lint');
	}
}

function failOnOf(word: string): Severity | undefined {
	if (word === 'never') {
		return undefined;
	}
	if (word !== 'error' && word !== 'warning' && word !== 'info') {
		throw new UsageError(`found "${word}", expected --fail-on error|warning|info|never`);
	}
	return word;
}

function isHostKnown(values: Values): boolean {
	return (
		namedTarget(values) !== undefined || values.host !== undefined || values.local !== undefined
	);
}

async function load(
	values: Values,
	paths: readonly string[],
	secrets: Secrets,
	warn: (text: string) => void,
	places: RulePlaces = new RulePlaces(),
): Promise<{ readonly explainer: Explainer; readonly rules: readonly RulesText[] }> {
	const locals = values.local ?? [];
	const hosts = values.host ?? [];
	const target = namedTarget(values);
	const running = target === undefined ? undefined : await readRunning(target, { hosts, locals });
	const rules = [...paths.map(readRules), ...(running === undefined ? [] : [running.rules])];
	const profile = profileOf(values.profile ?? PROFILE_DEFAULT);
	// The text of what is running is nobody's file.
	const note = (file: string, step: RulesStep): void => {
		if (file !== running?.rules.file) {
			places.note(file, step);
		}
	};
	const { explainer, refused } = hostWithRules(rules, secrets, { profile, note }, (one) => {
		if (running?.host !== undefined) {
			loadHostText(one, running.host, '(this host)');
		}
		for (const path of hosts) {
			loadHost(one, path);
		}
		for (const local of locals) {
			const length = local.includes('/') ? '' : local.includes(':') ? '/128' : '/32';
			loadHostText(one, `addr add ${local}${length} dev eth0`, '--local');
		}
	});
	for (const { file, line, text } of refused) {
		warn(`${file}:${line}: refused: ${text}`);
	}
	return { explainer, rules };
}
