/**
 * What AH's integrity value does not cover: fields that routers change are zero in the computation, and
 * addresses stand as the final destination sees them (RFC 4302 §3.3.3.1, Appendix A; RFC 6275 §11.3.2).
 *
 * These functions change the packet itself. The caller keeps a copy of the octets in front of the AH
 * and puts them back afterwards (T-26).
 *
 * @hotpath
 */
import {
	homeAddressAt,
	IPV4_DESTINATION_AT,
	IPV4_HEADER_OCTETS,
	IPV6_DESTINATION_AT,
	IPV6_HEADER_OCTETS,
	IPV6_NEXT_HEADER_AT,
	IPV6_SOURCE_AT,
	Ipv4Option,
	ipv4HeaderOctets,
	ipv4OptionOctets,
	OPTION_MUTABLE,
	OptionType,
	optionOctets,
	optionsHeaderOctets,
	ROUTING_ADDRESSES_AT,
	routingAddressCount,
	routingSegmentsLeft,
	setRoutingSegmentsLeft,
	swapIpv6Addresses,
} from '@xfrm/wire';
import { IpProto } from '@xfrm/wire/xfrm';

/** Option types that stay as they are: RFC 1770's has no name elsewhere. */
const SENDER_DIRECTED_MULTICAST = 149;
/** A source route holds at least one address: type, length, pointer … (T-22). */
const SOURCE_ROUTE_OCTETS_MIN = 6;

/**
 * Zeroes TOS, fragment word, TTL, checksum and mutable options of the IPv4 header at `at`; a source
 * route's last address becomes the destination.
 *
 * @returns false when an option's length is wrong
 * @spec T-22; RFC 4302 §3.3.3.1.1
 */
export function clearMutableIpv4(bytes: Uint8Array, view: DataView, at: number): boolean {
	view.setUint8(at + 1, 0);
	view.setUint16(at + 6, 0);
	view.setUint8(at + 8, 0);
	view.setUint16(at + 10, 0);
	const end = at + ipv4HeaderOctets(view, at);
	let option = at + IPV4_HEADER_OCTETS;
	while (option < end) {
		const octets = ipv4OptionOctets(view, option, end);
		if (octets === 0) {
			return false;
		}
		switch (view.getUint8(option)) {
			case Ipv4Option.End:
				return true;
			case Ipv4Option.NoOperation:
			case Ipv4Option.Security:
			case Ipv4Option.ExtendedSecurity:
			case Ipv4Option.Cipso:
			case Ipv4Option.RouterAlert:
			case SENDER_DIRECTED_MULTICAST:
				break;
			case Ipv4Option.LooseSourceRoute:
			case Ipv4Option.StrictSourceRoute:
				if (octets < SOURCE_ROUTE_OCTETS_MIN) {
					return false;
				}
				view.setInt32(at + IPV4_DESTINATION_AT, view.getInt32(option + octets - 4));
				bytes.fill(0, option, option + octets);
				break;
			default:
				bytes.fill(0, option, option + octets);
		}
		option += octets;
	}
	return true;
}

/**
 * Zeroes traffic class, flow label, hop limit and mutable options of the IPv6 header at `at` and of the
 * extension headers before `end` (where the AH begins); routing headers get their final order.
 *
 * @param outbound also exchange source address and home address, as they will be after the option was processed
 * @returns false when a header or option is damaged or has more segments left than addresses
 * @spec T-23; RFC 4302 §3.3.3.1.2
 */
export function clearMutableIpv6(
	bytes: Uint8Array,
	view: DataView,
	at: number,
	end: number,
	outbound: boolean,
): boolean {
	view.setInt32(at, 0x60000000);
	view.setUint8(at + 7, 0);
	let proto = view.getUint8(at + IPV6_NEXT_HEADER_AT);
	let header = at + IPV6_HEADER_OCTETS;
	while (header < end) {
		if (
			proto !== IpProto.HopByHop &&
			proto !== IpProto.DestinationOptions &&
			proto !== IpProto.Routing
		) {
			return true;
		}
		const headerEnd = header + optionsHeaderOctets(view, header);
		if (headerEnd > end) {
			return false;
		}
		if (proto === IpProto.Routing) {
			if (!finishRouting(view, at, header)) {
				return false;
			}
		} else {
			const exchange = outbound && proto === IpProto.DestinationOptions;
			if (!clearMutableOptions(bytes, view, at, header, headerEnd, exchange)) {
				return false;
			}
		}
		proto = view.getUint8(header);
		header = headerEnd;
	}
	return true;
}

function clearMutableOptions(
	bytes: Uint8Array,
	view: DataView,
	ipAt: number,
	header: number,
	headerEnd: number,
	exchange: boolean,
): boolean {
	let option = header + 2;
	while (option < headerEnd) {
		const octets = optionOctets(view, option, headerEnd);
		if (octets === 0) {
			return false;
		}
		const type = view.getUint8(option);
		if (exchange && type === OptionType.HomeAddress) {
			const home = homeAddressAt(view, option);
			if (home >= 0) {
				swapIpv6Addresses(view, ipAt + IPV6_SOURCE_AT, home);
			}
		}
		if (type !== OptionType.Pad1 && (type & OPTION_MUTABLE) !== 0) {
			bytes.fill(0, option + 2, option + octets);
		}
		option += octets;
	}
	return true;
}

/** The addresses of a routing header as after its last segment: rotated by one, the last one is the destination. */
function finishRouting(view: DataView, ipAt: number, header: number): boolean {
	const left = routingSegmentsLeft(view, header);
	if (left === 0) {
		return true;
	}
	const count = routingAddressCount(view, header);
	if (left > count) {
		return false;
	}
	setRoutingSegmentsLeft(view, header, 0);
	const first = header + ROUTING_ADDRESSES_AT + (count - left) * 16;
	const last = header + ROUTING_ADDRESSES_AT + (count - 1) * 16;
	// Rotates [destination, first … last] right by one address: each swap moves the final one up a place.
	for (let address = last; address > first; address -= 16) {
		swapIpv6Addresses(view, address, address - 16);
	}
	swapIpv6Addresses(view, ipAt + IPV6_DESTINATION_AT, first);
	return true;
}
