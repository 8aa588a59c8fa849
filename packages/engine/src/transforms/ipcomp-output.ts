/**
 * IPComp, output half (RFC 3173 §2; net/xfrm/xfrm_ipcomp.c: ipcomp_output). A payload that does not become
 * shorter leaves as it is, without any header.
 *
 * @hotpath
 */

import { CryptoStatus } from '@xfrm/crypto/provider';
import { IPCOMP_HEADER_OCTETS, type PacketBuffer, writeIpcomp } from '@xfrm/wire';
import { Errno, IpProto } from '@xfrm/wire/xfrm';
import type { BundleStep } from '../bundle.ts';
import type { Namespace } from '../namespace.ts';

/**
 * Queues the compression of what is behind `transportAt`, unless it is too short to be worth it.
 *
 * @returns 0, or ENOSYS when the provider lacks the algorithm
 * @spec T-31
 */
export function ipcompPlan(net: Namespace, packet: PacketBuffer, step: BundleStep): number {
	const { key, comp } = step.state;
	if (key === undefined || comp === undefined) {
		return Errno.ENOSYS;
	}
	const octets = packet.end - packet.transportAt;
	if (octets < comp.thresholdOctets) {
		return 0;
	}
	const scratch = net.outputRun.compressionScratch();
	const { jobs } = net;
	const job = jobs.count++;
	jobs.keys[job] = key;
	jobs.bytes[job] = packet.bytes;
	jobs.aadAt[job] = packet.transportAt;
	jobs.ivAt[job] = packet.transportAt;
	jobs.textAt[job] = packet.transportAt;
	jobs.textEnd[job] = packet.end;
	jobs.out[job] = scratch;
	jobs.outAt[job] = 0;
	// Compressed data and header have to be shorter than what they replace.
	jobs.outEnd[job] = Math.min(scratch.length, octets - IPCOMP_HEADER_OCTETS - 1);
	jobs.seqHi[job] = 0;
	return 0;
}

/**
 * Takes the compressed payload, if there is one.
 *
 * @returns true when the packet is an IPComp packet now
 * @spec T-30 T-31
 */
export function ipcompFinish(net: Namespace, packet: PacketBuffer, step: BundleStep): boolean {
	const { jobs } = net;
	if (jobs.count === 0 || jobs.status[0] !== CryptoStatus.Ok) {
		return false;
	}
	const { bytes, view, transportAt, nextHeaderAt } = packet;
	const octets = jobs.length[0] ?? 0;
	const scratch = net.outputRun.compressionScratch();
	writeIpcomp(view, transportAt, bytes[nextHeaderAt] ?? 0, step.state.spi & 0xffff);
	bytes[nextHeaderAt] = IpProto.Comp;
	const dataAt = transportAt + IPCOMP_HEADER_OCTETS;
	for (let i = 0; i < octets; i++) {
		bytes[dataAt + i] = scratch[i] ?? 0;
	}
	packet.end = dataAt + octets;
	return true;
}
