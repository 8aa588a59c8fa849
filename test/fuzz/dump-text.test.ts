import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dumpTextTarget } from './dump-text-target.ts';

test('a thousand damaged texts: each is read or refused with a place', () => {
	let watched = 0;
	const { inputs, fault } = dumpTextTarget.run({
		seed: 3,
		goesOn: () => watched < 1000,
		watch: () => {
			watched++;
		},
	});
	assert.deepEqual([inputs, fault], [1000, undefined]);
});
