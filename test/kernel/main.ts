/**
 * `npm run test:kernel`: random cases put to a real Linux 6.1 and to the engine, everything observable
 * compared. Prints a line a kind, and for each difference the case as one line of the golden form, which
 * `--case FILE` runs again.
 *
 *     npm run test:kernel -- [--cases 860] [--seed N] [--only KIND] [--guests 2] [--keep FILE]
 *     npm run test:kernel -- --case FILE
 *
 * KERNEL_SEED is --seed. Needs root and Debian's packages (oracle/setup fetches the kernel).
 */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { linux61 } from '@xfrm/engine';
import { formatDifference } from '../golden/difference.ts';
import { availableOf, readProfiles } from '../golden/golden-files.ts';
import type { VectorCase } from '../golden/vector-case.ts';
import { type CaseResult, runVectorCase } from '../golden/vector-runner.ts';
import { kinds } from './cases.ts';
import { fieldsOf, ivOctetsBySpi } from './fields.ts';
import type { Kind } from './kind.ts';
import { GuestError, Oracle, setUpOracle } from './oracle.ts';
import { Random } from './random.ts';
import type { Case } from './scenario.ts';

const { values: options } = parseArgs({
	options: {
		cases: { type: 'string', default: '860' },
		seed: { type: 'string', default: process.env['KERNEL_SEED'] ?? '1' },
		only: { type: 'string', default: '' },
		guests: { type: 'string', default: '2' },
		keep: { type: 'string' },
		case: { type: 'string' },
	},
});

const available = availableOf(availableText());
const GUEST_SECONDS_MAX = 3600;

function availableText(): Parameters<typeof availableOf>[0] {
	const text = readProfiles().available['uml61'];
	if (text === undefined) {
		throw new RangeError('golden/profiles.json says nothing of uml61');
	}
	return text;
}

interface Row {
	cases: number;
	equal: number;
	skipped: number;
}

/** Seed, kind and number in one number, so that a kind's n-th case is the same whatever else runs. */
function caseSeed(seed: number, kind: string, n: number): number {
	let hash = 0x811c9dc5;
	for (const octet of Buffer.from(kind)) {
		hash = Math.imul(hash ^ octet, 0x01000193);
	}
	return Math.imul(seed, 0x9e3779b1) ^ hash ^ Math.imul(n + 1, 0xc2b2ae35);
}

/** The kernel's answer as a golden case, with what it chose told in `fields`. */
async function askKernel(oracle: Oracle, question: Case): Promise<VectorCase> {
	const answer = await oracle.ask<VectorCase>(question);
	const ivOctets = ivOctetsBySpi([...question.xfrm, ...question.steps.flatMap(ipOf)]);
	for (const step of answer.steps) {
		for (const emitted of step.expect.emit ?? []) {
			if (emitted.dev === 'wan') {
				Object.assign(emitted, { fields: fieldsOf(emitted.packet, ivOctets) });
			}
		}
	}
	return answer;
}

function ipOf(step: Case['steps'][number]): readonly string[] {
	return 'ip' in step ? step.ip : [];
}

function judge(answer: VectorCase): CaseResult {
	try {
		return runVectorCase(answer, linux61, available, false);
	} catch (error) {
		const have = error instanceof Error ? (error.stack ?? error.message) : String(error);
		return { field: 'exception', want: 'none', have };
	}
}

let differences = 0;

function record(row: Row, answer: VectorCase): void {
	const result = judge(answer);
	row.cases++;
	if (options.keep !== undefined) {
		appendFileSync(options.keep, `${JSON.stringify(answer)}\n`);
	}
	if (result === undefined) {
		row.equal++;
	} else if ('skipped' in result) {
		row.skipped++;
	} else {
		differences++;
		const file = `${tmpdir()}/xfrm-difference-${answer.id}.jsonl`;
		writeFileSync(file, `${JSON.stringify(answer)}\n`);
		process.stdout.write(`DIFFERS ${answer.id}: ${formatDifference(result)}\n  case in ${file}\n`);
	}
}

async function runKind(oracle: Oracle, kind: Kind, count: number): Promise<Row> {
	const row: Row = { cases: 0, equal: 0, skipped: 0 };
	for (let n = 0; row.cases < count; n++) {
		const random = new Random(caseSeed(Number(options.seed), kind.name, n));
		const scenario = kind.make(random, `${kind.name}-${options.seed}-${n}`);
		const first = await askKernel(oracle, scenario.first);
		record(row, first);
		const emitted = first.steps.flatMap((step) =>
			(step.expect.emit ?? []).filter(({ dev }) => dev === 'wan').map(({ packet }) => packet),
		);
		for (const question of scenario.inbound?.(emitted) ?? []) {
			record(row, await askKernel(oracle, question));
		}
	}
	return row;
}

/** Each guest takes the next kind until none is left. */
async function runAll(): Promise<void> {
	const chosen = kinds.filter((kind) => kind.name.includes(options.only));
	const count = Math.max(1, Math.ceil(Number(options.cases) / Math.max(1, chosen.length)));
	const rows = new Map<string, Row>();
	const queue = [...chosen];
	const started = process.hrtime.bigint();
	const work = async (): Promise<void> => {
		const oracle = new Oracle(GUEST_SECONDS_MAX);
		try {
			for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
				rows.set(next.name, await runKind(oracle, next, count));
			}
		} finally {
			await oracle.close();
		}
	};
	await Promise.all(Array.from({ length: Number(options.guests) }, work));
	printTable(
		chosen.map((kind) => kind.name),
		rows,
		Number(process.hrtime.bigint() - started) / 1e9,
	);
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
		process.stdout.write(`test:kernel stops: ${error.message}\n`);
		return false;
	}
}

function printTable(
	names: readonly string[],
	rows: ReadonlyMap<string, Row>,
	seconds: number,
): void {
	const total: Row = { cases: 0, equal: 0, skipped: 0 };
	process.stdout.write(`${'kind'.padEnd(22)} cases  equal  not judged\n`);
	for (const name of names) {
		const row = rows.get(name) ?? { cases: 0, equal: 0, skipped: 0 };
		total.cases += row.cases;
		total.equal += row.equal;
		total.skipped += row.skipped;
		printRow(name, row);
	}
	printRow('total', total);
	process.stdout.write(
		`seed ${options.seed}, ${seconds.toFixed(0)} s, ${(total.cases / seconds).toFixed(1)} cases/s, ` +
			`${differences} differences\n`,
	);
}

function printRow(name: string, row: Row): void {
	const columns = [
		String(row.cases).padStart(6),
		String(row.equal).padStart(6),
		String(row.skipped).padStart(6),
	];
	process.stdout.write(`${name.padEnd(22)}${columns.join(' ')}\n`);
}

if (options.case !== undefined) {
	for (const line of readFileSync(options.case, 'utf8').split('\n')) {
		if (line !== '') {
			record({ cases: 0, equal: 0, skipped: 0 }, JSON.parse(line) as VectorCase);
		}
	}
	process.stdout.write(`${differences} differences\n`);
	process.exitCode = differences === 0 ? 0 : 1;
} else {
	const reason = setUpOracle();
	if (reason === undefined) {
		process.exitCode = (await runOrTell()) && differences === 0 ? 0 : 1;
	} else {
		process.stdout.write(`test:kernel can't run: ${reason}\n`);
		process.exitCode = process.env['CI'] === 'true' ? 1 : 0;
	}
}
