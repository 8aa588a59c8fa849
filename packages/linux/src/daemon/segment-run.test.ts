// Segments and datagrams joined are what the kernel would have cut them from; anything else stays as it is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
	checksumAddView,
	fillSegment,
	fillTcpChecksum,
	fillUdpChecksum,
	PacketBuffer,
	planSegments,
	SegmentPlan,
	setIpv4Checksum,
	setIpv4Id,
	setIpv4Protocol,
	setIpv4TotalLength,
	setIpv6PayloadLength,
	TcpFlag,
	UDP_HEADER_OCTETS,
	writeIpv4,
	writeIpv6,
	writeTcp,
	writeUdp,
} from '@xfrm/wire';
import { Family, IpProto, parseAddress } from '@xfrm/wire/xfrm';
import { NOT } from '../native/octet-moves.ts';
import { SegmentRun, segmentSumStart } from './segment-run.ts';

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
	return checksumAddView(packet.view, at, packet.end - at, segmentSumStart(packet));
}

/** How many of the packets one run takes, from the first on. */
function joined(
	run: SegmentRun,
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
	const run = new SegmentRun();
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
			assert.equal(joined(new SegmentRun(), segments, sum), count, `${what}, ${known}`);
		}
	}
	// A short segment is the last one.
	const [a, b] = cut(large(Family.Ipv4, 1500, TcpFlag.Ack));
	assert.ok(a !== undefined && b !== undefined);
	const run = new SegmentRun();
	assert.equal(joined(run, [a, b], sumOf), 2);
	assert.equal(run.join(b, sumOf(b)), false);
	// A first segment that is not sound goes alone.
	for (const [known, sum] of SUMS) {
		const spoilt = cut(large(Family.Ipv4, 4000, TcpFlag.Ack));
		spoilt[0]?.bytes.fill(1, 700, 704);
		assert.equal(joined(new SegmentRun(), spoilt, sum), 1, known);
	}
});

/** Datagrams of these lengths of payload, as one program sends them. */
function datagrams(family: number, lengths: readonly number[]): PacketBuffer[] {
	const ipOctets = family === Family.Ipv4 ? 20 : 40;
	return lengths.map((octets, index) => {
		const whole = large(family, octets, TcpFlag.Ack);
		const packet = PacketBuffer.from(
			whole.copy().subarray(0, ipOctets + UDP_HEADER_OCTETS + octets),
		);
		const { view, bytes, start, end } = packet;
		packet.family = family;
		if (family === Family.Ipv4) {
			setIpv4Protocol(view, start, IpProto.Udp);
			setIpv4TotalLength(view, start, end - start);
			setIpv4Id(view, start, 7 + index);
			setIpv4Checksum(view, start);
		} else {
			view.setUint8(start + 6, IpProto.Udp);
			setIpv6PayloadLength(view, start, end - start - 40);
		}
		writeUdp(view, start + ipOctets, 5, 6, end - start - ipOctets);
		const [source, size] = family === Family.Ipv4 ? [12, 4] : [8, 16];
		const from = start + source;
		fillUdpChecksum(bytes, view, family, from, from + size, start + ipOctets, end);
		return packet;
	});
}

function datagramRun(): SegmentRun {
	const run = new SegmentRun();
	run.joinsDatagrams = true;
	return run;
}

for (const [name, family] of [
	['IPv4', Family.Ipv4],
	['IPv6', Family.Ipv6],
] as const) {
	test(`datagrams joined are cut into the same again: ${name}`, () => {
		for (const [what, sum] of SUMS) {
			const packets = datagrams(family, [900, 900, 900, 33]);
			const before = packets.map((packet) => packet.copy());
			const run = datagramRun();
			assert.equal(joined(run, packets, sum), 4, what);
			run.finish();
			const [first, ...others] = packets;
			assert.ok(first !== undefined);
			const ipOctets = family === Family.Ipv4 ? 20 : 40;
			const header = ipOctets + UDP_HEADER_OCTETS;
			const vnet = Uint8Array.of(1, 5, header, 0, 900 & 255, 900 >> 8, ipOctets, 0, 6, 0);
			assert.deepEqual(first.bytes.slice(first.start - 10, first.start), vnet);
			const parts = [first.copy(), ...others.map((packet) => packet.copy().slice(header))];
			const together = PacketBuffer.from(new Uint8Array(parts.flatMap((part) => [...part])));
			together.family = family;
			const plan = new SegmentPlan();
			assert.ok(planSegments(plan, together, 900));
			const again = before.map((_, index) => {
				const segment = new PacketBuffer(2000);
				assert.ok(fillSegment(plan, together, index, segment));
				return segment.copy();
			});
			assert.deepEqual(again, before, what);
		}
	});
}

test('datagrams that are not to be joined', () => {
	const udpAt = 20;
	const change: readonly (readonly [string, (packet: PacketBuffer) => void, number])[] = [
		['nothing', () => {}, 4],
		['port', ({ view, start }) => view.setUint16(start + udpAt, 9), 2],
		['no checksum', ({ view, start }) => view.setUint16(start + udpAt + 6, 0), 2],
		['payload changed', ({ bytes, start }) => bytes.fill(1, start + 60, start + 64), 2],
		['length', ({ view, start }) => view.setUint16(start + udpAt + 4, 800), 2],
		['traffic class', ({ view, start }) => view.setUint8(start + 1, 3), 2],
		['protocol', ({ view, start }) => view.setUint8(start + 9, IpProto.Tcp), 2],
	];
	for (const [what, alter, count] of change) {
		for (const [known, sum] of SUMS) {
			const packets = datagrams(Family.Ipv4, [900, 900, 900, 900]);
			alter(packets[2] as PacketBuffer);
			assert.equal(joined(datagramRun(), packets, sum), count, `${what}, ${known}`);
		}
	}
	const shorter = datagrams(Family.Ipv4, [900, 500, 500]);
	assert.equal(joined(datagramRun(), shorter, sumOf), 2, 'a short one is the last');
	const longer = datagrams(Family.Ipv4, [900, 901]);
	assert.equal(joined(datagramRun(), longer, sumOf), 1, 'a longer one begins anew');
	const many = datagrams(Family.Ipv4, new Array<number>(70).fill(10));
	assert.equal(joined(datagramRun(), many, sumOf), 64, 'as many as the kernel cuts');
	const old = datagrams(Family.Ipv4, [900, 900]);
	assert.equal(joined(new SegmentRun(), old, sumOf), 1, 'a kernel that does not take them');
});
