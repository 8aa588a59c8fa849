import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacketBuffer } from '@xfrm/wire';
import fc from 'fast-check';
import { fragmentPacket } from './fragment.ts';
import type { Host } from './host.ts';
import { counting, effects, ip, NOW_US, opened, router } from './host-fixture.test.ts';
import { REASSEMBLY_DATAGRAMS_MAX } from './limits.ts';

/** Ends of a datagram for the router, by family. */
const ENDS: readonly (readonly [string, string])[] = [
	['10.0.0.9', '10.0.0.1'],
	['2001:db8:a::9', '2001:db8:a::1'],
];

/** Cuts a packet as a router would. */
function cut(packet: Uint8Array, mtu: number, id = 0x01020304): Uint8Array[] {
	const buffer = PacketBuffer.from(packet);
	buffer.family = (packet[0] ?? 0) >> 4 === 4 ? 2 : 10;
	const pieces = fragmentPacket(buffer, mtu, id);
	assert.ok(pieces !== undefined);
	return pieces.map((piece) => piece.copy());
}

function listening(): Host {
	const host = router();
	opened(host.openRaw({ family: 2, proto: 253 }));
	opened(host.openRaw({ family: 10, proto: 253 }));
	return host;
}

/** What sockets got, as octets. */
function delivered(host: Host): Uint8Array[] {
	const payloads: Uint8Array[] = [];
	for (let effect = host.pollEffect(); effect !== undefined; effect = host.pollEffect()) {
		assert.equal(effect.kind, 'deliver');
		if (effect.kind === 'deliver') {
			payloads.push(effect.payload);
		}
	}
	return payloads;
}

/** @spec I-2 */
test('fragments in any order, repeated or not, give the datagram back', () => {
	fc.assert(
		fc.property(
			fc.constantFrom(...ENDS),
			fc.integer({ min: 600, max: 4000 }),
			fc.integer({ min: 100, max: 576 }),
			fc.array(fc.nat(50), { maxLength: 60 }),
			([source, destination], octets, mtu, order) => {
				const host = listening();
				const packet = ip(source, destination, counting(octets));
				const pieces = cut(packet, mtu);
				for (const index of [...order, ...pieces.keys()]) {
					const piece = pieces[index % pieces.length];
					if (piece !== undefined) {
						host.receive('lan', piece, NOW_US);
					}
				}
				const [first] = delivered(host);
				// IPv4 sockets get the header too, IPv6 ones what is behind it.
				assert.deepEqual(first?.slice(-octets), counting(octets));
			},
		),
		{ numRuns: 150 },
	);
});

test('every fragment fits the MTU and all but the last carry multiples of eight octets', () => {
	fc.assert(
		fc.property(
			fc.constantFrom(...ENDS),
			fc.integer({ min: 600, max: 3000 }),
			fc.integer({ min: 68, max: 576 }),
			([source, destination], octets, mtu) => {
				const pieces = cut(ip(source, destination, counting(octets)), mtu);
				const head = source.includes(':') ? 48 : 20;
				for (const [i, piece] of pieces.entries()) {
					assert.ok(piece.length <= mtu);
					if (i < pieces.length - 1) {
						assert.equal((piece.length - head) % 8, 0);
					}
				}
			},
		),
	);
});

test('options without the copied flag stay in the first fragment', () => {
	const options = Uint8Array.of(7, 3, 4, 148, 4, 0, 0, 0);
	const [first, second] = cut(ip('10.0.0.9', '10.0.0.1', counting(100), { options }), 68);
	assert.deepEqual(first?.slice(20, 28), options);
	assert.deepEqual(second?.slice(20, 28), Uint8Array.of(1, 1, 1, 148, 4, 0, 0, 0));
});

test('an answer to a datagram has the options of its first fragment', () => {
	const host = listening();
	const options = Uint8Array.of(7, 7, 8, 1, 2, 3, 4, 0);
	const packet = ip('10.0.0.9', '10.0.0.1', counting(100), { options, proto: 200 });
	for (const piece of cut(packet, 68).reverse()) {
		host.receive('lan', piece, NOW_US);
	}
	const effect = host.pollEffect();
	assert.ok(effect?.kind === 'emit');
	assert.deepEqual(effect.packet.slice(20, 28), options);
});

test('no room for data, no fragments', () => {
	const buffer = PacketBuffer.from(ip('10.0.0.9', '10.0.0.1', counting(100)));
	buffer.family = 2;
	assert.equal(fragmentPacket(buffer, 27, 0), undefined);
	assert.equal(fragmentPacket(buffer, 28, 0)?.length, 13);
});

test('an overlap throws the whole datagram away, a repeat does not', () => {
	for (const [source, destination] of ENDS) {
		const packet = ip(source, destination, counting(160));
		const coarse = cut(packet, source.includes(':') ? 136 : 108);
		const fine = cut(packet, source.includes(':') ? 112 : 84);
		const [coarseFirst, coarseLast] = coarse;
		const [, fineSecond] = fine;
		assert.ok(coarseFirst && coarseLast && fineSecond);
		const host = listening();
		for (const piece of [coarseFirst, fineSecond, coarseLast]) {
			host.receive('lan', piece, NOW_US);
		}
		assert.deepEqual(delivered(host), [], `${source}: overlap`);
		const other = listening();
		for (const piece of [coarseFirst, coarseFirst, coarseLast]) {
			other.receive('lan', piece, NOW_US);
		}
		assert.equal(delivered(other).length, 1, `${source}: repeat`);
	}
});

