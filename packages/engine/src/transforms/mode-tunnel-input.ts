/**
 * Tunnel mode, input: the outer header goes, what is inside is a packet of its own. Congestion marks
 * and, if asked for, the DSCP of the outer header are handed down to it (RFC 6040 in Linux's reading:
 * no combination is ever dropped). TTL and addresses are not looked at.
 *
 * Counterpart: net/xfrm/xfrm_input.c (xfrm4_remove_tunnel_encap, xfrm6_remove_tunnel_encap).
 *
 * @hotpath
 */
import {
	checksumUpdate,
	IPV4_HEADER_OCTETS,
	IPV6_HEADER_OCTETS,
	ipv4Checksum,
	ipv4Tos,
	ipv6TrafficClass,
	type PacketBuffer,
	setIpv4Tos,
	setIpv6TrafficClass,
} from '@xfrm/wire';
import { Family, IpProto, StateFlag } from '@xfrm/wire/xfrm';
import type { XfrmState } from '../state.ts';
import type { Opened } from './opened.ts';

// V8 compiles these in; an imported constant is read each time (CONTRIBUTING.md, Style).
const { Ipv4 } = Family;
const { Ipip } = IpProto;
const { NoEcn, DecapDscp } = StateFlag;

const ECN_MASK = 3;
const ECN_CE = 3;
const DSCP_MASK = 0xfc;

/**
 * Makes the inner packet the packet.
 *
 * @returns false when the payload is no IP packet by its next header, or shorter than its header
 * @spec M-6 M-7 U-11 U-12
 */
export function removeTunnelMode(packet: PacketBuffer, state: XfrmState, opened: Opened): boolean {
	const { view } = packet;
	const innerAt = opened.payloadAt;
	const outerTos =
		packet.family === Ipv4 ? ipv4Tos(view, packet.start) : ipv6TrafficClass(view, packet.start);
	if (opened.nextHeader === Ipip) {
		if (packet.end - innerAt < IPV4_HEADER_OCTETS) {
			return false;
		}
		const tos = ipv4Tos(view, innerAt);
		const wanted = innerTos(tos, outerTos, state.flags);
		if (wanted !== tos) {
			changeTos4(view, innerAt, wanted);
		}
		packet.family = Ipv4;
	} else if (!becomeIpv6(packet, state, opened, outerTos)) {
		return false;
	}
	packet.start = innerAt;
	packet.transportAt = innerAt;
	packet.nextHeaderAt = innerAt;
	packet.proto = opened.nextHeader;
	return true;
}

/** The same with an inner IPv6 packet. */
function becomeIpv6(
	packet: PacketBuffer,
	state: XfrmState,
	opened: Opened,
	outerTos: number,
): boolean {
	const { view } = packet;
	const innerAt = opened.payloadAt;
	if (opened.nextHeader !== IpProto.Ipv6 || packet.end - innerAt < IPV6_HEADER_OCTETS) {
		return false;
	}
	const tos = ipv6TrafficClass(view, innerAt);
	const wanted = innerTos(tos, outerTos, state.flags);
	if (wanted !== tos) {
		setIpv6TrafficClass(view, innerAt, wanted);
	}
	packet.family = Family.Ipv6;
	return true;
}

/** The inner TOS after the outer one has been heard. */
function innerTos(inner: number, outer: number, flags: number): number {
	let tos = inner;
	if ((flags & DecapDscp) !== 0) {
		tos = (outer & DSCP_MASK) | (tos & ECN_MASK);
	}
	if ((flags & NoEcn) === 0 && (outer & ECN_MASK) === ECN_CE && (tos & ECN_MASK) !== 0) {
		tos |= ECN_CE;
	}
	return tos;
}

/** Changes the TOS and keeps the checksum as right or wrong as it was. */
function changeTos4(view: DataView, at: number, wanted: number): void {
	const before = view.getUint16(at);
	setIpv4Tos(view, at, wanted);
	view.setUint16(at + 10, checksumUpdate(ipv4Checksum(view, at), before, view.getUint16(at)));
}
