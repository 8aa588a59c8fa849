import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Wakefulness } from './wakefulness.ts';

/** Requests, each so many microseconds behind the answer to the one before: was the loop awake for them? */
function awakeFor(wakefulness: Wakefulness, gaps: readonly number[]): readonly boolean[] {
	let now = 1_764_000_000_000_000;
	return gaps.map((gap) => {
		wakefulness.answered(now);
		const end = now + gap;
		let awake = true;
		for (; now < end; now += 10) {
			awake = wakefulness.isAwake(now);
		}
		return awake;
	});
}

test('awake for who asks again at once, and for nobody who does not', () => {
	assert.deepEqual(awakeFor(new Wakefulness(2), [50, 50, 90, 50]), [true, true, true, true]);
	assert.deepEqual(awakeFor(new Wakefulness(2), [500]), [false]);
	assert.deepEqual(awakeFor(new Wakefulness(1), [50, 50]), [false, false], 'one processor');
});

test('what is in vain is tried more and more seldom, until it is not', () => {
	const wakefulness = new Wakefulness(2);
	let trials = 0;
	let now = 0;
	for (let i = 0; i < 1000; i++) {
		now += 1000;
		wakefulness.answered(now);
		trials += wakefulness.isAwake(now + 1) ? 1 : 0;
		wakefulness.isAwake(now + 500);
	}
	assert.equal(trials, 6 + Math.floor((1000 - 63) / 64));
	const gaps = new Array<number>(200).fill(50);
	const awake = awakeFor(wakefulness, gaps);
	const first = awake.indexOf(true);
	assert.ok(first <= 64, `${first}`);
	assert.ok(awake.slice(first).every((each) => each));
});
