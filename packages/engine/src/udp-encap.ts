/**
 * ESP in UDP on the way in (RFC 3948; net/ipv4/xfrm4_input.c, net/ipv6/xfrm6_input.c): what a socket with
 * the option UDP_ENCAP does with a datagram, and the news that a peer has another address than its state.
 *
 *     type 2 (ESP in UDP)                      type 1 (non-IKE marker, until 6.9)
 *     | UDP | 0xff |          keepalive        | UDP | 0xff |            keepalive
 *     | UDP | SPI ≠ 0 | … |   ESP              | UDP | 8 zeros | SPI … |  ESP
 *     | UDP | anything else | to the socket    | UDP | anything else |    to the socket
 *
 * @hotpath
 */
import {
	IPV6_HEADER_OCTETS,
	ipv4HeaderOctets,
	type PacketBuffer,
	setIpv4Protocol,
	setIpv4TotalLength,
	setIpv6PayloadLength,
	UDP_HEADER_OCTETS,
	udpSourcePort,
} from '@xfrm/wire';
import { type Address, addressFrom, EncapType, Family, IpProto } from '@xfrm/wire/xfrm';
import type { Batch } from './batch.ts';
import { input } from './input.ts';
import { traceVerdict } from './input-trace.ts';
import type { Namespace } from './namespace.ts';
import type { XfrmState } from './state.ts';
import { PacketAction, Verdict } from './verdict.ts';

const KEEPALIVE = 0xff;
const ESP_FIXED_OCTETS = 8;
const MARKER_OCTETS = 8;

/**
 * Sorts datagrams at `transportAt` that came to a socket of this encapsulation type: Consume for a
 * keepalive, ToSocket for IKE, and ESP goes through `input` without its UDP header. `end` is that of the
 * datagram, whose length the caller has checked.
 *
 * @param admit asked of each packet that turns out to be ESP; false drops it
 * @spec NT-2 NT-3 NT-4
 */
export function udpEncapInput(
	net: Namespace,
	batch: Batch,
	encapType: number,
	admit?: (packet: PacketBuffer) => boolean,
): void {
	const { datagrams } = net.inputPlan;
	datagrams.nowUs = batch.nowUs;
	datagrams.processor = batch.processor;
	for (const packet of batch.packets) {
		const octets = encapOctets(packet, encapType);
		if (octets > 0 && isTooShort(packet, octets)) {
			traceVerdict(net, Verdict.InEncapShort, 'in.encap.short', null);
			packet.action = PacketAction.Drop;
			packet.verdict = Verdict.InEncapShort;
		} else if (octets > 0) {
			removeUdp(packet, encapType, octets);
			if (admit === undefined || admit(packet)) {
				datagrams.packets.push(packet);
			} else {
				packet.action = PacketAction.Drop;
			}
		} else {
			packet.action = octets < 0 ? PacketAction.Consume : PacketAction.ToSocket;
			packet.verdict = Verdict.Pass;
		}
	}
	input(net, datagrams);
	datagrams.truncate(0);
}

/** Octets in front of the ESP header; 0 when it is the socket's, -1 for a keepalive. */
function encapOctets(packet: PacketBuffer, encapType: number): number {
	const { view } = packet;
	const dataAt = packet.transportAt + UDP_HEADER_OCTETS;
	const octets = packet.end - dataAt;
	if (octets === 1 && view.getUint8(dataAt) === KEEPALIVE) {
		return -1;
	}
	if (encapType === EncapType.EspInUdpNonIke) {
		return octets > MARKER_OCTETS + ESP_FIXED_OCTETS &&
			(view.getInt32(dataAt) | view.getInt32(dataAt + 4)) === 0
			? UDP_HEADER_OCTETS + MARKER_OCTETS
			: 0;
	}
	return octets > ESP_FIXED_OCTETS && view.getInt32(dataAt) !== 0 ? UDP_HEADER_OCTETS : 0;
}

/**
 * Is the datagram shorter than the IP header and what would be taken off? Linux compares the two, though
 * the IP header is no part of the datagram, and drops without counting.
 */
function isTooShort(packet: PacketBuffer, octets: number): boolean {
	const { view, start, family } = packet;
	const ipOctets = family === Family.Ipv4 ? ipv4HeaderOctets(view, start) : IPV6_HEADER_OCTETS;
	return packet.end - packet.transportAt < ipOctets + octets;
}

/** Makes an ESP packet of it; the IPv4 checksum is left to whoever takes off the rest. */
function removeUdp(packet: PacketBuffer, encapType: number, octets: number): void {
	const { view } = packet;
	packet.encapType = encapType;
	packet.encapSport = udpSourcePort(view, packet.transportAt);
	// Headers are multiples of four octets.
	for (let at = packet.transportAt - 4; at >= packet.start; at -= 4) {
		view.setInt32(at + octets, view.getInt32(at));
	}
	packet.start += octets;
	packet.transportAt += octets;
	packet.nextHeaderAt += octets;
	packet.proto = IpProto.Esp;
	if (packet.family === Family.Ipv4) {
		setIpv4Protocol(view, packet.start, IpProto.Esp);
		setIpv4TotalLength(view, packet.start, packet.end - packet.start);
	} else {
		view.setUint8(packet.nextHeaderAt, IpProto.Esp);
		setIpv6PayloadLength(view, packet.start, packet.end - packet.start - 40);
	}
}

/**
 * Tells key managers that an authentic packet came from another address or port than its state's. The
 * state stays as it is. With a threshold, the same port is told again only after so many seconds.
 *
 * @spec NT-7 NT-10
 */
export function reportMapping(net: Namespace, state: XfrmState, packet: PacketBuffer): void {
	const { encap } = state;
	if (encap === undefined || (isFromPeer(state, packet) && packet.encapSport === encap.sport)) {
		return;
	}
	const thresholdSeconds = state.mappingThresholdSeconds;
	if (thresholdSeconds !== 0) {
		const nowSeconds = net.nowSeconds();
		if (
			nowSeconds - state.mappingReportedAt <= thresholdSeconds &&
			state.mappingReportedSport === packet.encapSport
		) {
			return;
		}
		state.mappingReportedAt = nowSeconds;
		state.mappingReportedSport = packet.encapSport;
	}
	net.emit({
		kind: 'mapping',
		id: { daddr: state.config.id.daddr, spi: state.spi >>> 0, proto: state.proto },
		reqid: state.reqid >>> 0,
		family: state.family,
		oldSaddr: state.config.saddr,
		newSaddr: sourceOf(packet),
		oldSport: encap.sport,
		newSport: packet.encapSport,
	});
}

function isFromPeer(state: XfrmState, packet: PacketBuffer): boolean {
	const { view, start } = packet;
	if (packet.family === Family.Ipv4) {
		return view.getInt32(start + 12) === state.saddr[0];
	}
	for (let i = 0; i < 4; i++) {
		if (view.getInt32(start + 8 + 4 * i) !== state.saddr[i]) {
			return false;
		}
	}
	return true;
}

function sourceOf(packet: PacketBuffer): Address {
	return packet.family === Family.Ipv4
		? addressFrom(packet.bytes, packet.start + 12, 4)
		: addressFrom(packet.bytes, packet.start + 8, 16);
}
