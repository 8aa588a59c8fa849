/**
 * Tunnel mode, output half: a new IP header in front of the whole packet (RFC 4301 §5.1.2; net/xfrm/
 * xfrm_output.c: xfrm4_tunnel_encap_add, xfrm6_tunnel_encap_add). Lengths and the IPv4 checksum are filled
 * in when the group of states is done.
 *
 * @hotpath
 */
import {
	IPV4_DESTINATION_AT,
	IPV4_DONT_FRAGMENT,
	IPV4_HEADER_OCTETS,
	IPV4_PROTOCOL_AT,
	IPV4_SOURCE_AT,
	IPV6_DESTINATION_AT,
	IPV6_HEADER_OCTETS,
	IPV6_MTU_MIN,
	IPV6_NEXT_HEADER_AT,
	IPV6_SOURCE_AT,
	ipv4DontFragment,
	ipv4Tos,
	ipv6FlowLabel,
	ipv6TrafficClass,
	type PacketBuffer,
	setIpv6FirstWord,
} from '@xfrm/wire';
import { Errno, ExtraFlag, Family, IpProto, StateFlag } from '@xfrm/wire/xfrm';
import type { BundleStep } from '../bundle.ts';
import type { Namespace } from '../namespace.ts';
import type { XfrmState } from '../state.ts';

// V8 compiles these in; an imported constant is read each time (CONTRIBUTING.md, Style).
const { Ipv4 } = Family;
const { Ipip, Ipv6: Ipv6InIp } = IpProto;
const { NoEcn, NoPmtuDisc } = StateFlag;
const { DontEncapDscp } = ExtraFlag;

/** Of wire's constants those that are read for each packet, for the same reason. */
const PROTOCOL_AT: number = IPV4_PROTOCOL_AT;
const SOURCE_AT: number = IPV4_SOURCE_AT;
const DESTINATION_AT: number = IPV4_DESTINATION_AT;
const HEADER_OCTETS: number = IPV4_HEADER_OCTETS;
const DONT_FRAGMENT: number = IPV4_DONT_FRAGMENT;

const ECN_MASK = 3;
const ECN_CE = 3;
const ECN_ECT0 = 2;

/**
 * Puts the outer header in front, with room for the transform's; the packet's rooms have been reserved.
 *
 * @returns 0, or EMSGSIZE when the packet does not fit and must not be fragmented: then nothing changed but
 *   `packet.mtu`
 * @spec M-4 M-5 M-7 U-4 U-5 U-10 U-13
 */
export function tunnelOutput(net: Namespace, packet: PacketBuffer, step: BundleStep): number {
	const { state } = step;
	if (step.checksSize && isTooBig(packet, step)) {
		return Errno.EMSGSIZE;
	}
	const { view } = packet;
	const inner = packet.start;
	const innerIpv4 = packet.family === Ipv4;
	const tos = outerTos(state, innerIpv4 ? ipv4Tos(view, inner) : ipv6TrafficClass(view, inner));
	const start = inner - state.headerOctets;
	packet.start = start;
	packet.family = state.family;
	if (state.family === Ipv4) {
		// IPv6 is never fragmented on its way, so its tunnel is not either.
		const wantsDf = !innerIpv4 || ipv4DontFragment(view, inner);
		const df = wantsDf && (state.flags & NoPmtuDisc) === 0;
		const id = df ? 0 : outerIpId(net);
		const flags = df ? DONT_FRAGMENT : 0;
		view.setInt32(start, 0x45000000 | (tos << 16));
		view.setInt32(start + 4, (id << 16) | flags);
		view.setInt32(start + 8, (step.hopLimit << 24) | ((innerIpv4 ? Ipip : Ipv6InIp) << 16));
		view.setInt32(start + SOURCE_AT, step.saddr);
		view.setInt32(start + DESTINATION_AT, step.daddr);
		net.outputRun.headerSum = step.headerSum + tos + id + flags;
		packet.nextHeaderAt = start + PROTOCOL_AT;
		packet.transportAt = start + HEADER_OCTETS;
		return 0;
	}
	setIpv6FirstWord(view, start, tos, innerIpv4 ? 0 : ipv6FlowLabel(view, inner));
	view.setUint8(start + IPV6_NEXT_HEADER_AT, innerIpv4 ? Ipip : Ipv6InIp);
	view.setUint8(start + 7, step.route.hopLimit);
	writeIpv6Addresses(packet, state);
	packet.nextHeaderAt = start + IPV6_NEXT_HEADER_AT;
	packet.transportAt = start + IPV6_HEADER_OCTETS;
	return 0;
}

/**
 * Does the packet not fit, while it must not be fragmented? Writes `packet.mtu` then. A local sender that
 * lets its packets be fragmented has them encapsulated whole.
 *
 * @spec U-4 U-5
 */
export function isTooBig(packet: PacketBuffer, step: BundleStep): boolean {
	const octets = packet.end - packet.start;
	if (octets <= step.mtu || !(packet.forwarded || packet.dontFragment)) {
		return false;
	}
	if (packet.family === Ipv4) {
		if (!ipv4DontFragment(packet.view, packet.start)) {
			return false;
		}
		packet.mtu = step.mtu;
		return true;
	}
	if (octets <= IPV6_MTU_MIN) {
		return false;
	}
	packet.mtu = Math.max(step.mtu, IPV6_MTU_MIN);
	return true;
}

/**
 * TOS or traffic class of an outer header.
 *
 * @spec U-10; RFC 3168 §9.1
 */
function outerTos(state: XfrmState, inner: number): number {
	const dscp = (state.extraFlags & DontEncapDscp) !== 0 ? 0 : inner & ~ECN_MASK;
	if ((state.flags & NoEcn) !== 0) {
		return dscp;
	}
	const ecn = inner & ECN_MASK;
	return dscp | (ecn === ECN_CE ? ECN_ECT0 : ecn);
}

/** Identification of an outer IPv4 header that may be fragmented. */
export function outerIpId(net: Namespace): number {
	const fixed = net.fixed === null ? undefined : net.fixed.ipIds.shift();
	return fixed === undefined ? net.outputRun.nextIpId() : fixed & 0xffff;
}

/** Writes the state's addresses into the IPv6 header at the packet's start. */
export function writeIpv6Addresses(packet: PacketBuffer, state: XfrmState): void {
	const { view, start } = packet;
	const { saddr, daddr } = state;
	for (let i = 0; i < 4; i++) {
		view.setInt32(start + IPV6_SOURCE_AT + 4 * i, saddr[i] ?? 0);
		view.setInt32(start + IPV6_DESTINATION_AT + 4 * i, daddr[i] ?? 0);
	}
}
