/**
 * The OUT lookup: which policies meet a packet, and by which states it goes, if at all
 * (net/xfrm/xfrm_policy.c: xfrm_lookup_with_ifid, xfrm_bundle_lookup, __xfrm_route_forward).
 *
 *     flow ─ flow cache ─────────────────────────────────────────────┐
 *       └ socket policy, else SUB, else MAIN; SUB allow: MAIN too    │
 *           └ none: default policy       └ block: refused            ├─ clear · bundle · refused
 *             └ allow: templates → states (template.ts)              │
 *                 └ missing: refused, or held (O-7)                  │
 *                   └ bundle (bundle.ts) ────────────────────────────┘
 *
 * Nothing is done to the packet's bytes here; that is output.ts.
 *
 * @hotpath
 */
import { decodeFlow, Flow, type PacketBuffer, type Route } from '@xfrm/wire';
import {
	DefaultAction,
	Direction,
	Errno,
	PolicyAction,
	PolicyFlag,
	PolicyType,
} from '@xfrm/wire/xfrm';
import type { Batch } from './batch.ts';
import { type Bundle, makeBundle, makeHoldBundle, routeGeneration } from './bundle.ts';
import type { CachedFlow } from './flow-cache.ts';
import { decodeQuotedFlow, isQuotingError } from './icmp-quote.ts';
import type { Namespace } from './namespace.ts';
import { noteDefault, noteSocketLookup, noteTableLookup, noteVerdict } from './output-trace.ts';
import type { XfrmPolicy } from './policy.ts';
import { resolution, resolveTemplates } from './template.ts';
import { PacketAction, Verdict } from './verdict.ts';

/** Outcome of a lookup. */
const Outcome = {
	/** Goes as it is. */
	Clear: 0,
	/** Goes through `found.bundle`. */
	Bundle: 1,
	/** Goes not: `found.verdict`, `found.error`; counted already. */
	Refused: 2,
	/** Only with `Want.Icmp`: there is no policy for it that has the flag ICMP. */
	NoMatch: 3,
} as const;

/** What a caller of a lookup may ask for (XFRM_LOOKUP_QUEUE, XFRM_LOOKUP_ICMP). */
const Want = { Nothing: 0, Hold: 1, Icmp: 2 } as const;

/** Places in `XfrmPolicy.lifetime`. */
const POLICY_USE_TIME = 1;

/** Details of the last outcome; good until the next lookup. */
const found: {
	bundle: Bundle | null;
	policy: XfrmPolicy | null;
	secondPolicy: XfrmPolicy | null;
	verdict: Verdict;
	error: number;
	/** May the outcome be kept for the flow's next packets? */
	lasting: boolean;
} = {
	bundle: null,
	policy: null,
	secondPolicy: null,
	verdict: Verdict.Pass,
	error: 0,
	lasting: true,
};

const quotedFlow: Flow = new Flow();

/**
 * OUT lookup of a batch: see `EngineDoor.lookup`.
 *
 * @spec O-1 F-4
 */
export function lookup(net: Namespace, batch: Batch): void {
	net.now[0] = batch.nowUs;
	net.processor = batch.processor;
	net.outputRun.seconds = net.nowSeconds();
	for (let i = 0; i < batch.packets.length; i++) {
		const packet = batch.packets[i];
		if (packet !== undefined) {
			lookupPacket(net, packet);
		}
	}
}

/** OUT lookup of one packet, at the time in `net.now`. */
export function lookupPacket(net: Namespace, packet: PacketBuffer): void {
	packet.bundle = null;
	packet.verdict = Verdict.Pass;
	packet.error = 0;
	let quotes = false;
	if (packet.forwarded) {
		if (!decodeForwarded(net, packet)) {
			return;
		}
		quotes = net.profile.icmpByEmbeddedFlow && isQuotingError(packet.flow);
	}
	const { route } = packet;
	if (route === null) {
		refuse(net, packet, Verdict.OutError, Errno.EHOSTUNREACH, 'out.route');
		return;
	}
	const generation = routeGeneration(net);
	if (net.tracer === null && !quotes) {
		const entry = net.outputRun.flows.find(packet, net.processor, net.generation, generation);
		if (entry !== null) {
			applyCached(net, packet, entry, route);
			return;
		}
	}
	const { flow, ifId } = packet;
	const socketId = packet.forwarded ? 0 : packet.socketId;
	const outcome = lookupFlow(net, flow, ifId, socketId, route, Want.Hold, false);
	if (outcome === Outcome.Refused) {
		packet.verdict = found.verdict;
		packet.error = found.error;
		packet.action = PacketAction.Drop;
		return;
	}
	if (outcome === Outcome.Clear && quotes && lookupQuoted(net, packet, route)) {
		return;
	}
	settle(packet, outcome === Outcome.Bundle ? found.bundle : null, route);
	if (found.lasting && !quotes && net.options.routeGeneration !== undefined) {
		remember(net, packet, generation);
	}
}

