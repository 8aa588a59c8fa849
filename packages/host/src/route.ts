/**
 * Routing tables (`ip route`): prefixes with where they lead, by longest prefix, then metric, then age.
 * Which table answers is said by rules (rule.ts); what a lookup makes of an entry is in
 * route-lookup.ts.
 */
import {
	type Address,
	addressEquals,
	Errno,
	Family,
	prefixMatches,
	type Refusal,
} from '@xfrm/wire/xfrm';
import { ROUTES_MAX } from './limits.ts';
import { RouteTable } from './rule.ts';
import type { RouteEncap } from './virtual-link.ts';

/** What becomes of packets that follow a route. `throw` sends the lookup on to the next rule. */
export type RouteKind =
	| 'unicast'
	| 'local'
	| 'broadcast'
	| 'multicast'
	| 'unreachable'
	| 'blackhole'
	| 'prohibit'
	| 'throw';

/** A route as `ip route add` says it. */
export interface RouteConfig {
	/** 2 or 10. */
	readonly family: number;
	readonly destination: Address;
	readonly prefixLength: number;
	/** Absent: main, local for kinds `local` and `broadcast`. */
	readonly table?: number;
	/** Absent: the device by which the gateway is reached; kinds that drop have none. */
	readonly device?: string;
	readonly gateway?: Address;
	/** Preferred source (`src`). */
	readonly source?: Address;
	/** Absent: 0, for IPv6 1024. */
	readonly metric?: number;
	readonly mtu?: number;
	readonly hopLimit?: number;
	readonly tos?: number;
	/** Absent: unicast. */
	readonly kind?: RouteKind;
	/** What an external XFRM interface is told of its packets (`encap xfrm`); others ignore it. */
	readonly encap?: RouteEncap;
}

/** A route in its table. `device` is filled in for kinds that have one. */
export interface RouteEntry extends RouteConfig {
	readonly table: number;
	readonly metric: number;
	readonly kind: RouteKind;
}

/** Does a route of this kind need a device? */
export function kindHasDevice(kind: RouteKind): boolean {
	return kind === 'unicast' || kind === 'local' || kind === 'broadcast' || kind === 'multicast';
}

function complete(config: RouteConfig): RouteEntry {
	const kind = config.kind ?? 'unicast';
	const local = kind === 'local' || kind === 'broadcast';
	return {
		...config,
		kind,
		table: config.table ?? (local ? RouteTable.Local : RouteTable.Main),
		metric: config.metric ?? (config.family === Family.Ipv4 ? 0 : 1024),
	};
}

/** Order of search: longer prefix, then smaller metric; what is equal stays in order of adding. */
function precedes(a: RouteEntry, b: RouteEntry): boolean {
	return a.prefixLength !== b.prefixLength ? a.prefixLength > b.prefixLength : a.metric < b.metric;
}

/** The same place in a table: IPv4 by prefix, TOS and metric; IPv6 by next hop too (else it is multipath). */
function samePlace(a: RouteEntry, b: RouteEntry): boolean {
	return (
		a.prefixLength === b.prefixLength &&
		a.metric === b.metric &&
		(a.tos ?? 0) === (b.tos ?? 0) &&
		prefixMatches(a.destination, b.destination, a.prefixLength, a.family)
	);
}

function sameNextHop(a: RouteEntry, b: RouteEntry): boolean {
	const gateways =
		a.gateway === undefined || b.gateway === undefined
			? a.gateway === b.gateway
			: addressEquals(a.gateway, b.gateway, a.family);
	return a.device === b.device && gateways;
}

/** All tables of one family. */
export class RouteTables {
	readonly family: number;
	private readonly tables: Map<number, RouteEntry[]> = new Map();
	private count = 0;

	constructor(family: number) {
		this.family = family;
	}

	/** Entries of a table, in order of search. */
	entries(table: number): readonly RouteEntry[] {
		return this.tables.get(table) ?? [];
	}

	/** Numbers of the tables that have entries. */
	numbers(): IterableIterator<number> {
		return this.tables.keys();
	}

	/** Adds a route; EEXIST when its place is taken. */
	add(config: RouteConfig): Refusal | undefined {
		const entry = complete(config);
		const bits = this.family === Family.Ipv4 ? 32 : 128;
		if (!(entry.prefixLength >= 0 && entry.prefixLength <= bits)) {
			return { errno: Errno.EINVAL, message: `A prefix length is 0 to ${bits}` };
		}
		if (this.count >= ROUTES_MAX) {
			return { errno: Errno.ENOMEM, message: `At most ${ROUTES_MAX} routes` };
		}
		const list = this.tables.get(entry.table) ?? [];
		const taken = (other: RouteEntry): boolean =>
			samePlace(other, entry) && (this.family === Family.Ipv4 || sameNextHop(other, entry));
		if (list.some(taken)) {
			return { errno: Errno.EEXIST };
		}
		const at = list.findIndex((other) => precedes(entry, other));
		list.splice(at < 0 ? list.length : at, 0, entry);
		this.tables.set(entry.table, list);
		this.count++;
		return undefined;
	}

	/** Deletes the first route that agrees with all that is said; ESRCH without one. */
	remove(config: RouteConfig): Refusal | undefined {
		const wanted = complete(config);
		const list = this.tables.get(wanted.table) ?? [];
		const at = list.findIndex(
			(entry) =>
				entry.prefixLength === wanted.prefixLength &&
				prefixMatches(entry.destination, wanted.destination, entry.prefixLength, this.family) &&
				(config.metric === undefined || config.metric === entry.metric) &&
				(config.kind === undefined || config.kind === entry.kind) &&
				(config.device === undefined || config.device === entry.device) &&
				(config.gateway === undefined ||
					(entry.gateway !== undefined &&
						addressEquals(config.gateway, entry.gateway, this.family))),
		);
		if (at < 0) {
			return { errno: Errno.ESRCH };
		}
		list.splice(at, 1);
		this.count--;
		return undefined;
	}

	/** Deletes all routes that the predicate names. */
	removeWhere(gone: (entry: RouteEntry) => boolean): void {
		for (const [table, list] of this.tables) {
			const kept = list.filter((entry) => !gone(entry));
			this.count -= list.length - kept.length;
			this.tables.set(table, kept);
		}
	}

	/** The best route of a table for this destination that `usable` allows. */
	find(
		table: number,
		daddr: Address,
		usable: (entry: RouteEntry) => boolean,
	): RouteEntry | undefined {
		for (const entry of this.tables.get(table) ?? []) {
			if (
				prefixMatches(daddr, entry.destination, entry.prefixLength, this.family) &&
				usable(entry)
			) {
				return entry;
			}
		}
		return undefined;
	}
}
