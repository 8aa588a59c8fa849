/**
 * Was the packet protected as the policies demand (net/xfrm/xfrm_policy.c: __xfrm_policy_check)? Asked of
 * every packet that is delivered (direction IN) or forwarded (FWD), after all decapsulation, by whoever
 * delivers: TCP, UDP, raw sockets, ICMP, forwarding (I-22).
 *
 *     flow        decoded from the packet                     InHdrError
 *     selectors   of every state on the sec path              InStateMismatch
 *     policy      socket's, SUB, MAIN; none: the default      InNoPols, InPolBlock
 *     templates   of SUB and MAIN, last to first, against the sec path, outermost first
 *                                                             InBufferError, InTmplMismatch
 *
 * Names: a *required* template has to be found on the path; an *optional* one of transport mode takes
 * nothing; a state of transport mode may stay unasked for, any other may not.
 *
 * @hotpath
 */
import { decodeFlowAt, type Flow, type PacketBuffer } from '@xfrm/wire';
import {
	DefaultAction,
	Direction,
	Family,
	MAX_DEPTH,
	Mode,
	PolicyAction,
	PolicyType,
	StateFlag,
} from '@xfrm/wire/xfrm';
import type { Batch } from './batch.ts';
import { decodeQuotedFlow, isQuotingError } from './icmp-quote.ts';
import type { Namespace } from './namespace.ts';
import type { XfrmPolicy } from './policy.ts';
import type { PolicyCheckRun } from './policy-check-run.ts';
import {
	traceCheckVerdict,
	traceDefault,
	traceSelector,
	traceSocketLookup,
	traceTableLookup,
	traceTemplateCheck,
} from './policy-check-trace.ts';
import { reportRefusal } from './report.ts';
import type { XfrmState } from './state.ts';
import { satisfiesTemplate, templateClass } from './template-check.ts';
import { PacketAction, Verdict } from './verdict.ts';

/** `walkTemplate`: no state satisfied the template. */
const NOT_FOUND = -1;
/** `walkTemplate`: state 0, 1 … stood in the way (minus its place). */
const OFFENDING_FIRST = -2;

/**
 * Checks packets for local delivery (IN) or forwarding (FWD): action Pass or Drop. The flow is decoded
 * here, with `flow.oif` as the caller set it: the device of the packet's route (P-29). `nextHeaderAt` is
 * where the caller has come to in an IPv6 packet's headers.
 *
 * @spec I-11 I-22 P-29
 */
export function policyCheck(net: Namespace, batch: Batch, direction: number): void {
	net.now[0] = batch.nowUs;
	net.processor = batch.processor;
	net.checkRun.seconds = net.nowSeconds();
	for (const packet of batch.packets) {
		const passes = checkPacket(net, packet, direction);
		packet.action = passes ? PacketAction.Pass : PacketAction.Drop;
	}
}

function checkPacket(net: Namespace, packet: PacketBuffer, direction: number): boolean {
	packet.verdict = Verdict.Pass;
	const { flow } = packet;
	if (isUnrestricted(net, packet, direction)) {
		return true;
	}
	flow.mark = packet.mark;
	const { view, start, end, family, nextHeaderAt } = packet;
	const generic = net.profile.genericDissector;
	if (!decodeFlowAt(flow, view, start, end, family, false, generic, nextHeaderAt)) {
		return refuse(net, packet, Verdict.InHdrError, 'check.flow', null, null);
	}
	return checkFlow(net, packet, flow, direction, start);
}

/**
 * The IN check of an ICMP error by the packet that it quotes, addresses and ports exchanged: the kernel
 * tries it when the check of the error itself fails, if the last state has the flag ICMP.
 *
 * @param at where the quoted packet's IP header begins
 * @spec P-31 I-12
 */
