/**
 * A bundle: the resolved output path of a flow, one step a state, innermost first, ending in a real
 * route (net/xfrm/xfrm_policy.c: xfrm_bundle_create, xfrm_init_pmtu; a chain of dst_entry there).
 *
 *     packet → step 0 (ESP transport) → step 1 (AH transport) ┆ step 2 (ESP tunnel) → route
 *              '------------- a group ends where a tunnel begins (O-13) -------------'
 *
 * Bundles do not change. Whoever keeps one compares its generations with those of the namespace and of
 * the routes (O-10); a bundle that an earlier lookup made for the same policy is used again if it would
 * come out the same.
 */
import { type Flow, IPV4_HEADER_OCTETS, IPV6_HEADER_OCTETS, type Route } from '@xfrm/wire';
import { type Address, anyAddress, Errno, Family, IpProto, Mode } from '@xfrm/wire/xfrm';
import { iptfsMtu } from './iptfs-settings.ts';
import type { Namespace } from './namespace.ts';
import type { XfrmPolicy } from './policy.ts';
import { isTunnelFlagged, StateCondition, type XfrmState } from './state.ts';

/** One state of a bundle. */
export class BundleStep {
	readonly state: XfrmState;
	/** Route in force behind this state: an outer header's hop limit comes from it. */
	readonly route: Route;
	/** Octets of packet that fit in front of this state, and behind it (U-3). */
	readonly mtu: number;
	readonly childMtu: number;
	/** The first tunnel of the bundle: too big is refused here and at no later one (U-4). */
	readonly checksSize: boolean;
	/** Behind it stands a whole IP packet again: a tunnel follows, or the route. */
	readonly endsGroup: boolean;
	readonly next: BundleStep | null;
	/** What is the same in every IPv4 header that the state puts in front, and the sum over it. */
	readonly hopLimit: number;
	readonly saddr: number;
	readonly daddr: number;
	readonly headerSum: number;

	constructor(
		state: XfrmState,
		route: Route,
		mtu: number,
		childMtu: number,
		checksSize: boolean,
		next: BundleStep | null,
	) {
		this.state = state;
		this.route = route;
		this.mtu = mtu;
		this.childMtu = childMtu;
		this.checksSize = checksSize;
		this.endsGroup = next === null || isTunnelFlagged(next.state.mode);
		this.next = next;
		this.hopLimit = route.hopLimit;
		this.saddr = state.saddr[0] ?? 0;
		this.daddr = state.daddr[0] ?? 0;
		this.headerSum = 0x4500 + (this.hopLimit << 8) + halves(this.saddr) + halves(this.daddr);
	}
}

/** The two 16-bit words of an IPv4 address, added. */
function halves(address: number): number {
	return (address >>> 16) + (address & 0xffff);
}

export class Bundle {
	/** null: the states are missing, and the policy's hold queue takes the packets (O-8). */
	readonly first: BundleStep | null;
	readonly policy: XfrmPolicy;
	/** The route that the packet had, and the one it leaves by. */
	readonly original: Route;
	readonly route: Route;
	/** Octets of packet that fit (U-3). */
	readonly mtu: number;
	/** A single step of ESP or AH without a queue: packets of it may share a call of the crypto provider. */
	readonly batchable: boolean;
	/** Does it hold for other packets of its policy too: nothing but states and route went into it? */
	readonly reusable: boolean;
	readonly generation: number;
	readonly routeGeneration: number;

	constructor(
		policy: XfrmPolicy,
		first: BundleStep | null,
		original: Route,
		route: Route,
		reusable: boolean,
		generation: number,
		routeGeneration: number,
	) {
		this.policy = policy;
		this.first = first;
		this.original = original;
		this.route = route;
		this.mtu = first === null ? route.mtu : first.mtu;
		this.batchable =
			first !== null &&
			first.next === null &&
			first.state.mode !== Mode.Iptfs &&
			first.state.isSealing;
		this.reusable = reusable;
		this.generation = generation;
		this.routeGeneration = routeGeneration;
	}
}

/** Generation of all routes together; NaN, which equals nothing, when the host has none: then nothing is kept. */
export function routeGeneration(net: Namespace): number {
	return net.options.routeGeneration?.() ?? Number.NaN;
}

/** Do two answers of the route lookup lead a bundle the same way? */
export function sameRoute(a: Route, b: Route): boolean {
	return (
		a === b ||
		(a.family === b.family &&
			a.ifindex === b.ifindex &&
			a.mtu === b.mtu &&
			a.hopLimit === b.hopLimit &&
			a.loopback === b.loopback &&
			a.noXfrm === b.noXfrm)
	);
}

/**
 * The bundle for a flow that `count` states will transform, innermost first.
 *
 * @returns the errno when there is no route to an outer destination: XfrmOutBundleGenError
 * @spec O-6 O-9 O-10 U-3
 */
