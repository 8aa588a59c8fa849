import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasNetAdminIn } from '../requirement.ts';
import { mayConfigure, senderCredentials } from './credentials.ts';

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
