/**
 * `npm run sim`: histories of simulated worlds by the number, each checked after every step. Prints a line a
 * scenario; a failure names its seed, its step, and a capture of everything that was on the links. Histories are
 * dealt to a process a processor, which say now and then how far they are.
 *
 *     npm run sim -- [--seeds 1500] [--scenario NAME] [--first 1] [--stop] [--captures FOLDER] [--workers 2]
 *     npm run sim -- --seed 2-site-to-site-4711      the same history once more, with its capture
 *
 * Exit status 0 when nothing failed, 1 when something did, 2 for a seed or option that can't be read.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
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
const PROGRESS_MS = 20_000;
/** Histories that a worker is given at a time. */
const PORTION = 10;

/** What a worker answers for a history. */
interface Report {
	readonly number: number;
	readonly scenario: string;
	readonly steps: number;
	readonly packets: number;
	readonly failed: boolean;
}

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
	workers: number;
	/** One of the processes that histories are dealt to. */
	worker: boolean;
} {
	try {
		const { values } = parseArgs({
			options: {
				seeds: { type: 'string', default: '1500' },
				first: { type: 'string', default: '1' },
				seed: { type: 'string' },
				scenario: { type: 'string' },
				stop: { type: 'boolean', default: false },
				captures: { type: 'string', default: join(tmpdir(), 'xfrm-sim') },
				workers: { type: 'string', default: String(availableParallelism()) },
				worker: { type: 'boolean', default: false },
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
		const workers = Number(values.workers);
		if (!(Number.isInteger(workers) && workers > 0)) {
			complain('--workers is a whole number above 0');
		}
		const { seed, stop, captures, worker } = values;
		return { seeds, first, seed, names, stop, captures, workers, worker };
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

/** The n-th history of a run: scenarios in turn. */
function nthSeed(names: readonly string[], first: number, n: number): Seed {
	return { scenario: names[n % names.length] ?? '', number: first + Math.floor(n / names.length) };
}

/** Lives through the histories that it is sent, and reports each. */
function work(): void {
	process.on('message', (seeds: readonly Seed[]) => {
		for (const seed of seeds) {
			const { steps, packets, failure } = runHistory(seed, nodeProvider());
			process.send?.({ ...seed, steps, packets, failed: failure !== undefined } satisfies Report);
		}
	});
}

/** Many histories, and what came of them. */
class Run {
	readonly rows: Map<string, Row> = new Map();
	readonly failed: Seed[] = [];
	readonly #seeds: Seed[];
	readonly #count: number;
	readonly #stop: boolean;
	readonly #started: number = Date.now();
	#done = 0;

	constructor(seeds: readonly Seed[], stop: boolean) {
		this.#count = seeds.length;
		this.#seeds = [...seeds].reverse();
		this.#stop = stop;
	}

	get seconds(): number {
		return (Date.now() - this.#started) / 1000;
	}

	/** Deals the histories out; ends when all are done, or one has failed and that is enough. */
	async deal(workers: number): Promise<void> {
		const told = setInterval(() => this.#tell(), PROGRESS_MS);
		try {
			await Promise.all(Array.from({ length: workers }, () => this.#runWorker()));
		} finally {
			clearInterval(told);
		}
	}

	#tell(): void {
		const left = (this.seconds / Math.max(1, this.#done)) * (this.#count - this.#done);
		process.stderr.write(
			`sim: ${this.#done} of ${this.#count} histories, ${this.failed.length} failed, ` +
				`${Math.round(this.seconds)} s, about ${Math.round(left)} s to go\n`,
		);
	}

	#runWorker(): Promise<void> {
		const child = fork(fileURLToPath(import.meta.url), ['--worker'], {
			execArgv: process.execArgv,
		});
		let waiting = this.#send(child);
		return new Promise((end, fail) => {
			child.on('message', (report: Report) => {
				this.#take(report);
				const enough = this.#stop && this.failed.length > 0;
				waiting = enough ? 0 : waiting - 1 || this.#send(child);
				if (waiting === 0) {
					child.kill();
				}
			});
			child.on('exit', (status) => {
				if (waiting === 0) {
					end();
				} else {
					fail(new Error(`a worker ended with status ${status}`));
				}
			});
			if (waiting === 0) {
				child.kill();
			}
		});
	}

	/** Gives a worker its next histories: how many. */
	#send(child: ChildProcess): number {
		const portion = this.#seeds.splice(-PORTION).reverse();
		if (portion.length > 0) {
			child.send(portion);
		}
		return portion.length;
	}

	#take({ scenario, number, steps, packets, failed }: Report): void {
		const row = this.rows.get(scenario) ?? { seeds: 0, steps: 0, packets: 0, failures: 0 };
		this.rows.set(scenario, row);
		row.seeds++;
		row.steps += steps;
		row.packets += packets;
		this.#done++;
		if (failed) {
			row.failures++;
			this.failed.push({ scenario, number });
		}
	}
}

async function runMany(): Promise<void> {
	const seeds = Array.from({ length: options.seeds }, (_, n) =>
		nthSeed(options.names, options.first, n),
	);
	const run = new Run(seeds, options.stop);
	await run.deal(Math.min(options.workers, seeds.length));
	for (const seed of run.failed.slice(0, SHOWN_MAX)) {
		show(seed, options.captures);
	}
	printTable(run.rows);
	write(`${Math.round(run.seconds)} s, ${options.workers} processes`);
	process.exitCode = run.failed.length === 0 ? 0 : 1;
}

const options = readOptions();
if (options.worker) {
	work();
} else if (options.seed === undefined) {
	await runMany();
} else {
	runOne(options.seed, options.captures);
}
