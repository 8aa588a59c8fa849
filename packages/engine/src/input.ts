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
 * **Batches.** The provider is called once for many packets: parse, find and admit are done for packet
 * after packet, and each gets a job; then all are opened; then open's end, account and remove are done for
 * packet after packet. A batch of n has to count, report and decide as n batches of one would, so it is
 * settled
 *
 * - before a packet whose state has packets waiting, unless its sequence number is well above theirs and
 *   the window's top: then it passes whatever becomes of them, with the same high half;
 * - before and behind a packet of a state that is near a byte or packet limit, which may end it;
 * - before and behind an IPComp packet, as there is one scratch to inflate into;
 * - behind every packet when there is a tracer, which sees the octets before and after.
 *
 * What comes to light only when a packet is open is a further transform behind a transport mode. It is
 * taken off alone, in the packet's turn, and may move the window of a state that later packets wait for:
 * hence the second look at the window.
 *
 * @hotpath
 */
import { type CryptoBatch, CryptoStatus } from '@xfrm/crypto/provider';
import type { PacketBuffer } from '@xfrm/wire';
import { IpProto, MAX_DEPTH, Mode, SaDirection } from '@xfrm/wire/xfrm';
import type { Batch } from './batch.ts';
import { beginPacket, findState, isTransform, parseHeader } from './input-header.ts';
import type { InputPlan, WaitingPacket } from './input-plan.ts';
import {
	replayCode,
	traceCheck,
	traceLookup,
	traceMode,
	traceOpen,
	traceVerdict,
} from './input-trace.ts';
import { checkExpire, isNearLimit } from './lifetime.ts';
import { CRYPTO_JOBS_MAX } from './limits.ts';
import type { Namespace } from './namespace.ts';
import {
	isAboveWindow,
	isLarger,
	replayAdvance,
	replayCheck,
	replayRecheck,
	replaySeqHi,
	topSeqHi,
} from './replay.ts';
import { ReplayCounter } from './replay-window.ts';
import { Current, isTunnelFlagged, StateCondition, StateStat, type XfrmState } from './state.ts';
import { finishAhInput, planAhInput, restoreAhInput } from './transforms/ah-input.ts';
import { finishEspInput, planEspInput } from './transforms/esp-input.ts';
import { finishIpcompInput, planIpcompInput } from './transforms/ipcomp-input.ts';
import { finishIpipInput } from './transforms/ipip-input.ts';
import { iptfsInput } from './transforms/iptfs-input.ts';
import { removeBeetMode } from './transforms/mode-beet-input.ts';
import { removeTransportMode } from './transforms/mode-transport-input.ts';
import { removeTunnelMode } from './transforms/mode-tunnel-input.ts';
import { faultOf, OPEN_FAULT_CODES, type Opened, OpenFault } from './transforms/opened.ts';
import { reportMapping } from './udp-encap.ts';
import { PacketAction, Verdict } from './verdict.ts';

// V8 compiles these in; an imported constant is read each time (CONTRIBUTING.md, Style).
const { Esp, Ah } = IpProto;
const { Pass } = Verdict;
const { None } = OpenFault;
const { Iptfs, Tunnel, Transport } = Mode;
const { Valid } = StateCondition;
const { Bytes, Packets, LastUsed } = Current;
const { Drop, Reinject } = PacketAction;
const { Out } = SaDirection;
const { Seq } = ReplayCounter;
const { Ok } = CryptoStatus;
const DEPTH_MAX: number = MAX_DEPTH;

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
	plan.seconds = net.nowSeconds();
	for (let i = 0; i < batch.packets.length; i++) {
		const packet = batch.packets[i];
		if (packet !== undefined) {
			takePacket(net, plan, packet);
		}
	}
	settle(net, plan);
}

/** Everything about a packet up to its job. */
function takePacket(net: Namespace, plan: InputPlan, packet: PacketBuffer): void {
	let state = findOutermost(net, plan, packet);
	if (plan.count > 0 && state !== null && mustWait(plan, state)) {
		settle(net, plan);
		state = findOutermost(net, plan, packet);
	}
	state = admitTransform(net, plan, packet, state);
	if (state === null) {
		return;
	}
	plan.sealed = net.tracer === null ? null : packet.copy();
	const fault = addJob(plan, plan.jobs, packet, state);
	if (fault !== None) {
		refuseTransform(net, packet, state, fault);
		return;
	}
	plan.wait(packet, state);
	if (plan.count === CRYPTO_JOBS_MAX || isAlone(state) || net.tracer !== null) {
		settle(net, plan);
	}
}

