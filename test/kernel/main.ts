/**
 * `npm run test:kernel`: random cases put to real kernels and to the engine, everything observable compared.
 *
 *     npm run test:kernel -- [--seconds S] [--cases 860] [--seed N] [--only KIND] [--guests 2]
 *                            [--part guest|running|interfaces] [--keep FILE] [--summary FILE]
 *     npm run test:kernel -- --case FILE
 *
 * Parts: `guest`, user-mode Linux 6.1, which has nearly everything; `running`, this machine's kernel;
 * `interfaces`, Debian's kernel under qemu, which has XFRM interfaces. KERNEL_SECONDS and KERNEL_SEED are
 * --seconds and --seed. --keep: every case, as a golden line. --summary: a line of JSON a part, to be summed
 * over runs. A part that cannot run says so; with CI=true that is a failure.
 */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { formatDifference } from '../golden/difference.ts';
import type { VectorCase } from '../golden/vector-case.ts';
import { kinds } from './cases.ts';
import { Seen } from './coverage.ts';
import { interfaceKinds } from './interface-cases.ts';
import { GUEST_KERNEL, type JudgedKernel, judge } from './judge.ts';
import type { Kind } from './kind.ts';
import { GuestError, Oracle, type Place, setUpOracle } from './oracle.ts';
import { GENERATOR_VERSION, parseSeed } from './random.ts';
import { report } from './report.ts';
import { type Row, Run } from './run.ts';
import { probeRunningKernel, RUNNING_KINDS } from './running-kernel.ts';
import type { Case } from './scenario.ts';
import { type Parting, shrink } from './shrink.ts';

const { values: options } = parseArgs({
	options: {
		cases: { type: 'string' },
		seconds: { type: 'string', default: process.env['KERNEL_SECONDS'] },
		seed: { type: 'string', default: process.env['KERNEL_SEED'] ?? '1' },
		only: { type: 'string', default: '' },
		part: { type: 'string', default: '' },
		guests: { type: 'string', default: '2' },
		keep: { type: 'string' },
		summary: { type: 'string' },
		case: { type: 'string' },
	},
});

const parsedSeed = parseSeed(options.seed);
if (typeof parsedSeed === 'string') {
	process.stderr.write(`test:kernel: ${parsedSeed}\n`);
	process.exit(2);
}
const seed: number = parsedSeed;

function print(line: string): void {
	process.stdout.write(`${line}\n`);
}

/** One kernel, and the cases for it. */
interface Part {
	readonly name: string;
	readonly place: Place;
	readonly kernel: JudgedKernel;
	readonly kinds: readonly Kind[];
	/** Does every row of the coverage table have to be reached? */
	readonly covers: boolean;
}

/** Differences that are shown; more are hardly read. */
const DIFFERENCES_MAX = 12;
/** Cases of which every row has to have some; fewer prove nothing. */
const CASES_FOR_COVERAGE = 10_000;
/** Of so many cases one may give another result when it is asked again: clocks of a busy machine. */
const CASES_AN_ACCIDENT = 1000;

/** Runs a part and prints what it found. */
class PartRun {
	differences = 0;
	/** Differences that were gone when the kernel was asked again. */
	accidents = 0;
	readonly part: Part;
	readonly run: Run;
	readonly #started = Date.now();

	constructor(part: Part) {
		this.part = part;
		const timed = options.seconds !== undefined && options.cases === undefined;
		const each = Math.ceil(Number(options.cases ?? 860) / Math.max(1, part.kinds.length));
		this.run = new Run(part.kinds, {
			seed,
			kernel: part.kernel,
			casesEach: timed ? Number.POSITIVE_INFINITY : Math.max(1, each),
			seconds: Number(options.seconds ?? Number.POSITIVE_INFINITY),
			onAnswer: (answer) => {
				if (options.keep !== undefined) {
					appendFileSync(options.keep, `${JSON.stringify(answer)}\n`);
				}
			},
			onParting: (parting, oracle) => this.#tell(parting, oracle),
		});
	}

	/** True when all was equal. @throws GuestError */
	async carryOut(): Promise<boolean> {
		const guests = Number(options.guests);
		const oracles = Array.from({ length: guests }, () => new Oracle(this.part.place));
		try {
			await this.run.carryOut(oracles);
		} finally {
			this.#printResults();
			await Promise.all(oracles.map((oracle) => oracle.close()));
		}
		const { cases } = this.#total();
		const accidentsMax = Math.ceil(cases / CASES_AN_ACCIDENT);
		return this.differences === 0 && this.accidents <= accidentsMax && this.#isCovered();
	}

