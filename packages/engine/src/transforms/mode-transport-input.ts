/**
 * Transport mode, input: the transform's header goes, the IP header moves up to the payload.
 *
 *     | IP header, options or extensions | ESP … | payload |
 *               | IP header, options or extensions | payload |
 *
 * Counterpart: net/xfrm/xfrm_input.c (xfrm4_transport_input, xfrm6_transport_input) and the
 * transport_finish of both families, whose work is done here too, behind the last transform.
 *
 * @hotpath
 */
import {
	IPV6_HEADER_OCTETS,
	type PacketBuffer,
	setIpv4Checksum,
	setIpv4Protocol,
	setIpv4TotalLength,
	setIpv6PayloadLength,
} from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';
import { isTransform } from '../input-header.ts';
import type { Opened } from './opened.ts';

/**
 * Closes the gap between IP header and payload; afterwards `transportAt` and `proto` are those of the
 * payload and all lengths are right. The header names the payload's protocol, with a right checksum,
 * once no transform follows: an AH behind another transform is verified with that one's protocol.
 *
 * @spec M-3 T-10 I-8
 */
export function removeTransportMode(packet: PacketBuffer, opened: Opened): void {
	const gap = opened.payloadAt - packet.transportAt;
	if (gap !== 0) {
		moveHeader(packet.view, packet.start, packet.transportAt, gap);
		packet.start += gap;
		packet.nextHeaderAt += gap;
	}
	packet.transportAt = opened.payloadAt;
	packet.proto = opened.nextHeader;
	const { view, start } = packet;
	const isLast = !isTransform(opened.nextHeader);
	if (packet.family === Family.Ipv4) {
		setIpv4TotalLength(view, start, packet.end - start);
		if (isLast) {
			setIpv4Protocol(view, start, opened.nextHeader);
			setIpv4Checksum(view, start);
		}
	} else {
		if (isLast) {
			view.setUint8(packet.nextHeaderAt, opened.nextHeader);
		}
		setIpv6PayloadLength(view, start, packet.end - start - IPV6_HEADER_OCTETS);
	}
}

/** Moves headers up by `gap`, word by word from the end (a call of copyWithin costs more than 20 octets). */
function moveHeader(view: DataView, from: number, to: number, gap: number): void {
	for (let at = to - 4; at >= from; at -= 4) {
		view.setInt32(at + gap, view.getInt32(at));
	}
}
