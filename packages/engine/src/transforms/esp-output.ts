/**
 * ESP, output half: trailer, header, IV, and a job for the crypto provider (RFC 4303 §3.3; net/ipv4/esp4.c
 * and net/ipv6/esp6.c: esp_output).
 *
 *     | UDP | SPI | seq | IV | payload | TFC zeros | 1 2 3 … | pad length | next header | ICV |
 *     ^ transportAt          '---------------- sealed -----------------------------------'
 *
 * @hotpath
 */
import {
	IPV4_PACKET_OCTETS_MAX,
	IPV6_HEADER_OCTETS,
	IPV6_PAYLOAD_OCTETS_MAX,
	type PacketBuffer,
	setEspSequence,
	setEspSpi,
} from '@xfrm/wire';
import { type Encap, EncapType, Errno, Family, IpProto, StateFlag } from '@xfrm/wire/xfrm';
import { type BundleStep, stateMtu } from '../bundle.ts';
import type { Namespace } from '../namespace.ts';
import { ReplayCounter } from '../replay-window.ts';
import type { XfrmState } from '../state.ts';
import { writeStreamLength } from './esp-in-tcp.ts';
import { encapOctets, finishEncap, writeEncap } from './esp-in-udp.ts';

// V8 compiles these in; an imported constant is read each time (CONTRIBUTING.md, Style).
const { Ipv4 } = Family;
const { Esn } = StateFlag;
const { Oseq, OseqHi } = ReplayCounter;
const { Esp } = IpProto;

/** Pad length and next header. */
const TRAILER_OCTETS = 2;
const IPV4_OCTETS_MAX: number = IPV4_PACKET_OCTETS_MAX;
const IPV6_OCTETS_MAX: number = IPV6_HEADER_OCTETS + IPV6_PAYLOAD_OCTETS_MAX;

/**
 * Completes the packet but for encryption and ICV, and queues these; the mode has made room at
 * `transportAt`, and the tailroom has been reserved.
 *
 * @returns 0, ENOSYS when the provider lacks the algorithm, EMSGSIZE when no IP or UDP header can tell
 *   the length, or for ESP in TCP what `writeStreamLength` says
 * @spec T-1 T-2 T-3 T-4 T-5 T-6
 */
export function espPlan(net: Namespace, packet: PacketBuffer, step: BundleStep): number {
	const { state } = step;
	const { key } = state;
	if (key === undefined) {
		return Errno.ENOSYS;
	}
	const { bytes, view, transportAt, nextHeaderAt } = packet;
	const payloadAt = transportAt + state.transformOctets;
	const octets = packet.end - payloadAt;
	const tfcOctets = state.tfcpad === 0 ? 0 : tfcPadding(state, step, octets);
	const block = state.blockOctets;
	const textOctets = (octets + tfcOctets + TRAILER_OCTETS + block - 1) & -block;
	const padOctets = textOctets - octets - tfcOctets - TRAILER_OCTETS;
	const textEnd = payloadAt + textOctets;
	const end = textEnd + state.icvOctets;

	if (end - packet.start > packetOctetsMax(packet.family)) {
		return Errno.EMSGSIZE;
	}
	let espAt = transportAt;
	let proto: number = Esp;
	if (state.encap !== undefined) {
		const refusal = encapsulate(net, packet, state, state.encap, end - transportAt);
		if (refusal !== 0) {
			return refusal;
		}
		espAt += encapOctets(state.encap);
		proto = IpProto.Udp;
	}
	if (tfcOctets > 0) {
		bytes.fill(0, packet.end, packet.end + tfcOctets);
	}
	const padAt = packet.end + tfcOctets;
	for (let i = 0; i < padOctets; i++) {
		bytes[padAt + i] = i + 1;
	}
	bytes[textEnd - 2] = padOctets;
	bytes[textEnd - 1] = bytes[nextHeaderAt] ?? 0;
	bytes[nextHeaderAt] = proto;
	packet.end = end;
	if (net.fixed !== null) {
		fixPadding(net, bytes, padAt, padOctets);
	}

	const { counters } = state.replay;
	const seqLo = counters[Oseq] ?? 0;
	const seqHi = (state.flags & Esn) !== 0 ? (counters[OseqHi] ?? 0) : 0;
	setEspSpi(view, espAt, state.spi);
	setEspSequence(view, espAt, seqLo);
	const ivAt = espAt + 8;
	if (state.ivOctets > 0) {
		writeIv(net, packet, state, ivAt, seqLo, seqHi);
	}

	const { jobs } = net;
	const job = jobs.count++;
	jobs.keys[job] = key;
	jobs.bytes[job] = bytes;
	jobs.aadAt[job] = espAt;
	jobs.ivAt[job] = ivAt;
	jobs.textAt[job] = payloadAt;
	jobs.textEnd[job] = textEnd;
	jobs.out[job] = bytes;
	jobs.outAt[job] = textEnd;
	jobs.outEnd[job] = end;
	jobs.seqHi[job] = seqHi;
	return 0;
}

/** What stands between IP header and ESP header; `octets` are from there to the packet's end. */
function encapsulate(
	net: Namespace,
	packet: PacketBuffer,
	state: XfrmState,
	encap: Encap,
	octets: number,
): number {
	return encap.type === EncapType.EspInTcp
		? writeStreamLength(net, packet, state, encap, octets)
		: writeEncap(packet, encap, octets);
}

/** Longest packet whose length an IP header can tell; jumbograms are not made. */
export function packetOctetsMax(family: number): number {
	return family === Ipv4 ? IPV4_OCTETS_MAX : IPV6_OCTETS_MAX;
}

/** What is left to do to a sealed packet. */
export function espFinish(packet: PacketBuffer, state: XfrmState): void {
	if (state.encap !== undefined && state.encap.type !== EncapType.EspInTcp) {
		finishEncap(packet);
	}
}

/**
 * Zeros behind the payload that hide its length: up to the state's wish, but no more than fits.
 *
 * @spec T-3
 */
function tfcPadding(state: XfrmState, step: BundleStep, octets: number): number {
	const target = Math.min(state.tfcpad, stateMtu(state, step.childMtu));
	return octets < target ? target - octets : 0;
}

/**
 * A counter mode's IV is the sequence number under the state's salt: never the same twice. A chained
 * mode's has to be unpredictable.
 *
 * @spec T-6; RFC 4106 §3.1, RFC 3602 §3
 */
function writeIv(
	net: Namespace,
	packet: PacketBuffer,
	state: XfrmState,
	at: number,
	seqLo: number,
	seqHi: number,
): void {
	const fixed = net.fixed === null ? undefined : net.fixed.ivs.shift();
	if (fixed !== undefined) {
		for (let i = 0; i < state.ivOctets; i++) {
			packet.bytes[at + i] = fixed[i] ?? 0;
		}
		return;
	}
	if (state.crypt === undefined || state.crypt.ivCounter) {
		packet.view.setInt32(at, seqHi ^ state.ivSaltHigh);
		packet.view.setInt32(at + 4, seqLo ^ state.ivSaltLow);
		return;
	}
	net.outputRun.writeRandom(packet.bytes, at, state.ivOctets);
}

/** Octets given for a test or by `explain` in place of 1, 2, 3 …, as far as they go. */
function fixPadding(net: Namespace, bytes: Uint8Array, at: number, octets: number): void {
	const fixed = net.fixed === null ? undefined : net.fixed.paddings.shift();
	if (fixed === undefined) {
		return;
	}
	for (let i = 0; i < octets && i < fixed.length; i++) {
		bytes[at + i] = fixed[i] ?? 0;
	}
}
