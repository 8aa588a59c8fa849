/**
 * `npm run test:kernel`: random cases put to a real Linux 6.1 and to the engine, everything observable
 * compared.
 *
 *     npm run test:kernel -- [--seconds S] [--cases 860] [--seed N] [--only KIND] [--guests 2] [--keep FILE]
 *     npm run test:kernel -- --case FILE
 *
 * --keep: every case, as a golden line. --summary: a line of JSON a run, to be summed.
 *
 * KERNEL_SECONDS and KERNEL_SEED are --seconds and --seed. Needs root and Debian's packages (oracle/setup
 * fetches the kernel).
 */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { formatDifference } from '../golden/difference.ts';
import type { VectorCase } from '../golden/vector-case.ts';
import { kinds } from './cases.ts';
import { Seen } from './coverage.ts';
import { judge } from './judge.ts';
import { GuestError, Oracle, setUpOracle } from './oracle.ts';
import { GENERATOR_VERSION, parseSeed } from './random.ts';
import { report } from './report.ts';
import { type Row, Run } from './run.ts';
import type { Case } from './scenario.ts';
import { type Parting, shrink } from './shrink.ts';

const { values: options } = parseArgs({
	options: {
		cases: { type: 'string' },
		seconds: { type: 'string', default: process.env['KERNEL_SECONDS'] },
		seed: { type: 'string', default: process.env['KERNEL_SEED'] ?? '1' },
		only: { type: 'string', default: '' },
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

let differences = 0;
/** Differences that were gone when the kernel was asked again. */
let accidents = 0;

function print(line: string): void {
	process.stdout.write(`${line}\n`);
}

/** More are hardly read. */
const DIFFERENCES_MAX = 12;
let reported = 0;

/** Asks again, so that an accident is told from a difference, makes it small, and tells of it. */
async function onParting(parting: Parting, oracle: Oracle): Promise<boolean> {
	const { id } = parting.answer;
	const attempt = async (question: Case): Promise<Parting | undefined> => {
		const answer = await oracle.ask(question);
		const result = judge(answer) ?? judge(answer, new Seen());
		return result === undefined ? undefined : { question, answer, result };
	};
	const again = await attempt(parting.question);
	if (again === undefined) {
		accidents++;
		const file = `${tmpdir()}/xfrm-accident-${id}.jsonl`;
		writeFileSync(file, `${JSON.stringify(parting.answer)}\n`);
		print(`ONCE ONLY ${id}: the kernel did something else when asked again; ${file}`);
		return false;
	}
	differences++;
	if (reported++ < DIFFERENCES_MAX) {
		print(report(await shrink(again, attempt), id));
	}
	return reported >= DIFFERENCES_MAX;
}

async function runAll(): Promise<void> {
	const chosen = kinds.filter((kind) => kind.name.includes(options.only));
	const timed = options.seconds !== undefined;
	const cases = Number(options.cases ?? 860);
	const run = new Run(chosen, {
		seed,
		casesEach:
			timed && options.cases === undefined
				? Number.POSITIVE_INFINITY
				: Math.max(1, Math.ceil(cases / Math.max(1, chosen.length))),
		seconds: Number(options.seconds ?? Number.POSITIVE_INFINITY),
		onAnswer: (answer) => {
			if (options.keep !== undefined) {
				appendFileSync(options.keep, `${JSON.stringify(answer)}\n`);
			}
		},
		onParting,
	});
	const oracles = Array.from({ length: Number(options.guests) }, () => new Oracle());
	const started = process.hrtime.bigint();
	try {
		await run.carryOut(oracles);
	} finally {
		const seconds = Number(process.hrtime.bigint() - started) / 1e9;
		print(run.coverage.text());
		printTable(run.rows, seconds);
		judgeCoverage(run, chosen.length === kinds.length);
		writeSummary(run, seconds);
		await Promise.all(oracles.map((oracle) => oracle.close()));
	}
}

/** Cases of which every row has to have some; fewer prove nothing. */
const CASES_FOR_COVERAGE = 10_000;
let uncovered = 0;

function judgeCoverage(run: Run, isWhole: boolean): void {
	const missing = run.coverage.missing();
	const cases = [...run.rows.values()].reduce((sum, row) => sum + row.cases, 0);
	if (missing.length > 0) {
		print(`not reached: ${missing.join(', ')}`);
	}
	if (isWhole && cases >= CASES_FOR_COVERAGE) {
		uncovered = missing.length;
	} else {
		print(`coverage decides from ${CASES_FOR_COVERAGE} cases of all kinds on`);
	}
}

/** For summing runs with different seeds at one commit. */
function writeSummary(run: Run, seconds: number): void {
	if (options.summary !== undefined) {
		const kindRows = Object.fromEntries(run.rows);
		const coverage = Object.fromEntries(run.coverage.rows);
		const version = GENERATOR_VERSION;
		const summary = { version, seed, seconds, differences, accidents, kinds: kindRows, coverage };
		appendFileSync(options.summary, `${JSON.stringify(summary)}\n`);
	}
}

/** False when a guest gave up. */
async function runOrTell(): Promise<boolean> {
	try {
		await runAll();
		return true;
	} catch (error) {
		if (!(error instanceof GuestError)) {
			throw error;
		}
		print(`test:kernel stops: ${error.message}`);
		return false;
	}
}

function printTable(rows: ReadonlyMap<string, Row>, seconds: number): void {
	const total: Row = { cases: 0, equal: 0, skipped: 0 };
	print(`${'kind'.padEnd(22)} cases  equal  not judged`);
	for (const [name, row] of rows) {
		total.cases += row.cases;
		total.equal += row.equal;
		total.skipped += row.skipped;
		printRow(name, row);
	}
	printRow('total', total);
	print(
		`seed ${GENERATOR_VERSION}:${seed}, ${seconds.toFixed(0)} s, ${(total.cases / seconds).toFixed(1)} cases/s, ` +
			`${differences} differences, ${accidents} seen once only`,
	);
}

function printRow(name: string, row: Row): void {
	const columns = [row.cases, row.equal, row.skipped].map((value) => String(value).padStart(6));
	print(`${name.padEnd(22)}${columns.join(' ')}`);
}

if (options.case !== undefined) {
	for (const line of readFileSync(options.case, 'utf8').split('\n')) {
		if (line !== '') {
			const answer = JSON.parse(line) as VectorCase;
			const result = judge(answer);
			if (result !== undefined && !('skipped' in result)) {
				differences++;
				print(`DIFFERS ${answer.id}: ${formatDifference(result)}`);
			}
		}
	}
	print(`${differences} differences`);
	process.exitCode = differences === 0 ? 0 : 1;
} else {
	const reason = setUpOracle();
	if (reason === undefined) {
		process.exitCode = (await runOrTell()) && differences + uncovered === 0 ? 0 : 1;
	} else {
		print(`test:kernel can't run: ${reason}`);
		process.exitCode = process.env['CI'] === 'true' ? 1 : 0;
	}
}
