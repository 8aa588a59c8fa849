import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fillTcpChecksum, TcpFlag, writeTcp } from '@xfrm/wire';
import {
	counted,
	counting,
	emitted,
	familyOf,
	ip,
	NOW_US,
	policy,
	router,
} from './host-fixture.test.ts';

/** A segment from port 1000 to port 80. */
function segment(source: string, destination: string, flags: number, octets: number): Uint8Array {
	const payload = new Uint8Array(20 + octets);
	payload.set(counting(octets), 20);
	const fields = { sequence: 0xfffffffe, acknowledgment: 0x80000001, flags, window: 9 };
	writeTcp(new DataView(payload.buffer), 0, { sport: 1000, dport: 80, ...fields });
	const packet = ip(source, destination, payload, { proto: 6, tos: 0x13 });
	const ipv4 = familyOf(source) === 2;
	const [from, to, at] = ipv4 ? [12, 16, 20] : [8, 24, 40];
	fillTcpChecksum(packet, new DataView(packet.buffer), ipv4 ? 2 : 10, from, to, at, packet.length);
	return packet;
}

/** Flags, sequence and acknowledgment number of the reset that came, `none` without one. */
function answer(packet: Uint8Array): string {
	const host = router();
	host.receive('lan', packet, NOW_US);
	const [reset] = emitted(host);
	if (reset === undefined) {
		return 'none';
	}
	const at = (reset[0] ?? 0) >> 4 === 4 ? 20 : 40;
	const view = new DataView(reset.buffer, reset.byteOffset);
	const [flags, sequence, ack] = [
		view.getUint8(at + 13),
		view.getUint32(at + 4),
		view.getUint32(at + 8),
	];
	assert.deepEqual([view.getUint16(at), view.getUint16(at + 2)], [80, 1000]);
	return `${flags} ${sequence} ${ack}`;
}

test('a segment for nobody is answered with a reset', () => {
	for (const [source, destination] of [
		['10.0.0.9', '10.0.0.1'],
		['2001:db8:a::9', '2001:db8:a::1'],
	] as const) {
		const at = (flags: number, octets: number): string =>
			answer(segment(source, destination, flags, octets));
		assert.equal(at(TcpFlag.Syn, 0), `20 0 ${0xffffffff}`, 'SYN counts as one');
		assert.equal(at(TcpFlag.Syn | TcpFlag.Fin, 4), '20 0 4', 'numbers wrap');
		assert.equal(at(TcpFlag.Ack, 4), `4 ${0x80000001} 0`);
		assert.equal(at(TcpFlag.Rst, 0), 'none');
		const damaged = segment(source, destination, TcpFlag.Syn, 4);
		damaged[damaged.length - 1] = 99;
		assert.equal(answer(damaged), 'none');
	}
});

test('the reset has TOS without ECN, DF and no identification', () => {
	const host = router();
	host.receive('lan', segment('10.0.0.9', '10.0.0.1', TcpFlag.Syn, 0), NOW_US);
	const [reset = new Uint8Array(0)] = emitted(host);
	assert.equal(reset[1], 0x10);
	assert.deepEqual(reset.slice(4, 8), Uint8Array.of(0, 0, 0x40, 0));
});

/** @spec I-22 */
test('a blocked segment is counted, a short damaged one is not', () => {
	const host = router();
	host.engine.addPolicy(policy({ direction: 0, action: 1 }), NOW_US);
	const good = segment('10.0.0.9', '10.0.0.1', TcpFlag.Syn, 0);
	host.receive('lan', good, NOW_US);
	assert.deepEqual(counted(host), { XfrmInPolBlock: 1 });
	for (const [octets, count] of [
		[56, 1],
		[57, 2],
	] as const) {
		const damaged = segment('10.0.0.9', '10.0.0.1', TcpFlag.Syn, octets);
		damaged[50] = (damaged[50] ?? 0) ^ 1;
		host.receive('lan', damaged, NOW_US);
		assert.deepEqual(counted(host), { XfrmInPolBlock: count }, `${octets} octets of data`);
	}
	assert.deepEqual(emitted(host), []);
});