/** The state of the packet's outermost transform, or null; its header is in the plan. */
function findOutermost(net: Namespace, plan: InputPlan, packet: PacketBuffer): XfrmState | null {
	beginPacket(plan, packet);
	plan.isParsed = parseHeader(net, plan, packet);
	return plan.isParsed ? findState(net, plan, packet.proto) : null;
}

/** Does the packet at hand depend on what becomes of one that waits? */
function mustWait(plan: InputPlan, state: XfrmState): boolean {
	if (isAlone(state)) {
		return true;
	}
	if (state.replay.windowPackets === 0) {
		return false;
	}
	for (let place = plan.count - 1; place >= 0; place--) {
		const before = plan.waiting[place];
		if (before !== undefined && before.state === state) {
			const top = state.replay.counters[Seq] ?? 0;
			return !(isAhead(plan.sequence, before.sequence) && isAhead(plan.sequence, top));
		}
	}
	return false;
}

/** Larger as u32, by less than half of all numbers. */
function isAhead(seq: number, other: number): boolean {
	return isLarger(seq, other) && ((seq - other) | 0) > 0;
}

/** Must a packet of this state not share the provider's call with others? */
function isAlone(state: XfrmState): boolean {
	return !state.isSealing || isNearLimit(state);
}

/** Opens what waits, and decides about each packet, in order. */
function settle(net: Namespace, plan: InputPlan): void {
	if (plan.jobs.count > 0) {
		net.provider.open(plan.jobs);
	}
	for (let place = 0; place < plan.count; place++) {
		const waiting = plan.waiting[place];
		if (waiting !== undefined) {
			settlePacket(net, plan, waiting, place);
		}
	}
	plan.clear();
}

/**
 * The rest about a packet that was opened as job `place`, and all about transforms that follow.
 *
 * @spec I-8 R-8
 */
function settlePacket(
	net: Namespace,
	plan: InputPlan,
	waiting: WaitingPacket,
	place: number,
): void {
	const { packet } = waiting;
	let { state } = waiting;
	waiting.packet = null;
	if (packet === null || state === null) {
		return;
	}
	plan.sequence = waiting.sequence;
	if (state.proto === Ah) {
		restoreAhInput(packet, state);
	}
	if (replayRecheck(state, plan.sequence, waiting.seqHi) !== 0) {
		refuseState(net, plan, packet, state, Verdict.InStateSeqError);
		return;
	}
	if (!openTransform(net, plan, packet, state, plan.jobs, place)) {
		return;
	}
	while (!isTunnelFlagged(state.mode) && isTransform(packet.proto)) {
		const inner = openNext(net, plan, packet, state, waiting.mark);
		if (inner === null) {
			return;
		}
		state = inner;
	}
	packet.verdict = Pass;
	packet.action = actionBehind(state.mode);
}

/**
 * Takes off the transform behind a transport mode, alone. Its destination is that of the state before, it
 * is never in UDP, and the mark of the lookup is the one the packet arrived with.
 *
 * @returns its state, or null when the packet was dropped
 * @spec I-7 I-8
 */
function openNext(
	net: Namespace,
	plan: InputPlan,
	packet: PacketBuffer,
	before: XfrmState,
	mark: number,
): XfrmState | null {
	plan.family = before.family;
	plan.destination = before.daddr;
	plan.mark = mark;
	plan.encapType = 0;
	plan.isParsed = parseHeader(net, plan, packet);
	const found = plan.isParsed ? findState(net, plan, packet.proto) : null;
	const state = admitTransform(net, plan, packet, found);
	if (state === null) {
		return null;
	}
	const { alone } = plan;
	alone.count = 0;
	plan.sealed = net.tracer === null ? null : packet.copy();
	const fault = addJob(plan, alone, packet, state);
	if (fault !== None) {
		return refuseTransform(net, packet, state, fault);
	}
	net.provider.open(alone);
	if (state.proto === Ah) {
		restoreAhInput(packet, state);
	}
	return openTransform(net, plan, packet, state, alone, 0) ? state : null;
}

