import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checksumAdd, checksumFold, ipv4PseudoSum, ipv6PseudoSum } from './checksum.ts';
import { parseHex } from './hex.ts';
import { ipv4Id, ipv4TotalLength, verifyIpv4Checksum } from './ipv4.ts';
import { ipv6PayloadLength } from './ipv6.ts';
import { PacketBuffer } from './packet-buffer.ts';
import { fillSegment, planSegments, SegmentPlan } from './segment.ts';
import { TcpFlag, tcpFlags, tcpSequence } from './tcp.ts';
import { udpLength } from './udp.ts';
import { Family, IpProto } from './xfrm/constants.ts';

const HEADERS: Readonly<Record<string, string>> = {
	ipv4: '45020000 ffff4000 40PP0000 0a000001 0a000002',
	'ipv4 with options': '47020000 ffff4000 40PP0000 0a000001 0a000002 94040000 01010101',
	ipv6: `60200000 0000PP40 ${'20010db8'.repeat(8)}`,
	'ipv6 with hop-by-hop options': `60200000 00000040 ${'20010db8'.repeat(8)} PP00 010400000000`,
};
/** Sequence number fffffff0, flags CWR ACK PSH FIN; a checksum that must not be believed. */
const TCP = '0050c000 fffffff0 00000001 80990003 12340000 0101080a 00000001 00000002';
const UDP = '1194 01f4 0000 1234';

function superPacket(ip: string, proto: number, upper: string, payload: Uint8Array): PacketBuffer {
	const header = parseHex(
		(HEADERS[ip] ?? '').replace('PP', proto.toString(16).padStart(2, '0')) + upper,
	);
	assert.ok(header instanceof Uint8Array);
	const bytes = new Uint8Array(header.length + payload.length);
	bytes.set(header);
	bytes.set(payload, header.length);
	return PacketBuffer.from(bytes);
}

/** Is the transport checksum right over what the IP header says? */
function checksumHolds(out: PacketBuffer, proto: number, upperAt: number): boolean {
	const { bytes, view, start, end, family } = out;
	const pseudo =
		family === Family.Ipv4
			? ipv4PseudoSum(view, start, end - upperAt, proto)
			: ipv6PseudoSum(view, start, end - upperAt, proto);
	return checksumFold(checksumAdd(bytes, upperAt, end, pseudo)) === 0;
}

// @spec O-14
test('segments add up to the packet, each one whole by itself', () => {
	const plan = new SegmentPlan();
	const out = new PacketBuffer(0);
	const kinds = fc.record({
		ip: fc.constantFrom(...Object.keys(HEADERS)),
		proto: fc.constantFrom(IpProto.Tcp, IpProto.Udp),
		payload: fc.uint8Array({ minLength: 0, maxLength: 700 }),
		gso: fc.integer({ min: 1, max: 400 }),
	});
	fc.assert(
		fc.property(kinds, ({ ip, proto, payload, gso }) => {
			const packet = superPacket(ip, proto, proto === IpProto.Tcp ? TCP : UDP, payload);
			const before = packet.copy();
			assert.equal(planSegments(plan, packet, gso), true);
			assert.equal(plan.count, Math.max(1, Math.ceil(payload.length / gso)));
			const together: number[] = [];
			for (let index = 0; index < plan.count; index++) {
				assert.equal(fillSegment(plan, packet, index, out), true);
				const { view, start, end } = out;
				const upperAt = start + plan.upperOctets;
				const last = index === plan.count - 1;
				together.push(...out.bytes.subarray(start + plan.headerOctets, end));
				if (plan.family === Family.Ipv4) {
					assert.equal(ipv4TotalLength(view, start), end - start);
					assert.equal(ipv4Id(view, start), (0xffff + index) & 0xffff);
					assert.equal(verifyIpv4Checksum(view, start), true);
				} else {
					assert.equal(ipv6PayloadLength(view, start), end - start - 40);
				}
				assert.equal(checksumHolds(out, proto, upperAt), true);
				if (proto === IpProto.Tcp) {
					assert.equal(tcpSequence(view, upperAt), (0xfffffff0 + index * gso) | 0);
					const flags =
						TcpFlag.Ack | (index === 0 ? TcpFlag.Cwr : 0) | (last ? TcpFlag.Psh | TcpFlag.Fin : 0);
					assert.equal(tcpFlags(view, upperAt), flags);
				} else {
					assert.equal(udpLength(view, upperAt), end - upperAt);
				}
			}
			assert.deepEqual(together, [...payload]);
			assert.deepEqual(packet.copy(), before);
		}),
	);
});

test('what is not to be segmented is refused', () => {
	const plan = new SegmentPlan();
	const home = `PP02 01020000 c910 ${'fe'.repeat(16)}`;
	const rows: readonly (readonly [string, string])[] = [
		['empty', ''],
		['ESP', '45000000 00000000 40320000 0a000001 0a000002 c0000001 00000001'],
		['first fragment', `45000000 00002000 40060000 0a000001 0a000002 ${TCP}`],
		['TCP header cut', `45000000 00000000 40060000 0a000001 0a000002 ${TCP.slice(0, 27)}`],
		['UDP header cut', `45000000 00000000 40110000 0a000001 0a000002 ${UDP.slice(0, 10)}`],
		['IPv6 fragment', `60000000 00002c40 ${'20010db8'.repeat(8)} 06000001 00000001 ${TCP}`],
		[
			'routing header',
			`60000000 00002b40 ${'20010db8'.repeat(8)} 06020201 00000000 ${'fe'.repeat(16)} ${TCP}`,
		],
		[
			'home address',
			`60000000 00003c40 ${'20010db8'.repeat(8)} ${home.replace('PP', '06')} ${TCP}`,
		],
		['broken chain', `60000000 00000040 ${'20010db8'.repeat(8)} 0609`],
	];
	for (const [name, hex] of rows) {
		const bytes = parseHex(hex);
		assert.ok(bytes instanceof Uint8Array, name);
		assert.equal(planSegments(plan, PacketBuffer.from(bytes), 100), false, name);
		assert.equal(plan.count, 0);
	}
	const packet = superPacket('ipv4', IpProto.Tcp, TCP, new Uint8Array(10));
	assert.equal(planSegments(plan, packet, 0), false, 'segments of nothing');
});
