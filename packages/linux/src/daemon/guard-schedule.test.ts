import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuardSchedule } from './guard-schedule.ts';

const MS = 1000;
const START = 1_764_000_000_000_000;

test('few policies: always at once, however long it takes', () => {
	const schedule = new GuardSchedule();
	let now = START;
	for (let i = 0; i < 1000; i++) {
		schedule.requested(now);
		assert.equal(schedule.isDue(now, 64), true);
		schedule.wrote(now, now + 500 * MS);
		now += 500 * MS;
	}
});

/** Requests, a millisecond each, that change a large table; how often it is written, and when at last. */
function batch(requests: number, took: number): { writings: number; lag: number } {
	const schedule = new GuardSchedule();
	let [now, writings, stale] = [START, 0, false];
	for (let i = 0; i < requests; i++) {
		now += MS;
		schedule.requested(now);
		stale = true;
		if (schedule.isDue(now, 10_000)) {
			schedule.wrote(now, now + took);
			now += took;
			writings++;
			stale = false;
		}
	}
	const end = now;
	while (stale) {
		now = Math.max(now + 1, schedule.deadlineUs);
		stale = !schedule.isDue(now, 10_000);
	}
	return { writings, lag: now - end };
}

test('many policies: a burst at once, then a fifth of the time, and soon after the last', () => {
	assert.equal(batch(60, 10 * MS).writings, 60);
	const { writings, lag } = batch(10_000, 100 * MS);
	assert.ok(writings >= 64 && writings < 110, `${writings} writings`);
	assert.ok(lag <= 60 * MS, `${lag} µs behind the last request`);
});
