import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
	BUFFER_OCTETS_MAX,
	HEADROOM_OCTETS,
	PACKET_OCTETS_MAX,
	PacketBuffer,
	TAILROOM_OCTETS,
} from './packet-buffer.ts';

test('a buffer holds a copy of the packet, with rooms at both ends', () => {
	const packet = Uint8Array.from([1, 2, 3]);
	const buffer = PacketBuffer.from(packet);
	packet[0] = 9;
	assert.deepEqual([...buffer.copy()], [1, 2, 3]);
	assert.equal(buffer.start, HEADROOM_OCTETS);
	assert.equal(buffer.length, 3);
	assert.equal(buffer.bytes.length - buffer.end, TAILROOM_OCTETS);
	assert.equal(buffer.view.getUint8(buffer.start), 1);
});

test('reserve leaves a buffer alone that has the room', () => {
	const buffer = PacketBuffer.from(Uint8Array.from([1, 2, 3]));
	const { bytes } = buffer;
	assert.equal(buffer.reserve(HEADROOM_OCTETS, TAILROOM_OCTETS), true);
	assert.equal(buffer.bytes, bytes);
});

test('reserve moves the packet and its offsets together, and leaves unknown ones at 0', () => {
	const buffer = PacketBuffer.from(Uint8Array.from([1, 2, 3]));
	buffer.transportAt = buffer.start + 2;
	buffer.slabAt = 7;
	assert.equal(buffer.reserve(HEADROOM_OCTETS + 100, 0), true);
	assert.equal(buffer.slabAt, -1, 'its memory is its own');
	assert.deepEqual([...buffer.copy()], [1, 2, 3]);
	assert.equal(buffer.start, HEADROOM_OCTETS + 100);
	assert.equal(buffer.transportAt, buffer.start + 2);
	assert.equal(buffer.nextHeaderAt, 0);
	assert.equal(buffer.view.buffer, buffer.bytes.buffer);
	buffer.nextHeaderAt = buffer.start + 1;
	assert.equal(buffer.reserve(0, 5000), true);
	assert.equal(buffer.nextHeaderAt, buffer.start + 1);
	assert.ok(buffer.bytes.length - buffer.end >= 5000);
});

test('a buffer grows to the largest packet and no further', () => {
	const buffer = new PacketBuffer(0);
	for (const octets of [PACKET_OCTETS_MAX - 1, PACKET_OCTETS_MAX]) {
		assert.equal(buffer.fill(new Uint8Array(octets).fill(7)), true, `${octets}`);
		assert.equal(buffer.length, octets);
	}
	assert.equal(buffer.bytes.length <= BUFFER_OCTETS_MAX, true);
	assert.equal(buffer.fill(new Uint8Array(PACKET_OCTETS_MAX + 1)), false);
	assert.equal(buffer.length, 0);
	assert.equal(buffer.fill(new Uint8Array(PACKET_OCTETS_MAX)), true);
	assert.equal(buffer.reserve(HEADROOM_OCTETS + 1, 0), false);
	assert.equal(buffer.length, PACKET_OCTETS_MAX);
});

test('fill forgets everything about the packet before', () => {
	const fresh = PacketBuffer.from(Uint8Array.from([5]));
	const used = PacketBuffer.from(Uint8Array.from([1, 2, 3, 4]));
	used.family = 2;
	used.proto = 50;
	used.transportAt = 700;
	used.nextHeaderAt = 649;
	used.mark = 1;
	used.iif = 2;
	used.ifId = 3;
	used.socketId = 4;
	used.forwarded = true;
	used.dontFragment = true;
	used.encapType = 2;
	used.encapSport = 4500;
	used.path[0] = {};
	used.pathCount = 1;
	used.verifiedCount = 1;
	used.flow.proto = 17;
	used.flow.saddr[3] = 1;
	used.verdict = 4;
	used.action = 1;
	used.error = 90;
	assert.equal(used.fill(Uint8Array.from([5])), true);
	for (const name of ['bytes', 'view'] as const) {
		Object.defineProperty(used, name, { value: fresh[name] });
	}
	assert.deepEqual(used, fresh);
});
