import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Agenda } from './agenda.ts';
import { SimRandom } from './random.ts';

test('entries come by time, equal ones in the order of entering, as a sorted list has them', () => {
	const random = new SimRandom(5);
	const agenda = new Agenda(100);
	const entries = Array.from({ length: 300 }, (_, i) => ({ at: random.between(50, 140), i }));
	const taken: number[] = [];
	for (const { at, i } of entries) {
		agenda.at(at, () => taken.push(i));
	}
	for (let action = agenda.take(1000); action !== undefined; action = agenda.take(1000)) {
		action();
	}
	// What was due before now is due now.
	const expected = entries
		.map(({ at, i }) => ({ at: Math.max(at, 100), i }))
		.sort((a, b) => a.at - b.at || a.i - b.i);
	assert.deepEqual(
		taken,
		expected.map(({ i }) => i),
	);
	assert.equal(agenda.size, 0);
});

test('nothing behind the end is taken, and the clock stands at what was taken', () => {
	const agenda = new Agenda(0);
	agenda.after(10, () => undefined);
	agenda.after(20, () => undefined);
	assert.notEqual(agenda.take(15), undefined);
	assert.equal(agenda.nowUs, 10);
	assert.equal(agenda.take(15), undefined);
	assert.equal(agenda.nowUs, 10);
});
