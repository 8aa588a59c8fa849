import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Flow, flowAddress } from './flow.ts';
import { decodeFlow, decodeFlowAt, useRealMobilityType } from './flow-decode.ts';
import { parseHex } from './hex.ts';
import { PacketBuffer } from './packet-buffer.ts';
import type { Route } from './route.ts';
import { anyAddress, formatAddress } from './xfrm/address.ts';
import { Family } from './xfrm/constants.ts';

function bytesOf(hex: string): Uint8Array {
	const bytes = parseHex(hex);
	assert.ok(bytes instanceof Uint8Array, hex);
	return bytes;
}

/** IPv4 from 10.0.0.1 to 10.0.0.2. */
function ipv4(proto: number, rest: string, fragment = '0000', options = ''): Uint8Array {
	const ihl = (5 + options.replaceAll(' ', '').length / 8).toString(16);
	const p = proto.toString(16).padStart(2, '0');
	return bytesOf(
		`4${ihl}00 0000 0001 ${fragment} 40${p} 0000 0a000001 0a000002 ${options} ${rest}`,
	);
}

/** IPv6 from 2001:db8::1 to 2001:db8::2. */
function ipv6(proto: number, rest: string): Uint8Array {
	const p = proto.toString(16).padStart(2, '0');
	const address = '20010db8 00000000 00000000 0000000';
	return bytesOf(`60000000 0000 ${p} 40 ${address}1 ${address}2 ${rest}`);
}

/** Protocol and ports by both sets of rules: until 6.6, from 6.7 on. */
function decoded(packet: Uint8Array, nextHeaderAt = 0): readonly (readonly number[])[] {
	const family = (packet[0] ?? 0) >> 4 === 4 ? Family.Ipv4 : Family.Ipv6;
	const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
	return [false, true].map((generic) => {
		const flow = new Flow();
		const fits = decodeFlowAt(flow, view, 0, packet.length, family, false, generic, nextHeaderAt);
		assert.equal(fits, true);
		return [flow.proto, flow.sport, flow.dport];
	});
}

const PAD4 = '0104 00000000';
const HOME = `01020000 c910 ${'fe'.repeat(16)}`;
const UDP = '1194 01f4 0008 0000';

type Row = readonly [string, Uint8Array, readonly number[], (readonly number[])?];

// @spec P-26 P-27
test('IPv4 flows', () => {
	const rows: readonly Row[] = [
		['UDP', ipv4(17, UDP), [17, 4500, 500]],
		['TCP', ipv4(6, UDP), [6, 4500, 500]],
		['SCTP', ipv4(132, UDP), [132, 4500, 500]],
		['UDP-Lite', ipv4(136, UDP), [136, 4500, 500]],
		['DCCP has no ports for selectors', ipv4(33, UDP), [33, 0, 0]],
		['four octets of a header are enough', ipv4(6, '1194 01f4'), [6, 4500, 500]],
		['three are not', ipv4(6, '1194 01'), [6, 0, 0]],
		['options are skipped', ipv4(17, UDP, '0000', '94040000 01010100'), [17, 4500, 500]],
		['first fragment', ipv4(17, UDP, '2000'), [17, 0, 0]],
		['last fragment', ipv4(17, UDP, '0001'), [17, 0, 0]],
		['DF is no fragment', ipv4(17, UDP, '4000'), [17, 4500, 500]],
		['ICMP', ipv4(1, '0304 0000 00000000'), [1, 3, 4]],
		['ICMP of two octets', ipv4(1, '0304'), [1, 3, 4], [1, 0, 0]],
		['ICMP of one octet', ipv4(1, '03'), [1, 0, 0]],
		['ICMPv6 in IPv4', ipv4(58, '8000 0000 00000000'), [58, 0, 0]],
		['GRE without key', ipv4(47, '0000 0800 12345678 00000000'), [47, 0, 0]],
		['GRE key', ipv4(47, '2000 0800 12345678 00000000'), [47, 0x1234, 0x5678]],
		['GRE key behind a checksum', ipv4(47, 'a000 0800 11111111 12345678'), [47, 0x1234, 0x5678]],
		['GRE key of 8 octets', ipv4(47, '2000 0800 12345678'), [47, 0, 0], [47, 0x1234, 0x5678]],
		['GRE key cut off', ipv4(47, 'a000 0800 11111111 123456'), [47, 0, 0]],
		['GRE with routing', ipv4(47, '6000 0800 12345678 00000000'), [47, 0x1234, 0x5678], [47, 0, 0]],
		['PPTP', ipv4(47, '2001 880b 12345678 00000000'), [47, 0x1234, 0x5678], [47, 0, 0x5678]],
		[
			'GRE version 1, not PPP',
			ipv4(47, '2001 0800 12345678 00000000'),
			[47, 0x1234, 0x5678],
			[47, 0, 0],
		],
		['GRE version 2', ipv4(47, '2002 0800 12345678 00000000'), [47, 0x1234, 0x5678], [47, 0, 0]],
		['ESP', ipv4(50, 'c0000001 00000001'), [50, 0, 0]],
		['AH', ipv4(51, '11040000 c0000001 00000001'), [51, 0, 0]],
		['IPComp', ipv4(108, '0400 f001'), [108, 0, 0]],
		['no extension headers in IPv4: 0', ipv4(0, `1100 ${PAD4} ${UDP}`), [0, 0, 0]],
		['no extension headers in IPv4: 44', ipv4(44, `1100 0000 00000000 ${UDP}`), [44, 0, 0]],
		['no extension headers in IPv4: 60', ipv4(60, `1100 ${PAD4} ${UDP}`), [60, 0, 0]],
		['nothing behind the header', ipv4(17, ''), [17, 0, 0]],
	];
	for (const [name, packet, legacy, generic = legacy] of rows) {
		assert.deepEqual(decoded(packet), [legacy, generic], name);
	}
});