export function reverseCheck(net: Namespace, packet: PacketBuffer, at: number): boolean {
	packet.verdict = Verdict.Pass;
	const last = stateAt(packet, packet.pathCount - 1);
	if (last === null || (last.flags & StateFlag.Icmp) === 0) {
		return false;
	}
	net.checkRun.seconds = net.nowSeconds();
	const flow = net.checkRun.reversed;
	flow.mark = packet.mark;
	flow.oif = packet.iif;
	const { view, end, family } = packet;
	if (!decodeFlowAt(flow, view, at, end, family, true, net.profile.genericDissector)) {
		return refuse(net, packet, Verdict.InHdrError, 'check.flow', null, null);
	}
	return checkFlow(net, packet, flow, Direction.In, at);
}

/**
 * Nothing can refuse the packet: no policy of the direction, no sec path, default accept.
 *
 * @spec P-17 I-21
 */
function isUnrestricted(net: Namespace, packet: PacketBuffer, direction: number): boolean {
	return (
		packet.pathCount === 0 &&
		net.spd.counts[direction] === 0 &&
		net.defaults[direction as Direction] === DefaultAction.Accept &&
		(packet.socketId === 0 || !net.spd.hasSocketPolicy(packet.socketId, direction))
	);
}

/**
 * The check of a flow. What passed once passes again, as long as nothing has changed: the same flow by the
 * same state is not looked up anew.
 *
 * @param ipAt the IP header that the flow was decoded from
 */
function checkFlow(
	net: Namespace,
	packet: PacketBuffer,
	flow: Flow,
	direction: number,
	ipAt: number,
): boolean {
	const run = net.checkRun;
	const isPlain =
		net.tracer === null &&
		packet.socketId === 0 &&
		packet.pathCount <= 1 &&
		packet.verifiedCount === 0;
	const only = packet.pathCount === 0 ? null : stateAt(packet, 0);
	if (isPlain && run.recall(flow, direction, packet.ifId, net.generation, only)) {
		packet.verifiedCount = run.verified;
		return true;
	}
	run.usedQuote = false;
	run.policy = null;
	run.main = null;
	if (!decide(net, packet, flow, direction, ipAt)) {
		return false;
	}
	if (isPlain && !run.usedQuote) {
		run.verified = packet.verifiedCount;
		run.remember(flow, direction, packet.ifId, net.generation, only);
	}
	return true;
}

/** Selectors, policies, templates. */
function decide(
	net: Namespace,
	packet: PacketBuffer,
	flow: Flow,
	direction: number,
	ipAt: number,
): boolean {
	for (let i = packet.pathCount - 1; i >= 0; i--) {
		const state = stateAt(packet, i);
		if (state !== null && !selectorFits(net, packet, flow, direction, state)) {
			traceSelector(net, state, flow);
			return refuse(net, packet, Verdict.InStateMismatch, 'check.selector', null, state);
		}
	}
	const run = net.checkRun;
	run.policy = findPolicy(net, packet, flow, direction);
	if (run.policy === null) {
		return checkDefault(net, packet, flow, direction, ipAt);
	}
	if (run.policy.type !== PolicyType.Main) {
		// In direction IN even for forwarded packets, as the kernel does.
		run.main = lookup(net, flow, Direction.In, PolicyType.Main, packet.ifId, false);
	}
	if (run.policy.action !== PolicyAction.Allow) {
		return refuse(net, packet, Verdict.InPolBlock, 'check.block', run.policy, null);
	}
	return checkTemplates(net, packet, flow, run.policy, run.main, ipAt);
}

/**
 * Does the state's selector match the flow, or (6.9+, forwarded, flag ICMP) that of the packet an error
 * quotes? At local delivery the kernel looks for it at the wrong place and never finds it.
 *
 * @spec I-12
 */
function selectorFits(
	net: Namespace,
	packet: PacketBuffer,
	flow: Flow,
	direction: number,
	state: XfrmState,
): boolean {
	if (state.selector.matches(flow)) {
		return true;
	}
	return (
		direction === Direction.Fwd &&
		net.profile.icmpByEmbeddedFlow &&
		(state.flags & StateFlag.Icmp) !== 0 &&
		decodeQuoted(net, packet, flow) &&
		state.selector.matches(net.checkRun.embedded)
	);
}

