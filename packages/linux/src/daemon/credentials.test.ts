import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasNetAdminIn } from '../requirement.ts';
import { hasRight, mayConfigure, senderCredentials } from './credentials.ts';

function control(...messages: readonly (readonly number[])[]): Uint8Array {
	const bytes = new Uint8Array(messages.length * 32);
	const view = new DataView(bytes.buffer);
	for (const [index, words] of messages.entries()) {
		view.setUint32(index * 32, 28, true);
		for (const [word, value] of words.entries()) {
			view.setInt32(index * 32 + 8 + 4 * word, value, true);
		}
	}
	return bytes;
}

function message(bytes: Uint8Array, controlOctets: number = bytes.length) {
	return { name: new Uint8Array(12), nameOctets: 12, control: bytes, controlOctets, flags: 0 };
}

test('credentials are found behind other control messages', () => {
	const bytes = control([270, 3, 0, 0, 0], [1, 2, 4711, 1000, 1000]);
	assert.deepEqual(senderCredentials(message(bytes)), { pid: 4711, uid: 1000 });
});

test('no credentials: none, cut, or damaged', () => {
	const good = control([1, 2, 4711, 0, 0]);
	assert.equal(senderCredentials(message(good, 20)), undefined);
	assert.equal(senderCredentials(message(control([270, 3, 0, 0, 0]))), undefined);
	assert.equal(senderCredentials(message(new Uint8Array(64))), undefined);
});

test('CAP_NET_ADMIN is bit 12', () => {
	assert.equal(hasNetAdminIn('Name:\tx\nCapEff:\t0000000000001000\n'), true);
	assert.equal(hasNetAdminIn('CapEff:\t0000000000000fff\n'), false);
	assert.equal(hasNetAdminIn(''), false);
});

test('a process that is gone may do nothing', () => {
	assert.equal(mayConfigure({ pid: 0x3fff_ffff, uid: 0 }), false);
});

const ADMIN = 'CapEff:\t0000000000001000';
const NONE = 'CapEff:\t0000000000000000';

function auxv(secure: number): Uint8Array {
	const words = new BigUint64Array([6n, 4096n, 23n, BigInt(secure), 0n, 0n]);
	return new Uint8Array(words.buffer);
}

function right(uid: number, users: string, caps: string, secure: number = 0): boolean {
	const status = `Name:\tx\nUid:\t${users.replaceAll(' ', '\t')}\nGid:\t0\t0\t0\t0\n${caps}\n`;
	return hasRight(uid, status, auxv(secure));
}

test('who was given CAP_NET_ADMIN may, root as others; not what has become privileged after it sent', () => {
	const rows: readonly (readonly [string, boolean, boolean])[] = [
		['root', right(0, '0 0 0 0', ADMIN), true],
		['root without the capability', right(0, '0 0 0 0', NONE), false],
		['root that acts as another user', right(0, '0 99 99 99', NONE), false],
		['root as another user, capability kept', right(0, '0 99 99 99', ADMIN), true],
		['another user', right(99, '99 99 99 99', NONE), false],
		['another user who was given the capability', right(99, '99 99 99 99', ADMIN), true],
		['became a program of root (su)', right(99, '99 0 0 0', ADMIN, 1), false],
		['which then became root', right(99, '0 0 0 0', ADMIN), false],
		['became a file with capabilities (ping)', right(99, '99 99 99 99', ADMIN, 1), false],
		['nothing known', hasRight(99, '', auxv(0)), false],
		[
			'nothing known of its start',
			hasRight(99, `Uid:\t99\t99\t99\t99\n${ADMIN}\n`, new Uint8Array(0)),
			false,
		],
	];
	for (const [what, has, wanted] of rows) {
		assert.equal(has, wanted, what);
	}
});
