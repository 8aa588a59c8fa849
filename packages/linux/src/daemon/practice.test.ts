import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import { hasNetAdmin } from '../requirement.ts';
import { Practice } from './practice.ts';

const NOW_US = 1_764_000_000_000_000;

test('practice comes to an end, and leaves policies in its tables', {
	skip: hasNetAdmin() ? false : 'needs CAP_NET_ADMIN, to be granted what is asked',
}, () => {
	const practice = new Practice(nullProvider(), NOW_US);
	let most = 0;
	let steps = 0;
	for (; !practice.isOver; steps++) {
		practice.step();
		most = Math.max(most, practice.policyCount);
	}
	assert.equal(steps, 500);
	assert.equal(most, 64, 'all are granted');
	assert.ok(practice.policyCount > 0, `${practice.policyCount}`);
});
