/**
 * The OUT lookup of packets: by what a flow's earlier packets found, else by the policies (flow-lookup.ts);
 * of forwarded packets, of ICMP errors made here, and of held packets in their own ways
 * (net/xfrm/xfrm_policy.c: xfrm_lookup, __xfrm_route_forward; net/ipv4/icmp.c: icmp_route_lookup).
 *
 * Nothing is done to the packet's bytes here; that is output.ts.
 *
 * @hotpath
 */
import { decodeFlow, Flow, type PacketBuffer, type Route } from '@xfrm/wire';
import { Errno } from '@xfrm/wire/xfrm';
import type { Batch } from './batch.ts';
import { type Bundle, routeGeneration, sameRoute } from './bundle.ts';
import type { CachedFlow } from './flow-cache.ts';
import { found, lookupFlow, Outcome, Want } from './flow-lookup.ts';
import { decodeQuotedFlow, isQuotingError } from './icmp-quote.ts';
import type { Namespace } from './namespace.ts';
import { noteVerdict } from './output-trace.ts';
import type { XfrmPolicy } from './policy.ts';
import { PacketAction, Verdict } from './verdict.ts';

// V8 compiles these in; an imported constant is read each time (CONTRIBUTING.md, Style).
const { Pass } = Verdict;
const { Transformed } = PacketAction;

const quotedFlow: Flow = new Flow();

/**
 * OUT lookup of a batch: see `EngineDoor.lookup`.
 *
 * @spec O-1 F-4
 */
export function lookup(net: Namespace, batch: Batch): void {
	beginBatch(net, batch);
	for (let i = 0; i < batch.packets.length; i++) {
		const packet = batch.packets[i];
		if (packet !== undefined) {
			lookupPacket(net, packet);
		}
	}
}

/** Takes time and processor from a batch, and asks once what holds for all its packets. */
export function beginBatch(net: Namespace, batch: Batch): void {
	net.now[0] = batch.nowUs;
	net.processor = batch.processor;
	net.outputRun.seconds = net.nowSeconds();
	net.outputRun.routeGeneration = routeGeneration(net);
}

/** OUT lookup of one packet of the batch that was begun. */
export function lookupPacket(net: Namespace, packet: PacketBuffer): void {
	packet.verdict = Pass;
	packet.error = 0;
	if (packet.forwarded && !decodeForwarded(net, packet)) {
		return;
	}
	const { route } = packet;
	if (route === null) {
		refuseRoute(net, packet);
		return;
	}
	const entry = net.tracer === null ? recall(net, packet, route) : null;
	if (entry === null) {
		lookupPolicies(net, packet, route);
		return;
	}
	const { seconds } = net.outputRun;
	if (entry.usedAt !== seconds) {
		noteUse(entry, seconds);
	}
	settle(packet, entry.bundle, route);
}

/** What an earlier packet of this flow found, or null. */
function recall(net: Namespace, packet: PacketBuffer, route: Route): CachedFlow | null {
	const { outputRun, generation, processor } = net;
	const entry = outputRun.flows.find(packet, packet.forwarded ? 0 : packet.socketId);
	return entry !== null &&
		entry.generation === generation &&
		entry.routeGeneration === outputRun.routeGeneration &&
		entry.processor === processor &&
		(entry.route === route || (entry.route !== null && sameRoute(entry.route, route))) &&
		!(packet.forwarded && quotesPacket(net, packet))
		? entry
		: null;
}

/** Is it an ICMP error whose embedded packet is asked for too? Such an answer is not its flow's. */
function quotesPacket(net: Namespace, packet: PacketBuffer): boolean {
	return net.profile.icmpByEmbeddedFlow && isQuotingError(packet.flow);
}

/** The policies that an earlier packet met are in use: what a lookup does besides. */
function noteUse(entry: CachedFlow, seconds: number): void {
	entry.usedAt = seconds;
	if (entry.policy !== null) {
		entry.policy.useTime = seconds;
	}
	if (entry.secondPolicy !== null) {
		entry.secondPolicy.useTime = seconds;
	}
}

/** OUT lookup by the policies; what they say is kept for the flow's next packets. */
function lookupPolicies(net: Namespace, packet: PacketBuffer, route: Route): void {
	const { flow, ifId, forwarded } = packet;
	const socketId = forwarded ? 0 : packet.socketId;
	const quotes = forwarded && quotesPacket(net, packet);
	const outcome = lookupFlow(net, flow, ifId, socketId, route, Want.Hold, false);
	if (outcome === Outcome.Refused) {
		applyRefusal(packet);
		return;
	}
	if (outcome === Outcome.Clear && quotes && lookupQuoted(net, packet, route)) {
		return;
	}
	settle(packet, outcome === Outcome.Bundle ? found.bundle : null, route);
	if (found.lasting && !quotes && net.options.routeGeneration !== undefined) {
		remember(net, packet, socketId);
	}
}

/** What was found: a bundle, or nothing to do. */
export function settle(packet: PacketBuffer, bundle: Bundle | null, route: Route): void {
	packet.bundle = bundle;
	if (bundle === null) {
		packet.mtu = route.mtu;
		packet.action = PacketAction.Pass;
	} else {
		packet.mtu = bundle.mtu;
		packet.action = Transformed;
	}
}

function remember(net: Namespace, packet: PacketBuffer, socketId: number): void {
	const { outputRun, generation, processor } = net;
	const entry = outputRun.flows.claim(packet, socketId);
	entry.route = packet.route;
	entry.bundle = found.bundle;
	entry.policy = found.policy;
	entry.secondPolicy = found.secondPolicy;
	entry.usedAt = outputRun.seconds;
	entry.generation = generation;
	entry.routeGeneration = outputRun.routeGeneration;
	entry.processor = processor;
}

function refuse(
	net: Namespace,
	packet: PacketBuffer,
	verdict: Verdict,
	error: number,
	code: string,
): void {
	noteVerdict(net, verdict, null, null, code);
	packet.bundle = null;
	packet.verdict = verdict;
	packet.error = error;
	packet.action = PacketAction.Drop;
}

function refuseRoute(net: Namespace, packet: PacketBuffer): void {
	refuse(net, packet, Verdict.OutError, Errno.EHOSTUNREACH, 'out.route');
}

/** The packet goes not, for the reason in `found`, which is counted already. */
export function applyRefusal(packet: PacketBuffer): void {
	packet.bundle = null;
	packet.verdict = found.verdict;
	packet.error = found.error;
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
	packet.verdict = Pass;
	packet.error = 0;
	const { route } = packet;
	if (route === null) {
		refuseRoute(net, packet);
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
		packet.verdict = Pass;
		packet.error = 0;
		packet.route = quotedRoute;
		settle(packet, second === Outcome.Bundle ? found.bundle : null, quotedRoute);
	} else if (second === Outcome.Refused && found.error === Errno.EPERM) {
		applyRefusal(packet);
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
	packet.verdict = Pass;
	packet.error = 0;
	const { route, socketId } = packet;
	decodeFlow(packet.flow, packet, false, net.profile.genericDissector);
	packet.flow.mark = policy.markValue;
	if (route === null) {
		refuseRoute(net, packet);
		return;
	}
	const want = mayHold ? Want.Hold : Want.Nothing;
	const outcome = lookupFlow(net, packet.flow, 0, socketId, route, want, false);
	if (outcome === Outcome.Refused) {
		applyRefusal(packet);
		return;
	}
	settle(packet, found.bundle, route);
}