// @spec P-26 P-28
test('IPv6 flows', () => {
	const rows: readonly Row[] = [
		['UDP', ipv6(17, UDP), [17, 4500, 500]],
		['hop-by-hop', ipv6(0, `1100 ${PAD4} ${UDP}`), [17, 4500, 500]],
		['routing', ipv6(43, `1102 0201 00000000 ${'fe'.repeat(16)} ${UDP}`), [17, 4500, 500]],
		['options', ipv6(60, `1102 ${HOME} ${UDP}`), [17, 4500, 500]],
		['all of them', ipv6(0, `2b00 ${PAD4} 3c000000 00000000 1100 ${PAD4} ${UDP}`), [17, 4500, 500]],
		['first fragment', ipv6(44, `1100 0001 00000001 ${UDP}`), [17, 0, 0]],
		['atomic fragment', ipv6(44, `1100 0000 00000001 ${UDP}`), [17, 0, 0]],
		[
			'options behind a fragment header',
			ipv6(44, `3c00 0001 00000001 1100 ${PAD4} ${UDP}`),
			[17, 0, 0],
			[60, 0, 0],
		],
		[
			'reserved octet of a fragment header',
			ipv6(44, `1101 0001 00000001 ${'00'.repeat(8)} 3c00`),
			[17, 0, 0],
		],
		['fragment header cut', ipv6(44, '1100 0001 000000'), [0, 0, 0], [44, 0, 0]],
		['ICMPv6', ipv6(58, '8001 0000 00000000'), [58, 128, 1]],
		['ICMPv6 of two octets', ipv6(58, '8001'), [58, 128, 1], [58, 0, 0]],
		['ICMP in IPv6', ipv6(1, '0800 0000 00000000'), [1, 0, 0]],
		['GRE key', ipv6(47, '2000 0800 12345678 00000000'), [47, 0x1234, 0x5678]],
		['nothing behind the header', ipv6(17, ''), [0, 0, 0], [17, 0, 0]],
		['one octet behind the header', ipv6(17, '11'), [0, 0, 0], [17, 0, 0]],
		['two octets of UDP', ipv6(17, '1194'), [17, 0, 0]],
		['no next header', ipv6(59, '0000'), [59, 0, 0]],
		['no next header, no data', ipv6(59, ''), [0, 0, 0], [59, 0, 0]],
		['options that reach beyond the data', ipv6(60, '1109 010400000000'), [0, 0, 0], [17, 0, 0]],
		['AH ends the walk', ipv6(51, `1104 0000 ${'00'.repeat(20)} ${UDP}`), [51, 0, 0]],
		['Mobility Header', ipv6(135, '3b01 0500 0000 0000 0000000000000000'), [135, 0, 0]],
		[
			'octets behind a Mobility Header',
			ipv6(135, '3b00 0500 00000000 00000700'),
			[135, 7, 0],
			[135, 0, 0],
		],
	];
	for (const [name, packet, legacy, generic = legacy] of rows) {
		assert.deepEqual(decoded(packet), [legacy, generic], name);
	}
});

// @spec P-28
test('the generic walk ends behind 15 headers, the other does not', () => {
	for (const [count, generic] of [
		[15, [17, 4500, 500]],
		[16, [17, 0, 0]],
		[17, [60, 0, 0]],
	] as const) {
		const chain = `3c00 ${PAD4}`.repeat(count - 1);
		const packet = ipv6(60, `${chain} 1100 ${PAD4} ${UDP}`);
		assert.deepEqual(decoded(packet), [[17, 4500, 500], generic], `${count}`);
	}
});

