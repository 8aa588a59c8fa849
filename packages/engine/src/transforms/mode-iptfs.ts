/**
 * IPTFS, the outer header (RFC 9347 §2; net/xfrm/xfrm_iptfs.c: iptfs_prepare_output): in front of a payload
 * that begins with its IPTFS header. Nothing of what is inside shows: TOS, flow label and DF are always
 * the same.
 *
 *     | outer IP header | room for ESP's | IPTFS header | data blocks …
 *     ^ start           ^ transportAt
 *
 * Which packets make a payload is in iptfs-queue.ts and iptfs-output.ts.
 *
 * @hotpath
 */
import {
	IPTFS_HEADER_OCTETS,
	IPV4_DONT_FRAGMENT,
	IPV4_HEADER_OCTETS,
	IPV4_PROTOCOL_AT,
	IPV6_HEADER_OCTETS,
	IPV6_NEXT_HEADER_AT,
	type PacketBuffer,
	setIpv4Destination,
	setIpv4Source,
	setIpv6FirstWord,
	writeIptfs,
} from '@xfrm/wire';
import { Family, IpProto } from '@xfrm/wire/xfrm';
import type { BundleStep } from '../bundle.ts';
import { writeIpv6Addresses } from './mode-tunnel.ts';

/**
 * Puts the outer header in front of the payload at the packet's start; the rooms have been reserved.
 *
 * @returns 0
 * @spec M-34
 */
export function iptfsOutput(packet: PacketBuffer, step: BundleStep): number {
	const { state } = step;
	const { view } = packet;
	const start = packet.start + IPTFS_HEADER_OCTETS - state.headerOctets;
	packet.start = start;
	packet.family = state.family;
	if (state.family === Family.Ipv4) {
		view.setInt32(start, 0x45000000);
		view.setInt32(start + 4, IPV4_DONT_FRAGMENT);
		view.setInt32(start + 8, (step.route.hopLimit << 24) | (IpProto.Aggfrag << 16));
		setIpv4Source(view, start, state.saddr[0] ?? 0);
		setIpv4Destination(view, start, state.daddr[0] ?? 0);
		packet.nextHeaderAt = start + IPV4_PROTOCOL_AT;
		packet.transportAt = start + IPV4_HEADER_OCTETS;
		return 0;
	}
	setIpv6FirstWord(view, start, 0, 0);
	view.setUint8(start + IPV6_NEXT_HEADER_AT, IpProto.Aggfrag);
	view.setUint8(start + 7, step.route.hopLimit);
	writeIpv6Addresses(packet, state);
	packet.nextHeaderAt = start + IPV6_NEXT_HEADER_AT;
	packet.transportAt = start + IPV6_HEADER_OCTETS;
	return 0;
}

/**
 * Makes the packet a payload of one block. For a packet that comes out of another state of its bundle, which
 * is neither queued nor cut: Linux sends such ones without an IPTFS header, for nobody to read. The state before
 * has left room for it.
 */
export function wrapWhole(packet: PacketBuffer): void {
	packet.start -= IPTFS_HEADER_OCTETS;
	writeIptfs(packet.view, packet.start, 0);
}
