/**
 * Asking key managers for a state (xfrm_state.c: xfrm_init_tempstate, km_query; xfrm_user.c: build_acquire).
 * Only netlink listeners count as key managers here: PF_KEY is not ours.
 */
import type { Flow } from '@xfrm/wire';
import {
	type Address,
	Direction,
	Family,
	Group,
	isAnyAddress,
	SaDirection,
	type Selector,
	type Template,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import type { Namespace } from './namespace.ts';
import type { XfrmPolicy } from './policy.ts';
import { wordsAddress } from './selector-match.ts';
import { snapshotPolicy } from './snapshot.ts';
import { Current, XfrmState } from './state.ts';
import { insertLarval } from './state-life.ts';

/** Would anybody hear an acquire? */
export function hasKeyManager(net: Namespace): boolean {
	return net.listens(Group.Acquire);
}

/**
 * The next acquire sequence number, never 0.
 *
 * @spec A-1
 */
export function nextAcquireSeq(net: Namespace): number {
	net.acquireSeq = (net.acquireSeq + 1) >>> 0 || 1;
	return net.acquireSeq;
}

/**
 * Asks for the state that a template wants, and puts a larval state in its place.
 *
 * @param daddr what the state must have where the template names no address
 * @param pcpu the processor it is for, -1 for any
 * @spec S-28 A-1 A-4 A-6 L-8
 */
export function acquireState(
	net: Namespace,
	policy: XfrmPolicy,
	template: Template,
	flow: Flow,
	daddr: Int32Array,
	saddr: Int32Array,
	pcpu: number,
): XfrmState {
	const family = template.family === Family.Unspec ? policy.family : template.family;
	const { mark } = policy.config;
	const source = orElse(template.saddr, saddr, family);
	const id = {
		daddr: orElse(template.id.daddr, daddr, family),
		spi: template.id.spi,
		proto: template.id.proto,
	};
	const seq = nextAcquireSeq(net);
	const selector = exactSelector(flow);
	const state = new XfrmState({
		id,
		saddr: source,
		family,
		selector,
		lifetime: { ...UNLIMITED, hardAddExpiresSeconds: net.sysctl.xfrm_acq_expires },
		reqid: template.reqid,
		mode: template.mode,
		replayWindow: 0,
		flags: 0,
		seq,
		...(mark === undefined ? {} : { mark }),
		...(policy.ifId === 0 ? {} : { ifId: policy.ifId >>> 0 }),
		...(net.profile.stateDirection ? { direction: SaDirection.Out } : {}),
		...(pcpu < 0 ? {} : { pcpu }),
	});
	state.lifetime[Current.AddTime] = net.nowSeconds();
	net.emit({
		kind: 'acquire',
		id,
		saddr: source,
		selector,
		policy: { ...snapshotPolicy(policy), direction: Direction.Out },
		template,
		seq,
		...(pcpu < 0 ? {} : { pcpu }),
	});
	insertLarval(net, state);
	return state;
}

/** The address of the template, or where that is any, the other. */
function orElse(address: Address, words: Int32Array, family: number): Address {
	if (!isAnyAddress(address, family)) {
		return address.slice();
	}
	const filled = wordsAddress(words);
	if (family === Family.Ipv4) {
		// Behind an IPv4 address the template's octets stay.
		filled.set(address.subarray(4), 4);
	}
	return filled;
}

/** Nothing but this flow: host prefixes, exact ports, protocol and output interface. */
function exactSelector(flow: Flow): Selector {
	const bits = flow.family === Family.Ipv4 ? 32 : 128;
	return {
		daddr: wordsAddress(flow.daddr),
		saddr: wordsAddress(flow.saddr),
		dport: flow.dport,
		dportMask: 0xffff,
		sport: flow.sport,
		sportMask: 0xffff,
		family: flow.family,
		prefixlenD: bits,
		prefixlenS: bits,
		proto: flow.proto,
		ifindex: flow.oif,
		user: 0,
	};
}
