/**
 * `npm run sim`: histories of simulated worlds by the number, each checked after every step. Prints a line a
 * scenario; a failure names its seed, its step, and a capture of everything that was on the links.
 *
 *     npm run sim -- [--seeds 1300] [--scenario NAME] [--first 1] [--stop] [--captures FOLDER]
 *     npm run sim -- --seed 1-site-to-site-4711      the same history once more, with its capture
 *
 * Exit status 0 when nothing failed, 1 when something did, 2 for a seed or option that can't be read.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nodeProvider } from '@xfrm/crypto/node';
import { formatSeed, type Outcome, parseSeed, runHistory, type Seed, scenarios } from '@xfrm/sim';

interface Row {
	seeds: number;
	steps: number;
	packets: number;
	failures: number;
}

/** Failures shown in full; each costs a second run. */
const SHOWN_MAX = 5;

function write(text: string): void {
	process.stdout.write(`${text}\n`);
}

function complain(text: string): never {
	process.stderr.write(`sim: ${text}\n`);
	process.exit(2);
}

function readOptions(): {
	seeds: number;
	first: number;
	seed: string | undefined;
	names: string[];
	/** End at the first failure. */
	stop: boolean;
	captures: string;
} {
	try {
		const { values } = parseArgs({
			options: {
				seeds: { type: 'string', default: '1300' },
				first: { type: 'string', default: '1' },
				seed: { type: 'string' },
				scenario: { type: 'string' },
				stop: { type: 'boolean', default: false },
				captures: { type: 'string', default: join(tmpdir(), 'xfrm-sim') },
			},
		});
		const all = scenarios.map(({ name }) => name);
		const names = values.scenario === undefined ? all : [values.scenario];
		const unknown = names.find((name) => !all.includes(name));
		if (unknown !== undefined) {
			complain(`no scenario ${unknown}; there are ${all.join(', ')}`);
		}
		const seeds = Number(values.seeds);
		const first = Number(values.first);
		if (!(Number.isInteger(seeds) && seeds > 0 && Number.isInteger(first) && first >= 0)) {
			complain('--seeds and --first are whole numbers');
		}
		return { seeds, first, seed: values.seed, names, stop: values.stop, captures: values.captures };
	} catch (error) {
		complain(error instanceof Error ? error.message : String(error));
	}
}

/** The history with its capture, and where that was put. */
function show(seed: Seed, folder: string): Outcome {
	const outcome = runHistory(seed, nodeProvider(), { record: true });
	const { failure, capture } = outcome;
	const name = formatSeed(seed);
	mkdirSync(folder, { recursive: true });
	const file = join(folder, `${name}.pcapng`);
	writeFileSync(file, capture ?? new Uint8Array(0));
	if (failure !== undefined) {
		const { invariant, text, step, host = 'a link', atUs } = failure;
		write(`FAILED ${name} at step ${step}, ${(atUs / 1e6).toFixed(6)} s, ${host}: ${invariant}`);
		write(`  ${text}`);
	}
	write(`  capture in ${file}, again by: npm run sim -- --seed ${name}`);
	return outcome;
}

function runOne(text: string, folder: string): void {
	const seed = parseSeed(
		text,
		scenarios.map(({ name }) => name),
	);
	if (typeof seed === 'string') {
		complain(seed);
	}
	const { steps, packets, sent, delivered, failure } = show(seed, folder);
	write(`${steps} steps, ${packets} packets, ${delivered} of ${sent} datagrams delivered`);
	process.exitCode = failure === undefined ? 0 : 1;
}

function printTable(rows: ReadonlyMap<string, Row>): void {
	const columns = (cells: readonly (string | number)[]): string =>
		cells
			.map((cell, i) => (i === 0 ? String(cell).padEnd(20) : String(cell).padStart(10)))
			.join('');
	write(columns(['scenario', 'seeds', 'steps', 'packets', 'failures']));
	const total: Row = { seeds: 0, steps: 0, packets: 0, failures: 0 };
	for (const [name, row] of rows) {
		write(columns([name, row.seeds, row.steps, row.packets, row.failures]));
		total.seeds += row.seeds;
		total.steps += row.steps;
		total.packets += row.packets;
		total.failures += row.failures;
	}
	write(columns(['all', total.seeds, total.steps, total.packets, total.failures]));
}

function runMany(
	names: readonly string[],
	seeds: number,
	first: number,
	folder: string,
	stop: boolean,
): void {
	const rows = new Map<string, Row>();
	let failures = 0;
	for (let i = 0; i < seeds; i++) {
		const scenario = names[i % names.length] ?? '';
		const seed = { scenario, number: first + Math.floor(i / names.length) };
		const outcome = runHistory(seed, nodeProvider());
		const row = rows.get(scenario) ?? { seeds: 0, steps: 0, packets: 0, failures: 0 };
		rows.set(scenario, row);
		row.seeds++;
		row.steps += outcome.steps;
		row.packets += outcome.packets;
		if (outcome.failure !== undefined) {
			row.failures++;
			failures++;
			if (failures <= SHOWN_MAX) {
				show(seed, folder);
			}
			if (stop) {
				break;
			}
		}
	}
	printTable(rows);
	process.exitCode = failures === 0 ? 0 : 1;
}

const { seeds, first, seed, names, stop, captures } = readOptions();
if (seed === undefined) {
	runMany(names, seeds, first, captures, stop);
} else {
	runOne(seed, captures);
}