test('congestion met by one fragment marks the datagram; it must not meet one that is not capable', () => {
	const marked = (tos: readonly [number, number]): Uint8Array[] => {
		const host = listening();
		for (const [i, piece] of cut(ip('10.0.0.9', '10.0.0.1', counting(100)), 84).entries()) {
			const seen = ip('10.0.0.9', '10.0.0.1', piece.slice(20), {
				tos: tos[i] ?? 0,
				fragmentWord: i === 0 ? 0x2000 : 8,
			});
			host.receive('lan', seen, NOW_US);
		}
		return delivered(host);
	};
	assert.equal(marked([2, 3])[0]?.[1], 3);
	assert.equal(marked([2, 2])[0]?.[1], 2);
	assert.deepEqual(marked([0, 3]), []);
});

test('what waits too long ends, with an ICMP error when its first fragment is there', () => {
	const rows: [readonly [string, string], number, string][] = [
		[ENDS[0] ?? ['', ''], 30, 'lan: 10.0.0.1 > 10.0.0.9 ttl 64 icmp 11/1 0 length 104'],
		[ENDS[1] ?? ['', ''], 60, 'lan: 2001:db8:a::1 > 2001:db8:a::9 ttl 64 icmp 3/1 0 length 128'],
	];
	for (const [[source, destination], seconds, error] of rows) {
		const [first, second] = cut(ip(source, destination, counting(120)), 84);
		assert.ok(first && second);
		const host = listening();
		host.receive('lan', first, NOW_US);
		const due = NOW_US + seconds * 1_000_000;
		assert.equal(host.pollTimeout(), due);
		host.handleTimeout(due - 1);
		assert.deepEqual(effects(host), []);
		host.handleTimeout(due);
		assert.deepEqual(effects(host), [
			error.replace(/length \d+/, `length ${first.length + (source.includes(':') ? 48 : 28)}`),
		]);
		host.receive('lan', second, due);
		host.handleTimeout(due + seconds * 1_000_000);
		assert.deepEqual(effects(host), [], 'without the first fragment in silence');
		assert.equal(host.pollTimeout(), Number.POSITIVE_INFINITY);
	}
});

test('datagrams that never end are bounded: the oldest goes', () => {
	const host = listening();
	const pieces = (id: number): Uint8Array[] =>
		cut(ip('10.0.0.9', '10.0.0.1', counting(100), { id }), 84);
	for (let id = 1; id <= REASSEMBLY_DATAGRAMS_MAX + 1; id++) {
		host.receive('lan', pieces(id)[0] ?? new Uint8Array(0), NOW_US);
	}
	for (const [id, want] of [
		[REASSEMBLY_DATAGRAMS_MAX + 1, 1],
		[2, 1],
		[1, 0],
	] as const) {
		host.receive('lan', pieces(id)[1] ?? new Uint8Array(0), NOW_US);
		assert.equal(delivered(host).length, want, `datagram ${id}`);
	}
});

test('fragments that contradict themselves', () => {
	const host = listening();
	const fragment = (word: number, octets: number): Uint8Array =>
		ip('10.0.0.9', '10.0.0.1', counting(octets), { fragmentWord: word });
	const rows: [string, Uint8Array[]][] = [
		['a last fragment in the middle', [fragment(0x2000, 64), fragment(4, 8)]],
		['two different ends', [fragment(4, 32), fragment(8, 8)]],
		['no data', [fragment(0x2000, 7), fragment(0, 16)]],
		['beyond 65535 octets', [fragment(0x2000, 8), fragment(0x1fff, 100)]],
	];
	for (const [name, pieces] of rows) {
		for (const piece of pieces) {
			host.receive('lan', piece, NOW_US);
		}
		const got = delivered(host).filter((payload) => payload.length !== 36);
		assert.deepEqual(got, [], name);
	}
});

test('IPv6 tells of fragments that are no multiple of eight, too long, or without their headers', () => {
	const host = listening();
	const fragment = (next: number, word: number, octets: number): Uint8Array => {
		const header = Uint8Array.of(next, 0, word >> 8, word & 255, 1, 2, 3, 4);
		const payload = new Uint8Array(8 + octets);
		payload.set(header);
		return ip('2001:db8:a::9', '2001:db8:a::1', payload, { proto: 44 });
	};
	const rows: [string, Uint8Array, string][] = [
		['odd length', fragment(253, 1, 9), '4/0 4'],
		['too long', fragment(253, 0xfff8, 16), '4/0 42'],
		['UDP header cut', fragment(17, 1, 0), '4/3 0'],
	];
	for (const [name, packet, want] of rows) {
		host.receive('lan', packet, NOW_US);
		const [error = ''] = effects(host);
		assert.ok(error.includes(`icmp ${want} `), `${name}: ${error}`);
	}
});

test('an atomic fragment is whole', () => {
	const host = listening();
	const payload = new Uint8Array(16);
	payload.set([253, 0, 0, 0, 1, 2, 3, 4]);
	host.receive('lan', ip('2001:db8:a::9', '2001:db8:a::1', payload, { proto: 44 }), NOW_US);
	assert.deepEqual(effects(host), ['socket 2: 2001:db8:a::9 > 2001:db8:a::1 8 octets']);
});
