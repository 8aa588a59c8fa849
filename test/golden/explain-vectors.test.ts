/** Whatever packet a kernel was given in the golden vectors: explain tells what that kernel did with it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { askEntry } from './explain-suite.ts';
import { goldenFolder, readProfiles } from './golden-files.ts';
import { entryName } from './suite.ts';

/** Least packets of a file's entry that are asked about; policy-decisions takes long, and has its runner. */
const LEAST: Readonly<Record<string, number>> = {
	'kernel-vectors (linux61)': 2100,
	'kernel-interfaces (linux61)': 430,
	'kernel-vectors-619 (linux619)': 2900,
	'policy-ties (linux61)': 840,
	'policy-ties (linux619)': 840,
};

describe('explain and kernel agree about every packet of', () => {
	for (const entry of readProfiles().entries) {
		const least = LEAST[entryName(entry)];
		if (least === undefined) {
			continue;
		}
		it(entryName(entry), () => {
			const { right, of, wrong } = askEntry(goldenFolder(), entry, () => true);
			assert.deepEqual(wrong, []);
			assert.equal(right, of);
			// A folder of other cases has other numbers.
			assert.ok(of >= least || process.env['GOLDEN_DIR'] !== undefined, `${of} packets`);
		});
	}
});
