/**
 * Where a received packet goes: to us, on, or nowhere; and whether its IPv4 source may have come that way
 * (net/ipv4/route.c: ip_route_input_slow; net/ipv4/fib_frontend.c: fib_validate_source; net/ipv6/route.c). Nothing
 * is changed by asking.
 *
 * IPv6 looks at no source here. Multicast routing and routes by several devices are not here.
 */
import type { Route } from '@xfrm/wire';
import { type Address, anyAddress, Errno, Family, prefixMatches } from '@xfrm/wire/xfrm';
import type { Device } from './device.ts';
import { HostDrop } from './host-trace.ts';
import type { RouteEntry } from './route.ts';
import {
	ANYCAST_PREFIX_MAX,
	ipv4Class,
	lookup,
	noteRoute,
	onDevice,
	routeOf,
} from './route-lookup.ts';
import type { Stack } from './stack.ts';

/** What the way of a received packet depends on. */
export interface Arrival {
	readonly family: number;
	readonly daddr: Address;
	readonly saddr: Address;
	readonly mark: number;
	readonly device: Device;
	readonly tos: number;
	/** It came out of a state (has a sec path): the way back to its source is its peer's affair. */
	readonly unwrapped: boolean;
}

/** Where a received packet goes. */
export type InputRoute =
	| { readonly decision: 'local'; readonly route: Route; readonly owner: Device }
	| { readonly decision: 'forward'; readonly route: Route }
	/** Answered with an ICMP error for this errno. */
	| { readonly decision: 'unreachable'; readonly error: Errno }
	/** Dropped in silence: an address that can't be on the wire, or not on this one (rp_filter). */
	| { readonly decision: 'refused'; readonly code: HostDrop };

const MARTIAN: InputRoute = { decision: 'refused', code: HostDrop.Martian };
const FILTERED: InputRoute = { decision: 'refused', code: HostDrop.ReversePath };

/** rp_filter: sources need a route at all; or, strictly, one by the device that they come from. */
const STRICT = 1;

/**
 * Decides whether a packet that arrived is for us, goes on, or neither.
 *
 * @spec I-9 P-29 X-16
 */
export function routeInput(stack: Stack, arrival: Arrival): InputRoute {
	const { family, daddr, saddr, mark, device, tos } = arrival;
	if (family === Family.Ipv4) {
		if (isBroadcast(daddr, saddr)) {
			return (
				refusalOfSource(stack, arrival, anyAddress(), undefined) ??
				localBroadcast(stack, device, daddr, saddr)
			);
		}
		if (isMartian(daddr, saddr)) {
			return MARTIAN;
		}
	}
	const entry = lookup(stack, family, daddr, saddr, mark, device.name, undefined, tos);
	const forwarding = device.conf(family).forwarding !== 0;
	if (typeof entry === 'number') {
		const error = family === Family.Ipv4 && !forwarding ? Errno.EHOSTUNREACH : entry;
		return { decision: 'unreachable', error };
	}
	const owner = entry.device === undefined ? undefined : stack.devices.named(entry.device);
	const route = routeOf(stack, entry, daddr, saddr);
	if (typeof route === 'number' || owner === undefined) {
		return { decision: 'unreachable', error: Errno.ENETUNREACH };
	}
	noteRoute(stack, 'input', family, daddr, saddr, mark, route);
	const isOurs = entry.kind === 'local' || entry.kind === 'broadcast';
	if (family === Family.Ipv4) {
		if (!isOurs && !forwarding) {
			return { decision: 'unreachable', error: Errno.EHOSTUNREACH };
		}
		// The source is looked at last: nowhere to go, and the sender, even we ourselves, would be told.
		const to = entry.kind === 'broadcast' ? anyAddress() : daddr;
		const refusal = refusalOfSource(stack, arrival, to, isOurs ? undefined : owner);
		if (refusal !== undefined) {
			return refusal;
		}
	}
	if (!isOurs && !isRouterAnycast(entry, owner, daddr)) {
		return { decision: 'forward', route };
	}
	// Locally delivered packets have the loopback device as that of their route (P-29).
	const { loopback } = stack.devices;
	return {
		decision: 'local',
		route: { ...route, ifindex: loopback.ifindex, loopback: true },
		owner,
	};
}