	/** Asks again, so that an accident is told from a difference, makes it small, and tells of it. */
	async #tell(parting: Parting, oracle: Oracle): Promise<boolean> {
		const { id } = parting.answer;
		const { kernel } = this.part;
		const attempt = async (question: Case): Promise<Parting | undefined> => {
			const answer = await oracle.ask(question);
			const result = judge(answer, kernel) ?? judge(answer, kernel, new Seen());
			return result === undefined ? undefined : { question, answer, result };
		};
		const again = await attempt(parting.question);
		if (again === undefined) {
			this.accidents++;
			const file = `${tmpdir()}/xfrm-accident-${id}.jsonl`;
			writeFileSync(file, `${JSON.stringify(parting.answer)}\n`);
			print(`ONCE ONLY ${id}: the kernel did something else when asked again; ${file}`);
			return false;
		}
		this.differences++;
		if (this.differences <= DIFFERENCES_MAX) {
			print(report(await shrink(again, attempt), id, kernel.profile.name));
		}
		return this.differences >= DIFFERENCES_MAX;
	}

	#total(): Row {
		const total: Row = { cases: 0, equal: 0, skipped: 0 };
		for (const row of this.run.rows.values()) {
			total.cases += row.cases;
			total.equal += row.equal;
			total.skipped += row.skipped;
		}
		return total;
	}

	#isCovered(): boolean {
		const { covers, kinds: chosen } = this.part;
		if (!covers || chosen.length < kinds.length || this.#total().cases < CASES_FOR_COVERAGE) {
			return true;
		}
		return this.run.coverage.missing().length === 0;
	}

	#printResults(): void {
		const seconds = (Date.now() - this.#started) / 1000;
		const total = this.#total();
		print(this.run.coverage.text());
		const missing = this.run.coverage.missing();
		if (this.part.covers && missing.length > 0) {
			print(`not reached: ${missing.join(', ')}`);
			print(`(it is a failure from ${CASES_FOR_COVERAGE} cases of all kinds on)`);
		}
		print(`${'kind'.padEnd(22)} cases  equal  not judged`);
		for (const [name, row] of [...this.run.rows, ['total', total] as const]) {
			printRow(name, row);
		}
		print(
			`part ${this.part.name}, seed ${GENERATOR_VERSION}:${seed}, ${seconds.toFixed(0)} s, ` +
				`${(total.cases / seconds).toFixed(1)} cases/s, ${this.differences} differences, ` +
				`${this.accidents} seen once only`,
		);
		this.#writeSummary(seconds);
	}

	/** For summing runs with different seeds at one commit. */
	#writeSummary(seconds: number): void {
		if (options.summary === undefined) {
			return;
		}
		const { differences, accidents, run, part } = this;
		const summary = {
			part: part.name,
			version: GENERATOR_VERSION,
			seed,
			seconds,
			differences,
			accidents,
			kinds: Object.fromEntries(run.rows),
			coverage: Object.fromEntries(run.coverage.rows),
		};
		appendFileSync(options.summary, `${JSON.stringify(summary)}\n`);
	}
}

function printRow(name: string, row: Row): void {
	const columns = [row.cases, row.equal, row.skipped].map((value) => String(value).padStart(6));
	print(`${name.padEnd(22)}${columns.join(' ')}`);
}

/** A part, or why it cannot run. */
function openPart(name: string): Part | string {
	const chosen = kinds.filter((kind) => kind.name.includes(options.only));
	if (name === 'interfaces') {
		const reason = setUpOracle('qemu');
		const ofIt = interfaceKinds.filter((kind) => kind.name.includes(options.only));
		return reason ?? { name, place: 'qemu', kernel: GUEST_KERNEL, kinds: ofIt, covers: false };
	}
	if (name === 'guest') {
		const reason = setUpOracle('guest');
		return reason ?? { name, place: 'guest', kernel: GUEST_KERNEL, kinds: chosen, covers: true };
	}
	const kernel = probeRunningKernel();
	if (typeof kernel === 'string') {
		return kernel;
	}
	const ofIt = chosen.filter((kind) => RUNNING_KINDS.includes(kind.name));
	return { name, place: 'here', kernel, kinds: ofIt, covers: false };
}

/** False when something was not equal, or could not run although it has to. */
async function runPart(name: string): Promise<boolean> {
	const part = openPart(name);
	if (typeof part === 'string') {
		print(`part ${name} can't run: ${part}`);
		return process.env['CI'] !== 'true';
	}
	if (part.kinds.length === 0) {
		return true;
	}
	try {
		return await new PartRun(part).carryOut();
	} catch (error) {
		if (!(error instanceof GuestError)) {
			throw error;
		}
		print(`part ${name} stops: ${error.message}`);
		return false;
	}
}

/** Judges cases of a file anew, without a guest. */
function judgeFile(file: string): boolean {
	let differences = 0;
	for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
		const answer = JSON.parse(line) as VectorCase;
		const result = judge(answer, GUEST_KERNEL);
		if (result !== undefined && !('skipped' in result)) {
			differences++;
			print(`DIFFERS ${answer.id}: ${formatDifference(result)}`);
		}
	}
	print(`${differences} differences`);
	return differences === 0;
}

if (options.case === undefined) {
	const parts = ['guest', 'running', 'interfaces'].filter((name) => name.includes(options.part));
	let right = true;
	for (const name of parts) {
		right = (await runPart(name)) && right;
	}
	process.exitCode = right ? 0 : 1;
} else {
	process.exitCode = judgeFile(options.case) ? 0 : 1;
}
