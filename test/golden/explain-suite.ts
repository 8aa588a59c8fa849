/** `explain` asked about all packets or flows of a golden file, under the profile of an entry. */
import { PROFILES } from '@xfrm/engine';
import { formatDifference } from './difference.ts';
import { explainPolicies } from './explain-policies.ts';
import { explainVector, type VectorAnswers } from './explain-vectors.ts';
import { availableOf, type Entry, readLines, readProfiles } from './golden-files.ts';
import type { PolicyCase } from './policy-runner.ts';
import type { VectorCase } from './vector-case.ts';

/** What `explain` was right about, and what it was not asked, by reason. */
export interface AskedReport {
	readonly right: number;
	readonly of: number;
	readonly unasked: ReadonlyMap<string, number>;
	/** The first difference of each case that has one. */
	readonly wrong: readonly string[];
}

const { available } = readProfiles();

/** Asks about all cases of an entry that `wanted` picks; files without packets or flows have none. */
export function askEntry(
	folder: string,
	entry: Entry,
	wanted: (id: string) => boolean,
): AskedReport {
	let [right, of] = [0, 0];
	const unasked = new Map<string, number>();
	const wrong: string[] = [];
	const isAsked = entry.kind === 'cases' || entry.kind === 'policies';
	// A case of another kernel is that kernel's.
	const cases = isAsked && entry.informative !== true ? readLines(folder, entry.file) : undefined;
	for (const one of (cases ?? []) as readonly (VectorCase | PolicyCase)[]) {
		if (!wanted(one.id)) {
			continue;
		}
		const answers = askCase(one, entry);
		right += answers.right;
		of += answers.of;
		for (const [reason, packets] of answers.unasked) {
			unasked.set(reason, (unasked.get(reason) ?? 0) + packets);
		}
		if (answers.difference !== undefined) {
			wrong.push(`${one.id}: ${formatDifference(answers.difference)}`);
		}
	}
	return { right, of, unasked, wrong };
}

function askCase(one: VectorCase | PolicyCase, entry: Entry): VectorAnswers {
	const profile = PROFILES[entry.profile];
	if ('flows' in one) {
		return { of: one.flows.length, unasked: new Map(), ...explainPolicies(one, profile) };
	}
	const text = available[entry.available];
	if (text === undefined) {
		throw new RangeError(`golden/profiles.json has no available "${entry.available}"`);
	}
	return explainVector(one, profile, availableOf(text), entry.file.endsWith('-619'));
}
