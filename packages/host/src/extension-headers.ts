/**
 * IPv6 extension headers of packets that arrive (net/ipv6/exthdrs.c): options of hop-by-hop and
 * destination options headers, the home address option, routing headers of type 2. Fragment headers are
 * deliver.ts's, AH is the engine's.
 *
 * All offsets told in ICMPv6 errors count from the packet's start.
 */
import {
	Icmpv6ParameterCode,
	Icmpv6Type,
	IPV6_DESTINATION_AT,
	IPV6_SOURCE_AT,
	ipv6HopLimit,
	OptionType,
	optionOctets,
	optionsHeaderOctets,
	ROUTING_ADDRESSES_AT,
	RoutingType,
	routingHeaderOctets,
	routingSegmentsLeft,
	routingType,
	routingType2IsSound,
	setIpv6HopLimit,
	setRoutingSegmentsLeft,
	swapIpv6Addresses,
} from '@xfrm/wire';
import { type Address, addressFrom, IpProto } from '@xfrm/wire/xfrm';
import { destinationOf, sourceOf } from './address-words.ts';
import { forwardPacket } from './forward.ts';
import { HostDrop } from './host-trace.ts';
import { sendIcmpError } from './icmp-send.ts';
import { routeIpv6Input } from './receive.ts';
import type { Reception } from './reception.ts';
import type { Stack } from './stack.ts';

/** Options of one header beside padding (net.ipv6.max_hbh_opts_number, max_dst_opts_number). */
const OPTIONS_MAX = 8;
/** Octets of padding in a row (RFC 4942 §2.1.9.5). */
const PADDING_MAX = 7;
/** Routing header type of RPL (RFC 6554). */
const RPL_SOURCE_ROUTE = 3;

/** The hop-by-hop options header right behind the IPv6 header; false when the packet goes no further. */
export function receiveHopByHop(stack: Stack, reception: Reception): boolean {
	return receiveOptions(stack, reception, true);
}

/** A destination options header at `transportAt`; false when the packet goes no further. */
export function receiveDestinationOptions(stack: Stack, reception: Reception): boolean {
	return receiveOptions(stack, reception, false);
}

function dropHeader(stack: Stack): boolean {
	stack.drop(HostDrop.ExtensionHeader);
	return false;
}

/** Goes through the options, then moves on behind the header. */
function receiveOptions(stack: Stack, reception: Reception, hopByHop: boolean): boolean {
	const { packet } = reception;
	const { view, transportAt: at } = packet;
	if (at + 8 > packet.end || at + optionsHeaderOctets(view, at) > packet.end) {
		return dropHeader(stack);
	}
	const end = at + optionsHeaderOctets(view, at);
	let option = at + 2;
	let count = 0;
	let padding = 0;
	while (option < end) {
		const octets = optionOctets(view, option, end);
		if (octets === 0) {
			return dropHeader(stack);
		}
		const type = view.getUint8(option);
		if (type === OptionType.Pad1 || type === OptionType.PadN) {
			padding += octets;
			if (padding > PADDING_MAX || !isZero(packet.bytes, option + 2, option + octets)) {
				return dropHeader(stack);
			}
		} else {
			padding = 0;
			count++;
			if (count > OPTIONS_MAX) {
				return dropHeader(stack);
			}
			if (!receiveOption(stack, reception, option, type, hopByHop)) {
				return false;
			}
		}
		option += octets;
	}
	packet.nextHeaderAt = at;
	packet.transportAt = end;
	packet.proto = view.getUint8(at);
	return true;
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
	for (let i = from; i < to; i++) {
		if (bytes[i] !== 0) {
			return false;
		}
	}
	return true;
}

function receiveOption(
	stack: Stack,
	reception: Reception,
	at: number,
	type: number,
	hopByHop: boolean,
): boolean {
	if (hopByHop) {
		if (type === OptionType.RouterAlert) {
			return reception.packet.view.getUint8(at + 1) === 2 || dropHeader(stack);
		}
		if (type === OptionType.Jumbo) {
			return receiveJumbo(stack, reception, at);
		}
	} else if (type === OptionType.HomeAddress) {
		return receiveHomeAddress(stack, reception, at);
	}
	return receiveUnknownOption(stack, reception, at, type);
}

/** The two highest bits say what to do with an option that is not known (RFC 8200 §4.2). */
function receiveUnknownOption(
	stack: Stack,
	reception: Reception,
	at: number,
	type: number,
): boolean {
	const { packet } = reception;
	const action = type >> 6;
	if (action === 0) {
		return true;
	}
	stack.drop(HostDrop.ExtensionHeader);
	const multicast = packet.bytes[packet.start + IPV6_DESTINATION_AT] === 0xff;
	if (action === 2 || (action === 3 && !multicast)) {
		parameterProblem(stack, reception, Icmpv6ParameterCode.UnknownOption, at - packet.start);
	}
	return false;
}

