import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatHex, parseHex } from './hex.ts';
import {
	type Ipv4Header,
	type Ipv6Header,
	parseIpv4,
	parseIpv6,
	writeIpv4,
	writeIpv6,
} from './ip-header.ts';
import {
	findIpv4Option,
	fitsIpv4,
	Ipv4Option,
	ipv4Checksum,
	ipv4Destination,
	ipv4DontFragment,
	ipv4FragmentOffset,
	ipv4IsFragment,
	ipv4LengthIsSound,
	ipv4MoreFragments,
	ipv4OptionOctets,
	ipv4Source,
	setIpv4Destination,
	setIpv4Source,
	verifyIpv4Checksum,
} from './ipv4.ts';
import {
	fitsIpv6,
	ipv6DestinationWord,
	ipv6LengthIsSound,
	ipv6SourceWord,
	ipv6TrafficClass,
	setIpv6TrafficClass,
	swapIpv6Addresses,
} from './ipv6.ts';
import { addressFrom } from './xfrm/address.ts';

function viewOf(hex: string): DataView {
	const bytes = parseHex(hex);
	assert.ok(bytes instanceof Uint8Array);
	return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function bytesOf(view: DataView): Uint8Array {
	return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

// The example of RFC 1071 in common use: a header whose checksum is b861.
const IPV4 = '45000073 00004000 4011b861 c0a80001 c0a800c7';

test('an IPv4 header is read field by field', () => {
	const view = viewOf(IPV4);
	assert.equal(fitsIpv4(view, 0, 20), true);
	assert.deepEqual(parseIpv4(bytesOf(view), 0, 20), {
		tos: 0,
		totalLength: 0x73,
		id: 0,
		fragmentWord: 0x4000,
		ttl: 64,
		protocol: 17,
		source: addressFrom(Uint8Array.of(192, 168, 0, 1), 0, 4),
		destination: addressFrom(Uint8Array.of(192, 168, 0, 199), 0, 4),
		options: new Uint8Array(0),
	});
	assert.equal(ipv4Checksum(view, 0), 0xb861);
	assert.equal(verifyIpv4Checksum(view, 0), true);
	assert.equal(ipv4DontFragment(view, 0), true);
	assert.equal(ipv4IsFragment(view, 0), false);
	setIpv4Source(view, 0, ipv4Destination(view, 0));
	setIpv4Destination(view, 0, 0x0a000001);
	assert.equal(ipv4Source(view, 0), 0xc0a800c7 | 0);
	assert.equal(verifyIpv4Checksum(view, 0), false);
});

test('IPv4 headers that do not fit are refused', () => {
	const rows: readonly (readonly [string, string, number, boolean])[] = [
		['whole', IPV4, 20, true],
		['one octet short', IPV4, 19, false],
		['version 6', `6${IPV4.slice(1)}`, 20, false],
		['IHL 4', `44${IPV4.slice(2)}`, 20, false],
		['IHL 6 without its options', `46${IPV4.slice(2)}`, 20, false],
		['IHL 6 with its options', `46${IPV4.slice(2)} 01010100`, 24, true],
		['IHL 15', `4f${IPV4.slice(2)} ${'01'.repeat(40)}`, 60, true],
		['IHL 15, one octet short', `4f${IPV4.slice(2)} ${'01'.repeat(40)}`, 59, false],
	];
	for (const [name, hex, end, want] of rows) {
		const view = viewOf(hex);
		assert.equal(fitsIpv4(view, 0, end), want, name);
		assert.equal(parseIpv4(bytesOf(view), 0, end) !== undefined, want, name);
	}
});

test('lengths of IP packets are sound when they cover the header and end in the data', () => {
	const ipv4 = viewOf(`45000018 00000000 40fd0000 0a000001 0a000002 00000000`);
	for (const [total, end, want] of [
		[24, 24, true],
		[24, 23, false],
		[20, 20, true],
		[19, 24, false],
		[0, 24, false],
	] as const) {
		ipv4.setUint16(2, total);
		assert.equal(ipv4LengthIsSound(ipv4, 0, end), want, `IPv4 ${total} of ${end}`);
	}
	const ipv6 = viewOf(`60000000 0004 3b 40 ${'00'.repeat(32)} 00000000`);
	assert.equal(ipv6LengthIsSound(ipv6, 0, 44), true);
	assert.equal(ipv6LengthIsSound(ipv6, 0, 43), false);
});

test('fragment bits and offsets of IPv4', () => {
	const view = viewOf(IPV4);
	const rows: readonly (readonly [number, boolean, boolean, number])[] = [
		[0x0000, false, false, 0],
		[0x8000, false, false, 0],
		[0x4000, false, false, 0],
		[0x2000, true, true, 0],
		[0x2001, true, true, 8],
		[0x1fff, true, false, 65528],
	];
	for (const [word, fragment, more, offset] of rows) {
		view.setUint16(6, word);
		const got = [ipv4IsFragment(view, 0), ipv4MoreFragments(view, 0), ipv4FragmentOffset(view, 0)];
		assert.deepEqual(got, [fragment, more, offset], word.toString(16));
	}
});

test('the walk over IPv4 options ends at End, at the header, and at damage', () => {
	const rows: readonly (readonly [string, string, number])[] = [
		['behind NOPs', '01 01 94 04', -1],
		['found', '01 01 01 01 94 04 00 00', 24],
		['behind End', '00 01 01 01 94 04 00 00', -1],
		['length 0', '44 00 01 01 94 04 00 00', -1],
		['length 1', '44 01 01 01 94 04 00 00', -1],
		['length beyond the header', '44 09 01 01 94 04 00 00', -1],
		['found though its own length is the last', '44 04 01 01 94 04 00 00', 24],
		['its length is beyond the header', '01 01 01 01 94 05 00 00', -1],
		['no length octet', '01 01 01 94', -1],
	];
	for (const [name, options, want] of rows) {
		const octets = options.replaceAll(' ', '');
		const ihl = (5 + octets.length / 8).toString(16);
		const view = viewOf(`4${ihl}${IPV4.slice(2)} ${octets}`);
		assert.equal(findIpv4Option(view, 0, Ipv4Option.RouterAlert), want, name);
	}
	assert.equal(ipv4OptionOctets(viewOf('94'), 0, 0), 0);
});

test('an IPv4 header goes out and comes back', () => {
	const header: fc.Arbitrary<Ipv4Header> = fc.record(
		{
			tos: fc.nat(255),
			totalLength: fc.nat(65535),
			id: fc.nat(65535),
			fragmentWord: fc.nat(65535),
			ttl: fc.nat(255),
			protocol: fc.nat(255),
			source: fc.uint8Array({ minLength: 4, maxLength: 4 }).map((b) => addressFrom(b, 0, 4)),
			destination: fc.uint8Array({ minLength: 4, maxLength: 4 }).map((b) => addressFrom(b, 0, 4)),
			options: fc.nat(10).chain((n) => fc.uint8Array({ minLength: 4 * n, maxLength: 4 * n })),
		},
		{ noNullPrototype: true },
	);
	fc.assert(
		fc.property(header, fc.nat(7), (value, at) => {
			const bytes = new Uint8Array(80);
			const view = new DataView(bytes.buffer);
			const octets = writeIpv4(view, at, value);
			assert.equal(octets, 20 + value.options.length);
			assert.equal(verifyIpv4Checksum(view, at), true);
			assert.deepEqual(parseIpv4(bytes, at, at + octets), value);
		}),
	);
});

test('an IPv6 header goes out and comes back', () => {
	const address = fc.uint8Array({ minLength: 16, maxLength: 16 });
	const header: fc.Arbitrary<Ipv6Header> = fc.record(
		{
			trafficClass: fc.nat(255),
			flowLabel: fc.nat(0xfffff),
			payloadLength: fc.nat(65535),
			nextHeader: fc.nat(255),
			hopLimit: fc.nat(255),
			source: address,
			destination: address,
		},
		{ noNullPrototype: true },
	);
	fc.assert(
		fc.property(header, fc.nat(7), fc.nat(255), (value, at, trafficClass) => {
			const bytes = new Uint8Array(48);
			const view = new DataView(bytes.buffer);
			assert.equal(writeIpv6(view, at, value), 40);
			assert.deepEqual(parseIpv6(bytes, at, at + 40), value);
			assert.equal(parseIpv6(bytes, at, at + 39), undefined);
			assert.equal(ipv6TrafficClass(view, at), value.trafficClass);
			setIpv6TrafficClass(view, at, trafficClass);
			assert.deepEqual(parseIpv6(bytes, at, at + 40), { ...value, trafficClass });
			swapIpv6Addresses(view, at + 8, at + 24);
			const { source, destination } = value;
			const swapped = { ...value, trafficClass, source: destination, destination: source };
			assert.deepEqual(parseIpv6(bytes, at, at + 40), swapped);
			assert.equal(ipv6SourceWord(view, at, 3), view.getInt32(at + 20));
			assert.equal(ipv6DestinationWord(view, at, 0), view.getInt32(at + 24));
		}),
	);
	assert.equal(fitsIpv6(viewOf(`45${'00'.repeat(39)}`), 0, 40), false);
	assert.equal(formatHex(new Uint8Array(0)), '');
});
