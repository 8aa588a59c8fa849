import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHex } from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';
import { quotedInError } from './outer-errors.ts';

/** IPv4 header of the error, ICMP header, and the quoted packet's headers, each a part. */
const ipv4 = '45c00238 00000000 40010000 c0a85002 c0a85001';
const fragNeeded = '03040000 00000500';
const quote = (proto: string): string => `45000578 00004000 40${proto}0000 c0a85001 c0a85102`;
const esp = 'c0de0001 00000007';
const udp = '11941195 05640000';

function bytes(...parts: readonly string[]): Uint8Array {
	const parsed = parseHex(parts.join('').replaceAll(' ', ''));
	assert.ok(parsed instanceof Uint8Array);
	return parsed;
}

type Want = { mtu: number; proto: number; spi: number; sport: number; dport: number };

function want(proto: number, spi: number, sport: number = 0, dport: number = 0): Want {
	return { mtu: 1280, proto, spi, sport, dport };
}

const icmpv6 = '02000000 00000500';
const ipv6 = (proto: string): string => `600000000550${proto}40${'20010db8'.repeat(8)}`;

const rows: readonly [string, Uint8Array, number, Want | undefined][] = [
	['ESP', bytes(ipv4, fragNeeded, quote('32'), esp), Family.Ipv4, want(50, 0xc0de0001)],
	[
		'ESP in UDP',
		bytes(ipv4, fragNeeded, quote('11'), udp, esp),
		Family.Ipv4,
		want(50, 0xc0de0001, 4500, 4501),
	],
	['AH', bytes(ipv4, fragNeeded, quote('33'), '04040000', esp), Family.Ipv4, want(51, 0xc0de0001)],
	['IPComp', bytes(ipv4, fragNeeded, quote('6c'), '04001234'), Family.Ipv4, want(108, 0x1234)],
	['port unreachable', bytes(ipv4, '03030000 00000000', quote('32'), esp), Family.Ipv4, undefined],
	['TCP', bytes(ipv4, fragNeeded, quote('06'), esp), Family.Ipv4, undefined],
	[
		'a later piece',
		bytes(ipv4, fragNeeded, quote('32').replace('4000', '00b9'), esp),
		Family.Ipv4,
		undefined,
	],
	['IPv6', bytes(icmpv6, ipv6('32'), esp), Family.Ipv6, want(50, 0xc0de0001)],
	[
		'IPv6, a first piece',
		bytes(icmpv6, ipv6('2c'), '3200000100000001', esp),
		Family.Ipv6,
		want(50, 0xc0de0001),
	],
	[
		'IPv6, a later piece',
		bytes(icmpv6, ipv6('2c'), '320005a800000001', esp),
		Family.Ipv6,
		undefined,
	],
	['IPv6, AH', bytes(icmpv6, ipv6('33'), '04040000', esp), Family.Ipv6, want(51, 0xc0de0001)],
];

for (const [name, error, family, wanted] of rows) {
	test(`too big, quoting ${name}`, () => {
		const { daddr, ...quoted } = quotedInError(error, family) ?? {};
		assert.deepEqual(quoted, wanted ?? {});
		assert.equal(daddr === undefined, wanted === undefined);
		for (let octets = 0; octets < error.length; octets++) {
			const cut = quotedInError(error.subarray(0, octets), family);
			assert.ok(cut === undefined || octets >= error.length - 4);
		}
	});
}
