/**
 * What happens to an ESP, AH or IPComp packet that is for us (net/xfrm/xfrm_input.c: xfrm_input), in the
 * order in which it happens, once for each transform of the packet:
 *
 *     parse     SPI and sequence number                         InHdrError
 *     find      state by mark, destination, SPI, protocol       InNoStates, InStateDirError, InBufferError
 *     admit     condition, encapsulation, replay, limits        AcquireError … InStateExpired
 *     open      one job of the crypto provider, then the trailer  InStateProtoError
 *     account   replay window, octets, packets
 *     remove    the mode's header                               InStateModeError
 *
 * A tunnel ends it: what was inside is a new packet (Reinject). Behind a transport mode the next header
 * may be another transform's, or the packet goes on to its protocol (Continue).
 *
 * **Batches.** The provider is called once for many packets, so packets are first only looked at, and
 * every decision is made when their turn comes, in order, as if nothing had been done before:
 *
 *     note      find and admit silently; who passes gets a job     for packets 1 … k
 *     open      one call of the provider
 *     settle    find, admit, … remove, with counting               for packets 1 … k
 *
 * So a batch of n cannot count, report or decide otherwise than n batches of one; a packet that noting
 * refused and settling admits is opened alone. What remains are octets: a packet that an earlier one of
 * the same batch makes a replay would be decrypted and then dropped. Therefore a batch is settled
 *
 * - before a packet whose state is waiting with a sequence number that is not well below its own (this
 *   also keeps the guess of an ESN's high half, R-6, the same for all of them);
 * - before and behind a packet of a state with a byte or packet limit, which may end the state;
 * - before and behind an IPComp packet, as there is one scratch to inflate into.
 *
 * With a tracer every packet is settled alone, so that it sees the octets before and after.
 *
 * @hotpath
 */
import type { CryptoBatch } from '@xfrm/crypto/provider';
import type { PacketBuffer } from '@xfrm/wire';
import { IpProto, MAX_DEPTH, Mode, SaDirection } from '@xfrm/wire/xfrm';
import type { Batch } from './batch.ts';
import { beginPacket, findState, isTransform, parseHeader } from './input-header.ts';
import { type InputPlan, NONE } from './input-plan.ts';
import {
	replayCode,
	traceCheck,
	traceLookup,
	traceMode,
	traceOpen,
	traceVerdict,
} from './input-trace.ts';
import { checkExpire } from './lifetime.ts';
import { CRYPTO_JOBS_MAX } from './limits.ts';
import type { Namespace } from './namespace.ts';
import { replayAdvance, replayCheck, replayRecheck, replaySeqHi } from './replay.ts';
import { ReplayCounter } from './replay-window.ts';
import { Current, isTunnelFlagged, StateCondition, StateStat, type XfrmState } from './state.ts';
import { finishAhInput, planAhInput, restoreAhInput } from './transforms/ah-input.ts';
import { finishEspInput, planEspInput } from './transforms/esp-input.ts';
import { finishIpcompInput, planIpcompInput } from './transforms/ipcomp-input.ts';
import { finishIpipInput } from './transforms/ipip-input.ts';
import { removeBeetMode } from './transforms/mode-beet-input.ts';
import { removeTransportMode } from './transforms/mode-transport-input.ts';
import { removeTunnelMode } from './transforms/mode-tunnel-input.ts';
import { faultOf, OPEN_FAULT_CODES, OpenFault } from './transforms/opened.ts';
import { reportMapping } from './udp-encap.ts';
import { PacketAction, Verdict } from './verdict.ts';

/**
 * Takes the transforms off packets that are addressed to us and whole. Reads `proto`, `transportAt`,
 * `nextHeaderAt`, `mark` and `encapType`; answers Reinject, Continue or Drop in `action`, appends to the
 * sec path. Protocols 4 and 41 are taken too: see transforms/ipip-input.ts.
 *
 * The octets of a dropped packet are undefined. Nothing a packet holds makes it throw.
 *
 * @spec I-1 I-2 I-4
 */
export function input(net: Namespace, batch: Batch): void {
	const plan = net.inputPlan;
	net.now[0] = batch.nowUs;
	net.processor = batch.processor;
	for (const packet of batch.packets) {
		if (net.tracer === null) {
			notePacket(net, plan, packet);
		} else {
			settlePacket(net, plan, packet, NONE);
		}
	}
	settle(net, plan);
}

