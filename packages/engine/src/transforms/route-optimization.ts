/**
 * The type 2 routing header of Mobile IPv6 as a transform (RFC 6275 §6.4): packets to a mobile node go to
 * its care-of address and carry the home address. Counterpart of the mip6_rthdr functions in net/ipv6/mip6.c.
 */
import { ROUTING_TYPE2_OCTETS } from '@xfrm/wire';
import { Errno, Mode, type Refusal } from '@xfrm/wire/xfrm';
import type { Namespace } from '../namespace.ts';
import type { XfrmState } from '../state.ts';

/**
 * Makes a VOID state one that adds a type 2 routing header.
 *
 * @returns why Linux would refuse, or undefined
 * @spec T-50 T-53 U-2
 */
export function routeOptimizationInit(_net: Namespace, state: XfrmState): Refusal | undefined {
	return mobilityInit(state, ROUTING_TYPE2_OCTETS);
}

/** What both of Mobile IPv6's transforms ask of a state (T-50). */
export function mobilityInit(state: XfrmState, octets: number): Refusal | undefined {
	if (state.spi !== 0) {
		return { errno: Errno.EINVAL, message: 'SPI must be 0' };
	}
	if (state.mode !== Mode.RouteOptimization) {
		return { errno: Errno.EINVAL, message: 'XFRM mode must be XFRM_MODE_ROUTEOPTIMIZATION' };
	}
	state.transformOctets = octets;
	state.headerOctets = octets;
	state.trailerOctets = 0;
	return undefined;
}
