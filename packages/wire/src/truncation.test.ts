/**
 * Every truncation of every sample packet goes through every length check, accessor and walk. A view
 * that ends where the packet ends makes each read beyond it a RangeError; for reads of bytes, which
 * would be silent, the answers must not depend on what lies behind the end.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as wire from './index.ts';
import { Family } from './xfrm/constants.ts';

interface Sample {
	readonly case: string;
	readonly packet: string;
}

/** Protocols that no capture has, by hand: GRE with all words, SCTP, DCCP, UDP-Lite, IPv4 options of all kinds. */
const BY_HAND: readonly Sample[] = [
	{
		case: 'gre',
		packet: `45000028 00000000 402f0000 0a000001 0a000002
			b0000800 aaaa0000 12345678 00000001 45000014`,
	},
	{
		case: 'sctp',
		packet: '45000020 00000000 40840000 0a000001 0a000002 0b598e3c c0000001 00000000',
	},
	{
		case: 'dccp',
		packet: '45000020 00000000 40210000 0a000001 0a000002 0b598e3c c0000001 00000000',
	},
	{ case: 'udp-lite', packet: '4500001c 00000000 40880000 0a000001 0a000002 0b598e3c 00080000' },
	{
		case: 'options',
		packet: `4b000034 00000000 40010000 0a000001 0a000002
			01830704 c0000201 440c0500 00000000 00000000 94040000 0800f7ff 00000000`,
	},
	{
		case: 'tcp in a long chain',
		packet: `60000000 00340040 ${'fe800000'.repeat(8)}
			2b000104 00000000 3c000000 00000000 2c000104 00000000 06000000 00000001
			0050c000 00000001 00000002 50120003 00000000`,
	},
];

function samples(): readonly (readonly [string, Uint8Array])[] {
	const file = new URL('../vectors/packets.json', import.meta.url);
	const captured: readonly Sample[] = JSON.parse(readFileSync(file, 'utf8'));
	return [...captured, ...BY_HAND].map((sample) => {
		const packet = wire.parseHex(sample.packet);
		assert.ok(packet instanceof Uint8Array, sample.case);
		return [sample.case, packet] as const;
	});
}

type Look = (view: DataView, at: number, end: number) => unknown;

/** A length check and all accessors that it buys. */
function guarded(
	fits: (view: DataView, at: number, end: number) => boolean,
	...looks: Look[]
): Look {
	return (view, at, end) =>
		fits(view, at, end) ? looks.map((look) => look(view, at, end)) : 'does not fit';
}

const chain = new wire.HeaderChain();

function chainOf(walk: () => boolean): unknown {
	return [walk(), chain.proto, chain.at, chain.nextHeaderAt, chain.broken, chain.inFragment];
}

const walks: Look = (view, at, end) => [
	chainOf(() => wire.walkToUpperHeader(chain, view, at, end)),
	chainOf(() => wire.walkUnfragmentable(chain, view, at, end)),
	...[0, 43, 44, 50, 51, 60, 135].map((proto) =>
		chainOf(() => wire.walkToHeader(chain, view, at, end, proto)),
	),
];

function options(view: DataView, from: number, end: number, octetsAt: Look): readonly unknown[] {
	const seen: unknown[] = [];
	for (let at = from; at < end; ) {
		const octets = Number(octetsAt(view, at, end));
		seen.push([at, octets]);
		if (octets === 0) {
			break;
		}
		at += octets;
	}
	return seen;
}