/** What a flow's earlier packet found, with what a lookup does besides. */
function applyCached(net: Namespace, packet: PacketBuffer, entry: CachedFlow, route: Route): void {
	if (entry.policy !== null) {
		const now = net.outputRun.seconds;
		entry.policy.lifetime[POLICY_USE_TIME] = now;
		if (entry.secondPolicy !== null) {
			entry.secondPolicy.lifetime[POLICY_USE_TIME] = now;
		}
	}
	settle(packet, entry.bundle, route);
}

function settle(packet: PacketBuffer, bundle: Bundle | null, route: Route): void {
	packet.bundle = bundle;
	if (bundle === null) {
		packet.mtu = route.mtu;
		packet.action = PacketAction.Pass;
	} else {
		packet.mtu = bundle.mtu;
		packet.action = PacketAction.Transformed;
	}
}

function remember(net: Namespace, packet: PacketBuffer, routes: number): void {
	const entry = net.outputRun.flows.claim(packet, net.processor);
	entry.bundle = found.bundle;
	entry.policy = found.policy;
	entry.secondPolicy = found.secondPolicy;
	entry.generation = net.generation;
	entry.routeGeneration = routes;
}

function refuse(
	net: Namespace,
	packet: PacketBuffer,
	verdict: Verdict,
	error: number,
	code: string,
): void {
	noteVerdict(net, verdict, null, null, code);
	packet.verdict = verdict;
	packet.error = error;
	packet.action = PacketAction.Drop;
}

/** @spec F-2 */
function decodeForwarded(net: Namespace, packet: PacketBuffer): boolean {
	if (
		packet.route !== null &&
		decodeFlow(packet.flow, packet, false, net.profile.genericDissector)
	) {
		return true;
	}
	refuse(net, packet, Verdict.FwdHdrError, 0, 'out.forward.header');
	return false;
}

/**
 * A forwarded ICMP error that would go in clear: the policies with flag ICMP may have states for the flow
 * of the packet it quotes, seen from the other end. False: it stays as it was.
 *
 * @spec F-6
 */
function lookupQuoted(net: Namespace, packet: PacketBuffer, route: Route): boolean {
	if (!decodeQuotedFlow(quotedFlow, packet, packet.flow)) {
		return false;
	}
	const outcome = lookupFlow(net, quotedFlow, packet.ifId, 0, route, Want.Hold | Want.Icmp, true);
	if (outcome !== Outcome.Bundle || found.bundle === null || found.bundle.first === null) {
		return false;
	}
	settle(packet, found.bundle, route);
	return true;
}

/**
 * OUT lookup of an ICMP error made by this host: by its own flow, and where that finds no states once
 * more by the reversed flow of the packet it is about. Writes the packet as `lookup` does, and its
 * route when the second lookup decided.
 *
 * The host calls this in place of `lookup` for ICMP and ICMPv6 errors, with `packet.flow` and
 * `packet.route` of the error itself.
 *
 * @param quoted reversed flow of the packet in error, `mark` and `oif` filled in by the caller
 * @param quotedRoute route for that flow, null when there is none
 * @spec O-15 O-2
 */