// @spec P-28
test('until 6.6, what input has passed decides the protocol, and offset 40 the rest', () => {
	const behindOptions = ipv6(0, `1100 ${PAD4} ${UDP}`);
	assert.deepEqual(decoded(behindOptions, 40), [
		[17, 0x1100, 0x0104],
		[17, 4500, 500],
	]);
	assert.deepEqual(decoded(behindOptions, 6), [
		[17, 4500, 500],
		[17, 4500, 500],
	]);
	assert.deepEqual(decoded(behindOptions, 9999), [
		[17, 4500, 500],
		[17, 4500, 500],
	]);
});

// @spec P-28
test('a binding update behind a home address: the kernel finds its type on input', () => {
	const rows = JSON.parse(
		readFileSync(new URL('../vectors/packets.json', import.meta.url), 'utf8'),
	);
	const row = rows.find((one: { case: string }) => one.case === 'mipl-2008-h-bit-clear');
	const packet = bytesOf(row.packet);
	// Linux 6.1 took the policy "proto 135 type 5 dir in" for this packet.
	assert.deepEqual(decoded(packet, 40), [
		[135, 5, 0],
		[135, 0, 0],
	]);
	assert.deepEqual(decoded(packet), [
		[135, 0, 0],
		[135, 0, 0],
	]);
	const flow = new Flow();
	const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
	decodeFlowAt(flow, view, 0, packet.length, Family.Ipv6, false);
	useRealMobilityType(flow, view, 0, packet.length);
	assert.deepEqual([flow.proto, flow.sport, flow.dport], [135, 5, 0]);
});

// @spec P-28
test('the real type is read where there is one', () => {
	const rows: readonly (readonly [string, Uint8Array, number])[] = [
		['alone', ipv6(135, '3b00 0300 00000000'), 3],
		['cut before the type', ipv6(135, '3b00'), 0],
		['in a fragment', ipv6(44, '8700 0001 00000001 3b00 0300 00000000'), 0],
		['UDP', ipv6(17, UDP), 4500],
	];
	for (const [name, packet, want] of rows) {
		const flow = new Flow();
		const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
		decodeFlowAt(flow, view, 0, packet.length, Family.Ipv6, false);
		useRealMobilityType(flow, view, 0, packet.length);
		assert.equal(flow.sport, want, name);
	}
});

const route: Route = {
	family: Family.Ipv4,
	ifindex: 7,
	loopback: false,
	kind: 'unicast',
	source: anyAddress(),
	mtu: 1500,
	hopLimit: 64,
	noXfrm: false,
};

// @spec P-29 P-31
test('a reversed flow has everything exchanged that has two sides', () => {
	const packet = PacketBuffer.from(ipv4(17, UDP));
	packet.family = Family.Ipv4;
	packet.mark = -2;
	packet.iif = 3;
	packet.route = route;
	const told = (reverse: boolean): readonly unknown[] => {
		const { flow } = packet;
		assert.equal(decodeFlow(flow, packet, reverse), true);
		const addresses = [flow.saddr, flow.daddr].map((words) =>
			formatAddress(flowAddress(words, flow.family), flow.family),
		);
		return [...addresses, flow.sport, flow.dport, flow.mark, flow.oif];
	};
	assert.deepEqual(told(false), ['10.0.0.1', '10.0.0.2', 4500, 500, -2, 7]);
	assert.deepEqual(told(true), ['10.0.0.2', '10.0.0.1', 500, 4500, -2, 3]);
	packet.route = null;
	assert.equal(told(false)[5], 0);

	const six = PacketBuffer.from(ipv6(58, '8001 0000 00000000'));
	six.family = Family.Ipv6;
	assert.equal(decodeFlow(six.flow, six, true), true);
	assert.equal(formatAddress(flowAddress(six.flow.saddr, 10), 10), '2001:db8::2');
	assert.deepEqual([six.flow.sport, six.flow.dport], [128, 1], 'type and code have no sides');
});

// @spec P-31
test('the version is not looked at, since nobody checks what an ICMP error quotes', () => {
	const packet = ipv4(17, UDP);
	const flow = new Flow();
	packet[0] = 0xa5;
	const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
	assert.equal(decodeFlowAt(flow, view, 0, packet.length, Family.Ipv4, false), true);
	assert.deepEqual([flow.proto, flow.sport, flow.dport], [17, 4500, 500]);
});

test('what has no room for a header leaves an empty flow', () => {
	for (const [packet, family] of [
		[ipv4(17, UDP), Family.Ipv6],
		[ipv4(17, UDP).subarray(0, 19), Family.Ipv4],
		[ipv6(17, UDP).subarray(0, 39), Family.Ipv6],
		[ipv4(17, UDP), 0],
	] as const) {
		const flow = new Flow();
		flow.saddr.fill(9);
		flow.proto = 9;
		const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
		assert.equal(decodeFlowAt(flow, view, 0, packet.length, family, false), false);
		const empty = new Flow();
		empty.family = family;
		assert.deepEqual(flow, empty);
	}
});
