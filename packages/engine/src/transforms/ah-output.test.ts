import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { formatHex, type PacketBuffer } from '@xfrm/wire';
import { anySelector, Errno } from '@xfrm/wire/xfrm';
import { address, bytes, ip, join, type StateOptions, udp } from '../input-fixture.test.ts';
import {
	addOut,
	addOutPolicy,
	inner,
	makeEngine,
	makeRoute,
	send,
	template,
} from '../output-fixture.test.ts';
import { Verdict } from '../verdict.ts';

const KEY = bytes('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f');
const SHA256 = { name: 'hmac(sha256)', key: KEY, keyBits: 256, truncBits: 128 };
const SHA1 = { name: 'hmac(sha1)', key: KEY, keyBits: 256, truncBits: 96 };
const ENDS4 = { src: '10.0.0.1', dst: '10.1.0.1' };
const ENDS6 = { src: '2001:db8::a', dst: '2001:db8::b' };

/** A packet through AH in transport mode. */
function through(packet: Uint8Array, options: StateOptions = {}): PacketBuffer {
	const { engine } = makeEngine(undefined, nodeProvider());
	const family = (packet[0] ?? 0) >> 4 === 4 ? 2 : 10;
	addOut(engine, { proto: 51, mode: 0, auth: SHA1, ...(family === 2 ? ENDS4 : ENDS6), ...options });
	addOutPolicy(engine, {
		selector: anySelector(family),
		templates: [template({ proto: 51, mode: 0, family, reqid: 1 })],
	});
	return send(engine, packet, { route: makeRoute({ family }) });
}

/** The first `octets` of the MAC over these octets. */
function mac(hash: string, octets: number, ...parts: readonly Uint8Array[]): string {
	const hmac = createHmac(hash, KEY);
	for (const part of parts) {
		hmac.update(part);
	}
	return hmac.digest('hex').slice(0, 2 * octets);
}

/** A copy with these octets put in at their places. */
function patched(packet: Uint8Array, patches: Record<number, string>): Uint8Array {
	const copy = packet.slice();
	for (const [at, hex] of Object.entries(patches)) {
		copy.set(bytes(hex), Number(at));
	}
	return copy;
}

// @spec T-20 T-21 T-22 T-26
test('IPv4: the ICV covers the packet but for TOS, flags, TTL and checksum', () => {
	const packet = through(inner(undefined, { tos: 0x12, ttl: 9, id: 7, fragment: 0x4000 })).copy();
	assert.equal(formatHex(packet.subarray(0, 10)), '4512003800074000' + '0933');
	assert.equal(formatHex(packet.subarray(20, 32)), '11040000' + 'c0de0001' + '00000001');
	const covered = patched(packet, {
		1: '00',
		6: '0000',
		8: '00',
		10: '0000',
		32: '00'.repeat(12),
	});
	assert.equal(formatHex(packet.subarray(32, 44)), mac('sha1', 12, covered));
	assert.equal(formatHex(packet.subarray(44)), formatHex(udp()));
});

// @spec T-20
test('the header is rounded up to eight octets, with ALIGN4 on IPv4 to four', () => {
	const rows: [string, StateOptions, Uint8Array, string, number][] = [
		['16 octets of ICV', { auth: SHA256 }, inner(), '1106', 32],
		['ALIGN4', { auth: SHA256, flags: 64 }, inner(), '1105', 28],
		['IPv6 knows no ALIGN4', { auth: SHA256, flags: 64 }, ip(17, udp(), ENDS6), '1106', 32],
	];
	for (const [name, options, packet, lengths, octets] of rows) {
		const whole = through(packet, options).copy();
		const at = (packet[0] ?? 0) >> 4 === 4 ? 20 : 40;
		assert.equal(formatHex(whole.subarray(at, at + 2)), lengths, name);
		assert.equal(whole.length, packet.length + octets, name);
	}
});

// @spec T-21; RFC 4302 §2.5.1
test('with ESN the high half of the number follows the packet in the computation', () => {
	const esn = {
		bmpLen: 1,
		oseq: 0xffffffff,
		seq: 0,
		oseqHi: 2,
		seqHi: 0,
		replayWindow: 32,
		bmp: new Uint32Array(1),
	};
	const packet = through(inner(), { flags: 128, replayWindow: 0, replayEsn: esn }).copy();
	const covered = patched(packet, { 6: '0000', 8: '00', 10: '0000', 32: '00'.repeat(12) });
	assert.equal(formatHex(packet.subarray(28, 32)), '00000000');
	assert.equal(formatHex(packet.subarray(32, 44)), mac('sha1', 12, covered, bytes('00000003')));
});

/** An IPv4 packet with these options. */
function withOptions(options: string): Uint8Array {
	const plain = inner();
	const octets = options.length / 2;
	const first = Uint8Array.of(0x40 | ((20 + octets) >> 2));
	return join(first, plain.subarray(1, 20), bytes(options), plain.subarray(20));
}

