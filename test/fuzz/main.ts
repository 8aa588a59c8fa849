/**
 * `npm run fuzz`: random and damaged input, for as long as asked; a seed gives the same run again.
 *
 *     npm run fuzz -- [TARGET…] [--seconds 60] [--seed 1] [--keep] [--files]
 *
 * Without a target all have their turn. Each runs in a process of its own, whose covered lines are counted by
 * room (`--files`: by file); with `--keep` inputs that led to something new go to `corpus/TARGET.txt`. Ends with
 * 1 at a fault, which is told with its input; an input that does it alone becomes a line of `rows/TARGET.txt`,
 * and by that a row of fuzz-rows.test.ts. Nothing may throw, hang, or leave memory behind.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { lineCounts, readCoverage } from '../../tools/line-coverage.ts';
import { addRow, readCorpus, rowsPath, writeCorpus } from './corpus.ts';
import { netlinkTarget } from './netlink-target.ts';
import { hunt } from './subject.ts';
import { subjectTargets } from './subject-targets.ts';
import type { Outcome, Target } from './target.ts';
import { Watchdog } from './watchdog.ts';

const packages = fileURLToPath(new URL('../../packages/', import.meta.url));

/** By name. */
const TARGETS: ReadonlyMap<string, Target> = new Map([
	['netlink', netlinkTarget],
	...subjectTargets.map((target) => [target.name, hunt(target)] as const),
]);

const { values: options, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		seconds: { type: 'string', default: '60' },
		seed: { type: 'string', default: '1' },
		keep: { type: 'boolean', default: false },
		files: { type: 'boolean', default: false },
		/** The process that does it: no coverage is looked at. */
		here: { type: 'boolean', default: false },
	},
});

function say(text: string): void {
	process.stdout.write(`${text}\n`);
}

async function run(name: string, target: Target): Promise<number> {
	const seed = Number(options.seed);
	const until = Date.now() + Number(options.seconds) * 1000;
	const watchdog = new Watchdog(rowsPath(name));
	try {
		const outcome = target.run({
			seed,
			goesOn: () => Date.now() < until,
			watch: (input) => watchdog.watch(input),
		});
		tell(name, outcome);
		return outcome.fault === undefined ? 0 : 1;
	} finally {
		await watchdog.stop();
	}
}

function tell(name: string, { inputs, fault, row, kept = [] }: Outcome): void {
	const { rss } = process.memoryUsage();
	const said = fault ?? 'no fault';
	say(
		`${name}, seed ${options.seed}: ${inputs} inputs, ${kept.length} kept, ${rss >> 20} MB: ${said}`,
	);
	if (row !== undefined && fault !== undefined) {
		addRow(name, row, fault);
		say(`${name}: the input is a row now`);
	}
	if (options.keep && kept.length > 0) {
		say(`${name}: a corpus of ${writeCorpus(name, [...readCorpus(name), ...kept])} inputs`);
	}
}

/** Runs a target in a process of its own and counts the lines that it covered. */
function runApart(name: string): number {
	const folder = mkdtempSync(join(tmpdir(), 'xfrm-fuzz-'));
	try {
		const own = fileURLToPath(import.meta.url);
		const { seconds, seed, keep } = options;
		const args = [own, name, '--here', '--seconds', seconds, '--seed', seed];
		const { status, signal } = spawnSync(
			process.execPath,
			[...process.execArgv, ...args, ...(keep ? ['--keep'] : [])],
			{ stdio: 'inherit', env: { ...process.env, NODE_V8_COVERAGE: folder } },
		);
		if (status === null) {
			say(`${name}: ended by ${signal}`);
			return 1;
		}
		tellCoverage(folder);
		return status;
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

function tellCoverage(folder: string): void {
	const sums = new Map<string, { lines: number; ran: number }>();
	for (const [path, points] of readCoverage(folder, (one) => one.startsWith(packages))) {
		const file = relative(packages, path);
		const name = options.files ? file : (file.split('/')[0] ?? '');
		const sum = sums.get(name) ?? { lines: 0, ran: 0 };
		const { lines, ran } = lineCounts(points);
		sums.set(name, { lines: sum.lines + lines, ran: sum.ran + ran });
	}
	const parts = [...sums]
		.sort()
		.map(
			([name, { lines, ran }]) =>
				`${name} ${ran} of ${lines} (${Math.round((100 * ran) / lines)} %)`,
		);
	say(`  lines: ${parts.join(options.files ? '\n         ' : ', ')}`);
}

async function main(): Promise<number> {
	const unknown = positionals.find((name) => !TARGETS.has(name));
	if (unknown !== undefined) {
		process.stderr.write(
			`fuzz: no target ${unknown}; there are ${[...TARGETS.keys()].join(', ')}\n`,
		);
		return 2;
	}
	const names = positionals.length > 0 ? positionals : [...TARGETS.keys()];
	let worst = 0;
	for (const name of names) {
		const target = TARGETS.get(name);
		if (target !== undefined) {
			worst = Math.max(worst, options.here ? await run(name, target) : runApart(name));
		}
	}
	return worst;
}

process.exitCode = await main();
