import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
	checksumAdd,
	checksumAddView,
	checksumAddWord,
	checksumFold,
	checksumUpdate,
	ipv4PseudoSum,
	ipv6PseudoSum,
	pseudoHeaderSum,
} from './checksum.ts';
import { parseHex } from './hex.ts';

function bytesOf(hex: string): Uint8Array {
	const bytes = parseHex(hex);
	assert.ok(bytes instanceof Uint8Array);
	return bytes;
}

/** The plain twin: all words added as one big number, then folded. */
function plainChecksum(bytes: Uint8Array): number {
	let sum = 0n;
	for (let i = 0; i < bytes.length; i += 2) {
		sum += (BigInt(bytes[i] ?? 0) << 8n) | BigInt(bytes[i + 1] ?? 0);
	}
	while (sum > 0xffffn) {
		sum = (sum & 0xffffn) + (sum >> 16n);
	}
	return Number(~sum & 0xffffn);
}

test('the example of RFC 1071 §3 sums to ddf2', () => {
	assert.equal(checksumAdd(bytesOf('0001 f203 f4f5 f6f7'), 0, 8, 0), 0xddf2);
	assert.equal(checksumFold(0xddf2), 0x220d);
});

test('any bytes, of odd length too, have the checksum of the plain twin', () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
			assert.equal(checksumFold(checksumAdd(bytes, 0, bytes.length, 0)), plainChecksum(bytes));
		}),
	);
});

test('carries survive the largest packet', () => {
	for (const octets of [32767, 32768, 32769, 65535, 65575]) {
		const bytes = new Uint8Array(octets).fill(0xff);
		assert.equal(
			checksumFold(checksumAdd(bytes, 0, octets, 0xffff)),
			plainChecksum(bytes),
			`${octets}`,
		);
	}
});

test('pieces of even length add up to the whole, in bytes and in a view', () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(100), (bytes, half) => {
			const cut = Math.min(2 * half, bytes.length & ~1);
			const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
			const whole = checksumAdd(bytes, 0, bytes.length, 0);
			assert.equal(checksumAdd(bytes, cut, bytes.length, checksumAdd(bytes, 0, cut, 0)), whole);
			assert.equal(checksumAdd(bytes, cut, bytes.length, checksumAddView(view, 0, cut, 0)), whole);
		}),
	);
});

test('an update of one word gives what computing anew gives', () => {
	fc.assert(
		fc.property(
			fc.uint8Array({ minLength: 20, maxLength: 20 }),
			fc.nat(9),
			fc.nat(0xffff),
			(bytes, word, now) => {
				const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
				bytes[0] = 0x45; // a header is never all zeros, where RFC 1624 would leave two answers
				const before = checksumFold(checksumAdd(bytes, 0, 20, 0));
				const old = view.getUint16(word * 2);
				view.setUint16(word * 2, word === 0 ? now | 0x4000 : now);
				const updated = checksumUpdate(before, old, view.getUint16(word * 2));
				assert.equal(updated, checksumFold(checksumAdd(bytes, 0, 20, 0)));
			},
		),
	);
});

test('pseudo headers cover addresses, length and protocol', () => {
	const ipv4 = bytesOf('45000000 00000000 40110000 c0a80001 c0a800c7');
	const ipv6 = bytesOf(`60000000 00001140 ${'20010db8'.repeat(4)} ${'fe800001'.repeat(4)}`);
	const viewOf = (bytes: Uint8Array): DataView =>
		new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	assert.equal(
		ipv4PseudoSum(viewOf(ipv4), 0, 0x010c, 17),
		checksumAdd(bytesOf('c0a80001 c0a800c7 0011 010c'), 0, 12, 0),
	);
	assert.equal(
		ipv6PseudoSum(viewOf(ipv6), 0, 0x1010c, 58),
		checksumAdd(
			bytesOf(`${'20010db8'.repeat(4)} ${'fe800001'.repeat(4)} 0001010c 0000003a`),
			0,
			40,
			0,
		),
	);
	assert.equal(
		pseudoHeaderSum(viewOf(ipv6), 10, 8, 24, 8, 6),
		ipv6PseudoSum(viewOf(ipv6), 0, 8, 6),
	);
	assert.equal(checksumAddWord(0xffff, 0xffff), 0xffff);
});
