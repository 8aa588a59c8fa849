import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatHex, formatHex32, parseHex } from './hex.ts';

test('hex goes out and comes back', () => {
	fc.assert(
		fc.property(fc.uint8Array(), (bytes) => {
			assert.equal(formatHex(bytes), Buffer.from(bytes).toString('hex'));
			assert.deepEqual(parseHex(formatHex(bytes)), bytes);
		}),
	);
});

test('hex is read as people paste it, or the place of the damage is told', () => {
	const rows: readonly (readonly [string, ReturnType<typeof parseHex>])[] = [
		['', new Uint8Array(0)],
		['0x45 00', Uint8Array.of(0x45, 0)],
		['45:0a:FF', Uint8Array.of(0x45, 0x0a, 0xff)],
		[' 0X4\n5\t', Uint8Array.of(0x45)],
		['0x', new Uint8Array(0)],
		['450', { at: 3, found: 'the end', expected: 'a second digit for the last octet' }],
		['45 zz', { at: 3, found: 'z', expected: 'a hexadecimal digit' }],
		['45 0x00', { at: 4, found: 'x', expected: 'a hexadecimal digit' }],
		['ß5', { at: 0, found: 'ß', expected: 'a hexadecimal digit' }],
	];
	for (const [text, want] of rows) {
		assert.deepEqual(parseHex(text), want, JSON.stringify(text));
	}
});

test('a 32-bit number has eight digits, signed or not', () => {
	assert.equal(formatHex32(0xc0000001 | 0), '0xc0000001');
	assert.equal(formatHex32(0xc0000001), '0xc0000001');
	assert.equal(formatHex32(0), '0x00000000');
});
