import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHex, type PacketBuffer } from '@xfrm/wire';
import { addressEquals } from '@xfrm/wire/xfrm';
import { Batch } from './batch.ts';
import {
	address,
	addState,
	arrived,
	batchOf,
	bytes,
	counted,
	esp,
	ip,
	join,
	makeNamespace,
	NOW_US,
	SPI,
	udp,
} from './input-fixture.test.ts';
import { linux61 } from './kernel-profile.ts';
import type { Namespace } from './namespace.ts';
import { udpEncapInput } from './udp-encap.ts';
import { PacketAction, Verdict } from './verdict.ts';

const INNER = ip(17, udp(), { src: '10.0.0.1', dst: '10.1.0.1' });
const ENCAP = { type: 2, sport: 4500, dport: 4500, oa: address('0.0.0.0') };
const V6 = { src: '2001:db8::1', dst: '2001:db8::2' };

function datagram(data: Uint8Array, sport = 4500, addresses = {}): PacketBuffer {
	return arrived(ip(17, udp(data, sport, 4500), addresses));
}

const rows: readonly (readonly [string, number, Uint8Array, number])[] = [
	['keepalive', 2, bytes('ff'), PacketAction.Consume],
	['another single octet', 2, bytes('fe'), PacketAction.ToSocket],
	['no octet at all', 2, bytes(''), PacketAction.ToSocket],
	['eight octets', 2, bytes('c0de000100000001'), PacketAction.ToSocket],
	['non-ESP marker', 2, bytes('00000000 0102030405060708'), PacketAction.ToSocket],
	['ESP', 2, esp(INNER), PacketAction.Reinject],
	['ESP of nine octets', 2, bytes('c0de0001 00000001 00'), PacketAction.Drop],
	['type 1: ESP behind the marker', 1, join(new Uint8Array(8), esp(INNER)), PacketAction.Reinject],
	['type 1: without marker', 1, esp(INNER), PacketAction.ToSocket],
	[
		'type 1: marker and eight octets',
		1,
		join(new Uint8Array(8), bytes('c0de000100000001')),
		PacketAction.ToSocket,
	],
	['type 1: keepalive', 1, bytes('ff'), PacketAction.Consume],
];

for (const [name, type, data, action] of rows) {
	// @spec NT-1 NT-2 NT-3 NT-4
	test(`datagram: ${name}`, () => {
		for (const addresses of [{}, V6]) {
			const net = makeNamespace(linux61);
			addState(net, { ...addresses, encap: { ...ENCAP, type }, flags: 32 });
			const packet = datagram(data, 4500, addresses);
			const before = formatHex(packet.copy());
			udpEncapInput(net, batchOf(packet), type);
			assert.equal(packet.action, action);
			if (action === PacketAction.Reinject) {
				assert.equal(formatHex(packet.copy()), formatHex(INNER));
			} else if (action !== PacketAction.Drop) {
				assert.equal(formatHex(packet.copy()), before);
			}
		}
	});
}

// @spec NT-2
test('a datagram shorter than IP and UDP header is not even looked at', () => {
	for (const [octets, verdict] of [
		[19, Verdict.InEncapShort],
		[20, Verdict.InStateProtoError],
	] as const) {
		const net = makeNamespace();
		addState(net, { encap: ENCAP, flags: 32 });
		const packet = datagram(esp(INNER).slice(0, octets));
		udpEncapInput(net, batchOf(packet), 2);
		assert.equal(packet.action, PacketAction.Drop);
		assert.equal(packet.verdict, verdict, `${octets} octets`);
	}
});

// @spec NT-2 M-3
test('a transport packet loses its UDP header too', () => {
	for (const addresses of [{}, V6]) {
		const net = makeNamespace();
		addState(net, { ...addresses, mode: 0, encap: ENCAP });
		const packet = datagram(esp(udp(), { next: 17 }), 4500, addresses);
		udpEncapInput(net, batchOf(packet), 2);
		assert.equal(packet.action, PacketAction.Continue);
		assert.equal(formatHex(packet.copy()), formatHex(ip(17, udp(), addresses)));
	}
});

// @spec I-7
test('only the outermost transform may be in UDP', () => {
	const net = makeNamespace();
	addState(net, { mode: 0, encap: ENCAP });
	addState(net, { spi: 0xc0de0002, encap: ENCAP });
	const packet = datagram(esp(esp(INNER, { spi: 0xc0de0002 }), { next: 50 }));
	udpEncapInput(net, batchOf(packet), 2);
	assert.deepEqual(counted(net), { XfrmInStateMismatch: 1 });
});

/** Sends a genuine packet from a port and tells what was reported. */
function mappingFrom(
	net: Namespace,
	seq: number,
	sport: number,
	src = '192.0.2.1',
	at = 0,
	payload = esp(INNER, { seq }),
): string[] {
	const packet = datagram(payload, sport, { src });
	udpEncapInput(net, Batch.of(NOW_US + at * 1e6, packet), 2);
	return net.events.splice(0).map((event) => {
		assert.ok(event.kind === 'mapping');
		assert.equal(event.id.spi, SPI);
		assert.ok(addressEquals(event.oldSaddr, address('192.0.2.1'), 2));
		return `${event.oldSport} ${event.newSaddr.subarray(0, 4).join('.')}:${event.newSport}`;
	});
}

// @spec NT-7 NT-10
test('a peer that moved is reported with each packet, and the state stays as it was', () => {
	const net = makeNamespace();
	addState(net, { encap: ENCAP });
	assert.deepEqual(mappingFrom(net, 1, 4500), []);
	assert.deepEqual(mappingFrom(net, 2, 61001), ['4500 192.0.2.1:61001']);
	assert.deepEqual(mappingFrom(net, 3, 61001), ['4500 192.0.2.1:61001']);
	assert.deepEqual(mappingFrom(net, 4, 4500, '192.0.2.77'), ['4500 192.0.2.77:4500']);
	assert.deepEqual(mappingFrom(net, 4, 61002), []);
});

// @spec NT-7 T-9
test('a dummy packet tells where its sender is, one that is all padding does not', () => {
	const net = makeNamespace();
	addState(net, { encap: ENCAP });
	const from = (payload: Uint8Array): string[] => mappingFrom(net, 0, 61001, undefined, 0, payload);
	assert.deepEqual(from(esp(INNER, { seq: 1, next: 59 })), ['4500 192.0.2.1:61001']);
	assert.deepEqual(from(esp(new Uint8Array(0), { seq: 2 })), []);
	assert.deepEqual(counted(net), { XfrmInStateProtoError: 2 });
});

// @spec NT-7
test('with a threshold the same port is reported again after more than so many seconds', () => {
	const net = makeNamespace();
	addState(net, { encap: ENCAP, mappingThresholdSeconds: 10, direction: 1 });
	assert.deepEqual(mappingFrom(net, 1, 61001, undefined, 0), ['4500 192.0.2.1:61001']);
	assert.deepEqual(mappingFrom(net, 2, 61001, undefined, 10), []);
	assert.deepEqual(mappingFrom(net, 3, 61002, undefined, 10), ['4500 192.0.2.1:61002']);
	assert.deepEqual(mappingFrom(net, 4, 61002, undefined, 20), []);
	assert.deepEqual(mappingFrom(net, 5, 61002, undefined, 21), ['4500 192.0.2.1:61002']);
});
