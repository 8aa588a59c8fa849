/**
 * `npm run mutants -- FILE…`: which changes of a file no test notices. Operators and constants are replaced
 * one at a time (mutate.ts); tests run in one process, only those that pass the changed place, those first that
 * stand beside the file or have noticed its neighbours, for at most two seconds of the processor a mutant.
 *
 *     npm run mutants -- packages/engine/src/replay.ts [--tests FILE or folder…] [--resume] [--ms 2000]
 *
 * Tests are those of the file's package, of test/properties and the golden cases. `--resume` tries only mutants
 * that were not caught before. Mutants that change nothing anybody could notice stand in equivalent.json, each
 * with the reason. Ends with 1 when another one survives, when more than 5 % are equivalent, and when that list
 * is out of date: what it names is caught, or is no mutant any more.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Mutant, mutate } from './mutate.ts';
import type { Said } from './try-mutants.ts';

const root: string = fileURLToPath(new URL('../../', import.meta.url));
const here: string = fileURLToPath(new URL('./', import.meta.url));
const cache: string = join(root, 'node_modules', '.cache', 'xfrm-mutants');

/** No word about a mutant for so long: it waits for what never comes. Loops are ended in the process itself. */
const SILENCE_MS_MAX = 120_000;
/** Loading and the first run of all tests. */
const READY_MS_MAX = 1_200_000;
const EQUIVALENT_MAX = 0.05;

/** By file: ids of mutants with the reason why nothing can notice them. */
type Equivalents = Readonly<Record<string, Readonly<Record<string, string>>>>;

type Verdict =
	| { readonly caught: true; readonly by: string }
	| { readonly caught: false; readonly tests: number; readonly left: number };

const { values: options, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		tests: { type: 'string', multiple: true },
		resume: { type: 'boolean', default: false },
		/** Processor time that a mutant's tests are begun in. */
		ms: { type: 'string', default: '2000' },
	},
});

function say(text: string): void {
	process.stdout.write(`${text}\n`);
}

function testsIn(path: string): string[] {
	if (path.endsWith('.ts')) {
		return [path];
	}
	return readdirSync(path, { recursive: true, encoding: 'utf8' })
		.filter((name) => name.endsWith('.test.ts') && !name.includes('isolated'))
		.filter((name) => !name.includes('node_modules') && !name.startsWith('dist'))
		.sort()
		.map((name) => join(path, name));
}

/** The tests that ought to notice. */
function testsOf(file: string): string[] {
	const room = /^packages\/[^/]+/.exec(file)?.[0] ?? '';
	const named = options.tests ?? [`${room}/src`, 'test/properties', 'test/mutants/golden-cases.ts'];
	return named.map((path) => resolve(root, path)).flatMap(testsIn);
}

/** Tries mutants, in as many processes as it takes. */
class Trial {
	readonly verdicts: Map<number, Verdict> = new Map();
	readonly #target: string;
	readonly #tests: readonly string[];
	readonly #left: Set<number>;
	readonly #settled: (number: number, verdict: Verdict) => void;
	#current: number | undefined;
	#ready = false;

	/** @param settled called after each verdict */
	constructor(
		target: string,
		tests: readonly string[],
		numbers: readonly number[],
		settled: (number: number, verdict: Verdict) => void,
	) {
		this.#target = target;
		this.#tests = tests;
		this.#left = new Set(numbers);
		this.#settled = settled;
	}

	async run(): Promise<void> {
		while (this.#left.size > 0) {
			this.#ready = false;
			await this.#runProcess();
		}
	}

