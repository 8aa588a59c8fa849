/**
 * `xfrm stat`: the counters of /proc/net/xfrm_stat, or the daemon's by the same names, with a word on those
 * that are not zero.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { counterMeaning } from '@xfrm/explain';
import { readXfrmStat } from '@xfrm/linux';
import { outageText } from './outage.ts';
import { namedTarget, type Target } from './target.ts';
import { UsageError, usageErrorOf } from './usage.ts';

const PATH = '/proc/net/xfrm_stat';

const OPTIONS = {
	json: { type: 'boolean' },
	kernel: { type: 'boolean' },
	daemon: { type: 'boolean' },
	watch: { type: 'boolean' },
} as const;

/** Seconds between two readings of --watch, unless told. */
const INTERVAL_DEFAULT = 1;

interface StatArguments {
	readonly json: boolean;
	readonly target: Target | undefined;
	/** Seconds; undefined without --watch. */
	readonly interval: number | undefined;
}

/** Prints the counters, with --watch what they move by until the process is ended; the exit status. */
export async function statCommand(args: readonly string[]): Promise<number> {
	const { json, interval, target } = parseStatArguments(args);
	let counters: Counters | undefined = await countersOf(target);
	process.stdout.write(json ? jsonLine(counters, new Map()) : table(counters));
	while (interval !== undefined) {
		await sleep(interval * 1000);
		const now = await countersOf(target).catch(
			(error) => outageText(error) ?? Promise.reject(error),
		);
		if (typeof now === 'string') {
			if (counters !== undefined) {
				process.stderr.write(`xfrm: ${now}; waiting for it\n`);
			}
			counters = undefined;
			continue;
		}
		// A daemon that was started anew counts from zero.
		const moved = movedSince(counters ?? new Map(), now);
		counters = now;
		if (moved.size > 0) {
			process.stdout.write(json ? jsonLine(now, moved) : movements(now, moved));
		}
	}
	return 0;
}

function parseStatArguments(args: readonly string[]): StatArguments {
	let parsed: ReturnType<typeof parse>;
	try {
		parsed = parse(args);
	} catch (error) {
		throw usageErrorOf(error, 'stat');
	}
	const { values, positionals } = parsed;
	const [word, more] = positionals;
	const interval = word === undefined ? INTERVAL_DEFAULT : Number(word);
	if (more !== undefined || !(interval > 0) || (word !== undefined && values.watch !== true)) {
		throw new UsageError(
			`found "${more ?? word}", expected xfrm stat [--json] [--watch [SECONDS]] [--kernel|--daemon]`,
		);
	}
	return {
		json: values.json === true,
		target: namedTarget(values),
		interval: values.watch === true ? interval : undefined,
	};
}

function parse(args: readonly string[]) {
	return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
}

type Counters = ReadonlyMap<string, number>;

/** The daemon's counters if one runs, else the kernel's, unless told. Rejects with TransportError. */
async function countersOf(target: Target | undefined): Promise<Counters> {
	if (target === 'kernel') {
		return readCounters();
	}
	const { DaemonObserver, hasDaemon } = await import('@xfrm/linux');
	if (target === undefined && !hasDaemon()) {
		return readCounters();
	}
	const observer = new DaemonObserver();
	try {
		const { counters } = await observer.numbers();
		return new Map(Object.entries(counters));
	} finally {
		observer.close();
	}
}

/** Reads the counters of this process's network namespace. @throws UsageError where there are none */
export function readCounters(path: string = PATH): Counters {
	const counters = readXfrmStat(path);
	if (counters === undefined) {
		throw new UsageError(
			`${path} is not there: this kernel has no XFRM, or was built without CONFIG_XFRM_STATISTICS`,
		);
	}
	return counters;
}

/** By how much each counter went up; counters that stayed are not in it. */
export function movedSince(before: Counters, now: Counters): Counters {
	return new Map(
		[...now]
			.map(([name, value]) => [name, value - (before.get(name) ?? 0)] as const)
			.filter(([, by]) => by !== 0),
	);
}

/** As the kernel prints it; behind a counter that is not zero stands what it counts. */
export function table(counters: Counters): string {
	return [...counters]
		.map(([name, value]) => {
			const means = value === 0 ? undefined : counterMeaning(name)?.means;
			return `${name.padEnd(24)}\t${value}${means === undefined ? '' : `\t# ${means}`}\n`;
		})
		.join('');
}

/** What moved, each with its meaning and what to do. */
export function movements(counters: Counters, moved: Counters): string {
	return [...moved]
		.map(([name, by]) => {
			const meaning = counterMeaning(name);
			const head = `${by > 0 ? '+' : ''}${by} ${name} (now ${counters.get(name) ?? 0})`;
			return meaning === undefined
				? `${head}\n`
				: `${head}: ${meaning.means}\n    usually ${meaning.cause}\n    ${meaning.next}\n`;
		})
		.join('');
}

function jsonLine(counters: Counters, moved: Counters): string {
	const object = {
		schema: 1,
		object: 'counters',
		time: Date.now() / 1000,
		counters: Object.fromEntries(counters),
		...(moved.size === 0 ? {} : { moved: Object.fromEntries(moved) }),
	};
	return `${JSON.stringify(object)}\n`;
}
