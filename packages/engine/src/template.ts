/**
 * From policies to states: each template of the policies met is served by a state, in order, or the packet
 * cannot go (net/xfrm/xfrm_policy.c: xfrm_tmpl_resolve, xfrm_tmpl_resolve_one; net/xfrm/xfrm_state.c:
 * xfrm_state_sort). Choosing the state for one template is state-select.ts.
 *
 * @hotpath
 */
import type { Flow } from '@xfrm/wire';
import {
	type Address,
	anyAddress,
	Errno,
	Family,
	IpProto,
	isAnyAddress,
	MAX_DEPTH,
	Mode,
	SaDirection,
	type Template,
} from '@xfrm/wire/xfrm';
import type { Namespace } from './namespace.ts';
import { noteTemplate, noteVerdict } from './output-trace.ts';
import type { XfrmPolicy } from './policy.ts';
import type { XfrmState } from './state.ts';
import { selectState } from './state-select.ts';
import { Verdict } from './verdict.ts';

/** Addresses that the state of a template must have, a pair for each place in the vector. */
const remotes: readonly Int32Array[] = addressPlaces();
const locals: readonly Int32Array[] = addressPlaces();
const noAddress: Address = anyAddress();

/** What `resolveTemplates` found besides the states; good until its next call. */
export const resolution = {
	/** Were all templates served without anybody being asked? Only then may the answer be kept. */
	complete: true,
	/** Reason of a failure, for a tracer. */
	code: '',
};

/**
 * Resolves the templates of one policy, or of a SUB and a MAIN policy, into `net.outputRun.states`.
 *
 * @returns how many states there are (0: all templates were optional), or a negative errno: EAGAIN when a
 *   state is missing, ENOBUFS beyond the depth, EHOSTUNREACH without a source, EINVAL, EEXIST
 * @spec P-21 P-24 O-5 S-34
 */
export function resolveTemplates(
	net: Namespace,
	policy: XfrmPolicy,
	second: XfrmPolicy | null,
	flow: Flow,
): number {
	const { states } = net.outputRun;
	resolution.complete = true;
	resolution.code = '';
	if (policy.templates.length >= MAX_DEPTH) {
		resolution.code = 'out.policy.depth';
		return -Errno.ENOBUFS;
	}
	const first = resolvePolicy(net, policy, flow, 0);
	if (first < 0 || second === null) {
		return first;
	}
	if (first + second.templates.length >= MAX_DEPTH) {
		resolution.code = 'out.policy.depth';
		return -Errno.ENOBUFS;
	}
	const count = resolvePolicy(net, second, flow, first);
	if (count > 1 && flow.family === Family.Ipv6) {
		sortStates(states, count);
	}
	return count;
}

/** States of one policy from place `from` on; how many there are then, or a negative errno. */
function resolvePolicy(net: Namespace, policy: XfrmPolicy, flow: Flow, from: number): number {
	const { states } = net.outputRun;
	let count = from;
	let daddr = flow.daddr;
	let saddr = flow.saddr;
	for (let i = 0; i < policy.templates.length; i++) {
		const template = policy.templates[i];
		const remote = remotes[i];
		const local = locals[i];
		if (template === undefined || remote === undefined || local === undefined) {
			break;
		}
		let wantDaddr = daddr;
		let wantSaddr = saddr;
		let errno: number = 0;
		if (hasOwnAddresses(template.mode)) {
			const family = template.family || flow.family;
			setWords(remote, template.id.daddr, family);
			wantDaddr = remote;
			wantSaddr = local;
			errno = setSource(net, local, template, family);
		}
		if (errno !== 0) {
			resolution.code = 'out.template.source';
		} else {
			if (net.tracer !== null) {
				noteTemplate(net.tracer, policy, i, template, flow, wantSaddr, wantDaddr);
			}
			const state = selectState(net, policy, i, template, flow, flow.family, wantDaddr, wantSaddr);
			if (state !== null && refusesOutput(net, state)) {
				noteVerdict(net, Verdict.OutStateDirError, state, policy, 'out.state.direction');
				resolution.code = 'out.state.direction';
				return -Errno.EINVAL;
			}
			if (state !== null) {
				// A stand-in while the processor's own state is asked for is good for one packet (S-24).
				resolution.complete &&= net.selectErrno === 0;
				states[count++] = state;
				daddr = wantDaddr;
				saddr = wantSaddr;
				continue;
			}
			resolution.complete = false;
			resolution.code = 'out.state.unusable';
			errno = net.selectErrno === Errno.ESRCH ? Errno.EAGAIN : net.selectErrno;
		}
		// A source that cannot be found fails even an optional template.
		if (template.optional === 0 || resolution.code === 'out.template.source') {
			return -errno;
		}
	}
	return count;
}

function addressPlaces(): Int32Array[] {
	const places: Int32Array[] = [];
	for (let i = 0; i < MAX_DEPTH; i++) {
		places.push(new Int32Array(4));
	}
	return places;
}

/** Modes whose templates name the state's addresses themselves (O-4). */
function hasOwnAddresses(mode: number): boolean {
	return mode === Mode.Tunnel || mode === Mode.Beet || mode === Mode.Iptfs;
}

/**
 * The source of a template: its own, or what the route to its destination would use.
 *
 * @returns 0, or EHOSTUNREACH when there is no route
 * @spec O-4
 */
function setSource(net: Namespace, local: Int32Array, template: Template, family: number): number {
	if (!isAnyAddress(template.saddr, family)) {
		setWords(local, template.saddr, family);
		return 0;
	}
	const route = net.options.route(family, template.id.daddr, noAddress, 0, 0);
	if (
		route === undefined ||
		route.kind === 'unreachable' ||
		route.kind === 'blackhole' ||
		route.kind === 'prohibit'
	) {
		return Errno.EHOSTUNREACH;
	}
	setWords(local, route.source, family);
	return 0;
}

function setWords(words: Int32Array, address: Address, family: number): void {
	const count = family === Family.Ipv4 ? 1 : 4;
	for (let i = 0; i < 4; i++) {
		words[i] =
			i >= count
				? 0
				: ((address[4 * i] ?? 0) << 24) |
					((address[4 * i + 1] ?? 0) << 16) |
					((address[4 * i + 2] ?? 0) << 8) |
					(address[4 * i + 3] ?? 0);
	}
}

/** @spec S-34 */
function refusesOutput(net: Namespace, state: XfrmState): boolean {
	return net.profile.stateDirection && state.direction === SaDirection.In;
}

/**
 * Puts the first `count` states into the order of their classes, those of a class as they were.
 *
 * @spec P-21 T-61
 */
function sortStates(states: (XfrmState | null)[], count: number): void {
	for (let i = 1; i < count; i++) {
		const state = states[i] ?? null;
		let at = i;
		while (at > 0 && sortClass(states[at - 1] ?? null) > sortClass(state)) {
			states[at] = states[at - 1] ?? null;
			at--;
		}
		states[at] = state;
	}
}

function sortClass(state: XfrmState | null): number {
	switch (state?.mode) {
		case Mode.Transport:
			return state.proto === IpProto.Ah ? 3 : 1;
		case Mode.RouteOptimization:
		case Mode.InTrigger:
			return 2;
		case Mode.Tunnel:
		case Mode.Beet:
			return 4;
		default:
			return 5;
	}
}
