/**
 * Route lookups: rules, tables, source address, MTU; for packets made here and for the engine (net/ipv4/route.c,
 * net/ipv6/route.c). Where a received packet goes is in input-route.ts. Nothing is changed by asking.
 */
import type { Route } from '@xfrm/wire';
import {
	type Address,
	anyAddress,
	Errno,
	Family,
	isAnyAddress,
	prefixMatches,
} from '@xfrm/wire/xfrm';
import type { Device } from './device.ts';
import type { EngineLinks } from './host.ts';
import type { RouteEntry } from './route.ts';
import { RouteTable, ruleMatches } from './rule.ts';
import { selectSource } from './source-address.ts';
import type { Stack } from './stack.ts';
import type { RouteEncap } from './virtual-link.ts';

/** A route with what only its host needs to know of it. */
export interface HostRoute extends Route {
	/** MTU of the route or its device, without what was learned about the path. */
	readonly ownMtu: number;
	/** The route itself names the source (`src`). */
	readonly preferredSource: boolean;
	/** For an external XFRM interface. */
	readonly encap?: RouteEncap;
}

/** The route's words to an external XFRM interface. */
export function routeEncap(route: Route | null): RouteEncap | undefined {
	return route !== null && 'encap' in route ? (route as HostRoute).encap : undefined;
}

/** MTU for forwarding, which does not profit from what was learned (net.ipv4.ip_forward_use_pmtu 0). */
export function ownMtu(route: Route): number {
	return 'ownMtu' in route && typeof route.ownMtu === 'number' ? route.ownMtu : route.mtu;
}

/** What the engine borrows, as functions of this stack. */
export function engineLinks(stack: Stack): EngineLinks {
	return {
		route: (family, daddr, saddr, mark, oif) => {
			const found = routeOutput(stack, family, daddr, saddr, mark, oif);
			const route = typeof found === 'number' ? undefined : found;
			noteRoute(stack, 'engine', family, daddr, saddr, mark, route);
			return typeof found === 'number' ? refusingRoute(family, found) : found;
		},
		routeGeneration: () => stack.routeGeneration,
		isHomeAddress: (address) => stack.devices.isHomeAddress(address),
		espStream: (family, saddr, sport, daddr, dport) =>
			stack.streams.find(family, saddr, sport, daddr, dport),
	};
}

/** A route that says why there is none; undefined where nothing was found. */
function refusingRoute(family: number, errno: Errno): Route | undefined {
	const kind = REFUSALS.find((one) => refusalOf(one) === errno);
	return kind === undefined ? undefined : { ...NOWHERE, family, kind };
}

const REFUSALS = ['unreachable', 'blackhole', 'prohibit'] as const;
const NOWHERE = {
	ifindex: 0,
	loopback: false,
	source: anyAddress(),
	mtu: 0,
	hopLimit: 0,
	noXfrm: false,
} as const;

export function noteRoute(
	stack: Stack,
	purpose: 'input' | 'output' | 'engine',
	family: number,
	daddr: Address,
	saddr: Address,
	mark: number,
	route: Route | undefined,
): void {
	if (stack.tracer !== null) {
		stack.tracer.note({ kind: 'route', purpose, family, daddr, saddr, mark, route });
	}
}

/** An entry that answers, or the errno of one that refuses. */
export function lookup(
	stack: Stack,
	family: number,
	daddr: Address,
	saddr: Address,
	mark: number,
	iif: string,
	oif: Device | undefined,
	tos: number,
): RouteEntry | Errno {
	const tables = stack.routes(family);
	const usable = (entry: RouteEntry): boolean => {
		if (entry.tos !== undefined && entry.tos !== 0 && entry.tos !== (tos & 0x1c)) {
			return false;
		}
		if (entry.device === undefined) {
			return true;
		}
		const device = stack.devices.named(entry.device);
		return device !== undefined && (device.up || entry.kind === 'local') && restricted(entry, oif);
	};
	for (const rule of stack.rules(family)) {
		const key = { daddr, saddr, mark, iif, oif: oif?.name, tos: tos & 0x1c };
		if (!ruleMatches(rule, key)) {
			continue;
		}
		if (typeof rule.action === 'string') {
			return refusalOf(rule.action);
		}
		const entry = tables.find(rule.action.table, daddr, usable);
		if (entry === undefined || entry.kind === 'throw') {
			continue;
		}
		return entry.kind === 'unreachable' || entry.kind === 'blackhole' || entry.kind === 'prohibit'
			? refusalOf(entry.kind)
			: entry;
	}
	return Errno.ENETUNREACH;
}