export function lookupIcmpError(
	net: Namespace,
	packet: PacketBuffer,
	quoted: Flow,
	quotedRoute: Route | null,
): void {
	packet.bundle = null;
	packet.verdict = Verdict.Pass;
	packet.error = 0;
	const { route } = packet;
	if (route === null) {
		refuse(net, packet, Verdict.OutError, Errno.EHOSTUNREACH, 'out.route');
		return;
	}
	const first = lookupFlow(net, packet.flow, packet.ifId, 0, route, Want.Nothing, false);
	if (first === Outcome.Bundle) {
		settle(packet, found.bundle, route);
		return;
	}
	if (first === Outcome.Refused) {
		packet.verdict = found.verdict;
		packet.error = found.error;
		if (found.error !== Errno.EPERM) {
			packet.action = PacketAction.Drop;
			return;
		}
	}
	const second =
		quotedRoute === null
			? Outcome.NoMatch
			: lookupFlow(net, quoted, packet.ifId, 0, quotedRoute, Want.Icmp, true);
	if (quotedRoute !== null && (second === Outcome.Clear || second === Outcome.Bundle)) {
		packet.verdict = Verdict.Pass;
		packet.error = 0;
		packet.route = quotedRoute;
		settle(packet, second === Outcome.Bundle ? found.bundle : null, quotedRoute);
	} else if (second === Outcome.Refused && found.error === Errno.EPERM) {
		packet.verdict = found.verdict;
		packet.error = found.error;
		packet.action = PacketAction.Drop;
	} else if (first === Outcome.Clear) {
		settle(packet, null, route);
	} else {
		packet.action = PacketAction.Drop;
	}
}

/**
 * Lookup of a packet that was held for `policy`: by the flow of its bytes under the policy's mark, as Linux
 * does for the sake of VTI. Writes the packet as `lookup` does.
 *
 * @param mayHold it may be held on; the bundle is one without states then
 * @spec O-8
 */
export function lookupHeld(
	net: Namespace,
	packet: PacketBuffer,
	policy: XfrmPolicy,
	mayHold: boolean,
): void {
	packet.bundle = null;
	packet.verdict = Verdict.Pass;
	packet.error = 0;
	const { route, socketId } = packet;
	decodeFlow(packet.flow, packet, false, net.profile.genericDissector);
	packet.flow.mark = policy.markValue;
	if (route === null) {
		refuse(net, packet, Verdict.OutError, Errno.EHOSTUNREACH, 'out.route');
		return;
	}
	const want = mayHold ? Want.Hold : Want.Nothing;
	const outcome = lookupFlow(net, packet.flow, 0, socketId, route, want, false);
	if (outcome === Outcome.Refused) {
		packet.verdict = found.verdict;
		packet.error = found.error;
		packet.action = PacketAction.Drop;
		return;
	}
	settle(packet, found.bundle, route);
}

/** Looks a flow up, without any memory of earlier lookups; details in `found`. */
function lookupFlow(
	net: Namespace,
	flow: Flow,
	ifId: number,
	socketId: number,
	route: Route,
	want: number,
	quoted: boolean,
): number {
	const { spd, tracer } = net;
	found.bundle = null;
	found.policy = null;
	found.secondPolicy = null;
	found.lasting = true;
	if (socketId !== 0 && spd.hasSocketPolicy(socketId, Direction.Out)) {
		const own = spd.socketPolicy(socketId, Direction.Out, flow, ifId, net.nowSeconds());
		if (tracer !== null) {
			noteSocketLookup(tracer, flow, ifId, own);
		}
		if (own !== null) {
			found.policy = own;
			return applyPolicies(net, own, null, flow, route, want, true);
		}
	}
	if (ifId === 0 && (route.noXfrm || (spd.counts[Direction.Out] ?? 0) === 0)) {
		return applyDefault(net, route, want);
	}
	let policy = findPolicy(net, flow, PolicyType.Sub, ifId, quoted);
	let second: XfrmPolicy | null = null;
	if (policy === null) {
		policy = findPolicy(net, flow, PolicyType.Main, ifId, quoted);
	} else if (policy.action === PolicyAction.Allow) {
		second = findPolicy(net, flow, PolicyType.Main, ifId, quoted);
	}
	if (policy === null) {
		return applyDefault(net, route, want);
	}
	found.policy = policy;
	found.secondPolicy = second;
	return applyPolicies(net, policy, second, flow, route, want, false);
}

/** @spec P-1 P-20 P-23 */
function findPolicy(
	net: Namespace,
	flow: Flow,
	type: number,
	ifId: number,
	quoted: boolean,
): XfrmPolicy | null {
	const policy = net.spd.best(flow, Direction.Out, type, ifId);
	if (net.tracer !== null) {
		noteTableLookup(net, net.tracer, flow, type, ifId, policy, quoted);
	}
	return policy;
}

/**
 * No policy: the default decides, but for what stays on this host.
 *
 * @spec O-2 D-1 D-2 D-3 P-17
 */
