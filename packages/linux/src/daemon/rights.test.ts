import assert from 'node:assert/strict';
import { test } from 'node:test';
import { capabilities } from './rights.ts';

test('capabilities of a mask', () => {
	assert.deepEqual(capabilities('0000000000083400'), [10, 12, 13, 19]);
	assert.deepEqual(capabilities('0'), []);
	assert.equal(capabilities('000001ffffffffff').length, 41);
});
