/** The edit for what came in clear and was to be protected: a policy for just that traffic, told last. */
import type { PolicyLookupTrace, XfrmPolicy } from '@xfrm/engine';
import { IpProto, type PolicyConfig, type Selector } from '@xfrm/wire/xfrm';
import { addPolicy, hostBits, type Situation, updatePolicy, wordsAddress } from './fix-parts.ts';
import { type Edit, policyConfig } from './fix-trial.ts';

/** The packet came in clear: a policy for just that traffic, if it is meant to. */
export function bypassEdits(at: Situation, policy: XfrmPolicy, lookup: PolicyLookupTrace): Edit[] {
	const { flow } = lookup;
	const bits = hostBits(flow.family);
	const ports =
		flow.proto === IpProto.Tcp || flow.proto === IpProto.Udp || flow.proto === IpProto.Sctp;
	const config = policyConfig(policy);
	const selector: Selector = {
		...config.selector,
		saddr: wordsAddress(flow.saddr),
		daddr: wordsAddress(flow.daddr),
		prefixlenS: bits,
		prefixlenD: bits,
		proto: flow.proto,
		sport: 0,
		sportMask: 0,
		dport: ports ? flow.dport : 0,
		dportMask: ports ? 0xffff : 0,
	};
	const bypass: PolicyConfig = {
		...config,
		selector,
		templates: [],
		priority: Math.max(0, policy.priority - 1),
	};
	return [
		{
			text:
				'the sender has to protect it (look at its out policy and source address); only if this traffic is meant to' +
				' come in clear, allow it before the policy:',
			// Of equal priority the older one wins: it has to stand back.
			commands: [
				...(policy.priority === 0 ? [updatePolicy(at, policy, { priority: 1 })] : []),
				addPolicy(at, bypass),
			],
			want: 'clear',
			last: true,
		},
	];
}