// @spec T-22
test('IPv4 options: some are covered, others count as zeros, a source route is followed', () => {
	const rows: [string, string, string, string | undefined][] = [
		['router alert is covered', '94040000', '94040000', undefined],
		['security is covered', '82040000', '82040000', undefined],
		[
			'record route is zeroed, type and length too',
			'0707040000000000',
			'0000000000000000',
			undefined,
		],
		[
			'no-operations stay',
			'01010194040000'.padEnd(16, '0'),
			'01010194040000'.padEnd(16, '0'),
			undefined,
		],
		['behind the end nothing is looked at', '00070799', '00070799', undefined],
		['loose source route', '8307040a020002' + '00', '0000000000000000', '0a020002'],
	];
	for (const [name, options, covered, destination] of rows) {
		const packet = through(withOptions(options)).copy();
		const octets = options.length / 2;
		const image = patched(packet, {
			1: '00',
			6: '0000',
			8: '00',
			10: '0000',
			20: covered,
			[20 + octets + 12]: '00'.repeat(12),
			...(destination === undefined ? {} : { 16: destination }),
		});
		const at = 20 + octets + 12;
		assert.equal(formatHex(packet.subarray(at, at + 12)), mac('sha1', 12, image), name);
		assert.equal(formatHex(packet.subarray(16, 20)), '0a010001', `${name}: put back`);
		assert.equal(formatHex(packet.subarray(20, 20 + octets)), options, `${name}: put back`);
	}
});

// @spec T-22
test('an option of a wrong length is refused, and the number is gone', () => {
	for (const options of ['07000000', '0701aaaa', '07050000', '83040400']) {
		const packet = through(withOptions(options));
		assert.equal(packet.verdict, Verdict.OutStateProtoError, options);
		assert.equal(packet.error, Errno.EINVAL, options);
	}
});

// @spec T-23
test('IPv6: class, label and hop limit are not covered', () => {
	const packet = through(patched(ip(17, udp(), ENDS6), { 0: '6bb12345' })).copy();
	const image = patched(packet, { 0: '60000000', 7: '00', 52: '00'.repeat(12) });
	assert.equal(formatHex(packet.subarray(52, 64)), mac('sha1', 12, image));
	assert.equal(formatHex(packet.subarray(0, 8)), '6bb1234500243340');
});

// @spec T-23; RFC 4302 §3.3.3.1.2
test('IPv6 extension headers: mutable options are zeros, a routing header has its final order', () => {
	const routing = join(bytes('1104000200000000'), address('2001:db8::1'), address('2001:db8::2'));
	const options = bytes('2b01' + '3e02aabb' + '0504ccddeeff' + '01020000');
	const packet = through(ip(0, join(options, routing, udp()), ENDS6)).copy();
	assert.equal(formatHex(packet.subarray(40, 56)), formatHex(options));
	const icvAt = 40 + 16 + 40 + 12;
	const image = patched(packet, {
		0: '60000000',
		7: '00',
		24: formatHex(address('2001:db8::2')),
		44: '0000',
		59: '00',
		64: formatHex(address('2001:db8::b')) + formatHex(address('2001:db8::1')),
		[icvAt]: '00'.repeat(12),
	});
	assert.equal(formatHex(packet.subarray(icvAt, icvAt + 12)), mac('sha1', 12, image));
});

// @spec T-23; RFC 6275 §11.3.2
test('a home address counts as the source, and the source as the home address', () => {
	const hao = join(bytes('11020102' + '0000' + 'c910'), address('2001:db8::ee'));
	const packet = through(ip(60, join(hao, udp()), ENDS6)).copy();
	const image = patched(packet, {
		0: '60000000',
		7: '00',
		8: formatHex(address('2001:db8::ee')),
		48: formatHex(address('2001:db8::a')),
		76: '00'.repeat(12),
	});
	assert.equal(formatHex(packet.subarray(76, 88)), mac('sha1', 12, image));
});

// @spec T-23
test('damaged extension headers are refused', () => {
	const rows: [string, number, string][] = [
		['an option that reaches beyond its header', 0, '1100050900000000'],
		['more segments left than addresses', 43, `1102000200000000${'00'.repeat(16)}`],
	];
	for (const [name, proto, header] of rows) {
		const packet = through(ip(proto, join(bytes(header), udp()), ENDS6));
		assert.equal(packet.verdict, Verdict.OutStateProtoError, name);
		assert.equal(packet.error, Errno.EINVAL, name);
	}
});

// @spec T-25
test('in tunnel mode the outer header is covered too', () => {
	const { engine } = makeEngine(undefined, nodeProvider());
	addOut(engine, { proto: 51, mode: 1, auth: SHA256 });
	addOutPolicy(engine, {
		templates: [
			template({
				proto: 51,
				reqid: 1,
				saddr: address('192.0.2.1'),
				id: { daddr: address('192.0.2.2'), spi: 0, proto: 51 },
			}),
		],
	});
	const packet = send(engine, inner(undefined, { fragment: 0x4000 })).copy();
	assert.equal(formatHex(packet.subarray(20, 22)), '0406');
	assert.equal(formatHex(packet.subarray(48, 52)), '00000000', 'padding');
	const image = patched(packet, { 6: '0000', 8: '00', 10: '0000', 32: '00'.repeat(16) });
	assert.equal(formatHex(packet.subarray(32, 48)), mac('sha256', 16, image));
});
