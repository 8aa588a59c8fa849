import assert from 'node:assert/strict';
import { test } from 'node:test';
import { netlinkTarget } from './netlink-target.ts';

// @spec N-2 N-7 N-8
test('a few thousand hostile datagrams: nothing throws, answers are what a kernel could send', () => {
	let watched = 0;
	const { inputs, fault } = netlinkTarget.run({
		seed: 3,
		goesOn: () => watched < 4000,
		watch: () => {
			watched++;
		},
	});
	assert.deepEqual([inputs, fault], [4000, undefined]);
});