/**
 * May a packet with this IPv4 source have come by its device (fib_validate_source; RFC 3704)? Without rp_filter all may
 * but our own addresses. The tables are looked into for others only where the packet would leave as it came (its
 * sender would be told of a shorter way), and where rules or local routes were set by hand (an address that no
 * device has may be ours).
 *
 * @param daddr the destination, any-address for a broadcast
 * @param out the device that it would leave by, undefined for what is for us
 */
function refusalOfSource(
	stack: Stack,
	arrival: Arrival,
	daddr: Address,
	out: Device | undefined,
): InputRoute | undefined {
	const { saddr, device, tos } = arrival;
	const { conf4 } = device;
	const { all4 } = stack.sysctls;
	const acceptsOwn = (conf4.accept_local | all4.accept_local) !== 0;
	const filter = arrival.unwrapped ? 0 : Math.max(conf4.rp_filter, all4.rp_filter);
	const tellsShorter = out === device && (conf4.send_redirects | all4.send_redirects) !== 0;
	if (filter === 0 && !tellsShorter && (acceptsOwn || !stack.hasOwnIpv4Ways)) {
		const isOwn = stack.devices.withAddress(Family.Ipv4, saddr) !== undefined;
		return isOwn && !acceptsOwn ? MARTIAN : undefined;
	}
	const mark = (conf4.src_valid_mark | all4.src_valid_mark) === 0 ? 0 : arrival.mark;
	const iif = (out ?? stack.devices.loopback).name;
	const back = lookup(stack, Family.Ipv4, saddr, daddr, mark, iif, undefined, tos);
	if (typeof back === 'number') {
		return filter === 0 ? undefined : FILTERED;
	}
	if (back.kind !== 'unicast' && !(back.kind === 'local' && acceptsOwn)) {
		return MARTIAN;
	}
	if (back.device === device.name || filter === 0) {
		return undefined;
	}
	const hasAddress = device.addresses.some((own) => own.family === Family.Ipv4);
	return filter === STRICT || !hasAddress ? FILTERED : undefined;
}

/** A router has the address of each network that it is on (Subnet-Router anycast, RFC 4291 §2.6.1). */
function isRouterAnycast(entry: RouteEntry, owner: Device, daddr: Address): boolean {
	return (
		entry.family === Family.Ipv6 &&
		entry.prefixLength < ANYCAST_PREFIX_MAX &&
		owner.conf(Family.Ipv6).forwarding !== 0 &&
		prefixMatches(daddr, entry.destination, 128, Family.Ipv6) &&
		owner.addresses.some(
			(own) =>
				own.family === Family.Ipv6 &&
				own.prefixLength === entry.prefixLength &&
				prefixMatches(own.address, daddr, own.prefixLength, Family.Ipv6),
		)
	);
}

/** For everybody on the link; a sender that has no address yet may leave out the destination's as well. */
function isBroadcast(daddr: Address, saddr: Address): boolean {
	const from = ipv4Class(saddr);
	const to = ipv4Class(daddr);
	return (
		from !== 'multicast' &&
		from !== 'broadcast' &&
		(to === 'broadcast' || (to === 'zero' && from === 'zero'))
	);
}

function localBroadcast(stack: Stack, owner: Device, daddr: Address, saddr: Address): InputRoute {
	const route = onDevice(stack, stack.devices.loopback, daddr, saddr, 'broadcast');
	return typeof route === 'number'
		? { decision: 'unreachable', error: route }
		: { decision: 'local', route, owner };
}

/** Addresses that no packet from outside may have, wherever it goes. */
function isMartian(daddr: Address, saddr: Address): boolean {
	const from = ipv4Class(saddr);
	const to = ipv4Class(daddr);
	return from !== 'unicast' || to === 'multicast' || to === 'zero' || to === 'loopback';
}
