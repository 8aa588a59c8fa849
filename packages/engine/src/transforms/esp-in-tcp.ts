/**
 * ESP in TCP, output half (RFC 9329; net/ipv4/esp4.c: esp_output_tcp_encap): a length in front of the ESP
 * header, and what comes out is no IP packet but a piece of a stream that somebody else carries.
 *
 * @hotpath
 */
import { type PacketBuffer, STREAM_LENGTH_OCTETS } from '@xfrm/wire';
import { type Encap, EncapType, Errno } from '@xfrm/wire/xfrm';
import type { Namespace } from '../namespace.ts';
import type { XfrmState } from '../state.ts';
import { PacketAction } from '../verdict.ts';

/** Longest message: of what the length field can say. */
const STREAM_OCTETS_MAX = 65535;

/**
 * Writes the length at the packet's `transportAt`, and the number of the connection into `socketId`.
 *
 * @param octets of the message, length field and ICV included
 * @returns 0; EMSGSIZE when the length field cannot hold it; ENOENT without a connection between the state's
 *   addresses and ports, EINVAL when it is not one for ESP
 * @spec T-12
 */
export function writeStreamLength(
	net: Namespace,
	packet: PacketBuffer,
	state: XfrmState,
	encap: Encap,
	octets: number,
): number {
	if (octets > STREAM_OCTETS_MAX) {
		return Errno.EMSGSIZE;
	}
	const { family, config } = state;
	const { espStream } = net.options;
	const stream =
		espStream === undefined
			? 0
			: espStream(family, config.saddr, encap.sport, config.id.daddr, encap.dport);
	if (stream <= 0) {
		return stream === 0 ? Errno.ENOENT : Errno.EINVAL;
	}
	packet.socketId = stream;
	packet.view.setUint16(packet.transportAt, octets);
	return 0;
}

/**
 * Takes the IP header off a sealed packet whose state sends by TCP; false when the state does not. No
 * further state of the bundle sees the packet: those of the connection's own segments do.
 *
 * @spec T-12
 */
export function takeToStream(packet: PacketBuffer, state: XfrmState): boolean {
	if (state.encap === undefined || state.encap.type !== EncapType.EspInTcp) {
		return false;
	}
	packet.start = packet.transportAt;
	packet.action = PacketAction.ToStream;
	return true;
}

/** Octets between the IP header and the ESP header. */
export const TCP_ENCAP_OCTETS: number = STREAM_LENGTH_OCTETS;