/** May the entry be used when the output device is given? */
function restricted(entry: RouteEntry, oif: Device | undefined): boolean {
	return oif === undefined || entry.device === oif.name;
}

function refusalOf(kind: 'unreachable' | 'blackhole' | 'prohibit'): Errno {
	switch (kind) {
		case 'unreachable':
			return Errno.EHOSTUNREACH;
		case 'prohibit':
			return Errno.EACCES;
		case 'blackhole':
			return Errno.EINVAL;
	}
}

/** Loopback, multicast, no address, limited broadcast (RFC 6890), as `ipv4_is_*` tell them apart. */
export function ipv4Class(
	address: Address,
): 'unicast' | 'loopback' | 'multicast' | 'zero' | 'broadcast' {
	if (isAnyAddress(address, Family.Ipv4)) {
		return 'zero';
	}
	const first = address[0] ?? 0;
	if (first === 127) {
		return 'loopback';
	}
	if (first >= 224 && first < 240) {
		return 'multicast';
	}
	return prefixMatches(address, LIMITED_BROADCAST, 32, Family.Ipv4) ? 'broadcast' : 'unicast';
}

const LIMITED_BROADCAST: Address = new Uint8Array(16).fill(255);
/** 127.0.0.1 */
const LOOPBACK_ADDRESS: Address = Uint8Array.of(127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

/**
 * The route of a packet made here, or the errno that its sender gets.
 *
 * @param saddr any-address for a sender that has none: then the route's `source` is chosen; over IPv4 it has
 * to be one of ours, or the answer is ENETUNREACH, for what is no host's address EINVAL
 * @param oif interface it must leave by, 0 for any
 * @spec O-9
 */
export function routeOutput(
	stack: Stack,
	family: number,
	daddr: Address,
	saddr: Address,
	mark: number,
	oif: number,
	tos: number = 0,
): HostRoute | Errno {
	const bound = oif === 0 ? undefined : stack.devices.numbered(oif);
	if (oif !== 0 && bound === undefined) {
		return Errno.ENODEV;
	}
	if (bound !== undefined && !bound.up) {
		return Errno.ENETUNREACH;
	}
	if (family === Family.Ipv4 && !isOwnSource(stack, saddr)) {
		return ipv4Class(saddr) === 'unicast' ? Errno.ENETUNREACH : Errno.EINVAL;
	}
	if (bound === undefined && family === Family.Ipv4 && isAnyAddress(daddr, family)) {
		// Linux takes what is sent to nobody to be for its sender.
		const own = isAnyAddress(saddr, family) ? LOOPBACK_ADDRESS : saddr;
		return onDevice(stack, stack.devices.loopback, own, own, 'local');
	}
	const group = family === Family.Ipv4 ? groupKind(daddr) : undefined;
	const out = bound ?? stack.devices.withAddress(Family.Ipv4, saddr);
	if (group !== undefined && out !== undefined) {
		return onDevice(stack, out, daddr, saddr, group);
	}
	const entry = lookup(stack, family, daddr, saddr, mark, 'lo', bound, tos);
	if (typeof entry !== 'number') {
		return routeOf(stack, entry, daddr, saddr);
	}
	// With an output device and no route IPv4 takes the destination to be on the link.
	if (bound !== undefined && family === Family.Ipv4 && entry === Errno.ENETUNREACH) {
		return onDevice(stack, bound, daddr, saddr, 'unicast');
	}
	return entry;
}

/** IPv4 sends from none but its own addresses, among them all of a local prefix such as 127.0.0.0/8. */
function isOwnSource(stack: Stack, saddr: Address): boolean {
	return (
		isAnyAddress(saddr, Family.Ipv4) ||
		stack.routes4.find(RouteTable.Local, saddr, (entry) => entry.kind === 'local') !== undefined
	);
}

/** Broadcast and multicast leave by the device whose address they come from, whatever routes say. */
function groupKind(daddr: Address): 'broadcast' | 'multicast' | undefined {
	const found = ipv4Class(daddr);
	return found === 'broadcast' || found === 'multicast' ? found : undefined;
}

/** The route to a destination that is taken to be on the link of a device. */
export function onDevice(
	stack: Stack,
	device: Device,
	daddr: Address,
	saddr: Address,
	kind: RouteEntry['kind'],
): HostRoute | Errno {
	const entry: RouteEntry = {
		family: Family.Ipv4,
		destination: daddr,
		prefixLength: 32,
		device: device.name,
		table: 0,
		metric: 0,
		kind,
	};
	return routeOf(stack, entry, daddr, saddr);
}

/** What an entry means for this destination. Packets to ourselves go by the loopback device. */
export function routeOf(
	stack: Stack,
	entry: RouteEntry,
	daddr: Address,
	saddr: Address,
): HostRoute | Errno {
	const { family, kind } = entry;
	const named = entry.device === undefined ? undefined : stack.devices.named(entry.device);
	const device = kind === 'local' ? stack.devices.loopback : named;
	if (device === undefined || named === undefined) {
		return Errno.ENETUNREACH;
	}
	const conf = device.conf(family);
	const all = family === Family.Ipv4 ? stack.sysctls.all4 : stack.sysctls.all6;
	const learned = stack.pathMtus.find(family, daddr, stack.nowUs);
	const own = entry.mtu ?? device.mtu;
	const hopLimit = family === Family.Ipv4 ? stack.sysctls.ip_default_ttl : conf.hop_limit;
	const chosen = isAnyAddress(saddr, family)
		? (entry.source ?? selectSource(stack.devices, family, named, daddr, entry))
		: saddr;
	return {
		family,
		ifindex: device.ifindex,
		loopback: device.loopback,
		kind: kind === 'throw' ? 'unreachable' : kind,
		source: chosen,
		...(entry.gateway === undefined ? {} : { gateway: entry.gateway }),
		mtu: learned === undefined || kind === 'local' ? own : Math.min(own, learned),
		hopLimit: entry.hopLimit ?? hopLimit,
		noXfrm: family === Family.Ipv4 && (conf.disable_xfrm | all.disable_xfrm) !== 0,
		ownMtu: own,
		preferredSource: entry.source !== undefined,
		...(entry.encap === undefined ? {} : { encap: entry.encap }),
	};
}

/**
 * Is an address that of a network, not of one node: does the route to it begin with it, without a gateway?
 * (net/ip6_route.h:ipv6_anycast_destination)
 */
export function isNetworkAddress(stack: Stack, daddr: Address, saddr: Address): boolean {
	const { name } = stack.devices.loopback;
	const entry = lookup(stack, Family.Ipv6, daddr, saddr, 0, name, undefined, 0);
	return (
		typeof entry !== 'number' &&
		entry.prefixLength < ANYCAST_PREFIX_MAX &&
		entry.gateway === undefined &&
		prefixMatches(daddr, entry.destination, 128, Family.Ipv6)
	);
}

/** Longer ones have no host part to be zero. */
export const ANYCAST_PREFIX_MAX = 127;

/** Is it an address of this host? */
export function isLocalAddress(stack: Stack, family: number, address: Address): boolean {
	return stack.devices.withAddress(family, address) !== undefined;
}

/** Is the address reached by this device without a gateway, by the best route that there is? */
export function isOnLink(stack: Stack, family: number, address: Address, device: Device): boolean {
	const any = anyAddress();
	const best = lookup(stack, family, address, any, 0, 'lo', undefined, 0);
	const entry =
		typeof best === 'number' || best.device === device.name
			? best
			: lookup(stack, family, address, any, 0, 'lo', device, 0);
	return (
		typeof entry !== 'number' &&
		entry.kind === 'unicast' &&
		entry.device === device.name &&
		entry.gateway === undefined
	);
}
