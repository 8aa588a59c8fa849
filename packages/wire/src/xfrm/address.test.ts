import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
	addressEquals,
	addressFrom,
	anyAddress,
	formatAddress,
	isAnyAddress,
	parseAddress,
	prefixMatches,
} from './address.ts';
import { Family } from './constants.ts';

function addressOf(text: string): Uint8Array {
	const parsed = parseAddress(text);
	assert.ok(parsed !== undefined, text);
	return parsed.address;
}

test('addresses print as inet_ntop(3) of glibc prints them', () => {
	const rows: readonly (readonly [string, string])[] = [
		['0:0:0:0:0:0:0:0', '::'],
		['0:0:0:0:0:0:0:1', '::1'],
		['1:0:0:0:0:0:0:0', '1::'],
		['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
		['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
		['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
		['1:2:3:4:5:6:0:0', '1:2:3:4:5:6::'],
		['0:0:0:0:0:ffff:c000:201', '::ffff:192.0.2.1'],
		['0:0:0:0:0:0:c000:201', '::192.0.2.1'],
		['0:0:0:0:0:0:1:0', '::0.1.0.0'],
		['0:0:0:0:ffff:0:c000:201', '::ffff:0:c000:201'],
		['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
		['192.0.2.1', '192.0.2.1'],
		['255.255.255.255', '255.255.255.255'],
	];
	for (const [text, want] of rows) {
		const parsed = parseAddress(text);
		assert.ok(parsed !== undefined, text);
		assert.equal(formatAddress(parsed.address, parsed.family), want);
	}
});

test('what is printed is read back, for both families', () => {
	fc.assert(
		fc.property(
			fc.uint8Array({ minLength: 16, maxLength: 16 }),
			fc.uint8Array(),
			(bytes, zeros) => {
				for (const at of zeros) {
					bytes[at & 15] = 0;
				}
				const ipv6 = formatAddress(bytes, Family.Ipv6);
				assert.deepEqual(parseAddress(ipv6), { address: bytes, family: Family.Ipv6 });
				const ipv4 = addressFrom(bytes, 3, 4);
				const text = formatAddress(ipv4, Family.Ipv4);
				assert.deepEqual(parseAddress(text), { address: ipv4, family: Family.Ipv4 });
			},
		),
	);
});

test('text is an address exactly when inet_pton(3) says so', () => {
	const piece = fc.constantFrom(
		':',
		'::',
		'.',
		'0',
		'1',
		'ff',
		'12345',
		'g',
		'255',
		'256',
		'00',
		'1.2.3.4',
		' ',
	);
	fc.assert(
		fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
			const text = pieces.join('');
			assert.equal(parseAddress(text) !== undefined, isIP(text) !== 0, text);
		}),
		{ numRuns: 2000 },
	);
	const refused = [
		'',
		':',
		':::',
		'1::2::3',
		'1:2:3:4:5:6:7',
		'1:2:3:4:5:6:7:8:9',
		'1:2:3:4:5:6:7::8:9',
		'::1%eth0',
		'1.2.3',
		'1.2.3.4.5',
		'01.2.3.4',
		'1.2.3.256',
		'::1.2.3',
		'1.2.3.4::',
		'::12345',
	];
	for (const text of refused) {
		assert.equal(parseAddress(text), undefined, text);
	}
	for (const text of ['1:2:3:4:5:6:7::', '::1:2:3:4:5:6:7', '1:2:3:4:5:6:1.2.3.4']) {
		assert.ok(parseAddress(text) !== undefined, text);
	}
});

// @spec P-25
test('prefixes match by bits', () => {
	const rows: readonly (readonly [string, string, number, number, boolean])[] = [
		['192.0.2.1', '203.0.113.9', 0, Family.Ipv4, true],
		['192.0.2.1', '192.0.2.0', 24, Family.Ipv4, true],
		['192.0.3.1', '192.0.2.0', 24, Family.Ipv4, false],
		['192.0.3.1', '192.0.2.0', 23, Family.Ipv4, true],
		['192.0.2.1', '192.0.2.1', 32, Family.Ipv4, true],
		['192.0.2.1', '192.0.2.0', 32, Family.Ipv4, false],
		['192.0.2.1', '192.0.2.1', 33, Family.Ipv4, false],
		['2001:db8::1', '2001:db8::', 127, Family.Ipv6, true],
		['2001:db8::1', '2001:db8::', 128, Family.Ipv6, false],
		['2001:db8::1', '2001:db8::', 126, Family.Ipv6, true],
		['2001:db8::1', '2001:db8::1', 128, Family.Ipv6, true],
		['2001:db8::1', '2001:db8::1', 129, Family.Ipv6, false],
	];
	for (const [address, network, prefix, family, want] of rows) {
		const got = prefixMatches(addressOf(address), addressOf(network), prefix, family);
		assert.equal(got, want, `${address} in ${network}/${prefix}`);
	}
});

test('the octets behind an IPv4 address do not count', () => {
	const dirty = anyAddress();
	dirty[15] = 1;
	assert.equal(isAnyAddress(dirty, Family.Ipv4), true);
	assert.equal(isAnyAddress(dirty, Family.Ipv6), false);
	assert.equal(addressEquals(dirty, anyAddress(), Family.Ipv4), true);
	assert.equal(addressEquals(dirty, anyAddress(), Family.Ipv6), false);
});
