/**
 * `xfrm load FILE`: rules of any form into the running kernel or the daemon, all or none of them. They are tried
 * elsewhere first, beside what is there already; only if all of them are accepted there are they carried out, and
 * what was done is taken back if one is refused after all.
 */
import { parseArgs } from 'node:util';
import { InputError, Secrets } from '@xfrm/explain';
import { type CommandContext, parseRulesFile, type RulesStep } from '@xfrm/iproute';
import { XfrmClient } from '@xfrm/netlink';
import { learnKeys, readRules, unreadable } from './explain-input.ts';
import { type KernelTables, readTables } from './kernel-tables.ts';
import { openRehearsal, type Rehearsal } from './load-rehearsal.ts';
import {
	carryOutRule,
	type Exchange,
	hidesKeys,
	leftOut,
	type Refusal,
	takeBack,
} from './rule-loading.ts';
import { exchangeOver } from './socket-exchange.ts';
import { namedTarget, type Target, transportTo } from './target.ts';
import { utcOffsetSeconds } from './time-zone.ts';
import { UsageError, usageErrorOf } from './usage.ts';

const OPTIONS = {
	'dry-run': { type: 'boolean' },
	kernel: { type: 'boolean' },
	daemon: { type: 'boolean' },
	json: { type: 'boolean' },
} as const;

/** A rule of a file. */
interface Placed {
	readonly file: string;
	readonly step: RulesStep;
}

/** A rule that was refused, and where it stands. */
interface PlacedRefusal extends Refusal {
	readonly file: string;
}

const NO_TABLES: KernelTables = {
	states: [],
	policies: [],
	defaults: undefined,
	thresholds: { threshold4: { lbits: 32, rbits: 32 }, threshold6: { lbits: 128, rbits: 128 } },
};

/** Loads files of rules; 0 done, 1 a rule is refused and nothing was changed, 2 unreadable. */
export async function loadCommand(args: readonly string[]): Promise<number> {
	const { files, dryRun, json, target: named } = parseLoadArguments(args);
	const library = await import('@xfrm/linux');
	const target = named ?? (library.hasDaemon() ? 'daemon' : 'kernel');
	const { interfaceIndex, interfaceName } = library;
	const context: CommandContext = { interfaceIndex, interfaceName, utcOffsetSeconds };
	const secrets = new Secrets(false);
	const say = (text: string): void => {
		process.stderr.write(`${secrets.hide(text)}\n`);
	};
	const rules = readAll(files, context, secrets);
	for (const { file, step } of rules) {
		const note = leftOut(step);
		if (note !== undefined) {
			say(`${file}:${step.line} is left out: ${note}`);
		}
	}
	const client = new XfrmClient(transportTo(target, library));
	try {
		const before = await readTables(client);
		const scratch = openRehearsal(target, library, dryRun);
		const refused = scratch === undefined ? [] : await rehearse(rules, before, scratch, context);
		if (refused.length > 0) {
			tell(refused, json, say);
			say(
				`xfrm load: ${counted(refused.length, 'rule')} of ${rules.length} refused; nothing was changed`,
			);
			return 1;
		}
		if (dryRun) {
			say(`xfrm load: ${counted(rules.length, 'rule')} would be accepted; nothing was changed`);
			return 0;
		}
		return await loadForGood({ rules, before, client, context, json, say, target }, library);
	} finally {
		client.close();
	}
}

function counted(count: number, what: string): string {
	return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function parseLoadArguments(args: readonly string[]): {
	readonly files: readonly string[];
	readonly dryRun: boolean;
	readonly json: boolean;
	readonly target: Target | undefined;
} {
	try {
		const parsed = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
		const { values, positionals } = parsed;
		if (positionals.length === 0) {
			throw new UsageError('found no file, expected xfrm load FILE, - for stdin');
		}
		return {
			files: positionals,
			dryRun: values['dry-run'] === true,
			json: values.json === true,
			target: namedTarget(values),
		};
	} catch (error) {
		throw error instanceof UsageError ? error : usageErrorOf(error, 'load');
	}
}

/** Reads all files before anything is sent. @throws UsageError */
function readAll(
	files: readonly string[],
	context: CommandContext,
	secrets: Secrets,
): readonly Placed[] {
	const rules: Placed[] = [];
	for (const path of files) {
		const { file, text, host } = readRules(path);
		learnKeys(text, secrets);
		const parsed = parseRulesFile(text, host === undefined ? context : { ...context, host });
		if (parsed.steps === undefined) {
			const error = unreadable(parsed.problem, file, secrets);
			throw error instanceof InputError ? new UsageError(secrets.hide(error.message)) : error;
		}
		for (const step of parsed.steps) {
			if (hidesKeys(step)) {
				const advice = 'make the dump as root without nokeys, or by xfrm save --show-keys';
				throw new UsageError(`${file}:${step.line}: the keys of this state are hidden: ${advice}`);
			}
			if (step.kind === 'command') {
				secrets.learn(step.command.words);
			}
			rules.push({ file, step });
		}
	}
	return rules;
}

/** Every rule that is refused beside the tables as they are. */
async function rehearse(
	rules: readonly Placed[],
	tables: KernelTables,
	scratch: Rehearsal,
	context: CommandContext,
): Promise<readonly PlacedRefusal[]> {
	try {
		const { exchange } = scratch;
		await takeBack(tables, NO_TABLES, exchange);
		const refused: PlacedRefusal[] = [];
		for (const { file, step } of rules) {
			const refusal = await carryOutRule(step, exchange, context);
			if (refusal !== undefined) {
				refused.push({ file, ...refusal });
			}
		}
		return refused;
	} finally {
		scratch.close();
	}
}

interface Loading {
	readonly rules: readonly Placed[];
	readonly before: KernelTables;
	readonly client: XfrmClient;
	readonly context: CommandContext;
	readonly json: boolean;
	readonly say: (text: string) => void;
	readonly target: Target;
}

/** Carries the rules out where it matters; the exit status. */
async function loadForGood(
	loading: Loading,
	library: typeof import('@xfrm/linux'),
): Promise<number> {
	const { rules, before, client, context, json, say, target } = loading;
	const socket = transportTo(target, library).open();
	try {
		const exchange: Exchange = (datagram) => exchangeOver(socket, datagram);
		for (const { file, step } of rules) {
			const refusal = await carryOutRule(step, exchange, context);
			if (refusal === undefined) {
				continue;
			}
			tell([{ file, ...refusal }], json, say);
			const failures = await takeBack(before, await readTables(client), exchange);
			for (const failure of failures) {
				say(`xfrm load: ${failure}`);
			}
			const end = failures.length === 0 ? 'what was done is undone' : 'not all could be undone';
			say(`xfrm load: a rule is refused; ${end}`);
			return 1;
		}
	} finally {
		socket.close();
	}
	return 0;
}

function tell(refused: readonly PlacedRefusal[], json: boolean, say: (text: string) => void): void {
	for (const { file, line, errno, text } of refused) {
		if (json) {
			const object = { schema: 1, object: 'refusal', file, line, errno, text };
			process.stdout.write(`${JSON.stringify(object)}\n`);
		} else {
			say(`${file}:${line}: ${text}`);
		}
	}
}