/** @spec P-1 P-19 I-21 I-13 */
function findPolicy(
	net: Namespace,
	packet: PacketBuffer,
	flow: Flow,
	direction: number,
): XfrmPolicy | null {
	const { socketId, ifId } = packet;
	if (socketId !== 0 && net.spd.hasSocketPolicy(socketId, direction)) {
		const own = net.spd.socketPolicy(socketId, direction, flow, ifId, net.checkRun.seconds);
		traceSocketLookup(net, flow, direction, ifId, own);
		if (own !== null) {
			return own;
		}
	}
	const policy =
		lookup(net, flow, direction, PolicyType.Sub, ifId, false) ??
		lookup(net, flow, direction, PolicyType.Main, ifId, false);
	if (policy !== null || direction !== Direction.Fwd || !net.profile.icmpByEmbeddedFlow) {
		return policy;
	}
	if (!decodeQuoted(net, packet, flow)) {
		return null;
	}
	const quoted = net.checkRun.embedded;
	return (
		lookup(net, quoted, direction, PolicyType.Sub, ifId, true) ??
		lookup(net, quoted, direction, PolicyType.Main, ifId, true)
	);
}

function lookup(
	net: Namespace,
	flow: Flow,
	direction: number,
	type: number,
	ifId: number,
	quoted: boolean,
): XfrmPolicy | null {
	const policy = net.spd.lookup(flow, direction, type, ifId, net.checkRun.seconds);
	if (net.tracer !== null) {
		traceTableLookup(net, flow, direction, type, ifId, policy, quoted);
	}
	return policy;
}

function decodeQuoted(net: Namespace, packet: PacketBuffer, flow: Flow): boolean {
	if (!isQuotingError(flow)) {
		return false;
	}
	net.checkRun.usedQuote = true;
	return decodeQuotedFlow(net.checkRun.embedded, packet, flow);
}

/**
 * No policy: the default decides, and what came through a tunnel is never taken without one.
 *
 * @spec I-13 D-1 F-3
 */
function checkDefault(
	net: Namespace,
	packet: PacketBuffer,
	flow: Flow,
	direction: number,
	ipAt: number,
): boolean {
	const accepted = net.defaults[direction as Direction] !== DefaultAction.Block;
	traceDefault(net, direction, accepted);
	if (!accepted) {
		return refuse(net, packet, Verdict.InNoPols, 'check.default', null, null);
	}
	const tunnel = nonTransportFrom(packet, 0);
	if (tunnel >= 0) {
		const state = reject(net, packet, flow, tunnel, ipAt);
		return refuse(net, packet, Verdict.InNoPols, 'check.policy.none', null, state);
	}
	return true;
}

/**
 * Compares the sec path with the templates of one or both policies.
 *
 * @spec I-10 I-14 I-15 I-16 I-17 P-20 P-22 P-24
 */
function checkTemplates(
	net: Namespace,
	packet: PacketBuffer,
	flow: Flow,
	policy: XfrmPolicy,
	main: XfrmPolicy | null,
	ipAt: number,
): boolean {
	const run = net.checkRun;
	run.clear();
	if (!addTemplates(run, policy)) {
		return refuse(net, packet, Verdict.InBufferError, 'check.depth', policy, null);
	}
	if (main !== null) {
		if (main.action !== PolicyAction.Allow) {
			return refuse(net, packet, Verdict.InPolBlock, 'check.block', main, null);
		}
		if (!addTemplates(run, main)) {
			return refuse(net, packet, Verdict.InBufferError, 'check.depth', main, null);
		}
		if (flow.family === Family.Ipv6) {
			sortTemplates(run);
		}
	}
	let next = 0;
	for (let i = run.templateCount - 1; i >= 0; i--) {
		const reached = walkTemplate(net, packet, flow, i, next);
		if (reached < 0) {
			const state =
				reached === NOT_FOUND ? null : reject(net, packet, flow, OFFENDING_FIRST - reached, ipAt);
			const owner = run.owners[i] ?? policy;
			return refuse(net, packet, Verdict.InTmplMismatch, 'check.template', owner, state);
		}
		next = reached;
	}
	const extra = nonTransportFrom(packet, next);
	if (extra >= 0) {
		const state = reject(net, packet, flow, extra, ipAt);
		return refuse(net, packet, Verdict.InTmplMismatch, 'check.extra', policy, state);
	}
	packet.verifiedCount = next;
	return true;
}

