/**
 * The types of transform by protocol number (net/xfrm/xfrm_state.c: xfrm_get_type, `init_state` of each).
 * Mode and family checks that do not depend on the type are made by the caller before.
 */
import { Errno, Family, IpProto, type Refusal } from '@xfrm/wire/xfrm';
import type { Namespace } from '../namespace.ts';
import type { XfrmState } from '../state.ts';
import { ahInit } from './ah.ts';
import { espInit } from './esp.ts';
import { homeAddressInit } from './home-address.ts';
import { ipcompInit, ipipInit } from './ipcomp.ts';
import { routeOptimizationInit } from './route-optimization.ts';

/**
 * Initializes a VOID state by its protocol: algorithms, key and sizes.
 *
 * @returns why Linux would refuse (EPROTONOSUPPORT when there is no such type for the family), or undefined
 * @spec T-50 U-2
 */
export function initTransform(net: Namespace, state: XfrmState): Refusal | undefined {
	switch (state.proto) {
		case IpProto.Esp:
			return net.available.types.has(IpProto.Esp) ? espInit(net, state) : typeAbsent();
		case IpProto.Ah:
			return net.available.types.has(IpProto.Ah) ? ahInit(net, state) : typeAbsent();
		case IpProto.Comp:
			return net.available.types.has(IpProto.Comp) ? ipcompInit(net, state) : typeAbsent();
		case IpProto.Routing:
			return state.family === Family.Ipv6 && net.available.types.has(IpProto.Routing)
				? routeOptimizationInit(net, state)
				: typeAbsent();
		case IpProto.DestinationOptions:
			return state.family === Family.Ipv6 && net.available.types.has(IpProto.DestinationOptions)
				? homeAddressInit(net, state)
				: typeAbsent();
		case IpProto.Ipip:
		case IpProto.Ipv6:
			return ipipInit(net, state);
		default:
			return typeAbsent();
	}
}

function typeAbsent(): Refusal {
	return { errno: Errno.EPROTONOSUPPORT, message: 'Requested type not found' };
}
