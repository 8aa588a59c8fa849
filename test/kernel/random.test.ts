import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GENERATOR_VERSION, parseSeed } from './random.ts';

test('a seed may say its version, and another version is refused', () => {
	assert.equal(parseSeed('7'), 7);
	assert.equal(parseSeed(`${GENERATOR_VERSION}:7`), 7);
	assert.match(String(parseSeed(`${GENERATOR_VERSION + 1}:7`)), /another history/);
	for (const text of ['', 'x', '1:', ':1', '-1', '1.5', '99999999999']) {
		assert.match(String(parseSeed(text)), /no seed/, text);
	}
});
