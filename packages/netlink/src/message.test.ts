import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinMessages, MessageFlag, splitMessages } from './message.ts';
import { MessageWriter } from './message-writer.ts';

function message(type: number, payload: readonly number[]): Uint8Array {
	const writer = new MessageWriter({ type, flags: MessageFlag.Request, seq: 7, pid: 9 });
	writer.appendBytes(Uint8Array.from(payload));
	return writer.finish(true);
}

// @spec N-2
test('a header is length, type, flags, seq and pid, little-endian', () => {
	assert.deepEqual(
		[...message(0x1234, [0xaa])],
		[17, 0, 0, 0, 0x34, 0x12, 1, 0, 7, 0, 0, 0, 9, 0, 0, 0, 0xaa],
	);
});

test('joined messages stand on boundaries of four and come apart again', () => {
	const datagram = joinMessages([
		message(0x10, [1]),
		message(0x11, [2, 3, 4, 5]),
		message(0x12, []),
	]);
	assert.equal(datagram.length, 20 + 20 + 16);
	const view = splitMessages(datagram).map(({ type, payload }) => [type, ...payload]);
	assert.deepEqual(view, [[0x10, 1], [0x11, 2, 3, 4, 5], [0x12]]);
});

// @spec N-16b
test('what is no message ends a datagram in silence', () => {
	const good = message(0x10, [1, 2, 3, 4]);
	const rows: [name: string, rest: number[]][] = [
		['nothing', []],
		['shorter than a header', new Array<number>(15).fill(0)],
		['length below a header', [15, ...new Array<number>(15).fill(0)]],
		['length zero', new Array<number>(16).fill(0)],
		['length beyond the rest', [17, ...new Array<number>(15).fill(0)]],
		['length of all ones', [255, 255, 255, 255, ...new Array<number>(12).fill(0)]],
	];
	for (const [name, rest] of rows) {
		const types = splitMessages(Uint8Array.from([...good, ...rest])).map(({ type }) => type);
		assert.deepEqual(types, [0x10], name);
	}
});

test('memory of a writer grows and what it adds is zero', () => {
	const writer = new MessageWriter({ type: 1, flags: 0, seq: 0, pid: 0 });
	const at = writer.append(5000);
	writer.appendAttribute(3, 2);
	const bytes = writer.finish();
	assert.equal(bytes.length, at + 5000 + 8);
	assert.ok(bytes.subarray(at, at + 5000).every((octet) => octet === 0));
	assert.deepEqual([...bytes.subarray(at + 5000)], [6, 0, 3, 0, 0, 0, 0, 0]);
});
