/**
 * The output path: what a packet's bundle does to it (net/xfrm/xfrm_output.c: xfrm_output_one,
 * xfrm_output_resume; net/ipv6/xfrm6_output.c). The functions stand in the order in which a packet meets
 * them:
 *
 *     output     lookup, then transform, packet by packet
 *     transform  a batch: plan each packet, seal all, finish each
 *       planStep     room, mark, mode header, checks, sequence number, count, the transform's own fields
 *       (provider)   one call for all packets planned
 *       finishStep   what is left after sealing; lengths, when a group of states is done and ESP has not
 *                    told them
 *
 * Only packets that go through a single ESP or AH state share a call of the provider. Whatever could let
 * the order of events or numbers differ from that of one packet after the other closes the batch: several
 * states, a byte or packet limit that has come, IPComp, a tracer.
 *
 * @hotpath
 */
import { CryptoStatus } from '@xfrm/crypto/provider';
import {
	fitsIpv4,
	fitsIpv6,
	IPTFS_HEADER_OCTETS,
	IPV6_HEADER_OCTETS,
	IPV6_PAYLOAD_OCTETS_MAX,
	ipv4Protocol,
	ipv6NextHeader,
	type PacketBuffer,
	setIpv4Checksum,
	setIpv4ChecksumOf,
	setIpv4TotalLength,
	setIpv6PayloadLength,
} from '@xfrm/wire';
import { EncapType, Errno, Family, IpProto, Mode } from '@xfrm/wire/xfrm';
import type { Batch } from './batch.ts';
import { applyOutputMark, type Bundle, type BundleStep } from './bundle.ts';
import { holdPacket } from './hold-queue.ts';
import { checkExpire, isAtHardLimit } from './lifetime.ts';
import type { Namespace } from './namespace.ts';
import { beginBatch, lookupPacket } from './output-lookup.ts';
import { keepBefore, noteMode, noteSeal, noteVerdict, sealDetails } from './output-trace.ts';
import { replayNext } from './replay.ts';
import { Current, StateCondition, type XfrmState } from './state.ts';
import { ahFinish, ahPlan } from './transforms/ah-output.ts';
import { takeToStream } from './transforms/esp-in-tcp.ts';
import { espFinish, espPlan } from './transforms/esp-output.ts';
import { homeAddressWrite } from './transforms/home-address.ts';
import { ipcompFinish, ipcompPlan } from './transforms/ipcomp-output.ts';
import { queueIptfs } from './transforms/iptfs-queue.ts';
import { beetOutput } from './transforms/mode-beet.ts';
import { iptfsOutput, wrapWhole } from './transforms/mode-iptfs.ts';
import { routeOptimizationOutput } from './transforms/mode-ro.ts';
import { transportOutput } from './transforms/mode-transport.ts';
import { tunnelOutput } from './transforms/mode-tunnel.ts';
import { routeOptimizationWrite } from './transforms/route-optimization.ts';
import { PacketAction, Verdict } from './verdict.ts';

// V8 compiles these in; an imported constant is read each time (CONTRIBUTING.md, Style).
const { Ipv4 } = Family;
const { Esp, Ah, Comp, Routing, DestinationOptions } = IpProto;
const { Transport, Tunnel, Beet, RouteOptimization, Iptfs } = Mode;
const { Valid } = StateCondition;
const { Bytes, Packets, LastUsed } = Current;
const { Transformed } = PacketAction;
const { Ok } = CryptoStatus;

/**
 * More than a state's header octets: BEET's pseudo header for IPv4 options, and the IPTFS header that the next
 * state may put around what this one makes.
 */
const SPARE_HEADER_OCTETS: number = 8 + IPTFS_HEADER_OCTETS;
/** Most TFC padding that room is kept for: no packet is longer. */
const TFC_OCTETS_MAX = 65535;

/** Reasons of a transform's refusals, by errno. */
const transformCodes: Readonly<Record<number, string>> = {
	[Errno.ENOSYS]: 'out.transform.algorithm',
	[Errno.EMSGSIZE]: 'out.transform.length',
	[Errno.ENOENT]: 'out.transform.socket',
};

/** Lookup and transform of a batch: see `EngineDoor.output`. */
export function output(net: Namespace, batch: Batch): void {
	beginBatch(net, batch);
	for (let i = 0; i < batch.packets.length; i++) {
		const packet = batch.packets[i];
		if (packet !== undefined) {
			lookupPacket(net, packet);
			transformPacket(net, packet);
		}
	}
	sealPlanned(net);
}

