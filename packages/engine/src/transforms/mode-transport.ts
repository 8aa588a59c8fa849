/**
 * Transport mode, output half: the transform's header goes between the IP headers and what they carry
 * (net/xfrm/xfrm_output.c: xfrm4_transport_output, xfrm6_transport_output).
 *
 *     before          | IP, options or extension headers | payload …
 *     after   | IP, options or extension headers | room  | payload …
 *                                        transportAt ^
 *
 * @hotpath
 */
import {
	HeaderChain,
	IPV4_PROTOCOL_AT,
	ipv4HeaderOctets,
	type PacketBuffer,
	walkUnfragmentable,
} from '@xfrm/wire';
import { Errno, Family } from '@xfrm/wire/xfrm';
import type { BundleStep } from '../bundle.ts';

const chain: HeaderChain = new HeaderChain();

/**
 * Makes room for the state's header; the packet's rooms have been reserved.
 *
 * @returns 0, or EINVAL when IPv6 extension headers run out of the packet
 * @spec M-1 M-2
 */
export function transportOutput(packet: PacketBuffer, step: BundleStep): number {
	const { view, start } = packet;
	if (packet.family === Family.Ipv4) {
		const octets = ipv4HeaderOctets(view, start);
		openGap(packet, octets, step.state.headerOctets);
		packet.nextHeaderAt = packet.start + IPV4_PROTOCOL_AT;
		return 0;
	}
	if (!walkUnfragmentable(chain, view, start, packet.end)) {
		return Errno.EINVAL;
	}
	const shift = step.state.headerOctets;
	openGap(packet, chain.at - start, shift);
	packet.nextHeaderAt = chain.nextHeaderAt - shift;
	return 0;
}

/** Moves the first `octets` (a multiple of 4) of the packet down by `gap`, into the headroom. */
export function openGap(packet: PacketBuffer, octets: number, gap: number): void {
	const { view } = packet;
	const from = packet.start;
	const to = from - gap;
	for (let i = 0; i < octets; i += 4) {
		view.setInt32(to + i, view.getInt32(from + i));
	}
	packet.start = to;
	packet.transportAt = to + octets;
}
