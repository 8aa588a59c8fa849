/**
 * AH, output half: the header, and a job for the crypto provider over the packet with its mutable fields
 * zeroed (RFC 4302 §3.3.3; net/ipv4/ah4.c: ah_output, net/ipv6/ah6.c: ah6_output).
 *
 * The headers in front of the AH are changed for the computation, so a copy of them waits in the headroom
 * until the ICV is there:
 *
 *     | … copy of IP headers | IP headers, zeroed | AH | payload …
 *                            ^ start              ^ transportAt
 *
 * @hotpath
 */
import {
	AH_FIXED_OCTETS,
	IPV6_HEADER_OCTETS,
	type PacketBuffer,
	setIpv4TotalLength,
	setIpv6PayloadLength,
	writeAh,
} from '@xfrm/wire';
import { Errno, Family, IpProto, Mode } from '@xfrm/wire/xfrm';
import type { BundleStep } from '../bundle.ts';
import type { Namespace } from '../namespace.ts';
import { ReplayCounter } from '../replay-window.ts';
import { clearMutableIpv4, clearMutableIpv6 } from './ah-mutable.ts';
import { packetOctetsMax } from './esp-output.ts';

/**
 * Completes the packet but for the ICV, and queues that; the mode has made room at `transportAt`.
 *
 * @returns 0, ENOSYS when the provider lacks the algorithm, EINVAL for a damaged option or routing header,
 *   EMSGSIZE when no IP header can tell the length, ENOMEM when there is no room for the copy
 * @spec T-20 T-21 T-25 T-26
 */
export function ahPlan(net: Namespace, packet: PacketBuffer, step: BundleStep): number {
	const { state } = step;
	const { key } = state;
	if (key === undefined) {
		return Errno.ENOSYS;
	}
	if (packet.length > packetOctetsMax(packet.family)) {
		return Errno.EMSGSIZE;
	}
	if (!packet.reserve(packet.transportAt - packet.start, 0)) {
		return Errno.ENOMEM;
	}
	const { bytes, view, start, transportAt, nextHeaderAt } = packet;
	const proto = bytes[nextHeaderAt] ?? 0;
	bytes[nextHeaderAt] = IpProto.Ah;
	const octets = state.transformOctets;
	const { counters } = state.replay;
	const seqLo = counters[ReplayCounter.Oseq] ?? 0;
	writeAh(view, transportAt, proto, octets, state.spi, seqLo);
	const padAt = transportAt + AH_FIXED_OCTETS + state.icvOctets;
	bytes.fill(0, transportAt + AH_FIXED_OCTETS, padAt);
	if (padAt < transportAt + octets) {
		writePadding(net, packet, padAt, transportAt + octets, state.mode);
	}
	if (!hideMutable(packet)) {
		return Errno.EINVAL;
	}
	const { jobs } = net;
	const job = jobs.count++;
	jobs.keys[job] = key;
	jobs.bytes[job] = bytes;
	jobs.aadAt[job] = start;
	jobs.ivAt[job] = start;
	jobs.textAt[job] = start;
	jobs.textEnd[job] = packet.end;
	jobs.out[job] = bytes;
	jobs.outAt[job] = transportAt + AH_FIXED_OCTETS;
	jobs.outEnd[job] = transportAt + octets;
	jobs.seqHi[job] = counters[ReplayCounter.OseqHi] ?? 0;
	return 0;
}

/**
 * The octets that round the header up. In transport mode Linux leaves what stood there, the end of the IP
 * header that has moved, and so do we; in front of a tunnelled packet it is whatever the headroom held, for
 * which we write zeros.
 *
 * @spec T-20
 */
function writePadding(
	net: Namespace,
	packet: PacketBuffer,
	at: number,
	end: number,
	mode: number,
): void {
	if (mode !== Mode.Transport) {
		packet.bytes.fill(0, at, end);
	}
	const fixed = net.fixed === null ? undefined : net.fixed.paddings.shift();
	if (fixed !== undefined) {
		for (let i = 0; at + i < end && i < fixed.length; i++) {
			packet.bytes[at + i] = fixed[i] ?? 0;
		}
	}
}

/** Sets the final length, copies the headers away, and clears what the ICV does not cover. */
function hideMutable(packet: PacketBuffer): boolean {
	const { bytes, view, start, transportAt } = packet;
	const ipv4 = packet.family === Family.Ipv4;
	if (ipv4) {
		setIpv4TotalLength(view, start, packet.length);
	} else {
		setIpv6PayloadLength(view, start, packet.length - IPV6_HEADER_OCTETS);
	}
	const octets = transportAt - start;
	for (let i = 0; i < octets; i += 4) {
		view.setInt32(start - octets + i, view.getInt32(start + i));
	}
	return ipv4
		? clearMutableIpv4(bytes, view, start)
		: clearMutableIpv6(bytes, view, start, transportAt, true);
}

/**
 * Puts the headers back as they were; the ICV is in its place.
 *
 * @spec T-26
 */
export function ahFinish(packet: PacketBuffer): void {
	const { view, start, transportAt } = packet;
	const octets = transportAt - start;
	for (let i = 0; i < octets; i += 4) {
		view.setInt32(start + i, view.getInt32(start - octets + i));
	}
}