/**
 * Applies each packet's bundle: see `EngineDoor.transform`.
 *
 * @spec O-11 O-13
 */
export function transform(net: Namespace, batch: Batch): void {
	beginBatch(net, batch);
	for (let i = 0; i < batch.packets.length; i++) {
		const packet = batch.packets[i];
		if (packet !== undefined) {
			transformPacket(net, packet);
		}
	}
	sealPlanned(net);
}

/** Plans a packet, or, when it must not share a batch, does all that it needs. */
export function transformPacket(net: Namespace, packet: PacketBuffer): void {
	// Only the lookup puts an object there, and only a bundle.
	const bundle = packet.bundle as Bundle | null;
	if (bundle === null) {
		return;
	}
	const { first } = bundle;
	if (first === null) {
		hold(net, packet, bundle);
		return;
	}
	if (!beginTransform(net, packet, bundle, first)) {
		return;
	}
	if (!bundle.batchable || isSpent(first.state) || net.tracer !== null) {
		transformApart(net, packet, bundle, first);
		return;
	}
	const { jobs, outputRun } = net;
	if (jobs.count === jobs.capacity) {
		sealPlanned(net);
	}
	const job = jobs.count;
	if (planStep(net, packet, first)) {
		outputRun.packets[job] = packet;
		outputRun.steps[job] = first;
	}
}

/** The states are missing: the packet waits for them, behind what was planned. */
function hold(net: Namespace, packet: PacketBuffer, bundle: Bundle): void {
	sealPlanned(net);
	holdPacket(net, packet, bundle);
}

/**
 * Is this packet the end of its state? The key goes with the state, so what was planned with it has to
 * be sealed before.
 */
function isSpent(state: XfrmState): boolean {
	return state.packetsToSpare === 0 && isAtHardLimit(state);
}

/** What shares no call of the provider: into a queue, or through all states at once. */
function transformApart(
	net: Namespace,
	packet: PacketBuffer,
	bundle: Bundle,
	first: BundleStep,
): void {
	if (first.state.mode === Iptfs) {
		queueIptfs(net, packet, bundle, first);
		return;
	}
	sealPlanned(net);
	transformAlone(net, packet, first);
}

/**
 * What stands before the first state: the packet is one, it fits, and it forgets where it came from.
 * False: it goes no further, and its action says so.
 *
 * @spec U-6
 */
function beginTransform(
	net: Namespace,
	packet: PacketBuffer,
	bundle: Bundle,
	first: BundleStep,
): boolean {
	const { view, start, end } = packet;
	if (packet.family === Ipv4) {
		if (!fitsIpv4(view, start, end)) {
			return refuseHeader(net, packet);
		}
	} else if (!fitsIpv6(view, start, end)) {
		return refuseHeader(net, packet);
	} else if (
		first.state.mode === Tunnel &&
		packet.length > bundle.mtu &&
		!isSealedFragment(packet)
	) {
		return refuseLength(net, packet, bundle);
	}
	packet.bundle = null;
	if (packet.pathCount !== 0) {
		packet.clearPath();
	}
	packet.action = Transformed;
	if (bundle.route !== bundle.original) {
		packet.route = bundle.route;
	}
	return true;
}

function refuseHeader(net: Namespace, packet: PacketBuffer): boolean {
	packet.bundle = null;
	return drop(net, packet, Verdict.OutError, Errno.EINVAL, null, 'out.header');
}

/** An IPv6 packet that is too long for its tunnel: cut by its sender, or dropped. */
function refuseLength(net: Namespace, packet: PacketBuffer, bundle: Bundle): boolean {
	packet.mtu = bundle.mtu;
	if (!packet.forwarded && !packet.dontFragment) {
		packet.action = PacketAction.Fragment;
		return false;
	}
	packet.bundle = null;
	return drop(net, packet, Verdict.OutTooBig, Errno.EMSGSIZE, null, 'out.mtu.ipv6-tunnel');
}

/** A fragment of an ESP or AH packet is not cut once more. */
function isSealedFragment(packet: PacketBuffer): boolean {
	const { view, start, end } = packet;
	const upperAt = start + IPV6_HEADER_OCTETS;
	if (ipv6NextHeader(view, start) !== IpProto.Fragment || upperAt >= end) {
		return false;
	}
	const proto = view.getUint8(upperAt);
	return proto === Esp || proto === Ah;
}

/** An IPTFS payload through the states of its bundle; false when it was dropped. */
export function sendThrough(net: Namespace, packet: PacketBuffer, first: BundleStep): boolean {
	return transformAlone(net, packet, first);
}

