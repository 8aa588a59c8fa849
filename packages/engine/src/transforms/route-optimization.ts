/**
 * The type 2 routing header of Mobile IPv6 as a transform (RFC 6275 §6.4): packets to a mobile node go to
 * its care-of address and carry the home address. Counterpart of the mip6_rthdr functions in net/ipv6/mip6.c.
 */
import {
	IPV6_DESTINATION_AT,
	type PacketBuffer,
	ROUTING_TYPE2_OCTETS,
	writeRoutingType2,
} from '@xfrm/wire';
import { Errno, IpProto, Mode, type Refusal } from '@xfrm/wire/xfrm';
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

/**
 * Writes the header into the room at the packet's `transportAt`: the destination becomes the home
 * address in it, and the care-of address the destination.
 *
 * @spec T-52
 */
export function routeOptimizationWrite(packet: PacketBuffer, state: XfrmState): void {
	const { bytes, view, start, transportAt, nextHeaderAt } = packet;
	const addressAt = writeRoutingType2(view, transportAt, bytes[nextHeaderAt] ?? 0);
	bytes[nextHeaderAt] = IpProto.Routing;
	exchangeAddress(packet, start + IPV6_DESTINATION_AT, addressAt, state);
}

/** Moves the address of the IPv6 header at `headerAt` to `homeAt`, and puts the care-of address in its place. */
export function exchangeAddress(
	packet: PacketBuffer,
	headerAt: number,
	homeAt: number,
	state: XfrmState,
): void {
	const { bytes } = packet;
	const { coaddr } = state;
	for (let i = 0; i < 16; i++) {
		bytes[homeAt + i] = bytes[headerAt + i] ?? 0;
		bytes[headerAt + i] = coaddr === undefined ? 0 : (coaddr[i] ?? 0);
	}
}
