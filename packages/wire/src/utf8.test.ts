import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeCString, decodeUtf8, encodeUtf8 } from './utf8.ts';

test('any text is encoded as TextEncoder does it', () => {
	fc.assert(
		fc.property(fc.string({ unit: 'binary' }), (text) => {
			assert.deepEqual(encodeUtf8(text), new TextEncoder().encode(text));
		}),
	);
	assert.deepEqual(encodeUtf8('\ud800x'), new TextEncoder().encode('\ud800x'));
});

test('valid text comes back, bytes that are no text never fail', () => {
	fc.assert(
		fc.property(fc.string({ unit: 'binary' }), (text) => {
			assert.equal(decodeUtf8(encodeUtf8(text)), text);
		}),
	);
	fc.assert(
		fc.property(fc.uint8Array(), (bytes) => {
			assert.equal(typeof decodeUtf8(bytes), 'string');
		}),
	);
	const rows: readonly (readonly [number[], string])[] = [
		[[0xc0, 0x80], '\ufffd\ufffd'],
		[[0xe2, 0x82], '\ufffd\ufffd'],
		[[0xed, 0xa0, 0x80], '\ufffd\ufffd\ufffd'],
		[[0xf4, 0x90, 0x80, 0x80], '\ufffd\ufffd\ufffd\ufffd'],
		[[0x61, 0xff, 0x62], 'a\ufffdb'],
	];
	for (const [octets, want] of rows) {
		assert.equal(decodeUtf8(Uint8Array.from(octets)), want);
	}
});

test('a C string ends at its first zero', () => {
	assert.equal(decodeCString(Uint8Array.of(0x65, 0x73, 0x70, 0, 0x78)), 'esp');
	assert.equal(decodeCString(Uint8Array.of(0x65)), 'e');
});