/**
 * May the packet be opened with the state that was found for its header? Counts and drops otherwise.
 *
 * @spec I-3 I-4
 */
function admitTransform(
	net: Namespace,
	plan: InputPlan,
	packet: PacketBuffer,
	state: XfrmState | null,
): XfrmState | null {
	packet.action = Drop;
	const isDeep = packet.pathCount >= DEPTH_MAX;
	if (net.tracer !== null && plan.isParsed && !isDeep) {
		traceLookup(net, plan, packet, state);
	}
	if (state === null || isDeep) {
		return refuseHeader(net, plan, packet, isDeep);
	}
	const refused = admit(net, plan, packet, state);
	return refused === Pass ? state : refuseState(net, plan, packet, state, refused);
}

/** There is no state for the header, or it was not even looked for. */
function refuseHeader(
	net: Namespace,
	plan: InputPlan,
	packet: PacketBuffer,
	isDeep: boolean,
): null {
	if (!plan.isParsed) {
		return drop(net, packet, Verdict.InHdrError, 'in.header.short', null);
	}
	return isDeep
		? drop(net, packet, Verdict.InBufferError, 'in.depth', null)
		: drop(net, packet, Verdict.InNoStates, 'in.state.none', null);
}

/**
 * May the packet be opened with this state? Puts the state on the sec path.
 *
 * @returns Pass, or the verdict, which is not counted yet
 * @spec I-4 I-5 I-7 S-35 X-21
 */
function admit(net: Namespace, plan: InputPlan, packet: PacketBuffer, state: XfrmState): Verdict {
	if (state.direction === Out) {
		return Verdict.InStateDirError;
	}
	const { outputMarkValue: value, outputMarkMask: mask } = state;
	packet.mark = (value & mask) | (packet.mark & ~mask);
	packet.path[packet.pathCount++] = state;
	if (state.condition !== Valid) {
		return state.condition === StateCondition.Acq ? Verdict.AcquireError : Verdict.InStateInvalid;
	}
	if (encapTypeOf(state) !== plan.encapType) {
		return Verdict.InStateMismatch;
	}
	const isNew = isAboveWindow(state.replay, plan.sequence);
	if (!isNew && replayCheck(state, plan.sequence) !== 0) {
		return Verdict.InStateSeqError;
	}
	plan.seqHi = isNew ? topSeqHi(state.replay) : replaySeqHi(state.replay, plan.sequence);
	if (checkExpire(net, state) !== 0) {
		return Verdict.InStateExpired;
	}
	return packet.tunnelOnly && !isTunnelFlagged(state.mode) ? Verdict.InStateModeError : Pass;
}

/** The state did not admit the packet. */
function refuseState(
	net: Namespace,
	plan: InputPlan,
	packet: PacketBuffer,
	state: XfrmState,
	verdict: Verdict,
): null {
	let code = 'in.state.expired';
	switch (verdict) {
		case Verdict.InStateDirError:
			traceCheck(net, state, 'dir', 'in', 'out');
			code = 'in.state.direction';
			break;
		case Verdict.AcquireError:
			code = 'in.state.larval';
			break;
		case Verdict.InStateInvalid:
			code = 'in.state.invalid';
			break;
		case Verdict.InStateMismatch:
			traceCheck(net, state, 'encap', plan.encapType, encapTypeOf(state));
			code = 'in.state.encap';
			break;
		case Verdict.InStateModeError:
			traceCheck(net, state, 'mode', 'tunnel', state.mode);
			code = 'in.mode';
			break;
		case Verdict.InStateSeqError: {
			const top = state.replay.counters[Seq] ?? 0;
			traceCheck(net, state, 'replay', plan.sequence, top);
			code = replayCode(state, plan.sequence);
			break;
		}
		default:
			traceCheck(net, state, 'limit', 'not reached', 'reached');
	}
	return drop(net, packet, verdict, code, state);
}

/** Adds the packet's job; IPComp's helper has none. */
function addJob(
	plan: InputPlan,
	jobs: CryptoBatch,
	packet: PacketBuffer,
	state: XfrmState,
): OpenFault {
	if (state.key === undefined && !state.kernelOwned) {
		return OpenFault.Algorithm;
	}
	switch (state.proto) {
		case Esp:
			return planEspInput(jobs, packet, state, plan.seqHi);
		case Ah:
			return planAhInput(jobs, packet, state, plan.seqHi);
		case IpProto.Comp:
			planIpcompInput(jobs, packet, state, plan.scratch);
			return None;
		default:
			return None;
	}
}

