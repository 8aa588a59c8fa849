import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
	fillUdpChecksum,
	setIpv4Checksum,
	verifyIpv4Checksum,
	writeIpv4,
	writeUdp,
} from '@xfrm/wire';
import { Agenda } from '../agenda.ts';
import { addressOf } from '../keys/connection.ts';
import { Link } from './link.ts';
import { NatBox } from './nat-box.ts';

function datagram(
	ends: readonly [string, string],
	ports: readonly [number, number],
	proto: number = 17,
): Uint8Array {
	const packet = new Uint8Array(36);
	const view = new DataView(packet.buffer);
	const [source, destination] = ends.map((text) => addressOf(text).address);
	assert.ok(source !== undefined && destination !== undefined);
	const options = new Uint8Array(0);
	const header = { tos: 0, totalLength: 36, id: 1, fragmentWord: 0, ttl: 9, protocol: proto };
	writeIpv4(view, 0, { ...header, options, source, destination });
	setIpv4Checksum(view, 0);
	writeUdp(view, 20, ports[0], ports[1], 16);
	packet.fill(0x11, 28);
	fillUdpChecksum(packet, view, 2, 12, 16, 20, 36);
	return packet;
}

interface Bench {
	readonly box: NatBox;
	/** Sends from inside or outside; what came out on the other side. */
	send(from: 'inside' | 'outside', packet: Uint8Array): Uint8Array[];
}

function bench(): Bench {
	const agenda = new Agenda(0);
	const inside = new Link('inside', agenda, { clear: true, nodes: [] });
	const outside = new Link('outside', agenda, { clear: true, nodes: [] });
	const box = new NatBox(
		addressOf('192.0.2.1').address,
		{ link: inside, end: 1 },
		{ link: outside, end: 0 },
	);
	let out: Uint8Array[] = [];
	inside.plug(0, { receive: (packet) => out.push(packet) });
	outside.plug(1, { receive: (packet) => out.push(packet) });
	return {
		box,
		send: (from, packet) => {
			out = [];
			(from === 'inside' ? inside : outside).send(packet, from === 'inside' ? 0 : 1);
			for (let action = agenda.take(0); action !== undefined; action = agenda.take(0)) {
				action();
			}
			return out;
		},
	};
}

const OUT = ['10.0.0.2', '198.51.100.1'] as const;
const BACK = ['198.51.100.1', '192.0.2.1'] as const;

test('what leaves has the address and a port of the box, and answers find back', () => {
	const { send, box } = bench();
	const [left] = send('inside', datagram(OUT, [4500, 4500]));
	assert.deepEqual(left, datagram(['192.0.2.1', '198.51.100.1'], [20000, 4500]));
	assert.ok(verifyIpv4Checksum(new DataView(left.buffer), 0));
	assert.equal(box.portOf(addressOf('10.0.0.2').address, 4500), 20000);
	assert.deepEqual(send('outside', datagram(BACK, [4500, 20000])), [
		datagram(['198.51.100.1', '10.0.0.2'], [4500, 4500]),
	]);
});

test('after a rebinding the old port leads nowhere, and the next packet gets a new one', () => {
	const { send, box } = bench();
	send('inside', datagram(OUT, [4500, 4500]));
	box.rebind();
	assert.deepEqual(send('outside', datagram(BACK, [4500, 20000])), []);
	const [left] = send('inside', datagram(OUT, [4500, 4500]));
	assert.deepEqual(left, datagram(['192.0.2.1', '198.51.100.1'], [20001, 4500]));
});

test('what is not UDP, or whose port nobody has, is dropped', () => {
	const { send } = bench();
	assert.deepEqual(send('inside', datagram(OUT, [1, 1], 50)), []);
	assert.deepEqual(send('outside', datagram(BACK, [1, 1])), []);
	assert.deepEqual(send('inside', Uint8Array.of(0x45, 0, 0)), []);
});
