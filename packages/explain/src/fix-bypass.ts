/** The edit for what came in clear and was to be protected: a policy for just that traffic, told last. */
import type { PolicyLookupTrace, XfrmPolicy } from '@xfrm/engine';
import type { Flow } from '@xfrm/wire';
import {
	anySelector,
	Direction,
	IpProto,
	PolicyAction,
	type PolicyConfig,
	PolicyType,
	type Selector,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { addPolicy, hostBits, type Situation, updatePolicy, wordsAddress } from './fix-parts.ts';
import { type Edit, policyConfig } from './fix-trial.ts';
import { isIkePort } from './host-sockets.ts';
import { policyName } from './names.ts';
import { misses } from './near-miss.ts';

/** The default blocks, and no policy is there: one for just that traffic, if it is meant to come in clear. */
export function allowEdit(at: Situation, { flow, direction, ifId }: PolicyLookupTrace): Edit {
	const bits = hostBits(flow.family);
	const selector: Selector = {
		...anySelector(flow.family),
		saddr: wordsAddress(flow.saddr),
		daddr: wordsAddress(flow.daddr),
		prefixlenS: bits,
		prefixlenD: bits,
		...exactly(flow),
	};
	const config: PolicyConfig = {
		selector,
		lifetime: UNLIMITED,
		priority: 0,
		index: 0,
		direction,
		action: PolicyAction.Allow,
		flags: 0,
		share: 0,
		type: PolicyType.Main,
		templates: [],
		...(ifId === 0 ? {} : { ifId: ifId >>> 0 }),
	};
	return {
		text:
			'the default is block, so everything needs a policy: the sender has to protect it; only if this traffic is' +
			' meant to go in clear, allow it:',
		commands: [addPolicy(at, config)],
		want: 'clear',
		last: true,
	};
}

/** Protocol and destination port of a flow, for a selector. */
function exactly({ proto, dport }: Flow): Partial<Selector> {
	const ports = proto === IpProto.Tcp || proto === IpProto.Udp || proto === IpProto.Sctp;
	return {
		proto,
		sport: 0,
		sportMask: 0,
		dport: ports ? dport : 0,
		dportMask: ports ? 0xffff : 0,
	};
}

/** The packet came in clear: a policy for just that traffic, if it is meant to. */
export function bypassEdits(at: Situation, policy: XfrmPolicy, lookup: PolicyLookupTrace): Edit[] {
	const { flow } = lookup;
	const bits = hostBits(flow.family);
	const config = policyConfig(policy);
	const selector: Selector = {
		...config.selector,
		saddr: wordsAddress(flow.saddr),
		daddr: wordsAddress(flow.daddr),
		prefixlenS: bits,
		prefixlenD: bits,
		...exactly(flow),
	};
	const bypass: PolicyConfig = {
		...config,
		selector,
		templates: [],
		priority: Math.max(0, policy.priority - 1),
	};
	const inUdp = isEncapsulated(at);
	return [
		{
			text: inUdp
				? 'let ESP in UDP pass to its socket: the policy is asked about the UDP packet first (IKE daemons set' +
					' a policy on the socket itself)'
				: isIkePort(at.digest.first?.udp?.dport)
					? 'IKE has to come in clear: its daemon sets a policy on its own socket (does it run?); for another' +
						' program, or a daemon that does not, allow it before the policy:'
					: isProtectedOnward(at, lookup)
						? `${policyName(policy)} takes both ways: make it narrower, or give tunnel and policies an if_id (XFRM` +
							' interface) or marks of their own; or allow before it what is to go out protected:'
						: 'the sender has to protect it (look at its out policy and source address); only if this traffic is' +
							' meant to come in clear, allow it before the policy:',
			// Of equal priority the older one wins: it has to stand back.
			commands: [
				...(policy.priority === 0 ? [updatePolicy(at, policy, { priority: 1 })] : []),
				addPolicy(at, bypass),
			],
			want: inUdp ? 'protected' : 'clear',
			last: !inUdp,
		},
	];
}

/** Is there a policy that protects it when it leaves again? */
function isProtectedOnward(at: Situation, { flow, ifId, direction }: PolicyLookupTrace): boolean {
	return (
		direction === Direction.Fwd &&
		[...at.before.world.engine.policies()].some(
			(policy) =>
				policy.direction === Direction.Out &&
				policy.socketId === 0 &&
				policy.templates.length > 0 &&
				misses(policy, flow, ifId) === 0,
		)
	);
}

/** Does a state take what is in this UDP packet? */
function isEncapsulated({ digest, explainer }: Situation): boolean {
	const { udp, spi } = digest.first ?? {};
	return (
		udp !== undefined &&
		spi !== undefined &&
		[...explainer.world.engine.states()].some(({ encap }) => encap?.dport === udp.dport)
	);
}
