/**
 * The home address option of Mobile IPv6 as a transform (RFC 6275 §6.3): a mobile node's packets leave with
 * its care-of address and carry the home address. Counterpart of the mip6_destopt functions in net/ipv6/mip6.c.
 */
import {
	HOME_ADDRESS_HEADER_OCTETS,
	IPV6_SOURCE_AT,
	type PacketBuffer,
	writeHomeAddressHeader,
} from '@xfrm/wire';
import { IpProto, type Refusal } from '@xfrm/wire/xfrm';
import type { Namespace } from '../namespace.ts';
import type { XfrmState } from '../state.ts';
import { exchangeAddress, mobilityInit } from './route-optimization.ts';

/**
 * Makes a VOID state one that adds a home address option.
 *
 * @returns why Linux would refuse, or undefined
 * @spec T-50 T-53 U-2
 */
export function homeAddressInit(_net: Namespace, state: XfrmState): Refusal | undefined {
	return mobilityInit(state, HOME_ADDRESS_HEADER_OCTETS);
}

/**
 * Writes the header into the room at the packet's `transportAt`: the source becomes the home address
 * in it, and the care-of address the source.
 *
 * @spec T-51
 */
export function homeAddressWrite(packet: PacketBuffer, state: XfrmState): void {
	const { bytes, view, start, transportAt, nextHeaderAt } = packet;
	const addressAt = writeHomeAddressHeader(view, transportAt, bytes[nextHeaderAt] ?? 0);
	bytes[nextHeaderAt] = IpProto.DestinationOptions;
	exchangeAddress(packet, start + IPV6_SOURCE_AT, addressAt, state);
}
