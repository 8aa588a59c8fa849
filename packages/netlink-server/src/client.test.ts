import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NetlinkClient } from './client.ts';

/** A message of so many octets, told by its first one. */
function message(mark: number, octets: number = 1): Uint8Array {
	const bytes = new Uint8Array(octets);
	bytes[0] = mark;
	return bytes;
}

function marks(messages: readonly Uint8Array[]): number[] {
	return messages.map((bytes) => bytes[0] ?? 0);
}

test('a queue takes messages up to its bounds, of number and of octets', () => {
	const rows: [name: string, octets: readonly number[], taken: number][] = [
		['one less', [1, 1], 2],
		['as many as it may be', [1, 1, 1], 3],
		['one more', [1, 1, 1, 1], 3],
		['as large as it may be', [60, 40], 2],
		['one octet more', [60, 41], 1],
		['too large for an empty queue', [101], 0],
	];
	for (const [name, octets, taken] of rows) {
		const client = new NetlinkClient({ portId: 1, queueMax: 3, queueOctetsMax: 100 });
		for (const [i, size] of octets.entries()) {
			client.deliver(message(i, size));
		}
		assert.equal(client.receiveAll().length, taken, name);
		assert.equal(client.takeOverrun(), taken < octets.length, name);
	}
});

test('what is lost is lost at the end: a gap is never between two messages that arrive', () => {
	const client = new NetlinkClient({ portId: 1, queueMax: 2 });
	for (const mark of [1, 2, 3]) {
		client.deliver(message(mark));
	}
	assert.deepEqual([client.takeOverrun(), client.takeOverrun()], [true, false]);
	assert.deepEqual(marks([client.receive() ?? message(0)]), [1]);
	client.deliver(message(4));
	assert.equal(client.takeOverrun(), true, 'there would be room, but 3 is missing in front of it');
	assert.deepEqual(marks([client.receive() ?? message(0)]), [2]);
	assert.equal(client.receive(), undefined);
	client.deliver(message(5));
	assert.deepEqual(marks(client.receiveAll()), [5]);
	assert.equal(client.takeOverrun(), false);
});

test('octets are counted down as messages are read', () => {
	const client = new NetlinkClient({ portId: 1, queueOctetsMax: 100 });
	for (let i = 0; i < 50; i++) {
		client.deliver(message(i, 60));
		assert.deepEqual(marks(i % 2 === 0 ? client.receiveAll() : [client.receive() ?? message(99)]), [
			i,
		]);
		assert.equal(client.receive(), undefined);
	}
	assert.equal(client.takeOverrun(), false);
});