/** Looks at a packet without counting anything, and gives it a job if it would pass. */
function notePacket(net: Namespace, plan: InputPlan, packet: PacketBuffer): void {
	let state = peek(net, plan, packet);
	if (plan.count === CRYPTO_JOBS_MAX || (state !== null && mustWait(plan, state))) {
		settle(net, plan);
		state = peek(net, plan, packet);
	}
	if (plan.count === 0) {
		plan.generation = net.generation;
	}
	const place = plan.count++;
	plan.packets[place] = packet;
	plan.states[place] = state;
	plan.seq[place] = plan.sequence;
	plan.job[place] = NONE;
	if (state === null) {
		return;
	}
	if (wouldPass(plan, state)) {
		const seqHi = replaySeqHi(state.replay, plan.sequence);
		if (addJob(plan, plan.jobs, packet, state, seqHi) === OpenFault.None && hasJob(state)) {
			plan.job[place] = plan.jobs.count - 1;
			plan.seqHi[place] = seqHi;
		}
	}
	if (isAlone(state)) {
		settle(net, plan);
	}
}

/** The state of the packet's outermost transform, or null; its header is in the plan. */
function peek(net: Namespace, plan: InputPlan, packet: PacketBuffer): XfrmState | null {
	beginPacket(plan, packet);
	if (!parseHeader(net, plan, packet) || packet.pathCount >= MAX_DEPTH) {
		return null;
	}
	return findState(net, plan, packet.proto);
}

/** Does the packet at hand depend on what becomes of one that was noted before it? */
function mustWait(plan: InputPlan, state: XfrmState): boolean {
	if (isAlone(state)) {
		return plan.count > 0;
	}
	if (state.replay.windowPackets === 0) {
		return false;
	}
	for (let place = plan.count - 1; place >= 0; place--) {
		if (plan.states[place] === state) {
			const top = state.replay.counters[ReplayCounter.Seq] ?? 0;
			return !(isAhead(plan.sequence, plan.seq[place] ?? 0) && isAhead(plan.sequence, top));
		}
	}
	return false;
}

/** Larger as u32, by less than half of all numbers. */
function isAhead(seq: number, other: number): boolean {
	return seq >>> 0 > other >>> 0 && ((seq - other) | 0) > 0;
}

/** Must a packet of this state not share the provider's call with others? */
function isAlone(state: XfrmState): boolean {
	return state.hasCountLimits || state.proto === IpProto.Comp;
}

/** `admit` without counting: changes nothing. */
function wouldPass(plan: InputPlan, state: XfrmState): boolean {
	if (
		state.condition !== StateCondition.Valid ||
		encapTypeOf(state) !== plan.encapType ||
		state.direction === SaDirection.Out
	) {
		return false;
	}
	const { stats } = state;
	const old = stats[StateStat.ReplayWindow] ?? 0;
	const repeated = stats[StateStat.Replay] ?? 0;
	const passes = replayCheck(state, plan.sequence) === 0;
	stats[StateStat.ReplayWindow] = old;
	stats[StateStat.Replay] = repeated;
	return passes;
}

/** Opens what was noted and decides about each packet, in order. */
function settle(net: Namespace, plan: InputPlan): void {
	if (plan.jobs.count > 0) {
		net.provider.open(plan.jobs);
	}
	for (let place = 0; place < plan.count; place++) {
		const packet = plan.packets[place];
		if (packet !== null && packet !== undefined) {
			settlePacket(net, plan, packet, place);
		}
	}
	plan.clear();
}

/**
 * Everything about one packet.
 *
 * @param place where it was noted, or NONE
 * @spec I-3 I-7 I-8
 */
function settlePacket(net: Namespace, plan: InputPlan, packet: PacketBuffer, place: number): void {
	packet.action = PacketAction.Drop;
	if (place !== NONE && plan.job[place] !== NONE) {
		restoreNoted(packet, plan.states[place] ?? null);
	}
	beginPacket(plan, packet);
	let from = place;
	do {
		if (!parseHeader(net, plan, packet)) {
			drop(net, packet, Verdict.InHdrError, 'in.header.short', null);
			return;
		}
		const state = settleTransform(net, plan, packet, from);
		if (state === null) {
			return;
		}
		packet.verdict = Verdict.Pass;
		if (isTunnelFlagged(state.mode)) {
			packet.action = PacketAction.Reinject;
			return;
		}
		// A transport mode leaves the destination as it was, and only the outermost may be in UDP.
		plan.destination = state.daddr;
		plan.encapType = 0;
		from = NONE;
	} while (isTransform(packet.proto));
	packet.action = PacketAction.Continue;
}

/** A noted AH packet has its mutable fields zeroed: nothing may be read from it before. */
function restoreNoted(packet: PacketBuffer, state: XfrmState | null): void {
	if (state !== null && state.proto === IpProto.Ah) {
		restoreAhInput(packet, state);
	}
}