/** Jumbograms are longer than any packet here: the option is wrong whatever it says (RFC 2675 §3). */
function receiveJumbo(stack: Stack, reception: Reception, at: number): boolean {
	const { view, start } = reception.packet;
	stack.drop(HostDrop.ExtensionHeader);
	if (view.getUint8(at + 1) !== 4 || ((at - start) & 3) !== 2) {
		return false;
	}
	if (view.getUint32(at + 2) <= 65535) {
		parameterProblem(stack, reception, Icmpv6ParameterCode.Header, at + 2 - start);
	} else if (view.getUint16(start + 4) !== 0) {
		parameterProblem(stack, reception, Icmpv6ParameterCode.Header, at - start);
	}
	return false;
}

/** Sends a parameter problem about the octet at `pointer`. */
export function parameterProblem(
	stack: Stack,
	reception: Reception,
	code: number,
	pointer: number,
): void {
	sendIcmpError(stack, reception, Icmpv6Type.ParameterProblem, code, pointer);
}

/** Unicast as `ipv6_addr_type` tells it: neither multicast, unspecified nor IPv4-mapped. */
function isUnicast(address: Address): boolean {
	if (address[0] === 0xff) {
		return false;
	}
	const head = isZero(address, 0, 10);
	const mapped = head && address[10] === 0xff && address[11] === 0xff;
	return !mapped && !isZero(address, 0, 16);
}

/**
 * A home address option: once a packet, sound, and believed only with a state. Then home and source
 * address change places.
 *
 * @spec T-57; RFC 6275 §6.3, §9.3.1
 */
function receiveHomeAddress(stack: Stack, reception: Reception, at: number): boolean {
	const { packet } = reception;
	const { view, start } = packet;
	const home = addressFrom(packet.bytes, at + 2, 16);
	if (reception.homeAddressAt !== 0 || view.getUint8(at + 1) !== 16 || !isUnicast(home)) {
		stack.drop(HostDrop.HomeAddressOption);
		return false;
	}
	const { engine, nowUs } = stack;
	if (
		!engine.addressInput(packet, destinationOf(packet), home, IpProto.DestinationOptions, nowUs)
	) {
		return false;
	}
	swapIpv6Addresses(view, start + IPV6_SOURCE_AT, at + 2);
	reception.homeAddressAt = at + 2 - start;
	return true;
}

/**
 * A routing header at `transportAt`: type 2 with one segment left brings the packet to one of our home
 * addresses; headers with no segments left are skipped (but type 2), all others are unknown. False when
 * the packet goes no further here.
 *
 * @spec T-58; RFC 6275 §6.4, RFC 5095
 */
export function receiveRoutingHeader(stack: Stack, reception: Reception): boolean {
	const { packet, device } = reception;
	const { view, start, transportAt: at, end } = packet;
	if (at + 8 > end || at + routingHeaderOctets(view, at) > end) {
		return dropHeader(stack);
	}
	const type = routingType(view, at);
	if (type === RPL_SOURCE_ROUTE || type === RoutingType.SegmentRouting) {
		// Both are off by default in Linux, and have no switch here.
		stack.drop(HostDrop.RoutingHeader);
		return false;
	}
	if (routingSegmentsLeft(view, at) === 0) {
		if (type === RoutingType.HomeAddress) {
			stack.drop(HostDrop.RoutingHeader);
			return false;
		}
		skipRoutingHeader(reception);
		return true;
	}
	const accept = Math.min(stack.sysctls.all6.accept_source_route, device.conf6.accept_source_route);
	if (type !== RoutingType.HomeAddress || accept < 0) {
		stack.drop(HostDrop.RoutingHeader);
		parameterProblem(stack, reception, Icmpv6ParameterCode.Header, at + 2 - start);
		return false;
	}
	if (!routingType2IsSound(view, at)) {
		stack.drop(HostDrop.RoutingHeader);
		return false;
	}
	return receiveType2(stack, reception);
}

function skipRoutingHeader(reception: Reception): void {
	const { packet } = reception;
	const { view, transportAt: at } = packet;
	packet.nextHeaderAt = at;
	packet.transportAt = at + routingHeaderOctets(view, at);
	packet.proto = view.getUint8(at);
}

function receiveType2(stack: Stack, reception: Reception): boolean {
	const { packet } = reception;
	const { view, start, transportAt: at } = packet;
	const homeAt = at + ROUTING_ADDRESSES_AT;
	const home = addressFrom(packet.bytes, homeAt, 16);
	setRoutingSegmentsLeft(view, at, 0);
	const { engine, nowUs } = stack;
	if (!engine.addressInput(packet, home, sourceOf(packet), IpProto.Routing, nowUs)) {
		return false;
	}
	if (!stack.devices.isHomeAddress(home)) {
		stack.drop(HostDrop.RoutingHeader);
		return false;
	}
	swapIpv6Addresses(view, start + IPV6_DESTINATION_AT, homeAt);
	switch (routeIpv6Input(stack, reception)) {
		case 'dropped':
			return false;
		case 'forward':
			forwardPacket(stack, reception);
			return false;
		case 'local':
			break;
	}
	const hopLimit = ipv6HopLimit(view, start);
	if (hopLimit <= 1) {
		stack.drop(HostDrop.TimeExceeded);
		sendIcmpError(stack, reception, Icmpv6Type.TimeExceeded, 0, 0);
		return false;
	}
	setIpv6HopLimit(view, start, hopLimit - 1);
	skipRoutingHeader(reception);
	return true;
}
