/**
 * BEET mode, output half: the inner IP header is replaced by one with the state's addresses
 * (draft-nikander-esp-beet-mode-09 §5; net/xfrm/xfrm_output.c: xfrm4_beet_encap_add, xfrm6_beet_encap_add).
 *
 * IPv4 options of the inner header are announced by a pseudo header:
 *
 *     | outer IP | ESP | IV | pseudo header, padding | options | payload …
 *
 * @hotpath
 */
import {
	IPV4_DONT_FRAGMENT,
	IPV4_HEADER_OCTETS,
	IPV4_PROTOCOL_AT,
	IPV6_HEADER_OCTETS,
	IPV6_NEXT_HEADER_AT,
	ipv4FragmentWord,
	ipv4HeaderOctets,
	ipv4Id,
	ipv4IsFragment,
	ipv4Protocol,
	ipv4Tos,
	ipv4Ttl,
	ipv6FlowLabel,
	ipv6HopLimit,
	ipv6NextHeader,
	ipv6TrafficClass,
	type PacketBuffer,
	setIpv4Destination,
	setIpv4Source,
	setIpv6FirstWord,
	writeBeetHeader,
} from '@xfrm/wire';
import { Errno, Family, IpProto } from '@xfrm/wire/xfrm';
import type { BundleStep } from '../bundle.ts';
import { isTooBig, writeIpv6Addresses } from './mode-tunnel.ts';

/** Pseudo header with its padding, when four octets of options make the least of it. */
const PSEUDO_HEADER_OCTETS_MAX = 8;

/**
 * Replaces the IP header, with room for the transform's; the packet's rooms have been reserved.
 *
 * @returns 0, or EMSGSIZE when the packet does not fit and must not be fragmented, EAFNOSUPPORT for an
 *   IPv4 fragment: then nothing changed but `packet.mtu`
 * @spec M-8 M-9 M-11 U-4 U-5
 */
export function beetOutput(packet: PacketBuffer, step: BundleStep): number {
	const { view } = packet;
	const inner = packet.start;
	const innerIpv4 = packet.family === Family.Ipv4;
	if (innerIpv4 && ipv4IsFragment(view, inner)) {
		return Errno.EAFNOSUPPORT;
	}
	if (step.checksSize && isTooBig(packet, step)) {
		return Errno.EMSGSIZE;
	}
	const { state } = step;
	const fixedOctets = innerIpv4 ? IPV4_HEADER_OCTETS : IPV6_HEADER_OCTETS;
	const optionOctets = innerIpv4 ? ipv4HeaderOctets(view, inner) - IPV4_HEADER_OCTETS : 0;
	const proto = innerIpv4 ? ipv4Protocol(view, inner) : ipv6NextHeader(view, inner);
	const tos = innerIpv4 ? ipv4Tos(view, inner) : ipv6TrafficClass(view, inner);
	const hopLimit = innerIpv4 ? ipv4Ttl(view, inner) : ipv6HopLimit(view, inner);
	const id = innerIpv4 ? ipv4Id(view, inner) : 0;
	const fragmentWord = innerIpv4 ? ipv4FragmentWord(view, inner) : IPV4_DONT_FRAGMENT;
	const flowLabel = innerIpv4 ? 0 : ipv6FlowLabel(view, inner);
	let payloadAt = inner + fixedOctets;
	let nextHeader = proto;
	if (optionOctets > 0) {
		// It lies over the end of the header that goes; its reserved octet keeps what was there, as in Linux.
		payloadAt -= PSEUDO_HEADER_OCTETS_MAX - (optionOctets & 4);
		const reserved = view.getUint8(payloadAt + 3);
		writeBeetHeader(view, payloadAt, proto, optionOctets);
		view.setUint8(payloadAt + 3, reserved);
		nextHeader = IpProto.Beet;
	}
	packet.family = state.family;
	packet.transportAt = payloadAt - state.transformOctets;
	if (state.family === Family.Ipv4) {
		const start = packet.transportAt - IPV4_HEADER_OCTETS;
		packet.start = start;
		view.setUint8(start, 0x45);
		view.setUint8(start + 1, tos);
		view.setUint16(start + 4, id);
		view.setUint16(start + 6, fragmentWord);
		view.setUint8(start + 8, hopLimit);
		view.setUint8(start + IPV4_PROTOCOL_AT, nextHeader);
		setIpv4Source(view, start, state.saddr[0] ?? 0);
		setIpv4Destination(view, start, state.daddr[0] ?? 0);
		packet.nextHeaderAt = start + IPV4_PROTOCOL_AT;
		return 0;
	}
	const start = packet.transportAt - IPV6_HEADER_OCTETS;
	packet.start = start;
	setIpv6FirstWord(view, start, tos, flowLabel);
	view.setUint8(start + IPV6_NEXT_HEADER_AT, nextHeader);
	view.setUint8(start + 7, hopLimit);
	writeIpv6Addresses(packet, state);
	packet.nextHeaderAt = start + IPV6_NEXT_HEADER_AT;
	return 0;
}
