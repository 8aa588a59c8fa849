import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Host } from './host.ts';
import {
	address,
	counted,
	counting,
	effects,
	hex,
	ip,
	NOW_US,
	opened,
	router,
} from './host-fixture.test.ts';

const FROM = '2001:db8:a::9';
const TO = '2001:db8:a::1';

function listening(): Host {
	const host = router();
	opened(host.openRaw({ family: 10, proto: 253 }));
	opened(host.openRaw({ family: 10, proto: 135 }));
	return host;
}

/** A packet whose extension headers are given in hex. */
function packet(proto: number, headers: string): Uint8Array {
	const chain = hex(headers);
	const payload = new Uint8Array(chain.length + 8);
	payload.set(chain);
	payload.set(counting(8), chain.length);
	return ip(FROM, TO, payload, { proto });
}

const DELIVERED = ['socket 1: 2001:db8:a::9 > 2001:db8:a::1 8 octets'];
const problem = (code: number, pointer: number, length: number): string[] => [
	`lan: 2001:db8:a::1 > 2001:db8:a::9 ttl 64 icmp 4/${code} ${pointer} length ${length}`,
];

const rows: [string, number, string, string[]][] = [
	['padding', 60, 'fd 00 01 04 00000000', DELIVERED],
	['padding octets', 60, 'fd 00 00 00 00 00 00 00', DELIVERED],
	['padding of eight octets', 60, 'fd 01 01 06 000000000000 01 04 00000000', []],
	['padding that is not zero', 60, 'fd 00 01 04 00000001', []],
	['unknown, skip', 60, 'fd 00 1e 04 00000000', DELIVERED],
	['unknown, drop', 60, 'fd 00 5e 04 00000000', []],
	['unknown, tell', 60, 'fd 00 9e 04 00000000', problem(2, 42, 104)],
	['unknown, tell unless multicast', 60, 'fd 00 de 04 00000000', problem(2, 42, 104)],
	['option beyond the header', 60, 'fd 00 1e 05 00000000', []],
	['option without length', 60, 'fd 00 01 03 000000 1e', []],
	[
		'eight options',
		60,
		'fd 03 1e02 0000 1e02 0000 1e02 0000 1e02 0000 1e02 0000 1e02 0000 1e00 1e00 0100',
		DELIVERED,
	],
	[
		'nine options',
		60,
		'fd 03 1e02 0000 1e02 0000 1e02 0000 1e02 0000 1e02 0000 1e00 1e00 1e00 1e02 0000',
		[],
	],
	['router alert', 0, 'fd 00 05 02 0000 0100', DELIVERED],
	['router alert of three octets', 0, 'fd 00 05 03 000000 00', []],
	['jumbo', 0, 'fd 00 c2 04 00000010', problem(0, 44, 104)],
	['jumbo where none is needed', 0, 'fd 00 c2 04 00010000', problem(0, 42, 104)],
	[
		'hop-by-hop behind another header',
		60,
		'00 00 01 04 00000000 fd 00 01 04 00000000',
		problem(1, 40, 112),
	],
	['routing header with no segments left', 43, 'fd 00 00 00 00000000', DELIVERED],
	['routing header type 0', 43, `fd 02 00 01 00000000 ${'00'.repeat(16)}`, problem(0, 42, 120)],
	['routing header of an unknown type', 43, 'fd 00 63 01 00000000', problem(0, 42, 104)],
	['routing header of RPL', 43, 'fd 00 03 01 00000000', []],
	['segment routing header', 43, 'fd 00 04 00 00000000', []],
	['two chained headers', 60, '2b 00 01 04 00000000 fd 00 00 00 00000000', DELIVERED],
	['no next header', 60, '3b 00 01 04 00000000', []],
];

for (const [name, proto, headers, want] of rows) {
	test(`extension header: ${name}`, () => {
		const host = listening();
		host.receive('lan', packet(proto, headers), NOW_US);
		assert.deepEqual(effects(host), want);
	});
}

test('every truncation of a chain of headers is dropped without harm', () => {
	const whole = packet(0, '3c 00 01 04 00000000 2b 00 01 04 00000000 fd 00 00 00 00000000');
	for (let octets = 0; octets < whole.length; octets++) {
		const host = listening();
		host.receive('lan', whole.slice(0, octets), NOW_US);
		assert.deepEqual(effects(host), [], `${octets} octets`);
		// The same with a length field that agrees.
		if (octets >= 40) {
			const short = whole.slice(0, octets);
			new DataView(short.buffer).setUint16(4, octets - 40);
			host.receive('lan', short, NOW_US);
			effects(host);
		}
	}
});

