/**
 * BEET mode, input: the payload gets an inner header again, with the addresses of the state's selector
 * and everything else from the outer header; IPv4 options come back out of the pseudo header 94.
 *
 *     | outer IP | ESP … | [ pseudo header | padding ] options | payload |
 *                                      | inner IP    | options | payload |
 *
 * Counterpart: net/xfrm/xfrm_input.c (xfrm4_remove_beet_encap, xfrm6_remove_beet_encap).
 *
 * @hotpath
 */
import {
	BEET_HEADER_OCTETS,
	beetNextHeader,
	beetOptionOctets,
	beetPadOctets,
	fitsBeetHeader,
	IPV4_DONT_FRAGMENT,
	IPV4_HEADER_OCTETS,
	IPV6_DESTINATION_AT,
	IPV6_HEADER_OCTETS,
	IPV6_SOURCE_AT,
	ipv4FragmentWord,
	ipv4Id,
	ipv4Tos,
	ipv4Ttl,
	ipv6FlowLabel,
	ipv6HopLimit,
	ipv6TrafficClass,
	type PacketBuffer,
	setIpv4Checksum,
	setIpv4Destination,
	setIpv4FragmentWord,
	setIpv4Id,
	setIpv4Protocol,
	setIpv4Source,
	setIpv4Tos,
	setIpv4TotalLength,
	setIpv4Ttl,
	setIpv6FirstWord,
	setIpv6HopLimit,
	setIpv6NextHeader,
	setIpv6PayloadLength,
} from '@xfrm/wire';
import { Family, IpProto } from '@xfrm/wire/xfrm';
import type { XfrmState } from '../state.ts';
import type { Opened } from './opened.ts';

/** Octets of options that the kernel lets pass here, more than an IPv4 header can hold. */
const OPTION_OCTETS_MAX = 250;

/**
 * Makes the packet that went in at the other end.
 *
 * @returns false when the pseudo header contradicts itself, or the selector has no family
 * @spec M-10 T-10
 */
export function removeBeetMode(packet: PacketBuffer, state: XfrmState, opened: Opened): boolean {
	switch (state.selector.family) {
		case Family.Ipv4:
			return removeBeet4(packet, state, opened);
		case Family.Ipv6:
			return removeBeet6(packet, state, opened);
		default:
			return false;
	}
}

function removeBeet4(packet: PacketBuffer, state: XfrmState, opened: Opened): boolean {
	const { view, start: outerAt, end } = packet;
	let proto = opened.nextHeader;
	let payloadAt = opened.payloadAt;
	let optionOctets = 0;
	if (proto === IpProto.Beet) {
		if (!fitsBeetHeader(view, payloadAt, end)) {
			return false;
		}
		optionOctets = beetOptionOctets(view, payloadAt);
		const octets = BEET_HEADER_OCTETS + beetPadOctets(view, payloadAt);
		if (
			optionOctets < 0 ||
			(optionOctets & 3) !== 0 ||
			optionOctets > OPTION_OCTETS_MAX ||
			payloadAt + octets > end
		) {
			return false;
		}
		proto = beetNextHeader(view, payloadAt);
		payloadAt += octets;
	}
	const outer4 = packet.family === Family.Ipv4;
	const tos = outer4 ? ipv4Tos(view, outerAt) : ipv6TrafficClass(view, outerAt);
	const ttl = outer4 ? ipv4Ttl(view, outerAt) : ipv6HopLimit(view, outerAt);
	const id = outer4 ? ipv4Id(view, outerAt) : 0;
	const fragmentWord = outer4 ? ipv4FragmentWord(view, outerAt) : IPV4_DONT_FRAGMENT;
	// An outer header and a transform's header were there, so this never reaches before the buffer.
	const at = payloadAt - IPV4_HEADER_OCTETS;
	// Four bits: more options than fit wrap round, as in the kernel; IP drops what has fewer than five words then.
	const headerWords = ((IPV4_HEADER_OCTETS + optionOctets) >> 2) & 15;
	view.setUint8(at, 0x40 | headerWords);
	setIpv4Tos(view, at, tos);
	setIpv4TotalLength(view, at, end - at);
	setIpv4Id(view, at, id);
	setIpv4FragmentWord(view, at, fragmentWord);
	setIpv4Ttl(view, at, ttl);
	setIpv4Protocol(view, at, proto);
	setIpv4Source(view, at, state.selector.saddr[0] ?? 0);
	setIpv4Destination(view, at, state.selector.daddr[0] ?? 0);
	view.setUint16(at + 10, 0);
	if (at + headerWords * 4 <= end) {
		setIpv4Checksum(view, at);
	}
	beginInner(packet, Family.Ipv4, IpProto.Ipip, at);
	return true;
}

function removeBeet6(packet: PacketBuffer, state: XfrmState, opened: Opened): boolean {
	// An IPv4 header and a short ESP header may be less than an IPv6 header needs.
	const payloadOctets = packet.end - opened.payloadAt;
	const missing = IPV6_HEADER_OCTETS - (opened.payloadAt - packet.start);
	if (missing > 0 && !packet.reserve(missing, 0)) {
		return false;
	}
	const { view, start: outerAt } = packet;
	const outer6 = packet.family === Family.Ipv6;
	const trafficClass = outer6 ? ipv6TrafficClass(view, outerAt) : ipv4Tos(view, outerAt);
	const flowLabel = outer6 ? ipv6FlowLabel(view, outerAt) : 0;
	const hopLimit = outer6 ? ipv6HopLimit(view, outerAt) : ipv4Ttl(view, outerAt);
	const at = packet.end - payloadOctets - IPV6_HEADER_OCTETS;
	setIpv6FirstWord(view, at, trafficClass, flowLabel);
	setIpv6PayloadLength(view, at, payloadOctets);
	setIpv6NextHeader(view, at, opened.nextHeader);
	setIpv6HopLimit(view, at, hopLimit);
	for (let i = 0; i < 4; i++) {
		view.setInt32(at + IPV6_SOURCE_AT + 4 * i, state.selector.saddr[i] ?? 0);
		view.setInt32(at + IPV6_DESTINATION_AT + 4 * i, state.selector.daddr[i] ?? 0);
	}
	beginInner(packet, Family.Ipv6, IpProto.Ipv6, at);
	return true;
}

function beginInner(packet: PacketBuffer, family: number, proto: number, at: number): void {
	packet.start = at;
	packet.family = family;
	packet.transportAt = at;
	packet.nextHeaderAt = at;
	packet.proto = proto;
}
