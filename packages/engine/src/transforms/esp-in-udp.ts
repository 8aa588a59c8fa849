/**
 * ESP in UDP, output half (RFC 3948 §2.1, and the older form with a marker of eight zero octets;
 * net/ipv4/esp4.c: esp_output_udp_encap, net/ipv6/esp6.c: esp6_output_udp_encap). The UDP header stands in
 * front of the ESP header, inside the room that the state's header has.
 *
 * @hotpath
 */
import {
	fillUdpChecksum,
	IPV4_HEADER_OCTETS,
	IPV6_DESTINATION_AT,
	IPV6_SOURCE_AT,
	type PacketBuffer,
	UDP_HEADER_OCTETS,
	writeUdp,
} from '@xfrm/wire';
import { type Encap, EncapType, Errno, Family } from '@xfrm/wire/xfrm';
import { TCP_ENCAP_OCTETS } from './esp-in-tcp.ts';

/** Longest datagram: of an IPv4 packet without options, or of an IPv6 payload. */
const DATAGRAM_OCTETS_MAX = 65535;

/** Octets between IP header and ESP header. */
export function encapOctets(encap: Encap): number {
	if (encap.type === EncapType.EspInTcp) {
		return TCP_ENCAP_OCTETS;
	}
	return encap.type === EncapType.EspInUdpNonIke ? 2 * UDP_HEADER_OCTETS : UDP_HEADER_OCTETS;
}

/**
 * Writes the UDP header (checksum 0) at the packet's `transportAt`, marker included.
 *
 * @param octets of the datagram, UDP header and ICV included
 * @returns 0; EMSGSIZE when the length field cannot hold it
 * @spec NT-5
 */
export function writeEncap(packet: PacketBuffer, encap: Encap, octets: number): number {
	const room = packet.family === Family.Ipv4 ? IPV4_HEADER_OCTETS : 0;
	if (octets + room > DATAGRAM_OCTETS_MAX) {
		return Errno.EMSGSIZE;
	}
	const { view, transportAt } = packet;
	writeUdp(view, transportAt, encap.sport, encap.dport, octets);
	if (encap.type === EncapType.EspInUdpNonIke) {
		view.setInt32(transportAt + UDP_HEADER_OCTETS, 0);
		view.setInt32(transportAt + UDP_HEADER_OCTETS + 4, 0);
	}
	return 0;
}

/**
 * IPv6 wants a checksum over the sealed datagram; IPv4 goes without.
 *
 * @spec NT-5
 */
export function finishEncap(packet: PacketBuffer): void {
	if (packet.family === Family.Ipv6) {
		fillUdpChecksum(
			packet.bytes,
			packet.view,
			Family.Ipv6,
			packet.start + IPV6_SOURCE_AT,
			packet.start + IPV6_DESTINATION_AT,
			packet.transportAt,
			packet.end,
		);
	}
}
