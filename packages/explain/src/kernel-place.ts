/** Where the kernel does what a fact tells of: file:function, for those who want to read on. */
import { Direction, IpProto, Mode } from '@xfrm/wire/xfrm';
import type { Fact } from './recorder.ts';

const TRANSFORM_FILES: Readonly<Record<number, readonly [v4: string, v6: string]>> = {
	[IpProto.Esp]: ['esp4.c:esp', 'esp6.c:esp6'],
	[IpProto.Ah]: ['ah4.c:ah', 'ah6.c:ah6'],
	[IpProto.Comp]: ['xfrm_ipcomp.c:ipcomp', 'xfrm_ipcomp.c:ipcomp'],
	[IpProto.Routing]: ['mip6.c:mip6_rthdr', 'mip6.c:mip6_rthdr'],
	[IpProto.DestinationOptions]: ['mip6.c:mip6_destopt', 'mip6.c:mip6_destopt'],
};

/** The place, or undefined where a name would not help. */
export function kernelPlace(fact: Fact): string | undefined {
	switch (fact.kind) {
		case 'policy':
		case 'default-policy':
			return fact.direction === Direction.Out
				? 'xfrm_policy.c:xfrm_lookup_with_ifid'
				: 'xfrm_policy.c:__xfrm_policy_check';
		case 'template':
			return 'xfrm_policy.c:xfrm_tmpl_resolve_one';
		case 'state-select':
			return 'xfrm_state.c:xfrm_state_find';
		case 'state-lookup':
			return fact.proto === IpProto.DestinationOptions || fact.proto === IpProto.Routing
				? 'xfrm6_input.c:xfrm6_input_addr'
				: 'xfrm_state.c:xfrm_state_lookup';
		case 'state-check':
			return 'xfrm_input.c:xfrm_input';
		case 'template-check':
			return 'xfrm_policy.c:xfrm_policy_ok';
		case 'transform': {
			if (fact.operation === 'mode') {
				if (fact.after.length >= fact.before.length) {
					return 'xfrm_output.c:xfrm_outer_mode_output';
				}
				return fact.state.mode === Mode.Transport
					? 'xfrm_input.c:xfrm_transport_input'
					: 'xfrm_input.c:xfrm_inner_mode_encap_remove';
			}
			const place = TRANSFORM_FILES[fact.state.proto]?.[fact.state.family === 2 ? 0 : 1];
			return place === undefined
				? undefined
				: `${place}_${fact.operation === 'seal' ? 'output' : 'input'}`;
		}
		default:
			return undefined;
	}
}
