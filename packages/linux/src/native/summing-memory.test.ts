// Node has what the memory is made of; that it sums as any other is shown with the providers (native.test.ts).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SummingMemory } from './summing-memory.ts';

test('a memory of whole pages sums octets across its blocks of sixteen', () => {
	const memory = new SummingMemory(70_000);
	assert.equal(memory.buffer.byteLength, 2 * 65_536);
	const bytes = new Uint8Array(memory.buffer);
	bytes.set([0x12, 0x34, 0xff], 101);
	bytes.set([0x01], 119);
	// 1234 + ff00 … + 0100, and what was there before.
	assert.equal(memory.add(101, 19, 0x0011), 0x1246);
	assert.equal(memory.add(101, 3, 0), 0x1135);
});
