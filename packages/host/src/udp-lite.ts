/**
 * UDP-Lite on the way in (RFC 3828; net/ipv4/udp.c, net/ipv4/udplite.c, include/net/udplite.h). Where UDP
 * has its length stands the checksum's coverage: 0 for everything, else at least the header.
 *
 *      0                   1                   2                   3
 *     |          source port          |       destination port        |
 *     |       checksum coverage       |           checksum            |
 *
 * No socket of this host speaks it, so what is right is refused as to a port that nobody has.
 */
import { fitsUdp, UDP_HEADER_OCTETS, udpChecksum, udpLength } from '@xfrm/wire';
import { HostDrop } from './host-trace.ts';
import { CHECKED_FIRST_OCTETS } from './limits.ts';
import type { Reception } from './reception.ts';
import type { Stack } from './stack.ts';
import { checksumIsRight, refusePort } from './udp-socket.ts';

/**
 * Refuses the datagram at `transportAt`; as with UDP, a damaged short one is gone before the policy check.
 *
 * @spec I-22
 */
export function receiveUdpLite(stack: Stack, reception: Reception): void {
	const { packet } = reception;
	const { view, transportAt: at, end } = packet;
	if (!fitsUdp(view, at, end) || udpLength(view, at) > end - at) {
		stack.drop(HostDrop.TransportHeader);
		return;
	}
	const covered = udpLength(view, at) === 0 ? end - at : udpLength(view, at);
	if (covered < UDP_HEADER_OCTETS || udpChecksum(view, at) === 0) {
		stack.drop(HostDrop.TransportChecksum);
		return;
	}
	const wholeAndShort = covered === end - at && covered <= CHECKED_FIRST_OCTETS;
	if (wholeAndShort && !checksumIsRight(reception, covered)) {
		stack.drop(HostDrop.TransportChecksum);
		return;
	}
	refusePort(stack, reception, covered);
}