/** @spec T-57 T-55 */
test('a home address option without a state is dropped, and one that is unsound not even looked up', () => {
	const option = (body: string): string => `fd 02 01 02 0000 ${body}`;
	const table: [string, string, Record<string, number>][] = [
		['no state', option('c9 10 20010db8000a00000000000000000077'), { XfrmInNoStates: 1 }],
		['15 octets', option('c9 0f 20010db8000a000000000000000000 00'), {}],
		['multicast', option('c9 10 ff020000000000000000000000000001'), {}],
		['unspecified', option('c9 10 00000000000000000000000000000000'), {}],
		['IPv4-mapped', option('c9 10 00000000000000000000ffff0a000001'), {}],
	];
	for (const [name, headers, counters] of table) {
		const host = listening();
		host.receive('lan', packet(60, headers), NOW_US);
		assert.deepEqual(counted(host), counters, name);
		assert.deepEqual(effects(host), [], name);
	}
});

/** @spec T-58 */
test('a type 2 routing header needs a length of 2, one segment left and a state', () => {
	const home = '20010db8000a00000000000000000001';
	const table: [string, string, Record<string, number>][] = [
		['no state', `fd 02 02 01 00000000 ${home}`, { XfrmInNoStates: 1 }],
		['no segment left', `fd 02 02 00 00000000 ${home}`, {}],
		['two segments left', `fd 02 02 02 00000000 ${home}`, {}],
		['length 4', `fd 04 02 01 00000000 ${home}${home}`, {}],
	];
	for (const [name, headers, counters] of table) {
		const host = listening();
		host.receive('lan', packet(43, headers), NOW_US);
		assert.deepEqual(counted(host), counters, name);
		assert.deepEqual(effects(host), [], name);
	}
	const host = listening();
	host.setSysctl('net.ipv6.conf.all.accept_source_route', -1);
	host.receive('lan', packet(43, `fd 02 02 01 00000000 ${home}`), NOW_US);
	assert.deepEqual(effects(host), problem(0, 42, 120), 'refused by sysctl');
});

/** A Mobility Header with a right checksum. */
function mobility(type: number, units: number, octets: number, payloadProto = 59): Uint8Array {
	const header = new Uint8Array(octets);
	header.set([payloadProto, units, type, 0]);
	const whole = ip(FROM, TO, header, { proto: 135 });
	let sum = 135 + octets;
	for (let i = 8; i < whole.length; i += 2) {
		sum += ((whole[i] ?? 0) << 8) | (whole[i + 1] ?? 0);
	}
	while (sum > 0xffff) {
		sum = (sum & 0xffff) + (sum >>> 16);
	}
	new DataView(whole.buffer).setUint16(44, ~sum & 0xffff);
	return whole;
}

/** @spec T-59 */
test('a mobility header has to be long enough for its type, and the last one', () => {
	const delivered = (octets: number): string[] => [`socket 2: ${FROM} > ${TO} ${octets} octets`];
	const least: readonly number[] = [0, 1, 1, 2, 2, 1, 1, 2];
	for (const [type, units] of least.entries()) {
		for (let have = 0; have <= 2; have++) {
			const host = listening();
			const octets = (have + 1) * 8;
			host.receive('lan', mobility(type, have, octets), NOW_US);
			const want = have >= units ? delivered(octets) : problem(0, 41, 48 + 40 + octets);
			assert.deepEqual(effects(host), want, `type ${type}, length ${have}`);
		}
	}
	const host = listening();
	host.receive('lan', mobility(5, 1, 16, 17), NOW_US);
	assert.deepEqual(effects(host), problem(0, 40, 104), 'payload protocol');
	host.receive('lan', mobility(5, 2, 16), NOW_US);
	assert.deepEqual(effects(host), [], 'longer than the packet');
	const damaged = mobility(5, 1, 16);
	damaged[50] = 1;
	host.receive('lan', damaged, NOW_US);
	assert.deepEqual(effects(host), [], 'wrong checksum');
});

test('without a raw socket a mobility header is an unknown protocol', () => {
	const host = router();
	host.receive('lan', mobility(5, 1, 16), NOW_US);
	assert.deepEqual(effects(host), problem(1, 6, 104));
	assert.equal(
		host.addAddress({
			device: 'lan',
			family: 10,
			address: address('2001:db8:a::5'),
			prefixLength: 128,
			home: true,
		}),
		undefined,
	);
});
