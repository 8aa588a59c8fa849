/**
 * A golden file judged under a kernel profile: which cases are right, which are not judged, and the first
 * difference of each that fails. `run.ts` prints it, `golden.test.ts` asks for the complete ones.
 */
import { PROFILES } from '@xfrm/engine';
import type { NetlinkCase, RawCase } from '../netlink/netlink-case.ts';
import { runNetlinkCase, runRawCase } from '../netlink/netlink-runner.ts';
import type { Difference } from './difference.ts';
import { type ExplainCase, runExplainCase } from './explain-runner.ts';
import { availableOf, type Entry, readLines, readProfiles } from './golden-files.ts';
import { type PolicyCase, runPolicyCase } from './policy-runner.ts';
import type { VectorCase } from './vector-case.ts';
import { runVectorCase } from './vector-runner.ts';

export interface CaseReport {
	readonly id: string;
	/** Lines or flows that are right, and how many there are. */
	readonly right: number;
	readonly of: number;
	readonly difference?: Difference | undefined;
	readonly skipped?: string | undefined;
	readonly tags: readonly string[];
}

/** `FILE (PROFILE)`, as the lines of the runner begin and as golden/complete.json has it. */
export function entryName(entry: Entry): string {
	return `${entry.file} (${entry.profile})`;
}

/** Runs the cases of an entry that `wanted` picks by their id; returns false when the file is absent. */
export function* runEntry(
	folder: string,
	entry: Entry,
	wanted: (id: string) => boolean,
): Generator<CaseReport, boolean> {
	switch (entry.kind) {
		case 'cases':
			return yield* each<VectorCase>(folder, entry, wanted, (one) => runVector(one, entry));
		case 'policies':
			return yield* each<PolicyCase>(folder, entry, wanted, (one) => runPolicy(one, entry));
		case 'explain':
			return yield* each<ExplainCase>(folder, entry, wanted, runExplain);
		case 'netlink':
			return yield* each<NetlinkCase>(folder, entry, wanted, (one) => runNetlink(one, entry));
		case 'netlink-raw':
			return yield* each<RawCase>(folder, entry, wanted, (one) => runNetlink(one, entry));
		case 'later':
			return readLines(folder, entry.file) !== undefined;
	}
}

/** The older netlink file has no names: a line is called by its first command. */
function idOf(one: Named): string {
	return one.id ?? one.commands?.[0]?.cmd ?? '';
}

interface Named {
	readonly id?: string;
	readonly commands?: NetlinkCase['commands'];
}

function* each<T extends Named>(
	folder: string,
	entry: Entry,
	wanted: (id: string) => boolean,
	run: (one: T) => CaseReport,
): Generator<CaseReport, boolean> {
	const cases = readLines<T>(folder, entry.file);
	for (const one of cases ?? []) {
		if (wanted(idOf(one))) {
			yield run(one);
		}
	}
	return cases !== undefined;
}

const { available } = readProfiles();

function runVector(one: VectorCase, entry: Entry): CaseReport {
	const { id, tags } = one;
	const text = available[entry.available];
	if (text === undefined) {
		throw new RangeError(`golden/profiles.json has no available "${entry.available}"`);
	}
	const unjudged = Object.entries(entry.unjudged ?? {}).find(
		([name]) => name === id || tags.includes(name),
	);
	if (unjudged !== undefined) {
		return { id, tags, right: 0, of: 0, skipped: unjudged[1] };
	}
	try {
		const newer = entry.file.endsWith('-619');
		const result = runVectorCase(one, PROFILES[entry.profile], availableOf(text), newer);
		if (result !== undefined && 'skipped' in result) {
			return { id, tags, right: 0, of: 0, skipped: result.skipped };
		}
		return { id, tags, right: result === undefined ? 1 : 0, of: 1, difference: result };
	} catch (error) {
		return { id, tags, right: 0, of: 1, difference: thrown(error) };
	}
}

function runPolicy(one: PolicyCase, entry: Entry): CaseReport {
	const of = one.flows.length;
	try {
		return { id: one.id, tags: [], of, ...runPolicyCase(one, PROFILES[entry.profile]) };
	} catch (error) {
		return { id: one.id, tags: [], right: 0, of, difference: thrown(error) };
	}
}

function runExplain(one: ExplainCase): CaseReport {
	const { id } = one;
	try {
		const difference = runExplainCase(one);
		return { id, tags: [], right: difference === undefined ? 1 : 0, of: 1, difference };
	} catch (error) {
		return { id, tags: [], right: 0, of: 1, difference: thrown(error) };
	}
}

/** Interfaces by number, which the netlink files do not tell. */
const DEVICES: Readonly<Record<'6.1' | '7.1', Readonly<Record<string, number>>>> = {
	'6.1': { lo: 1, lan: 2, wan: 3 },
	'7.1': { lo: 1, lan: 3, wan: 4 },
};

function runNetlink(one: NetlinkCase | RawCase, entry: Entry): CaseReport {
	const id = idOf(one);
	const profile = PROFILES[entry.profile];
	const text = available[entry.available];
	if (text === undefined) {
		throw new RangeError(`golden/profiles.json has no available "${entry.available}"`);
	}
	try {
		const has = availableOf(text);
		const release = entry.profile === 'linux61' ? '6.1' : '7.1';
		const difference =
			'requests' in one
				? runRawCase(one, profile, has)
				: runNetlinkCase(one, profile, has, release, DEVICES[release]);
		return { id, tags: [], right: difference === undefined ? 1 : 0, of: 1, difference };
	} catch (error) {
		return { id, tags: [], right: 0, of: 1, difference: thrown(error) };
	}
}

/** An exception is a failure of the case that it happened in. */
function thrown(error: unknown): Difference {
	const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
	const have = text.split('\n').slice(0, 4).join(' ');
	return { field: 'exception', want: 'none', have };
}