/** Appends a policy's templates; false when there would be too many (P-24). */
function addTemplates(run: PolicyCheckRun, policy: XfrmPolicy): boolean {
	const { templates } = policy;
	if (run.templateCount + templates.length >= MAX_DEPTH) {
		return false;
	}
	for (let i = 0; i < templates.length; i++) {
		run.templates[run.templateCount] = templates[i] ?? null;
		run.owners[run.templateCount] = policy;
		run.templateCount++;
	}
	return true;
}

/** Stable order by class, of SUB's and MAIN's templates together. @spec P-22 */
function sortTemplates(run: PolicyCheckRun): void {
	const { templates, owners } = run;
	for (let i = 1; i < run.templateCount; i++) {
		const template = templates[i] ?? null;
		const owner = owners[i] ?? null;
		let at = i;
		while (at > 0 && templateClass(templates[at - 1] ?? null) > templateClass(template)) {
			templates[at] = templates[at - 1] ?? null;
			owners[at] = owners[at - 1] ?? null;
			at--;
		}
		templates[at] = template;
		owners[at] = owner;
	}
}

/**
 * Looks for the state of one template on the path.
 *
 * @param place of the template in the walk
 * @param from first state that no later template has taken
 * @returns the state behind the one found, or a negative number: NOT_FOUND, or which one stood in the way
 * @spec I-15
 */
function walkTemplate(
	net: Namespace,
	packet: PacketBuffer,
	flow: Flow,
	place: number,
	from: number,
): number {
	const template = net.checkRun.templates[place] ?? null;
	if (template === null) {
		return from;
	}
	const optional = template.optional !== 0;
	let reached = optional ? from : NOT_FOUND;
	let taken: XfrmState | null = null;
	if (!optional || template.mode !== Mode.Transport) {
		for (let i = from; i < packet.pathCount; i++) {
			const state = stateAt(packet, i);
			if (state === null) {
				continue;
			}
			if (satisfiesTemplate(template, state, flow.family, packet.ifId)) {
				taken = state;
				reached = i + 1;
				break;
			}
			if (state.mode !== Mode.Transport && i >= packet.verifiedCount) {
				reached = optional ? from : OFFENDING_FIRST - i;
				break;
			}
		}
	}
	if (net.tracer !== null) {
		traceTemplateCheck(net, packet, flow, place, from, taken, reached >= 0);
	}
	return reached;
}

/** Place of the first state from `from` on that is not of transport mode, or -1. */
function nonTransportFrom(packet: PacketBuffer, from: number): number {
	for (let i = from; i < packet.pathCount; i++) {
		const state = stateAt(packet, i);
		if (state !== null && state.mode !== Mode.Transport) {
			return i;
		}
	}
	return -1;
}

/** The sec path holds states only: input.ts and address-input.ts put them there. None at -1. */
function stateAt(packet: PacketBuffer, place: number): XfrmState | null {
	return (packet.path[place] ?? null) as XfrmState | null;
}

/** Tells key managers of a state that was refused, if its type wants that. @spec I-20 */
function reject(
	net: Namespace,
	packet: PacketBuffer,
	flow: Flow,
	place: number,
	ipAt: number,
): XfrmState | null {
	const state = stateAt(packet, place);
	if (state !== null) {
		reportRefusal(net, packet, state, flow, ipAt);
	}
	return state;
}

function refuse(
	net: Namespace,
	packet: PacketBuffer,
	verdict: Verdict,
	code: string,
	policy: XfrmPolicy | null,
	state: XfrmState | null,
): boolean {
	net.count(verdict);
	packet.verdict = verdict;
	traceCheckVerdict(net, verdict, code, policy, state);
	return false;
}
