/**
 * Every case that golden/complete.json lists gives what the kernel gave. The list may only grow:
 * `npm run test:golden -- --update` adds what has become right.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { goldenFolder, readComplete, readProfiles } from './golden-files.ts';
import { entryName, runEntry } from './suite.ts';

const complete = readComplete();

describe('golden cases that are complete stay complete', () => {
	for (const entry of readProfiles().entries) {
		const name = entryName(entry);
		const listed = complete[name];
		if (listed === undefined) {
			continue;
		}
		it(name, () => {
			const ids = listed === 'all' ? undefined : new Set(listed);
			const wrong: string[] = [];
			const seen = new Set<string>();
			for (const report of runEntry(goldenFolder(), entry, (id) => ids?.has(id) ?? true)) {
				seen.add(report.id);
				if (report.right !== report.of) {
					wrong.push(`${report.id}: ${JSON.stringify(report.difference)}`);
				}
			}
			assert.deepEqual(wrong, []);
			assert.deepEqual(
				[...(ids ?? [])].filter((id) => !seen.has(id)),
				[],
				'listed, but not in the file',
			);
		});
	}

	it('names only files and profiles that are judged', () => {
		const known = readProfiles().entries.map(entryName);
		assert.deepEqual(
			Object.keys(complete).filter((name) => !known.includes(name)),
			[],
		);
	});
});
