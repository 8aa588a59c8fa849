/**
 * AH, input half (RFC 4302 §3.4): the ICV covers the whole packet from the IP header on, with fields that
 * routers change counted as zero and the ICV itself too (ah-mutable.ts).
 *
 *     start - ICV - headers        start - ICV      start        transportAt         end
 *     | copy of the headers        | copy of ICV    | headers    | AH | payload      |
 *
 * The originals stand in the headroom meanwhile and are put back whatever comes out. Counterpart:
 * net/ipv4/ah4.c, net/ipv6/ah6.c.
 *
 * @hotpath
 */
import type { CryptoBatch } from '@xfrm/crypto/provider';
import { AH_FIXED_OCTETS, ahNextHeader, ahOctets, type PacketBuffer } from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';
import type { XfrmState } from '../state.ts';
import { ahHeaderOctets } from './ah.ts';
import { clearMutableIpv4, clearMutableIpv6 } from './ah-mutable.ts';
import { type Opened, OpenFault } from './opened.ts';

/**
 * Prepares the packet for the ICV and adds its job; afterwards `restoreAhInput` has to be called. When it
 * refuses, the packet is as it was.
 *
 * @returns AhLength for a header that fits neither the full nor the truncated ICV; AhOptions for damage in
 *   front of it
 * @spec T-21 T-22 T-23 T-24
 */
export function planAhInput(
	jobs: CryptoBatch,
	packet: PacketBuffer,
	state: XfrmState,
	seqHi: number,
): OpenFault {
	const octets = ahOctets(packet.view, packet.transportAt);
	const icvFullOctets = (state.auth?.icvFullBits ?? 0) >> 3;
	if (
		(octets !== ahHeaderOctets(state, icvFullOctets) &&
			octets !== ahHeaderOctets(state, state.icvOctets)) ||
		packet.transportAt + octets > packet.end ||
		!packet.reserve(packet.transportAt - packet.start + state.icvOctets, 0)
	) {
		return OpenFault.AhLength;
	}
	const { bytes, view, start, transportAt } = packet;
	const icvOctets = state.icvOctets;
	const icvCopyAt = start - icvOctets;
	const icvAt = transportAt + AH_FIXED_OCTETS;
	const back = transportAt - icvCopyAt;
	for (let i = start; i < transportAt; i++) {
		bytes[i - back] = bytes[i] ?? 0;
	}
	for (let i = 0; i < icvOctets; i++) {
		bytes[icvCopyAt + i] = bytes[icvAt + i] ?? 0;
		bytes[icvAt + i] = 0;
	}
	const cleared =
		packet.family === Family.Ipv4
			? clearMutableIpv4(bytes, view, start)
			: clearMutableIpv6(bytes, view, start, transportAt, false);
	if (!cleared) {
		restoreAhInput(packet, state);
		return OpenFault.AhOptions;
	}
	const job = jobs.count++;
	jobs.keys[job] = state.key;
	jobs.bytes[job] = bytes;
	jobs.aadAt[job] = start;
	jobs.ivAt[job] = start;
	jobs.textAt[job] = start;
	jobs.textEnd[job] = packet.end;
	jobs.out[job] = bytes;
	jobs.outAt[job] = icvCopyAt;
	jobs.outEnd[job] = start;
	jobs.seqHi[job] = seqHi;
	return OpenFault.None;
}

/**
 * Puts headers and ICV back as they were on the wire.
 *
 * @spec T-26
 */
export function restoreAhInput(packet: PacketBuffer, state: XfrmState): void {
	const { bytes, start, transportAt } = packet;
	const icvCopyAt = start - state.icvOctets;
	const icvAt = transportAt + AH_FIXED_OCTETS;
	const back = transportAt - icvCopyAt;
	for (let i = start; i < transportAt; i++) {
		bytes[i] = bytes[i - back] ?? 0;
	}
	for (let i = 0; i < state.icvOctets; i++) {
		bytes[icvAt + i] = bytes[icvCopyAt + i] ?? 0;
	}
}

/** Where the payload of a verified packet is. */
export function finishAhInput(packet: PacketBuffer, opened: Opened): void {
	opened.payloadAt = packet.transportAt + ahOctets(packet.view, packet.transportAt);
	opened.nextHeader = ahNextHeader(packet.view, packet.transportAt);
}
