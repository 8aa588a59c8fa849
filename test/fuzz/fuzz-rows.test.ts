/** A moment of each target; what its corpus holds, and every input that once did harm. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readCorpus, readRows } from './corpus.ts';
import { faultOf, hunt } from './subject.ts';
import { subjectTargets } from './subject-targets.ts';

/** Inputs of a moment: seeds and damaged ones by turns. */
const INPUTS: Readonly<Record<string, number>> = { 'dump-text': 1000, rules: 250, captures: 600 };

for (const target of subjectTargets) {
	describe(`fuzz ${target.name}`, () => {
		it('takes some damaged input', () => {
			let watched = 0;
			const most = INPUTS[target.name] ?? 400;
			const { inputs, fault } = hunt(target).run({
				seed: 3,
				goesOn: () => watched < most,
				watch: () => {
					watched++;
				},
			});
			assert.deepEqual([inputs, fault], [most, undefined]);
		});

		it('takes its corpus', () => {
			const subject = target.open();
			for (const input of readCorpus(target.name)) {
				assert.doesNotThrow(() => subject.attempt(input), Buffer.from(input).toString('hex'));
			}
		});

		for (const [i, row] of readRows(target.name).entries()) {
			it(`takes row ${i + 1} of rows/${target.name}.txt, alone`, () => {
				assert.equal(faultOf(target, row), undefined);
			});
		}
	});
}