function applyDefault(net: Namespace, route: Route, want: number): number {
	const accepted = net.defaults[Direction.Out] !== DefaultAction.Block || route.loopback;
	if (net.tracer !== null) {
		noteDefault(net.tracer, accepted);
	}
	if (!accepted) {
		return refused(net, Verdict.OutDefaultBlock, Errno.EPERM, null, 'out.default.block');
	}
	return (want & Want.Icmp) !== 0 ? Outcome.NoMatch : Outcome.Clear;
}

function refused(
	net: Namespace,
	verdict: Verdict,
	error: number,
	policy: XfrmPolicy | null,
	code: string,
): number {
	noteVerdict(net, verdict, null, policy, code);
	found.verdict = verdict;
	found.error = error;
	found.lasting = false;
	return Outcome.Refused;
}

/**
 * What one policy, or a SUB and a MAIN policy together, do to a flow.
 *
 * @spec O-3 O-5 O-6 O-7 P-14 P-15 P-19b P-20
 */
function applyPolicies(
	net: Namespace,
	policy: XfrmPolicy,
	second: XfrmPolicy | null,
	flow: Flow,
	route: Route,
	want: number,
	ofSocket: boolean,
): number {
	if (
		policy.action !== PolicyAction.Allow ||
		(second !== null && second.action !== PolicyAction.Allow)
	) {
		if (!mayServe(net, policy, second, want)) {
			return Outcome.NoMatch;
		}
		const blocking = policy.action !== PolicyAction.Allow ? policy : second;
		return refused(net, Verdict.OutPolBlock, Errno.EPERM, blocking, 'out.policy.block');
	}
	if (policy.templates.length + (second?.templates.length ?? 0) === 0) {
		return mayServe(net, policy, second, want) ? Outcome.Clear : Outcome.NoMatch;
	}
	const count = resolveTemplates(net, policy, second, flow);
	found.lasting =
		resolution.complete && ((policy.flags | (second?.flags ?? 0)) & PolicyFlag.CpuAcquire) === 0;
	if (count === 0) {
		return mayServe(net, policy, second, want) ? Outcome.Clear : Outcome.NoMatch;
	}
	if (count === -Errno.EAGAIN) {
		return applyMissing(net, policy, second, route, want, ofSocket);
	}
	if (count < 0) {
		return refused(net, Verdict.OutPolError, -count, policy, resolution.code);
	}
	const bundle = makeBundle(net, policy, net.outputRun.states, count, flow, route);
	if (bundle === null) {
		return refused(net, Verdict.OutBundleGenError, Errno.ENETUNREACH, policy, 'out.bundle.route');
	}
	if (!mayServe(net, policy, second, want)) {
		return Outcome.NoMatch;
	}
	found.bundle = bundle;
	return Outcome.Bundle;
}

/**
 * A required state is missing. A local sender hears nothing of it (the packet goes into a black hole),
 * but for one whose own policy asks for the state.
 *
 * @spec O-7 P-19b
 */
function applyMissing(
	net: Namespace,
	policy: XfrmPolicy,
	second: XfrmPolicy | null,
	route: Route,
	want: number,
	ofSocket: boolean,
): number {
	if (ofSocket) {
		return refused(net, Verdict.SocketNoState, Errno.EAGAIN, policy, 'out.state.missing-socket');
	}
	if (net.sysctl.xfrm_larval_drop !== 0) {
		return refused(net, Verdict.OutNoStates, 0, policy, 'out.state.missing');
	}
	if ((want & Want.Hold) === 0) {
		return refused(net, Verdict.OutNoStates, Errno.EAGAIN, policy, 'out.state.missing');
	}
	if (!mayServe(net, policy, second, want)) {
		return Outcome.NoMatch;
	}
	found.lasting = false;
	found.bundle = makeHoldBundle(net, policy, route);
	return Outcome.Bundle;
}

/** Notes the use of the policies; false where a lookup for ICMP meets a policy without flag ICMP (O-2). */
function mayServe(
	net: Namespace,
	policy: XfrmPolicy,
	second: XfrmPolicy | null,
	want: number,
): boolean {
	if ((want & Want.Icmp) !== 0 && (policy.flags & PolicyFlag.Icmp) === 0) {
		return false;
	}
	const now = net.nowSeconds();
	policy.lifetime[POLICY_USE_TIME] = now;
	if (second !== null) {
		second.lifetime[POLICY_USE_TIME] = now;
	}
	return true;
}
