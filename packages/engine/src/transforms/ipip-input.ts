/**
 * Packets of protocol 4 and 41: what IPComp in tunnel mode sends when there was nothing to compress. A
 * helper state of the kernel's own stands for them, so that a policy can ask for IPComp and still take
 * these. Nothing is stripped here: the outer header goes with the tunnel mode.
 *
 * IPv4 looks the helper up by the source address as its SPI (and protocol 4 for both inner families),
 * IPv6 by an SPI that was dealt out for the source address (and protocol 41).
 *
 * Counterpart: net/ipv4/xfrm4_tunnel.c, net/ipv6/xfrm6_tunnel.c.
 *
 * @hotpath
 */
import { ipv4Protocol, type PacketBuffer } from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';
import type { Opened } from './opened.ts';

/**
 * The whole rest of the packet is the payload.
 *
 * @spec T-32 T-40
 */
export function finishIpipInput(packet: PacketBuffer, opened: Opened): void {
	opened.payloadAt = packet.transportAt;
	opened.nextHeader =
		packet.family === Family.Ipv4
			? ipv4Protocol(packet.view, packet.start)
			: packet.view.getUint8(packet.nextHeaderAt);
}
