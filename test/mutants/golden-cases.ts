/** The golden cases about packets as tests of their own, for mutants: one that fails is found without the others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linux61, linux619 } from '@xfrm/engine';
import { goldenCases } from '../fuzz/golden-packets.ts';
import { availableOf, readComplete, readProfiles } from '../golden/golden-files.ts';
import { runVectorCase } from '../golden/vector-runner.ts';

const { available } = readProfiles();
const complete = readComplete();
const listed = new Set(Object.entries(complete).flatMap(([, ids]) => (ids === 'all' ? [] : ids)));
const isWhole = (file: string, profile: string): boolean =>
	complete[`${file} (${profile})`] === 'all';

for (const one of goldenCases()) {
	const text = available[one.newer ? 'uml619' : 'uml61'];
	const known = one.newer
		? isWhole('kernel-vectors-619', 'linux619') || listed.has(one.id)
		: isWhole('kernel-vectors', 'linux61') || listed.has(one.id);
	if (text !== undefined && known) {
		test(one.id, () => {
			const profile = one.newer ? linux619 : linux61;
			const result = runVectorCase(one, profile, availableOf(text), one.newer);
			assert.ok(result === undefined || 'skipped' in result, JSON.stringify(result));
		});
	}
}
