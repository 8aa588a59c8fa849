/**
 * `npm run mutants -- FILE…`: which changes of a file no test notices. Operators and constants are replaced
 * one at a time (mutate.ts); tests run in one process, those first that are quick, only those that pass the
 * changed place, for at most two seconds a mutant.
 *
 *     npm run mutants -- packages/engine/src/replay.ts [--tests FILE or folder…] [--resume]
 *
 * Tests are those of the file's package, of test/properties and the golden cases. `--resume` tries only mutants
 * that were not caught before. Mutants that change nothing anybody could notice stand in equivalent.json, each
 * with the reason. Ends with 1 when fewer than 95 % of the others are caught, or more than 5 % are equivalent.
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

/** No word about a mutant for so long: it has no end. The process looks at the time between two tests. */
const SILENCE_MS_MAX = 6000;
/** Loading and the first run of all tests. */
const READY_MS_MAX = 300_000;
const CAUGHT_MIN = 0.95;
const EQUIVALENT_MAX = 0.05;

/** By file: ids of mutants with the reason why nothing can notice them. */
type Equivalents = Readonly<Record<string, Readonly<Record<string, string>>>>;

type Verdict =
	| { readonly caught: true; readonly by: string }
	| { readonly caught: false; readonly tests: number };

const { values: options, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		tests: { type: 'string', multiple: true },
		resume: { type: 'boolean', default: false },
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
	#current: number | undefined;

	constructor(target: string, tests: readonly string[], numbers: readonly number[]) {
		this.#target = target;
		this.#tests = tests;
		this.#left = new Set(numbers);
	}

	async run(): Promise<void> {
		while (this.#left.size > 0) {
			await this.#runProcess();
		}
	}

	#settle(number: number, verdict: Verdict): void {
		this.verdicts.set(number, verdict);
		this.#left.delete(number);
		this.#current = undefined;
	}

	#runProcess(): Promise<void> {
		const child = fork(join(here, 'try-mutants.ts'), [this.#target, JSON.stringify(this.#tests)], {
			execArgv: ['--conditions=@xfrm/source', '--import', 'tsx'],
			stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
		});
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
				} else if (status !== 0 && this.#left.size > 0) {
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
				this.#settle(said.number, { caught: false, tests: said.tests });
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

/** Tries all mutants of a file; true when enough of them are caught. */
async function tryFile(
	file: string,
	equivalents: Readonly<Record<string, string>>,
): Promise<boolean> {
	const text = readFileSync(join(root, file), 'utf8');
	const { mutants } = mutate(file, text);
	const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
	const cachePath = join(cache, `${file.replaceAll('/', '-')}-${hash}.json`);
	const caughtBefore = readCaught(cachePath);
	const isEquivalent = ({ id }: Mutant): boolean => equivalents[id] !== undefined;
	const start = Date.now();
	const tried = mutants.filter((one) => !caughtBefore.has(one.id) && !isEquivalent(one));
	const trial = new Trial(
		join(root, file),
		testsOf(file),
		tried.map(({ number }) => number),
	);
	await trial.run();
	const isCaught = ({ number, id }: Mutant): boolean =>
		caughtBefore.has(id) || trial.verdicts.get(number)?.caught === true;
	const caught = mutants.filter(isCaught);
	mkdirSync(cache, { recursive: true });
	writeFileSync(cachePath, JSON.stringify(caught.map(({ id }) => id)));
	for (const mutant of tried.filter((one) => !isCaught(one))) {
		const verdict = trial.verdicts.get(mutant.number);
		const tests = verdict?.caught === false ? verdict.tests : 0;
		const why = tests === 0 ? 'no test comes by' : `${tests} tests notice nothing`;
		say(`  line ${mutant.line}: ${mutant.id}: ${why}`);
	}
	for (const id of Object.keys(equivalents).filter((one) => !mutants.some((m) => m.id === one))) {
		say(`  equivalent.json names a mutant that there is not: ${id}`);
	}
	const alike = mutants.filter(isEquivalent).length;
	const share = caught.length / Math.max(1, mutants.length - alike);
	const endless = [...trial.verdicts.values()].filter(
		(one) => one.caught && one.by === 'no end',
	).length;
	say(
		`${file}: ${mutants.length} mutants, ${caught.length} caught (${endless} without end), ${alike} equivalent, ` +
			`${mutants.length - alike - caught.length} survive: ${(100 * share).toFixed(1)} %, ` +
			`${((Date.now() - start) / 1000).toFixed(0)} s`,
	);
	return share >= CAUGHT_MIN && alike <= EQUIVALENT_MAX * mutants.length;
}

async function main(): Promise<number> {
	if (positionals.length === 0) {
		process.stderr.write('usage: npm run mutants -- FILE… [--tests PATH…] [--resume]\n');
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
