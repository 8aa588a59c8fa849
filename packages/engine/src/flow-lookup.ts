/**
 * What the OUT policies make of a flow: it goes in clear, by a bundle of states, or not at all
 * (net/xfrm/xfrm_policy.c: xfrm_lookup_with_ifid, xfrm_bundle_lookup, xfrm_expand_policies).
 *
 *     socket policy, else SUB, else MAIN; SUB allow: MAIN too
 *       └ none: default policy       └ block: refused
 *         └ allow: templates → states (template.ts)
 *             └ missing: refused, or held (O-7)
 *               └ bundle (bundle.ts)
 *
 * Nothing is remembered here, and no packet is known: that is output-lookup.ts.
 *
 * @hotpath
 */
import type { Flow, Route } from '@xfrm/wire';
import {
	DefaultAction,
	Direction,
	Errno,
	PolicyAction,
	PolicyFlag,
	PolicyType,
} from '@xfrm/wire/xfrm';
import { type Bundle, makeBundle, makeHoldBundle } from './bundle.ts';
import type { Namespace } from './namespace.ts';
import { noteDefault, noteSocketLookup, noteTableLookup, noteVerdict } from './output-trace.ts';
import type { XfrmPolicy } from './policy.ts';
import { resolution, resolveTemplates } from './template.ts';
import { Verdict } from './verdict.ts';

/** Outcome of a lookup. */
export const Outcome = {
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
export const Want = { Nothing: 0, Hold: 1, Icmp: 2 } as const;

/** Details of the last outcome; good until the next lookup. */
export const found: {
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

/**
 * Looks a flow up; the answer is an `Outcome`, its details are in `found`.
 *
 * @param want what the caller may take: `Want`
 * @param quoted the flow is that of a packet quoted by an ICMP error
 * @spec P-1 P-18 P-20 P-23 F-5
 */
export function lookupFlow(
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
	if (typeof bundle === 'number') {
		return refused(net, Verdict.OutBundleGenError, bundle, policy, 'out.bundle.route');
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
	policy.useTime = now;
	if (second !== null) {
		second.useTime = now;
	}
	return true;
}
