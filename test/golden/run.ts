/**
 * `npm run test:golden [-- --only PART] [--file NAME] [--verbose] [--update]`: judges the engine by what
 * real kernels did. Prints a line a file and profile, `FILE (PROFILE): N of M`; exit status 0 only if every
 * file that is there is complete (golden/README.md, golden/profiles.json).
 *
 * Under each file with packets or flows stands how many of these `explain`, asked about every one, has answered
 * as the kernel did, and what it was not asked about and why.
 *
 * --only: cases whose id contains this. --verbose: the first difference of each failing case.
 * --update: adds the cases that are right to golden/complete.json; none is ever taken away.
 */
import { parseArgs } from 'node:util';
import { formatDifference } from './difference.ts';
import { askEntry } from './explain-suite.ts';
import {
	type Entry,
	goldenFolder,
	readComplete,
	readProfiles,
	writeComplete,
} from './golden-files.ts';
import { type CaseReport, entryName, runEntry } from './suite.ts';

const { values } = parseArgs({
	options: {
		only: { type: 'string', default: '' },
		file: { type: 'string', default: '' },
		verbose: { type: 'boolean', default: false },
		update: { type: 'boolean', default: false },
	},
});

interface Tally {
	right: number;
	of: number;
	readonly wrong: Map<string, number>;
	readonly skipped: Map<string, string[]>;
	readonly complete: string[];
}

/** Runs one entry; true when it is complete or does not count. undefined: absent. */
function judge(entry: Entry): boolean | undefined {
	const name = entryName(entry);
	const tally: Tally = { right: 0, of: 0, wrong: new Map(), skipped: new Map(), complete: [] };
	const cases = runEntry(goldenFolder(), entry, (id) => id.includes(values.only));
	let next = cases.next();
	for (; next.done !== true; next = cases.next()) {
		count(tally, next.value);
	}
	if (!next.value) {
		print(`${name}: absent`);
		return undefined;
	}
	if (entry.kind === 'later') {
		print(`${name}: not judged yet`);
		return true;
	}
	print(`${name}: ${tally.right} of ${tally.of}${entry.informative ? ' (for information)' : ''}`);
	for (const [reason, cases] of tally.skipped) {
		print(`  not judged: ${cases.length} × ${reason}`);
		if (values.verbose) {
			print(`    ${cases.join(' ')}`);
		}
	}
	if (tally.wrong.size > 0 && !values.verbose) {
		const groups = [...tally.wrong].sort((a, b) => b[1] - a[1]).slice(0, 12);
		print(`  wrong: ${groups.map(([group, cases]) => `${group} ${cases}`).join(', ')}`);
	}
	if (values.update) {
		addComplete(name, tally.complete, tally.right === tally.of && values.only === '');
	}
	const asked = printAsked(entry);
	return (tally.right === tally.of && asked) || entry.informative === true;
}

/** What `explain` says of the entry's packets; true when it is right about all that it was asked. */
function printAsked(entry: Entry): boolean {
	const { right, of, unasked, wrong } = askEntry(goldenFolder(), entry, (id) =>
		id.includes(values.only),
	);
	if (of === 0) {
		return true;
	}
	print(`  asked by explain: ${right} of ${of}`);
	for (const [reason, packets] of unasked) {
		print(`  not asked: ${packets} × ${reason}`);
	}
	for (const line of values.verbose ? wrong : wrong.slice(0, 3)) {
		print(`    ${line}`);
	}
	return right === of;
}

/** Adds cases to golden/complete.json. */
function addComplete(name: string, ids: readonly string[], all: boolean): void {
	const complete = { ...readComplete() };
	const before = complete[name];
	if (before !== 'all' && ids.length > 0) {
		complete[name] = all ? 'all' : [...new Set([...(before ?? []), ...ids])].sort();
		writeComplete(complete);
	}
}

function count(tally: Tally, report: CaseReport): void {
	if (report.skipped !== undefined) {
		const cases = tally.skipped.get(report.skipped) ?? [];
		tally.skipped.set(report.skipped, [...cases, report.id]);
		return;
	}
	tally.right += report.right;
	tally.of += report.of;
	if (report.right === report.of) {
		tally.complete.push(report.id);
		return;
	}
	// Groups by the id without its numbers: cases of a kind fail together.
	const group = report.id.replace(/[0-9]+/g, '');
	tally.wrong.set(group, (tally.wrong.get(group) ?? 0) + 1);
	if (values.verbose && report.difference !== undefined) {
		print(`  ${report.id} [${report.tags.join(' ')}]\n    ${formatDifference(report.difference)}`);
	}
}

function print(line: string): void {
	process.stdout.write(`${line}\n`);
}

const entries = readProfiles().entries.filter(
	(entry) => values.file === '' || entry.file === values.file,
);
const results = entries.map(judge);
if (results.every((result) => result === undefined)) {
	print('no golden file is there');
	process.exitCode = 1;
} else if (results.includes(false)) {
	process.exitCode = 1;
}
