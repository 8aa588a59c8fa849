import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namedTarget } from './target.ts';
import { UsageError } from './usage.ts';

test('the target is named by one of two options, or by none', () => {
	assert.equal(namedTarget({}), undefined);
	assert.equal(namedTarget({ kernel: true }), 'kernel');
	assert.equal(namedTarget({ daemon: true }), 'daemon');
	assert.throws(() => namedTarget({ kernel: true, daemon: true }), UsageError);
});
