// Segments joined are what the kernel would have cut them from; anything else stays as it is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
	checksumAddView,
	fillSegment,
	fillTcpChecksum,
	PacketBuffer,
	planSegments,
	SegmentPlan,
	TcpFlag,
	writeIpv4,
	writeIpv6,
	writeTcp,
} from '@xfrm/wire';
import { Family, IpProto, parseAddress } from '@xfrm/wire/xfrm';
import { NOT } from '../native/octet-moves.ts';
import { TcpRun, tcpSumStart } from './tcp-run.ts';

const TCP_OCTETS = 20;
const SEGMENT_OCTETS = 1000;

function addressOf(text: string): Uint8Array {
	return parseAddress(text)?.address ?? new Uint8Array(16);
}

/** A large packet with its checksum left out, as a program's kernel would hand it over. */
function large(family: number, payloadOctets: number, flags: number): PacketBuffer {
	const ipOctets = family === Family.Ipv4 ? 20 : 40;
	const octets = ipOctets + TCP_OCTETS + payloadOctets;
	const packet = new PacketBuffer(70_000);
	const { view, bytes, start } = packet;
	packet.family = family;
	packet.end = start + octets;
	if (family === Family.Ipv4) {
		writeIpv4(view, start, {
			tos: 0,
			totalLength: octets,
			id: 7,
			fragmentWord: 0x4000,
			ttl: 64,
			protocol: IpProto.Tcp,
			source: addressOf('10.1.0.1').subarray(0, 4),
			destination: addressOf('10.2.0.1').subarray(0, 4),
			options: new Uint8Array(0),
		});
	} else {
		writeIpv6(view, start, {
			trafficClass: 0,
			flowLabel: 5,
			payloadLength: octets - 40,
			nextHeader: IpProto.Tcp,
			hopLimit: 64,
			source: addressOf('2001:db8::1'),
			destination: addressOf('2001:db8::2'),
		});
	}
	const tcp = { sport: 1, dport: 2, sequence: -500, acknowledgment: 9, flags, window: 77 };
	writeTcp(view, start + ipOctets, tcp);
	for (let at = start + ipOctets + TCP_OCTETS; at < packet.end; at++) {
		bytes[at] = at * 13;
	}
	return packet;
}

function cut(whole: PacketBuffer): PacketBuffer[] {
	const plan = new SegmentPlan();
	assert.ok(planSegments(plan, whole, SEGMENT_OCTETS));
	return Array.from({ length: plan.count }, (_, index) => {
		const segment = new PacketBuffer(2000);
		assert.ok(fillSegment(plan, whole, index, segment));
		return segment;
	});
}

/** What somebody faster may have found out before. */
function sumOf(packet: PacketBuffer): number {
	const at = packet.start + (packet.family === Family.Ipv4 ? 20 : 40);
	packet.transportAt = at;
	return checksumAddView(packet.view, at, packet.end - at, tcpSumStart(packet));
}

/** How many of the packets one run takes, from the first on. */
function joined(
	run: TcpRun,
	packets: readonly PacketBuffer[],
	sum: (packet: PacketBuffer) => number,
): number {
	const [first, ...others] = packets;
	assert.ok(first !== undefined);
	run.begin(first, sum(first));
	const end = others.findIndex((packet) => !run.join(packet, sum(packet)));
	return 1 + (end < 0 ? others.length : end);
}

const SUMS: readonly (readonly [string, (packet: PacketBuffer) => number])[] = [
	['sums known', sumOf],
	['sums not known', () => NOT],
];

for (const [name, family, payload, flags] of [
	['IPv4', Family.Ipv4, 5500, TcpFlag.Ack],
	['IPv4, pushed', Family.Ipv4, 5000, TcpFlag.Ack | TcpFlag.Psh],
	['IPv6', Family.Ipv6, 60_001, TcpFlag.Ack | TcpFlag.Psh],
] as const) {
	test(`cut and joined: ${name}`, () => {
		for (const [what, sum] of SUMS) {
			cutAndJoin(what, family, payload, flags, sum);
		}
	});
}

function cutAndJoin(
	what: string,
	family: number,
	payload: number,
	flags: number,
	sum: (packet: PacketBuffer) => number,
): void {
	const whole = large(family, payload, flags);
	const segments = cut(whole);
	const run = new TcpRun();
	assert.equal(joined(run, segments, sum), segments.length, what);
	run.finish();
	const [first, ...others] = segments;
	assert.ok(first !== undefined);
	const ipOctets = family === Family.Ipv4 ? 20 : 40;
	// struct virtio_net_hdr, as the kernel would write it for the large packet.
	const type = family === Family.Ipv4 ? 1 : 4;
	const header = ipOctets + TCP_OCTETS;
	const vnet = Uint8Array.of(1, type, header, 0, 1000 & 255, 1000 >> 8, ipOctets, 0, 16, 0);
	assert.deepEqual(first.bytes.slice(first.start - 10, first.start), vnet);
	const parts = [first.copy(), ...others.map((packet) => packet.copy().slice(header))];
	const together = PacketBuffer.from(new Uint8Array(parts.flatMap((part) => [...part])));
	together.family = family;
	for (const packet of [whole, together]) {
		const at = packet.start + (family === Family.Ipv4 ? 12 : 8);
		const to = at + (family === Family.Ipv4 ? 4 : 16);
		const tcpAt = packet.start + ipOctets;
		fillTcpChecksum(packet.bytes, packet.view, family, at, to, tcpAt, packet.end);
	}
	assert.deepEqual(together.copy(), whole.copy(), what);
}

test('what is not the next segment, or not sound, is not joined', () => {
	const tcpAt = 20;
	const change: readonly (readonly [string, (segment: PacketBuffer) => void, number])[] = [
		['nothing', () => {}, 4],
		['payload changed', ({ bytes, start }) => bytes.fill(1, start + 60, start + 64), 2],
		['sequence', ({ view, start }) => view.setInt32(start + tcpAt + 4, 12), 2],
		['acknowledgment', ({ view, start }) => view.setInt32(start + tcpAt + 8, 12), 2],
		['window', ({ view, start }) => view.setUint16(start + tcpAt + 14, 12), 2],
		['port', ({ view, start }) => view.setUint16(start + tcpAt, 12), 2],
		['FIN', ({ view, start }) => view.setUint8(start + tcpAt + 13, 0x11), 2],
		['address', ({ view, start }) => view.setInt32(start + 16, 12), 2],
		['traffic class', ({ view, start }) => view.setUint8(start + 1, 3), 2],
		['a fragment', ({ view, start }) => view.setUint16(start + 6, 0x2000), 2],
	];
	for (const [what, alter, count] of change) {
		for (const [known, sum] of SUMS) {
			const segments = cut(large(Family.Ipv4, 4000, TcpFlag.Ack));
			alter(segments[2] as PacketBuffer);
			assert.equal(joined(new TcpRun(), segments, sum), count, `${what}, ${known}`);
		}
	}
	// A short segment is the last one.
	const [a, b] = cut(large(Family.Ipv4, 1500, TcpFlag.Ack));
	assert.ok(a !== undefined && b !== undefined);
	const run = new TcpRun();
	assert.equal(joined(run, [a, b], sumOf), 2);
	assert.equal(run.join(b, sumOf(b)), false);
	// A first segment that is not sound goes alone.
	for (const [known, sum] of SUMS) {
		const spoilt = cut(large(Family.Ipv4, 4000, TcpFlag.Ack));
		spoilt[0]?.bytes.fill(1, 700, 704);
		assert.equal(joined(new TcpRun(), spoilt, sum), 1, known);
	}
});