export function makeBundle(
	net: Namespace,
	policy: XfrmPolicy,
	states: readonly (XfrmState | null)[],
	count: number,
	flow: Flow,
	original: Route,
): Bundle | Errno {
	const generation = routeGeneration(net);
	const known = policy.bundle;
	if (
		known instanceof Bundle &&
		known.reusable &&
		known.generation === net.generation &&
		known.routeGeneration === generation &&
		sameRoute(known.original, original) &&
		hasStates(known, states, count)
	) {
		return known;
	}
	const routes: Route[] = [original];
	let reusable = true;
	let route: Route = original;
	let saddr = wordsAddress(flow.saddr);
	let daddr = wordsAddress(flow.daddr);
	for (let i = 0; i < count; i++) {
		const state = states[i];
		if (state === undefined || state === null) {
			throw new RangeError(`bundle of ${count} states has none at ${i}`);
		}
		if (state.mode !== Mode.Transport) {
			saddr = routeSource(state, saddr);
			daddr = routeDestination(state, daddr);
			if (state.proto === IpProto.Routing || state.proto === IpProto.DestinationOptions) {
				reusable = false;
			}
			const marked = (state.outputMarkValue | state.outputMarkMask) !== 0;
			reusable &&= !marked;
			const mark = marked ? applyOutputMark(state, flow.mark) : 0;
			const found = net.options.route(state.family, daddr, saddr, mark, 0);
			if (found === undefined || leadsNowhere(found)) {
				return refusalOf(found);
			}
			route = found;
		}
		routes.push(route);
	}
	const bundle = new Bundle(
		policy,
		makeSteps(states, count, routes),
		original,
		route,
		reusable,
		net.generation,
		generation,
	);
	policy.bundle = bundle;
	return bundle;
}

/** The stand-in for a bundle whose states are missing: what goes through it is held (O-8). */
export function makeHoldBundle(net: Namespace, policy: XfrmPolicy, original: Route): Bundle {
	return new Bundle(policy, null, original, original, false, net.generation, Number.NaN);
}

/** Steps from the last to the first, each with its MTUs. */
function makeSteps(
	states: readonly (XfrmState | null)[],
	count: number,
	routes: readonly Route[],
): BundleStep | null {
	let firstTunnel = 0;
	while (firstTunnel < count && !isTunnelFlagged(states[firstTunnel]?.mode ?? 0)) {
		firstTunnel++;
	}
	let step: BundleStep | null = null;
	let childMtu = routes[count]?.mtu ?? 0;
	for (let i = count - 1; i >= 0; i--) {
		const state = states[i];
		const before = routes[i];
		const behind = routes[i + 1];
		if (state === undefined || state === null || before === undefined || behind === undefined) {
			throw new RangeError(`bundle of ${count} states lacks a state or route at ${i}`);
		}
		const mtu: number = Math.min(stateMtu(state, childMtu), before.mtu);
		step = new BundleStep(state, behind, mtu, childMtu, i === firstTunnel, step);
		childMtu = mtu;
	}
	return step;
}

/**
 * Octets of packet that a state can take if what it makes of it may have `mtu`.
 *
 * @spec U-1
 */
export function stateMtu(state: XfrmState, mtu: number): number {
	if (state.condition !== StateCondition.Valid || state.proto !== IpProto.Esp) {
		return mtu <= state.headerOctets ? 1 : mtu - state.headerOctets;
	}
	let ipOctets = 0;
	if (state.mode === Mode.Transport || state.mode === Mode.Beet) {
		ipOctets = state.family === Family.Ipv4 ? IPV4_HEADER_OCTETS : IPV6_HEADER_OCTETS;
	}
	if (state.mode === Mode.Iptfs) {
		return iptfsMtu(state, mtu);
	}
	const overhead = state.headerOctets + state.icvOctets + ipOctets;
	if (mtu <= overhead) {
		return 1;
	}
	const payload = (mtu - overhead) & -state.blockOctets;
	return payload <= 2 ? 1 : payload + ipOctets - 2;
}

/** The packet mark behind a state (glossary: output mark). */
export function applyOutputMark(state: XfrmState, mark: number): number {
	return (state.outputMarkValue & state.outputMarkMask) | (mark & ~state.outputMarkMask);
}

/** A home address option leaves the source of the route to the care-of address (O-9). */
function routeSource(state: XfrmState, previous: Address): Address {
	if (state.proto === IpProto.DestinationOptions) {
		return state.coaddr ?? anyAddress();
	}
	return state.proto === IpProto.Routing ? previous : state.config.saddr;
}

/** A type 2 routing header leaves the destination of the route to the care-of address (O-9). */
function routeDestination(state: XfrmState, previous: Address): Address {
	if (state.proto === IpProto.Routing) {
		return state.coaddr ?? anyAddress();
	}
	return state.proto === IpProto.DestinationOptions ? previous : state.config.id.daddr;
}

/** Is the answer of the route lookup a refusal? */
export function leadsNowhere(route: Route): boolean {
	return route.kind === 'unreachable' || route.kind === 'blackhole' || route.kind === 'prohibit';
}

/** What the sender hears of a route that refuses (fib_error, ip6_route_output). */
function refusalOf(route: Route | undefined): Errno {
	switch (route?.kind) {
		case 'unreachable':
			return Errno.EHOSTUNREACH;
		case 'prohibit':
			return Errno.EACCES;
		case 'blackhole':
			return Errno.EINVAL;
		default:
			return Errno.ENETUNREACH;
	}
}

function hasStates(bundle: Bundle, states: readonly (XfrmState | null)[], count: number): boolean {
	let step = bundle.first;
	for (let i = 0; i < count; i++) {
		if (step === null || step.state !== states[i]) {
			return false;
		}
		step = step.next;
	}
	return step === null;
}

/** The four words of a flow's address as octets. */
export function wordsAddress(words: Int32Array): Address {
	const address = anyAddress();
	for (let i = 0; i < 16; i++) {
		address[i] = (words[i >> 2] ?? 0) >>> (24 - 8 * (i & 3));
	}
	return address;
}