/** One packet through all its states, a call of the provider each. */
function transformAlone(net: Namespace, packet: PacketBuffer, first: BundleStep): boolean {
	for (let step: BundleStep | null = first; step !== null; step = step.next) {
		if (step !== first && step.state.mode === Iptfs) {
			wrapWhole(packet);
		}
		if (!planStep(net, packet, step)) {
			return false;
		}
		const details = net.tracer === null ? null : sealDetails(net, packet, step);
		if (net.jobs.count > 0) {
			net.provider.seal(net.jobs);
		}
		const finished = finishStep(net, packet, step, 0);
		net.jobs.count = 0;
		if (!finished) {
			return false;
		}
		if (details !== null) {
			finishLengths(packet, 0);
			noteSeal(net, packet, step.state, details);
		}
		if (takeToStream(packet, step.state)) {
			break;
		}
	}
	return true;
}

/** One call of the provider for the packets planned so far. */
export function sealPlanned(net: Namespace): void {
	const { jobs, outputRun } = net;
	const { count } = jobs;
	if (count === 0) {
		return;
	}
	net.provider.seal(jobs);
	for (let job = 0; job < count; job++) {
		const step = outputRun.steps[job] ?? null;
		const packet = outputRun.packets[job] ?? null;
		outputRun.packets[job] = null;
		if (step === null || packet === null) {
			continue;
		}
		if (jobs.status[job] === Ok && isDoneBySealing(step.state)) {
			continue;
		}
		if (finishStep(net, packet, step, job)) {
			takeToStream(packet, step.state);
		}
	}
	jobs.count = 0;
}

/** Is nothing left to do to a packet that was sealed with this state? */
function isDoneBySealing(state: XfrmState): boolean {
	return state.proto === Esp && state.encap === undefined;
}

/**
 * Everything of one state that comes before sealing, in the order of the kernel. False: the packet is
 * dropped. A sequence number that was taken stays taken.
 *
 * @spec O-11 O-12 O-16
 */
function planStep(net: Namespace, packet: PacketBuffer, step: BundleStep): boolean {
	const { tracer, outputRun } = net;
	const { state } = step;
	const tfcOctets = Math.min(state.tfcpad, TFC_OCTETS_MAX);
	if (!packet.reserve(state.headerOctets + SPARE_HEADER_OCTETS, state.trailerOctets + tfcOctets)) {
		return drop(net, packet, Verdict.OutError, Errno.ENOMEM, state, 'out.room');
	}
	packet.mark = applyOutputMark(state, packet.mark);
	if (tracer !== null) {
		keepBefore(packet);
	}
	outputRun.headerSum = 0;
	const modeError = applyMode(net, packet, step);
	if (modeError !== 0) {
		return dropMode(net, packet, step, modeError);
	}
	if (tracer !== null) {
		noteMode(tracer, packet, state);
	}
	// Is the state still good for one packet more? Then it counts it (steps 4 to 7 of O-11).
	if (state.condition !== Valid) {
		return dropRefused(net, packet, state, Verdict.OutStateInvalid);
	}
	if (checkExpire(net, state) !== 0) {
		return dropRefused(net, packet, state, Verdict.OutStateExpired);
	}
	if (state.isSealing && replayNext(net, state) !== 0) {
		return dropRefused(net, packet, state, Verdict.OutStateSeqError);
	}
	const { lifetime } = state;
	const octets = packet.end - packet.transportAt - state.transformOctets;
	lifetime[Bytes] = (lifetime[Bytes] ?? 0) + octets;
	lifetime[Packets] = (lifetime[Packets] ?? 0) + 1;
	if (net.profile.lastUsedEveryPacket) {
		lifetime[LastUsed] = outputRun.seconds;
	}
	const error = applyTransform(net, packet, step);
	if (error !== 0) {
		return dropUntransformed(net, packet, state, error);
	}
	// Sealing changes no length of ESP, so that the header can be completed here, for what follows to change.
	if (state.proto === Esp) {
		finishLengths(packet, outputRun.headerSum);
	}
	return true;
}

function applyMode(net: Namespace, packet: PacketBuffer, step: BundleStep): number {
	switch (step.state.mode) {
		case Tunnel:
			return tunnelOutput(net, packet, step);
		case Transport:
			return transportOutput(packet, step);
		case Beet:
			return beetOutput(packet, step);
		case RouteOptimization:
			return routeOptimizationOutput(net, packet, step);
		case Iptfs:
			return iptfsOutput(packet, step);
		default:
			return Errno.EOPNOTSUPP;
	}
}

