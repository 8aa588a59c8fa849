/**
 * Route optimization mode, output half: where in the chain of IPv6 headers a home address option or a
 * type 2 routing header goes (RFC 6275 §6.3, §6.4; net/xfrm/xfrm_output.c: mip6_rthdr_offset).
 *
 * @hotpath
 */
import {
	findDestinationOption,
	IPV6_HEADER_OCTETS,
	IPV6_NEXT_HEADER_AT,
	IPV6_PAYLOAD_OCTETS_MAX,
	OptionType,
	optionsHeaderOctets,
	type PacketBuffer,
	RoutingType,
	routingType,
} from '@xfrm/wire';
import { Errno, IpProto } from '@xfrm/wire/xfrm';
import type { BundleStep } from '../bundle.ts';
import type { Namespace } from '../namespace.ts';
import { Current } from '../state.ts';
import { openGap } from './mode-transport.ts';

/** Where the walk that found a place stood: the octet that names the header at that place. */
let namedAt = 0;

/**
 * Makes room for the state's header; the packet's rooms have been reserved.
 *
 * @returns 0, or EINVAL when the chain runs out of the packet
 * @spec M-20 M-21 S-18
 */
export function routeOptimizationOutput(
	net: Namespace,
	packet: PacketBuffer,
	step: BundleStep,
): number {
	const { start } = packet;
	const { state } = step;
	const place = mobilityPlace(packet, state.proto);
	if (place < 0) {
		return Errno.EINVAL;
	}
	openGap(packet, place - start, state.headerOctets);
	packet.nextHeaderAt = namedAt - state.headerOctets;
	state.lifetime[Current.LastUsed] = net.nowSeconds();
	return 0;
}

/**
 * Offset of the first octet that belongs behind the new header, or -1; `namedAt` is set with it.
 *
 * @spec M-20
 */
function mobilityPlace(packet: PacketBuffer, proto: number): number {
	const { view, start, end } = packet;
	let at = start + IPV6_HEADER_OCTETS;
	let routed = false;
	namedAt = start + IPV6_NEXT_HEADER_AT;
	while (at <= end) {
		switch (view.getUint8(namedAt)) {
			case IpProto.HopByHop:
				break;
			case IpProto.Routing:
				if (
					proto === IpProto.Routing &&
					at + 3 <= end &&
					routingType(view, at) !== RoutingType.Source
				) {
					return at;
				}
				routed = true;
				break;
			case IpProto.DestinationOptions:
				if (routed || findDestinationOption(view, at, end, OptionType.HomeAddress) >= 0) {
					return at;
				}
				break;
			default:
				return at;
		}
		if (at + 2 > end) {
			return -1;
		}
		namedAt = at;
		at += optionsHeaderOctets(view, at);
		if (at - start > IPV6_PAYLOAD_OCTETS_MAX) {
			return -1;
		}
	}
	return -1;
}
