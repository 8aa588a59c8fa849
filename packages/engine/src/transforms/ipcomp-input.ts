/**
 * IPComp, input half (RFC 3173 §2.2): inflates into a scratch, since the result is longer than what it
 * is made of, and copies it behind the IP header.
 *
 * Counterpart: net/xfrm/xfrm_ipcomp.c (ipcomp_input, ipcomp_decompress). Packets that were too short to
 * be compressed carry no IPComp header and come in by ipip-input.ts.
 *
 * @hotpath
 */
import type { CryptoBatch } from '@xfrm/crypto/provider';
import { IPCOMP_HEADER_OCTETS, ipcompNextHeader, type PacketBuffer } from '@xfrm/wire';
import type { XfrmState } from '../state.ts';
import { type Opened, OpenFault } from './opened.ts';

/** Longest result (IPCOMP_SCRATCH_SIZE). */
export const IPCOMP_RESULT_OCTETS_MAX = 65400;

/** Adds the job that inflates the payload into `scratch`, which has room for the longest result. */
export function planIpcompInput(
	jobs: CryptoBatch,
	packet: PacketBuffer,
	state: XfrmState,
	scratch: Uint8Array,
): void {
	const job = jobs.count++;
	jobs.keys[job] = state.key;
	jobs.bytes[job] = packet.bytes;
	jobs.aadAt[job] = packet.transportAt;
	jobs.ivAt[job] = packet.transportAt;
	jobs.textAt[job] = packet.transportAt + IPCOMP_HEADER_OCTETS;
	jobs.textEnd[job] = packet.end;
	jobs.out[job] = scratch;
	jobs.outAt[job] = 0;
	jobs.outEnd[job] = IPCOMP_RESULT_OCTETS_MAX;
	jobs.seqHi[job] = 0;
}

/**
 * Puts the inflated payload into the packet.
 *
 * @param octets how many the provider made
 * @returns Inflate when compression had saved less than its header, which no sender lets happen, or when the
 *   packet cannot grow that far
 * @spec T-30 T-33
 */
export function finishIpcompInput(
	packet: PacketBuffer,
	scratch: Uint8Array,
	octets: number,
	opened: Opened,
): OpenFault {
	const compressedOctets = packet.end - packet.transportAt - IPCOMP_HEADER_OCTETS;
	if (octets < compressedOctets + IPCOMP_HEADER_OCTETS) {
		return OpenFault.Inflate;
	}
	if (!packet.reserve(0, octets - compressedOctets)) {
		return OpenFault.Inflate;
	}
	const payloadAt = packet.transportAt + IPCOMP_HEADER_OCTETS;
	for (let i = 0; i < octets; i++) {
		packet.bytes[payloadAt + i] = scratch[i] ?? 0;
	}
	packet.end = payloadAt + octets;
	opened.payloadAt = payloadAt;
	opened.nextHeader = ipcompNextHeader(packet.view, packet.transportAt);
	return OpenFault.None;
}
