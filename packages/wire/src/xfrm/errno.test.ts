import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { Errno, errnoName, errnoText } from './errno.ts';

test('every error number has its name, its text, and the value of this Linux', () => {
	const known: Readonly<Record<string, number>> = constants.errno;
	for (const [name, value] of Object.entries(Errno)) {
		assert.equal(errnoName(value), name);
		assert.doesNotMatch(errnoText(value), /^Unknown/, name);
		if (process.platform === 'linux' && known[name] !== undefined) {
			assert.equal(value, known[name], name);
		}
	}
});

test('other numbers are shown as such', () => {
	assert.equal(errnoName(4000), 'errno 4000');
	assert.equal(errnoText(4000), 'Unknown error 4000');
});
