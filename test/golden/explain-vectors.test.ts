/** Whatever packet a kernel was given in the golden vectors: explain tells what that kernel did with it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PROFILES } from '@xfrm/engine';
import { explainVector } from './explain-vectors.ts';
import { availableOf, goldenFolder, readLines, readProfiles } from './golden-files.ts';
import type { VectorCase } from './vector-case.ts';

const FILES = [
	{ file: 'kernel-vectors', profile: PROFILES.linux61, kernel: 'uml61', newer: false },
	{ file: 'kernel-vectors-619', profile: PROFILES.linux619, kernel: 'uml619', newer: true },
] as const;

describe('explain and kernel agree about every packet of', () => {
	for (const { file, profile, kernel, newer } of FILES) {
		it(file, () => {
			const text = readProfiles().available[kernel];
			assert.ok(text !== undefined);
			const available = availableOf(text);
			const wrong: string[] = [];
			let packets = 0;
			for (const vector of readLines<VectorCase>(goldenFolder(), file) ?? []) {
				if (!vector.tags.includes('kernel-bug')) {
					const { of, difference } = explainVector(vector, profile, available, newer);
					packets += of;
					if (difference !== undefined) {
						wrong.push(`${vector.id}: ${JSON.stringify(difference)}`);
					}
				}
			}
			assert.deepEqual(wrong, []);
			assert.ok(packets > 2000, `${packets} packets`);
		});
	}
});