/**
 * Takes off the transform whose header is in the plan.
 *
 * @param place where the packet was noted with this transform, or NONE
 * @returns the state, or null when the packet was dropped
 * @spec I-4 I-5 I-6
 */
function settleTransform(
	net: Namespace,
	plan: InputPlan,
	packet: PacketBuffer,
	place: number,
): XfrmState | null {
	if (packet.pathCount >= MAX_DEPTH) {
		return drop(net, packet, Verdict.InBufferError, 'in.depth', null);
	}
	const noted = place === NONE ? null : (plan.states[place] ?? null);
	const state =
		noted !== null && net.generation === plan.generation
			? noted
			: findState(net, plan, packet.proto);
	if (net.tracer !== null) {
		traceLookup(net, plan, packet.proto, state);
	}
	if (state === null) {
		return drop(net, packet, Verdict.InNoStates, 'in.state.none', null);
	}
	const job = state === noted ? (plan.job[place] ?? NONE) : NONE;
	const seqHi = job === NONE ? replaySeqHi(state.replay, plan.sequence) : (plan.seqHi[place] ?? 0);
	if (!admit(net, plan, packet, state, job !== NONE, seqHi)) {
		return null;
	}
	const before = net.tracer === null ? null : packet.copy();
	const fault =
		job === NONE
			? openAlone(net, plan, packet, state, seqHi)
			: finishTransform(net, plan, packet, state, plan.jobs, job);
	if (fault !== OpenFault.None) {
		return refuseTransform(net, packet, state, fault);
	}
	account(net, plan, packet, state);
	if (before !== null) {
		traceOpen(net, plan, packet, state, seqHi, before);
	}
	return removeMode(net, plan, packet, state) ? state : null;
}

/**
 * May the packet be opened with this state? Puts the state on the sec path, counts, and drops.
 *
 * @param noted the packet has a job that was made with `seqHi`
 * @spec I-4 I-5 I-7 R-8 S-35
 */
function admit(
	net: Namespace,
	plan: InputPlan,
	packet: PacketBuffer,
	state: XfrmState,
	noted: boolean,
	seqHi: number,
): boolean {
	if (state.direction === SaDirection.Out) {
		traceCheck(net, state, 'dir', 'in', 'out');
		drop(net, packet, Verdict.InStateDirError, 'in.state.direction', state);
		return false;
	}
	const { outputMarkValue: value, outputMarkMask: mask } = state;
	packet.mark = (value & mask) | (packet.mark & ~mask);
	packet.path[packet.pathCount++] = state;
	if (state.condition !== StateCondition.Valid) {
		const larval = state.condition === StateCondition.Acq;
		const verdict = larval ? Verdict.AcquireError : Verdict.InStateInvalid;
		drop(net, packet, verdict, larval ? 'in.state.larval' : 'in.state.invalid', state);
		return false;
	}
	if (encapTypeOf(state) !== plan.encapType) {
		traceCheck(net, state, 'encap', plan.encapType, encapTypeOf(state));
		drop(net, packet, Verdict.InStateMismatch, 'in.state.encap', state);
		return false;
	}
	const replayed = noted
		? replayRecheck(state, plan.sequence, seqHi)
		: replayCheck(state, plan.sequence);
	if (replayed !== 0) {
		traceCheck(net, state, 'replay', plan.sequence, state.replay.counters[ReplayCounter.Seq] ?? 0);
		const code = replayCode(state, plan.sequence);
		drop(net, packet, Verdict.InStateSeqError, code, state);
		return false;
	}
	if (checkExpire(net, state) !== 0) {
		traceCheck(net, state, 'limit', 'not reached', 'reached');
		drop(net, packet, Verdict.InStateExpired, 'in.state.expired', state);
		return false;
	}
	return true;
}

/** Opens one packet by itself and takes off its header. */
function openAlone(
	net: Namespace,
	plan: InputPlan,
	packet: PacketBuffer,
	state: XfrmState,
	seqHi: number,
): OpenFault {
	const { alone } = plan;
	alone.count = 0;
	const fault = addJob(plan, alone, packet, state, seqHi);
	if (fault !== OpenFault.None) {
		return fault;
	}
	if (hasJob(state)) {
		net.provider.open(alone);
		restoreNoted(packet, state);
	}
	return finishTransform(net, plan, packet, state, alone, 0);
}

/** Has the transform anything to compute? A plain tunnel has not. */
function hasJob(state: XfrmState): boolean {
	return state.proto !== IpProto.Ipip && state.proto !== IpProto.Ipv6;
}

