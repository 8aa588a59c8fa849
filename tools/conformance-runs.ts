/**
 * Runs tests and suites with V8's coverage on, to see what tagged code they reach. The record of it,
 * tools/conformance-record.json, is what the page is computed from: nothing in it is typed by hand.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Coverage, readCoverage } from './line-coverage.ts';
import { importsOf, isTestCode, readTags, root, type TaggedCode } from './spec-tags.ts';

const recordPath: string = join(root, 'tools', 'conformance-record.json');

export interface ConformanceRecord {
	/** Of each file of tests, the items that its tags name: did a run of it reach code under the same tag? */
	readonly tests: Record<string, Record<string, boolean>>;
	/** Of each kernel that judged, the tagged places of the code that ran while our answers met its own. */
	readonly suites: Record<string, readonly string[]>;
	/** Of each file of tests, the places that it reached where a counter goes up. */
	readonly raises: Record<string, readonly string[]>;
}

export function readRecord(): ConformanceRecord {
	return existsSync(recordPath)
		? (JSON.parse(readFileSync(recordPath, 'utf8')) as ConformanceRecord)
		: { tests: {}, suites: {}, raises: {} };
}

function sorted<T>(entries: Readonly<Record<string, T>>): Record<string, T> {
	return Object.fromEntries(Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function writeRecord({ tests, suites, raises }: ConformanceRecord): void {
	const text = JSON.stringify(
		{ tests: sorted(tests), suites: sorted(suites), raises: sorted(raises) },
		undefined,
		'\t',
	);
	writeFileSync(recordPath, `${text}\n`);
}

/** How a place is called in the record. */
export function placeName({ file, name }: TaggedCode): string {
	return `${file}#${name}`;
}

/** Runs a script as the tests are run; what ran of the project, or how it failed. */
function runCovered(args: readonly string[]): Coverage | string {
	const folder = mkdtempSync(join(tmpdir(), 'xfrm-coverage-'));
	try {
		const { status, stdout, stderr } = spawnSync(
			process.execPath,
			['--expose-gc', '--conditions=@xfrm/source', '--import', 'tsx', ...args],
			{
				cwd: root,
				env: { ...process.env, NODE_V8_COVERAGE: folder },
				encoding: 'utf8',
				maxBuffer: 1 << 28,
			},
		);
		const said = `${stdout}${stderr}`;
		if (status !== 0 || /^(?:# )?(?:skipped|.* can't run):/m.test(said)) {
			return `${args.join(' ')}: status ${status}: ${said.trim().slice(-300)}`;
		}
		return readCoverage(folder, (path) => path.startsWith(root) && !path.includes('node_modules'));
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

function hasRun(place: TaggedCode, coverage: Coverage): boolean {
	return place.ran(coverage.get(join(root, place.file)) ?? []);
}

/** Tags of a file of tests and of all that it imports of the folder test. */
export function tagsOfTest(file: string): TaggedCode[] {
	return [...importsOf(file)].filter(isTestCode).flatMap(readTags);
}

/** What a file of tests has shown. */
export interface Proof {
	/** Of each item that it names: have the test under the tag and code under the same tag run? */
	readonly items: Record<string, boolean>;
	/** Places reached where a counter goes up. */
	readonly raises: readonly string[];
}

/** Runs a file of tests; a sentence when it fails. */
export function proveByTest(
	file: string,
	code: readonly TaggedCode[],
	raises: readonly TaggedCode[],
): Proof | string {
	const coverage = runCovered([file]);
	if (typeof coverage === 'string') {
		return coverage;
	}
	const reached = new Set(code.filter((place) => hasRun(place, coverage)).flatMap((p) => p.items));
	const items: Record<string, boolean> = {};
	for (const tag of tagsOfTest(file)) {
		const ran = hasRun(tag, coverage);
		for (const item of tag.items) {
			items[item] = items[item] === true || (ran && reached.has(item));
		}
	}
	const raised = raises.filter((place) => hasRun(place, coverage));
	return { items: sorted(items), raises: raised.map(placeName) };
}

/** Something in which a kernel's answers are compared with ours, all that can be seen of them. */
export interface Suite {
	/** Words of the column "judged by". */
	readonly name: string;
	/** Files with their arguments; all belong to the suite. */
	readonly commands: readonly (readonly string[])[];
	/** Needs root, and minutes. */
	readonly live: boolean;
}

const running = `live ${/^\d+\.\d+/.exec(release())?.[0] ?? release()}`;

export const SUITES: readonly Suite[] = [
	{
		name: 'golden',
		commands: [['test/golden/golden.test.ts'], ['test/netlink/netlink-golden.test.ts']],
		live: false,
	},
	{
		name: running,
		commands: [
			['test/kernel-netlink/main.ts', '--seconds', '60'],
			['test/kernel-netlink/socket-policies.isolated.test.ts'],
			['test/netlink-live/kernel.isolated.test.ts'],
			['test/ip-against-xfrm/main.ts', '--real', '0'],
		],
		live: true,
	},
	{ name: 'live 6.1', commands: [['test/kernel/main.ts', '--cases', '400']], live: true },
];

/** Runs a suite: the tagged places that it reached; a sentence when it could not run whole. */
export function runSuite(suite: Suite, code: readonly TaggedCode[]): string[] | string {
	const reached = new Set<string>();
	for (const command of suite.commands) {
		const coverage = runCovered(command);
		if (typeof coverage === 'string') {
			return coverage;
		}
		for (const place of code.filter((one) => hasRun(one, coverage))) {
			reached.add(placeName(place));
		}
	}
	return [...reached].sort();
}