/** The transform's own fields; ESP, AH and IPComp queue a job (step 8 of O-11). 0 or an errno. */
function applyTransform(net: Namespace, packet: PacketBuffer, step: BundleStep): number {
	switch (step.state.proto) {
		case Esp:
			return espPlan(net, packet, step);
		case Ah:
			return ahPlan(net, packet, step);
		case Comp:
			return ipcompPlan(net, packet, step);
		case Routing:
			routeOptimizationWrite(packet, step.state);
			return 0;
		case DestinationOptions:
			homeAddressWrite(packet, step.state);
			return 0;
		default:
			return Errno.EPROTONOSUPPORT;
	}
}

/** What is left of one state after sealing; `job` is the packet's. False: the packet is dropped. */
function finishStep(net: Namespace, packet: PacketBuffer, step: BundleStep, job: number): boolean {
	const { state } = step;
	const status = net.jobs.status[job] ?? 0;
	switch (state.proto) {
		case Esp:
			if (status !== Ok) {
				return dropUnsealed(net, packet, state, status);
			}
			espFinish(packet, state);
			return true;
		case Ah:
			if (status !== Ok) {
				return dropUnsealed(net, packet, state, status);
			}
			ahFinish(packet);
			break;
		case Comp:
			ipcompFinish(net, packet, step);
			break;
		default:
			break;
	}
	if (step.endsGroup) {
		finishLengths(packet, 0);
	}
	return true;
}

/**
 * A whole IP packet again: its length, and for IPv4 the checksum (ip_local_out, ip6_local_out).
 *
 * @param headerSum as in OutputRun, 0 when it is not known
 */
function finishLengths(packet: PacketBuffer, headerSum: number): void {
	const { view, start } = packet;
	const octets = packet.end - start;
	if (packet.family !== Ipv4) {
		const payloadOctets = octets - IPV6_HEADER_OCTETS;
		setIpv6PayloadLength(view, start, payloadOctets > IPV6_PAYLOAD_OCTETS_MAX ? 0 : payloadOctets);
		return;
	}
	setIpv4TotalLength(view, start, octets);
	if (headerSum === 0) {
		setIpv4Checksum(view, start);
	} else {
		setIpv4ChecksumOf(view, start, headerSum + octets + ipv4Protocol(view, start));
	}
}

/** @spec O-11 O-16 */
function dropRefused(
	net: Namespace,
	packet: PacketBuffer,
	state: XfrmState,
	verdict: Verdict,
): boolean {
	switch (verdict) {
		case Verdict.OutStateInvalid:
			return drop(net, packet, verdict, Errno.EINVAL, state, 'out.state.invalid');
		case Verdict.OutStateExpired:
			return drop(net, packet, verdict, Errno.EINVAL, state, 'out.state.expired');
		default:
			return drop(net, packet, verdict, Errno.EOVERFLOW, state, 'out.sequence.overflow');
	}
}

function dropUntransformed(
	net: Namespace,
	packet: PacketBuffer,
	state: XfrmState,
	error: number,
): boolean {
	const isStream = state.encap?.type === EncapType.EspInTcp && error === Errno.EINVAL;
	const code = isStream
		? 'out.transform.socket'
		: (transformCodes[error] ?? 'out.transform.header');
	return drop(net, packet, Verdict.OutStateProtoError, error, state, code);
}

function dropUnsealed(
	net: Namespace,
	packet: PacketBuffer,
	state: XfrmState,
	status: number,
): boolean {
	const code =
		status === CryptoStatus.NotSupported ? 'out.transform.algorithm' : 'out.transform.crypto';
	return drop(net, packet, Verdict.OutStateProtoError, status, state, code);
}

/** @spec U-4 U-5 M-8 */
function dropMode(net: Namespace, packet: PacketBuffer, step: BundleStep, error: number): boolean {
	let code = 'out.mode.headers';
	if (error === Errno.EMSGSIZE) {
		code = packet.family === Ipv4 ? 'out.mtu.ipv4' : 'out.mtu.ipv6';
	} else if (error === Errno.EAFNOSUPPORT) {
		code = 'out.mode.beet-fragment';
	}
	return drop(net, packet, Verdict.OutStateModeError, error, step.state, code);
}

function drop(
	net: Namespace,
	packet: PacketBuffer,
	verdict: Verdict,
	error: number,
	state: XfrmState | null,
	code: string,
): boolean {
	noteVerdict(net, verdict, state, null, code);
	packet.verdict = verdict;
	packet.error = error;
	packet.action = PacketAction.Drop;
	return false;
}
