import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import { ffiNative } from '../native/ffi.ts';
import { hasNetAdmin } from '../requirement.ts';
import { Practice } from './practice.ts';

const NOW_US = 1_764_000_000_000_000;
const skip = hasNetAdmin() ? false : 'needs CAP_NET_ADMIN, to be granted what is asked';

function practiceIn(folder: string, lanes: number[] = []): Practice {
	const laneOf = (mark: number): number => lanes.push(mark) - lanes.length;
	return new Practice({ native: ffiNative(), crypto: nullProvider(), folder, laneOf });
}

test('practice comes to an end, and leaves policies in its tables but nothing else', {
	skip,
}, () => {
	const folder = mkdtempSync(join(tmpdir(), 'xfrm-practice-'));
	const lanes: number[] = [];
	const practice = practiceIn(folder, lanes);
	let most = 0;
	let steps = 0;
	for (; !practice.isOver; steps++) {
		practice.step(NOW_US);
		most = Math.max(most, practice.policyCount);
	}
	assert.equal(steps, 500);
	assert.equal(most, 64, 'all are granted');
	assert.ok(practice.policyCount > 0, `${practice.policyCount}`);
	assert.deepEqual([...new Set(lanes)], [0], 'no lane is made for it');
	assert.equal(existsSync(join(folder, 'practice')), false);
	rmSync(folder, { recursive: true });
});

test('where nothing can be written there is none', { skip }, () => {
	const practice = practiceIn('/proc/self/nowhere');
	practice.step(NOW_US);
	assert.equal(practice.isOver, true);
	assert.equal(practice.policyCount, 0);
});
