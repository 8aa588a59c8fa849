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
const udp = '11941194 05640000';

function bytes(...parts: readonly string[]): Uint8Array {
	const parsed = parseHex(parts.join('').replaceAll(' ', ''));
	assert.ok(parsed instanceof Uint8Array);
	return parsed;
}

const rows: readonly [string, Uint8Array, number, { proto: number; spi: number } | undefined][] = [
	['ESP', bytes(ipv4, fragNeeded, quote('32'), esp), Family.Ipv4, { proto: 50, spi: 0xc0de0001 }],
	[
		'ESP in UDP',
		bytes(ipv4, fragNeeded, quote('11'), udp, esp),
		Family.Ipv4,
		{ proto: 50, spi: 0xc0de0001 },
	],
	[
		'AH',
		bytes(ipv4, fragNeeded, quote('33'), '04040000', esp),
		Family.Ipv4,
		{ proto: 51, spi: 0xc0de0001 },
	],
	[
		'IPComp',
		bytes(ipv4, fragNeeded, quote('6c'), '04001234'),
		Family.Ipv4,
		{ proto: 108, spi: 0x1234 },
	],
	['port unreachable', bytes(ipv4, '03030000 00000000', quote('32'), esp), Family.Ipv4, undefined],
	['TCP', bytes(ipv4, fragNeeded, quote('06'), esp), Family.Ipv4, undefined],
	[
		'IPv6',
		bytes('02000000 00000500', '6000000005503240', '20010db8'.repeat(4), '20010db8'.repeat(4), esp),
		Family.Ipv6,
		{ proto: 50, spi: 0xc0de0001 },
	],
];

for (const [name, error, family, want] of rows) {
	test(`too big, quoting ${name}`, () => {
		const quoted = quotedInError(error, family);
		assert.deepEqual(quoted && { proto: quoted.proto, spi: quoted.spi }, want);
		for (let octets = 0; octets < error.length; octets++) {
			const cut = quotedInError(error.subarray(0, octets), family);
			assert.ok(cut === undefined || octets >= error.length - 4);
		}
	});
}