/**
 * From the provider's answer to what was inside: the end of open, account, remove. False when the packet
 * was dropped.
 *
 * @spec I-5 I-6
 */
function openTransform(
	net: Namespace,
	plan: InputPlan,
	packet: PacketBuffer,
	state: XfrmState,
	jobs: CryptoBatch,
	job: number,
): boolean {
	const fault = finishTransform(net, plan, packet, state, jobs, job);
	if (fault !== None) {
		refuseTransform(net, packet, state, fault);
		return false;
	}
	account(net, plan, packet, state);
	if (plan.sealed !== null) {
		traceOpen(net, plan, packet, state, jobs.seqHi[job] ?? 0, plan.sealed);
	}
	if (state.mode === Iptfs) {
		return openIptfs(net, plan, packet, state, jobs.seqHi[job] ?? 0);
	}
	if (!removeMode(packet, state, plan.opened)) {
		return refuseMode(net, plan, packet, state);
	}
	if (plan.sealed !== null) {
		traceMode(net, state, packet, plan.sealed);
	}
	return true;
}

/** What is in an IPTFS payload goes its own way. */
function openIptfs(
	net: Namespace,
	plan: InputPlan,
	packet: PacketBuffer,
	state: XfrmState,
	seqHi: number,
): boolean {
	iptfsInput(net, packet, state, plan.opened.payloadAt, seqHi, plan.sequence);
	return true;
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
	const status = jobs.status[job] ?? 0;
	if (state.proto !== Esp) {
		return finishOther(plan, packet, state, status, jobs.length[job] ?? 0);
	}
	if (status !== Ok) {
		return faultOf(status, OpenFault.Blocks);
	}
	const fault = finishEspInput(packet, state, plan.opened);
	// A dummy packet is refused, and yet it tells where its sender is.
	if (state.encap !== undefined && fault !== OpenFault.Padding) {
		reportMapping(net, state, packet);
	}
	return fault;
}

function finishOther(
	plan: InputPlan,
	packet: PacketBuffer,
	state: XfrmState,
	status: number,
	resultOctets: number,
): OpenFault {
	const { opened } = plan;
	switch (state.proto) {
		case Ah:
			finishAhInput(packet, opened);
			return faultOf(status, OpenFault.Icv);
		case IpProto.Comp: {
			const fault = faultOf(status, OpenFault.Inflate);
			return fault === None ? finishIpcompInput(packet, plan.scratch, resultOctets, opened) : fault;
		}
		default:
			finishIpipInput(packet, opened);
			return None;
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
	lifetime[Bytes] = (lifetime[Bytes] ?? 0) + octets;
	lifetime[Packets] = (lifetime[Packets] ?? 0) + 1;
	if (net.profile.lastUsedEveryPacket) {
		lifetime[LastUsed] = plan.seconds;
	}
}

/** Takes off what the mode had put around the packet; false when that is not there. */
function removeMode(packet: PacketBuffer, state: XfrmState, opened: Opened): boolean {
	switch (state.mode) {
		case Tunnel:
			return removeTunnelMode(packet, state, opened);
		case Transport:
			removeTransportMode(packet, opened);
			return true;
		case Mode.Beet:
			return removeBeetMode(packet, state, opened);
		default:
			return false;
	}
}

/** What becomes of a packet whose last transform was of this mode; what IPTFS had inside goes its own way. */
function actionBehind(mode: number): PacketAction {
	if (mode === Iptfs) {
		return PacketAction.Consume;
	}
	return isTunnelFlagged(mode) ? Reinject : PacketAction.Continue;
}

/** What the mode has to remove is not there. */
function refuseMode(
	net: Namespace,
	plan: InputPlan,
	packet: PacketBuffer,
	state: XfrmState,
): boolean {
	traceCheck(net, state, 'mode', state.mode, plan.opened.nextHeader);
	drop(net, packet, Verdict.InStateModeError, 'in.mode', state);
	return false;
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
	packet.action = Drop;
	traceVerdict(net, verdict, code, state);
	return null;
}