	#settle(number: number, verdict: Verdict): void {
		this.verdicts.set(number, verdict);
		this.#left.delete(number);
		this.#current = undefined;
		this.#settled(number, verdict);
	}

	#runProcess(): Promise<void> {
		const child = fork(
			join(here, 'try-mutants.ts'),
			[this.#target, JSON.stringify(this.#tests), options.ms],
			{
				execArgv: ['--conditions=@xfrm/source', '--import', 'tsx'],
				stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
			},
		);
		return new Promise((end, fail) => {
			let silence: NodeJS.Timeout | undefined;
			const wait = (ms: number): void => {
				clearTimeout(silence);
				silence = setTimeout(() => child.kill('SIGKILL'), ms);
			};
			wait(READY_MS_MAX);
			child.on('message', (said: Said) => {
				wait(SILENCE_MS_MAX);
				this.#hear(child, said);
			});
			child.on('exit', (status, signal) => {
				clearTimeout(silence);
				if (this.#current !== undefined) {
					this.#settle(this.#current, {
						caught: true,
						by: signal === null ? 'the process ended' : 'no end',
					});
				} else if (!this.#ready) {
					fail(new Error(`the tests could not be loaded: status ${status}, signal ${signal}`));
					return;
				}
				end();
			});
		});
	}

	#hear(child: ChildProcess, said: Said): void {
		switch (said.kind) {
			case 'ready':
				this.#ready = true;
				say(`  ${said.tests} tests loaded in ${Math.round(said.ms / 1000)} s of the processor`);
				for (const name of said.broken) {
					say(`  fails without any mutant, left out: ${name}`);
				}
				child.send({ numbers: [...this.#left] });
				break;
			case 'begins':
				this.#current = said.number;
				break;
			case 'caught':
				this.#settle(said.number, { caught: true, by: said.by });
				break;
			case 'survives':
				this.#settle(said.number, { caught: false, tests: said.tests, left: said.left });
				break;
			case 'done':
				child.disconnect();
				child.kill();
				break;
		}
	}
}

/** Ids that were caught before, for the very same text of the file. */
function readCaught(path: string): Set<string> {
	return new Set(
		options.resume && existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as string[]) : [],
	);
}

/** Tries all mutants of a file; true when all are caught or equivalent, and not too many are the latter. */
async function tryFile(
	file: string,
	equivalents: Readonly<Record<string, string>>,
): Promise<boolean> {
	const text = readFileSync(join(root, file), 'utf8');
	const { mutants } = mutate(file, text);
	const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
	const cachePath = join(cache, `${file.replaceAll('/', '-')}-${hash}.json`);
	const caughtBefore = readCaught(cachePath);
	const start = Date.now();
	const isCaught = ({ number, id }: Mutant): boolean =>
		caughtBefore.has(id) || trial.verdicts.get(number)?.caught === true;
	const settled = (number: number, verdict: Verdict): void => {
		const mutant = mutants[number];
		if (verdict.caught || mutant === undefined) {
			writeFileSync(cachePath, JSON.stringify(mutants.filter(isCaught).map(({ id }) => id)));
		} else if (equivalents[mutant.id] === undefined) {
			say(`  line ${mutant.line}: ${mutant.id}: ${toldOf(verdict)}`);
		}
	};
	const trial = new Trial(
		join(root, file),
		testsOf(file),
		mutants.filter((one) => !caughtBefore.has(one.id)).map(({ number }) => number),
		settled,
	);
	mkdirSync(cache, { recursive: true });
	await trial.run();
	const survivors = mutants.filter((one) => !isCaught(one));
	const unknown = survivors.filter(({ id }) => equivalents[id] === undefined);
	const stale = Object.keys(equivalents).filter((id) => survivors.every((one) => one.id !== id));
	for (const id of stale) {
		const is = mutants.some((one) => one.id === id) ? 'is caught' : 'is no mutant any more';
		say(`  equivalent.json is out of date: ${id}: ${is}`);
	}
	const alike = survivors.length - unknown.length;
	const percent = (count: number): string =>
		`${((100 * count) / Math.max(1, mutants.length)).toFixed(1)} %`;
	const caught = mutants.length - survivors.length;
	say(
		`${file}: ${mutants.length} mutants, ${caught} caught (${percent(caught)}), ${alike} equivalent ` +
			`(${percent(alike)}), ${unknown.length} survive, ${((Date.now() - start) / 1000).toFixed(0)} s`,
	);
	return unknown.length + stale.length === 0 && alike <= EQUIVALENT_MAX * mutants.length;
}

function toldOf({ tests, left }: { readonly tests: number; readonly left: number }): string {
	const rest = left === 0 ? '' : `, ${left} had no time`;
	return tests === 0 ? 'no test comes by' : `${tests} tests notice nothing${rest}`;
}

async function main(): Promise<number> {
	if (positionals.length === 0) {
		process.stderr.write(
			'usage: npm run mutants -- FILE… [--tests PATH…] [--resume] [--ms 2000]\n',
		);
		return 2;
	}
	const equivalents = JSON.parse(
		readFileSync(join(here, 'equivalent.json'), 'utf8'),
	) as Equivalents;
	let enough = true;
	for (const path of positionals) {
		const file = relative(root, resolve(path)).replaceAll('\\', '/');
		enough = (await tryFile(file, equivalents[file] ?? {})) && enough;
	}
	return enough ? 0 : 1;
}

process.exitCode = await main();
