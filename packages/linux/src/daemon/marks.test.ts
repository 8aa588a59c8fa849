import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BYPASS_MARK, CAPTURE_MARK, LANES_MAX } from './marks.ts';

test('no mark has a bit that kube-proxy looks for', () => {
	for (let lane = 0; lane < LANES_MAX; lane++) {
		assert.equal((CAPTURE_MARK + lane) & 0xc000, 0);
	}
	assert.equal(BYPASS_MARK & 0xc000, 0);
	assert.notEqual(BYPASS_MARK & ~0xff, CAPTURE_MARK);
});
