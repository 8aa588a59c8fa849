import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeDone, encodeError, splitMessages } from '@xfrm/netlink';
import { dependsOnOptions, fitted } from './ack-options.ts';

/** A request with so many octets of payload. */
function requestOf(octets: number) {
	const bytes = new Uint8Array(16 + octets).fill(7);
	new DataView(bytes.buffer).setUint32(0, bytes.length, true);
	const [raw] = splitMessages(bytes);
	assert.ok(raw);
	return raw;
}

const extended = { message: 'no', offset: 20 };

test('a refusal is what the server would have written for these options', () => {
	for (const octets of [0, 1, 4, 232]) {
		const request = requestOf(octets);
		for (const told of [{}, { extended }]) {
			const whole = encodeError(request, 22, { pid: 9, capAck: false, ...told });
			assert.ok(dependsOnOptions(whole));
			for (const capAck of [false, true]) {
				const with_ = encodeError(request, 22, { pid: 9, capAck, ...told });
				const without = encodeError(request, 22, { pid: 9, capAck });
				assert.deepEqual(fitted(whole, { extAck: true, capAck }), with_);
				assert.deepEqual(fitted(whole, { extAck: false, capAck }), without);
			}
		}
	}
});

test('a warning beside success is for those who want to be told', () => {
	const warned = encodeError(requestOf(8), 0, { pid: 9, capAck: false, extended });
	assert.ok(dependsOnOptions(warned));
	assert.deepEqual(fitted(warned, { extAck: true, capAck: true }), warned);
	const plain = encodeError(requestOf(8), 0, { pid: 9, capAck: false });
	assert.deepEqual(fitted(warned, { extAck: false, capAck: false }), plain);
});

test('the end of a dump says why it is no whole one to those who want to be told', () => {
	const header = { seq: 5, pid: 9 };
	const whole = encodeDone(header, 22, extended);
	assert.ok(dependsOnOptions(whole));
	assert.deepEqual(fitted(whole, { extAck: true, capAck: true }), whole);
	assert.deepEqual(fitted(whole, { extAck: false, capAck: true }), encodeDone(header, 22));
});

test('what everybody is sent alike needs no look', () => {
	const acknowledged = encodeError(requestOf(8), 0, { pid: 9, capAck: false });
	for (const alike of [acknowledged, encodeDone({ seq: 5, pid: 9 }, 0), new Uint8Array(16)]) {
		assert.equal(dependsOnOptions(alike), false);
	}
});
