import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import { Errno } from '@xfrm/wire/xfrm';
import { ffiNative } from '../native/ffi.ts';
import type { Native } from '../native/seam.ts';
import { hasNetAdmin } from '../requirement.ts';
import { Practice } from './practice.ts';
import { SequenceLedger } from './sequence-ledger.ts';

const NOW_US = 1_764_000_000_000_000;
const skip = hasNetAdmin() ? false : 'needs CAP_NET_ADMIN, to be granted what is asked';

/** Of this process. */
function sockets(): number {
	const links = readdirSync('/proc/self/fd').map((fd) => {
		try {
			return readlinkSync(`/proc/self/fd/${fd}`);
		} catch {
			return 'gone';
		}
	});
	return links.filter((link) => link.startsWith('socket:')).length;
}

test('practice comes to an end, and leaves policies in its tables but nothing else', {
	skip,
}, () => {
	const folder = mkdtempSync(join(tmpdir(), 'xfrm-practice-'));
	const ledger = new SequenceLedger(join(folder, 'ledger'));
	const native = ffiNative();
	const lanes: number[] = [];
	const laneOf = (mark: number): number => lanes.push(mark) - lanes.length;
	const before = sockets();
	const practice = new Practice({ native, crypto: nullProvider(), ledger, laneOf });
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
	assert.equal(sockets(), before);
	assert.deepEqual(readdirSync(folder), ['ledger']);
	ledger.close();
	rmSync(folder, { recursive: true });
});

test('practice that is denied a socket is over', { skip }, () => {
	class Denying {
		socket(): number {
			return -Errno.EPERM;
		}
		close(): number {
			return -Errno.EBADF;
		}
	}
	const folder = mkdtempSync(join(tmpdir(), 'xfrm-practice-'));
	const ledger = new SequenceLedger(join(folder, 'ledger'));
	const native = new Denying() as unknown as Native;
	const practice = new Practice({ native, crypto: nullProvider(), ledger, laneOf: () => 0 });
	practice.step(NOW_US);
	assert.equal(practice.isOver, true);
	assert.equal(practice.policyCount, 0);
	ledger.close();
	rmSync(folder, { recursive: true });
});
