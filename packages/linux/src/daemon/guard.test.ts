import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Errno } from '@xfrm/wire/xfrm';
import type { Native } from '../native/seam.ts';
import { GuardError, guardStands, removeGuard } from './guard.ts';

/** A kernel whose netlink sockets answer everything with an errno, or that has none (`socket` < 0). */
function kernel(socket: number, errno: number): Native {
	let answers = 0;
	const calls: Partial<Native> = {
		socket: () => socket,
		bind: () => 0,
		close: () => 0,
		setOption: () => 0,
		send: (_fd, bytes) => {
			answers++;
			return bytes.length;
		},
		receive: (_fd, bytes) => {
			if (answers-- <= 0) {
				return -Errno.EAGAIN;
			}
			const view = new DataView(bytes.buffer);
			view.setUint32(0, 20, true);
			view.setUint16(4, 2, true);
			view.setInt32(16, -errno, true);
			return 20;
		},
	};
	return calls as Native;
}

test('a kernel without nf_tables has its sentence', () => {
	const sentence = { name: 'GuardError', message: /no nf_tables.*modprobe nf_tables/ };
	assert.throws(() => guardStands(kernel(-Errno.EPROTONOSUPPORT, 0)), sentence);
	// nfnetlink without the subsystem.
	assert.throws(() => guardStands(kernel(3, Errno.EINVAL)), sentence);
});

test('whether a guard stands', () => {
	assert.equal(guardStands(kernel(3, 0)), true);
	assert.equal(guardStands(kernel(3, Errno.ENOENT)), false);
	assert.throws(() => guardStands(kernel(3, Errno.EPERM)), GuardError);
});

test('what is not there is removed already', () => {
	removeGuard(kernel(3, Errno.ENOENT));
});