const looks: Readonly<Record<string, Look>> = {
	ipv4: guarded(
		wire.fitsIpv4,
		wire.ipv4LengthIsSound,
		wire.ipv4HeaderOctets,
		wire.ipv4Tos,
		wire.ipv4Id,
		wire.ipv4FragmentWord,
		wire.ipv4Ttl,
		wire.ipv4Protocol,
		wire.ipv4Source,
		wire.ipv4Destination,
		wire.verifyIpv4Checksum,
		(view, at) =>
			options(view, at + 20, at + wire.ipv4HeaderOctets(view, at), wire.ipv4OptionOctets),
		(view, at) => [0, 1, 7, 131, 148, 255].map((type) => wire.findIpv4Option(view, at, type)),
	),
	ipv6: guarded(
		wire.fitsIpv6,
		wire.ipv6LengthIsSound,
		wire.ipv6TrafficClass,
		wire.ipv6FlowLabel,
		wire.ipv6NextHeader,
		wire.ipv6HopLimit,
		(view, at) => wire.ipv6SourceWord(view, at, 3),
		(view, at) => wire.ipv6DestinationWord(view, at, 3),
		walks,
	),
	extension: (view, at, end) =>
		[0, 6, 43, 44, 51, 60, 135].map((proto) => [
			wire.extensionHeaderOctets(proto, view, at, end),
			wire.fitsExtensionHeader(proto, view, at, end),
		]),
	options: guarded(
		wire.fitsOptionsHeader,
		(view, at) => options(view, at + 2, at + wire.optionsHeaderOctets(view, at), wire.optionOctets),
		(view, at, end) => {
			const optionAt = wire.findDestinationOption(view, at, end, wire.OptionType.HomeAddress);
			return optionAt < 0 ? optionAt : wire.homeAddressAt(view, optionAt);
		},
	),
	findOption: (view, at, end) => wire.findDestinationOption(view, at, end, wire.OptionType.PadN),
	routing: guarded(
		wire.fitsRoutingHeader,
		wire.routingType,
		wire.routingSegmentsLeft,
		wire.routingAddressCount,
		wire.routingType2IsSound,
	),
	mobility: guarded(wire.fitsMobilityHeader, wire.mobilityType, wire.mobilityChecksum),
	fragment: guarded(
		wire.fitsFragment,
		wire.fragmentOffset,
		wire.fragmentMore,
		wire.fragmentId,
		wire.fragmentIsAtomic,
	),
	udp: guarded(wire.fitsUdp, wire.udpSourcePort, wire.udpChecksum, wire.udpLengthIsSound),
	tcp: guarded(
		wire.fitsTcp,
		wire.tcpSequence,
		wire.tcpAcknowledgment,
		wire.tcpFlags,
		wire.tcpWindow,
		wire.tcpChecksum,
		(view, at) => view.getUint8(at + wire.tcpHeaderOctets(view, at) - 1),
	),
	icmp: guarded(wire.fitsIcmp, wire.icmpType, wire.icmpChecksum, wire.icmpSequence, (view, at) =>
		wire.icmpMtu(view, at, Family.Ipv6),
	),
	esp: guarded(wire.fitsEsp, wire.espSpi, wire.espSequence, (view, _at, end) => [
		wire.espPadLength(view, end),
		wire.espNextHeader(view, end),
	]),
	ah: guarded(wire.fitsAh, wire.ahNextHeader, wire.ahSpi, wire.ahSequence, (view, at) =>
		view.getUint8(at + wire.ahOctets(view, at) - 1),
	),
	ipcomp: guarded(wire.fitsIpcomp, wire.ipcompNextHeader, wire.ipcompCpi),
	gre: guarded(wire.fitsGre, wire.greFlags, wire.greVersion, wire.greProtocolType, wire.greKeyAt),
	sctp: guarded(wire.fitsSctp, wire.sctpSourcePort, wire.sctpVerificationTag),
	ports: guarded(wire.fitsPorts, wire.sourcePort, wire.destinationPort),
	beet: guarded(wire.fitsBeetHeader, wire.beetNextHeader, wire.beetOptionOctets),
	flow: (view, at, end) =>
		[Family.Ipv4, Family.Ipv6].flatMap((family) =>
			[false, true].flatMap((generic) =>
				[0, at + 6, at + 40].map((nextHeaderAt) => {
					const flow = new wire.Flow();
					const fits = wire.decodeFlowAt(
						flow,
						view,
						at,
						end,
						family,
						generic,
						generic,
						nextHeaderAt,
					);
					wire.useRealMobilityType(flow, view, at, end);
					return [fits, [...flow.saddr], [...flow.daddr], flow.proto, flow.sport, flow.dport];
				}),
			),
		),
};

/** A buffer of its own that ends with the packet: a read beyond throws. */
function exactView(packet: Uint8Array, end: number): DataView {
	const bytes = packet.slice(0, end);
	return new DataView(bytes.buffer);
}

/** A longer buffer with something else behind the packet. */
function poisonedView(packet: Uint8Array, end: number, poison: number): DataView {
	const bytes = new Uint8Array(end + 300).fill(poison);
	bytes.set(packet.subarray(0, end));
	return new DataView(bytes.buffer);
}

/** Where a header may begin: any of the first offsets, whatever the packet means by them. */
const OFFSETS: readonly number[] = [0, 20, 24, 40, 48, 64];

test('no truncation throws, reads beyond its end, or depends on what lies there', () => {
	let count = 0;
	for (const [name, packet] of samples()) {
		for (let end = 0; end <= Math.min(packet.length, 160); end++) {
			const exact = exactView(packet, end);
			const poisoned = [0x00, 0x3c, 0xff].map((poison) => poisonedView(packet, end, poison));
			for (const [format, look] of Object.entries(looks)) {
				for (const at of OFFSETS) {
					const label = `${name}, ${format} at ${at}, cut at ${end}`;
					let want = '';
					assert.doesNotThrow(() => {
						want = JSON.stringify(look(exact, at, end));
					}, label);
					for (const view of poisoned) {
						assert.equal(JSON.stringify(look(view, at, end)), want, label);
					}
					count++;
				}
			}
		}
	}
	assert.ok(count > 100_000, `${count} looks`);
});

test('parsing into values and segmenting take any truncation too', () => {
	const plan = new wire.SegmentPlan();
	const out = new wire.PacketBuffer(4096);
	for (const [name, packet] of samples()) {
		for (let end = 0; end <= packet.length; end++) {
			const cut = packet.slice(0, end);
			assert.equal(
				wire.parseIpv4(cut, 0, end) !== undefined,
				wire.fitsIpv4(new DataView(cut.buffer), 0, end),
				name,
			);
			assert.equal(
				wire.parseIpv6(cut, 0, end) !== undefined,
				wire.fitsIpv6(new DataView(cut.buffer), 0, end),
				name,
			);
			const whole = wire.PacketBuffer.from(cut);
			const split = wire.planSegments(plan, whole, 16);
			assert.equal(plan.count > 0, split, name);
			for (let i = 0; i < plan.count; i++) {
				assert.equal(wire.fillSegment(plan, whole, i, out), true, name);
			}
		}
	}
});