/** Adds the packet's job, if its transform has any. */
function addJob(
	plan: InputPlan,
	jobs: CryptoBatch,
	packet: PacketBuffer,
	state: XfrmState,
	seqHi: number,
): OpenFault {
	if (!hasJob(state)) {
		return OpenFault.None;
	}
	if (state.key === undefined) {
		return OpenFault.Algorithm;
	}
	switch (state.proto) {
		case IpProto.Esp:
			return planEspInput(jobs, packet, state, seqHi);
		case IpProto.Ah:
			return planAhInput(jobs, packet, state, seqHi);
		default:
			planIpcompInput(jobs, packet, state, plan.scratch);
			return OpenFault.None;
	}
}

/** Looks at what the provider answered and takes off the transform's header. */
function finishTransform(
	net: Namespace,
	plan: InputPlan,
	packet: PacketBuffer,
	state: XfrmState,
	jobs: CryptoBatch,
	job: number,
): OpenFault {
	const { opened } = plan;
	const status = jobs.status[job] ?? 0;
	switch (state.proto) {
		case IpProto.Esp: {
			let fault = faultOf(status, OpenFault.Blocks);
			if (fault === OpenFault.None) {
				fault = finishEspInput(packet, state, opened);
				// A dummy packet is refused, and yet it tells where its sender is.
				if (state.encap !== undefined && fault !== OpenFault.Padding) {
					reportMapping(net, state, packet);
				}
			}
			return fault;
		}
		case IpProto.Ah:
			finishAhInput(packet, opened);
			return faultOf(status, OpenFault.Icv);
		case IpProto.Comp: {
			const fault = faultOf(status, OpenFault.Inflate);
			return fault === OpenFault.None
				? finishIpcompInput(packet, plan.scratch, jobs.length[job] ?? 0, opened)
				: fault;
		}
		default:
			finishIpipInput(packet, opened);
			return OpenFault.None;
	}
}

/** The transform found something wrong. @spec S-17 */
function refuseTransform(
	net: Namespace,
	packet: PacketBuffer,
	state: XfrmState,
	fault: OpenFault,
): null {
	if (fault === OpenFault.Icv) {
		state.stats[StateStat.IntegrityFailed] = (state.stats[StateStat.IntegrityFailed] ?? 0) + 1;
	}
	return drop(net, packet, Verdict.InStateProtoError, OPEN_FAULT_CODES[fault] ?? '', state);
}

/** The packet was genuine: window, octets, packets, last use. @spec I-5 I-6 S-18 */
function account(net: Namespace, plan: InputPlan, packet: PacketBuffer, state: XfrmState): void {
	replayAdvance(net, state, plan.sequence);
	const { lifetime } = state;
	const octets = packet.end - plan.opened.payloadAt;
	lifetime[Current.Bytes] = (lifetime[Current.Bytes] ?? 0) + octets;
	lifetime[Current.Packets] = (lifetime[Current.Packets] ?? 0) + 1;
	if (net.profile.lastUsedEveryPacket) {
		lifetime[Current.LastUsed] = net.nowSeconds();
	}
}

/** Takes off what the mode had put around the packet; false when it was dropped. */
function removeMode(
	net: Namespace,
	plan: InputPlan,
	packet: PacketBuffer,
	state: XfrmState,
): boolean {
	const before = net.tracer === null ? null : packet.copy();
	let removed = true;
	switch (state.mode) {
		case Mode.Transport:
			removeTransportMode(packet, plan.opened);
			break;
		case Mode.Tunnel:
			removed = removeTunnelMode(packet, state, plan.opened);
			break;
		case Mode.Beet:
			removed = removeBeetMode(packet, state, plan.opened);
			break;
		default:
			removed = false;
	}
	if (!removed) {
		traceCheck(net, state, 'mode', state.mode, plan.opened.nextHeader);
		drop(net, packet, Verdict.InStateModeError, 'in.mode', state);
		return false;
	}
	if (before !== null) {
		traceMode(net, state, packet, before);
	}
	return true;
}

function encapTypeOf(state: XfrmState): number {
	return state.encap === undefined ? 0 : state.encap.type;
}

/** Counts and ends the packet. */
function drop(
	net: Namespace,
	packet: PacketBuffer,
	verdict: Verdict,
	code: string,
	state: XfrmState | null,
): null {
	net.count(verdict);
	packet.verdict = verdict;
	packet.action = PacketAction.Drop;
	if (net.tracer !== null) {
		traceVerdict(net, verdict, code, state);
	}
	return null;
}
