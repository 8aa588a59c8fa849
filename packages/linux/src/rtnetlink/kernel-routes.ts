/**
 * The engine's question `route(daddr, saddr, mark, oif)`, answered by the kernel's own routing and kept
 * until anything that could change an answer has changed: links, addresses, routes, rules (told by
 * netlink), or a path MTU.
 *
 * Path MTUs that the *kernel* has learned do not count: it believes any ICMP error that quotes a socket's
 * addresses, and sockets have no SPIs. Those that count are told to `learnPathMtu`.
 */
import type { RouteLookup } from '@xfrm/engine';
import { narrowedPathMtu, PathMtuTable } from '@xfrm/host';
import type { Route } from '@xfrm/wire';
import {
	type Address,
	addressFrom,
	addressOctets,
	anyAddress,
	Family,
	isAnyAddress,
} from '@xfrm/wire/xfrm';
import { KERNEL_ROUTES_MAX } from '../limits.ts';
import type { Native } from '../native/seam.ts';
import { netSysctl } from '../net-sysctl.ts';
import { RecentRoutes } from './recent-routes.ts';
import {
	getLink,
	getRoute,
	type LinkDefaults,
	parseLinkDefaults,
	parseRoute,
	type RouteQuestion,
	type RouteReply,
	RouteType,
} from './rtnetlink-message.ts';
import { emptyMessage, openRouteSocket, RtnetlinkSocket } from './rtnetlink-socket.ts';

/** RTNLGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_IFINFO, IPV6_RULE as bits. */
const GROUPS: number = 1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x800 | 0x4_0000;

const LOOPBACK = 1;
const HOP_LIMIT = 64;
/** Devices that are asked about their sysctls each time: tens of microseconds each. */
const LINK_LOOKS_MAX = 16;
/** Of a device that is gone. */
const GONE: LinkDefaults = { mtu: 1500, ipv6Mtu: 1500, ipv6HopLimit: HOP_LIMIT };

function kindOf(type: number): Route['kind'] {
	switch (type) {
		case RouteType.Local:
			return 'local';
		case RouteType.Broadcast:
			return 'broadcast';
		case RouteType.Multicast:
			return 'multicast';
		default:
			return 'unicast';
	}
}

/** An answer, with the mark that was asked by: what leaves by the route has to be routed by it once more. */
export interface KernelRoute extends Route {
	readonly mark: number;
	/** Errors do not narrow it. */
	readonly mtuLocked: boolean;
}

/** What tells ways to the same destination apart: an error about one says nothing of the others. */
function viaOf(ifindex: number, gateway: Address | undefined): string {
	return `${ifindex} ${gateway?.join() ?? ''} `;
}

/** The mark that a packet leaves by: 0 for none but its socket's. */
export function routeMark(route: Route | null): number {
	return (route as KernelRoute | null)?.mark ?? 0;
}

/** A question, and whether its source may be another host's. */
interface Asked extends RouteQuestion {
	readonly isForwarded: boolean;
}

export class KernelRoutes {
	/** Changes whenever any answer may have changed. */
	generation: number = 1;
	/** Wakes when something has changed. */
	readonly eventFd: number;
	readonly #native: Native;
	readonly #socket: RtnetlinkSocket;
	readonly #scratch: Uint8Array = new Uint8Array(0x8000);
	readonly #known: Map<string, Route | undefined> = new Map();
	readonly #recent: RecentRoutes = new RecentRoutes();
	readonly #links: Map<number, LinkDefaults> = new Map();
	/** `net.ipv4.ip_default_ttl`, when it was asked for. */
	#ipv4HopLimit: number = 0;
	readonly #pathMtus: PathMtuTable = new PathMtuTable();
	/** When time was told last. */
	#nowUs: number = 0;

	constructor(native: Native) {
		this.#native = native;
		this.#socket = new RtnetlinkSocket(native);
		this.eventFd = openRouteSocket(native, GROUPS);
	}

	/** The engine's question: what this host sends from an address. From one that it has no more, nothing. */
	readonly lookup: RouteLookup = (family, daddr, saddr, mark, oif) =>
		this.#find({ family, daddr, saddr, mark, oif, isForwarded: false });

	#find(question: Asked): Route | undefined {
		const key = keyOf(question);
		const known = this.#known.get(key);
		if (known !== undefined || this.#known.has(key)) {
			return known;
		}
		const route = this.#ask(question);
		if (this.#known.size >= KERNEL_ROUTES_MAX) {
			this.#known.clear();
		}
		this.#known.set(key, route);
		return route;
	}

	/** For addresses in a packet, of this host or not; `sourceAt` -1 for any source. */
	lookupIn(
		family: number,
		bytes: Uint8Array,
		destinationAt: number,
		sourceAt: number,
		mark: number,
	): Route | undefined {
		const recent = this.#recent;
		const row = recent.rowOf(family, bytes, destinationAt, sourceAt);
		if (recent.knows(row, family, bytes, destinationAt, sourceAt, mark)) {
			return recent.routeOf(row);
		}
		const octets = addressOctets(family);
		const daddr = addressFrom(bytes, destinationAt, octets);
		const saddr = sourceAt < 0 ? anyAddress() : addressFrom(bytes, sourceAt, octets);
		const route = this.#find({ family, daddr, saddr, mark, oif: 0, isForwarded: true });
		recent.keep(row, family, daddr, saddr, mark, route);
		return route;
	}

	/**
	 * Takes over what an error has told of the path to an address, for as long as the host's sysctls say; false when
	 * that changes nothing. The caller knows that the error is about a packet of ours, and by which mark that was
	 * routed.
	 */
	learnPathMtu(family: number, daddr: Address, mark: number, told: number, nowUs: number): boolean {
		this.#nowUs = nowUs;
		// Every answer is one of the kernel's.
		const route = this.lookup(family, daddr, anyAddress(), mark, 0) as KernelRoute | undefined;
		if (route === undefined || route.kind === 'local' || route.mtuLocked) {
			return false;
		}
		const mtu = narrowedPathMtu(family, told, route.mtu, netSysctl('ipv4/route/min_pmtu'));
		if (mtu === undefined) {
			return false;
		}
		const seconds = netSysctl(`${family === Family.Ipv4 ? 'ipv4' : 'ipv6'}/route/mtu_expires`);
		this.#pathMtus.learn(family, daddr, mtu, nowUs, {
			via: viaOf(route.ifindex, route.gateway),
			...(seconds === undefined ? {} : { lifeUs: seconds * 1_000_000 }),
		});
		if (mtu === route.mtu) {
			return false;
		}
		this.forget();
		return true;
	}

	/** Is it an address of this host? */
	isLocal(family: number, address: Address): boolean {
		return this.lookup(family, address, anyAddress(), 0, 0)?.kind === 'local';
	}

	/** Forgets all answers, but not path MTUs. */
	forget(): void {
		this.generation = (this.generation + 1) | 0;
		this.#known.clear();
		this.#recent.forget();
		this.#links.clear();
		this.#ipv4HopLimit = 0;
	}

	/**
	 * Forgets path MTUs that are too old, and all answers if a sysctl has changed what they were made of: the kernel
	 * tells of none.
	 */
	lookAround(nowUs: number): void {
		this.#nowUs = nowUs;
		const expired = this.#pathMtus.expire(nowUs);
		if (expired || this.#haveDefaultsChanged()) {
			this.forget();
		}
	}

	/** Of devices that answers were about, as many as are looked at in no time. */
	#haveDefaultsChanged(): boolean {
		if (this.#ipv4HopLimit !== 0 && readIpv4HopLimit() !== this.#ipv4HopLimit) {
			return true;
		}
		let looks = LINK_LOOKS_MAX;
		for (const [ifindex, known] of this.#links) {
			const now = this.#askLink(ifindex);
			if (!areSame(known, now)) {
				return true;
			}
			if (--looks === 0) {
				break;
			}
		}
		return false;
	}

	/** Takes what netlink has told; whatever it was, nothing that is known counts any more. */
	takeEvents(): void {
		const message = emptyMessage(0);
		// ENOBUFS says that events were lost, which changes nothing here.
		while (this.#native.receive(this.eventFd, this.#scratch, message) > 0) {}
		this.forget();
	}

	close(): void {
		this.#socket.close();
		this.#native.close(this.eventFd);
	}

	#ask(question: Asked): KernelRoute | undefined {
		const { family, daddr, saddr, mark } = question;
		const reply = this.#askKernel(question);
		if (reply === undefined || reply.type === RouteType.Unreachable) {
			return undefined;
		}
		const via = viaOf(reply.oif, reply.gateway);
		const learned = this.#pathMtus.find(family, daddr, this.#nowUs, via);
		const mtu = reply.mtu === 0 ? this.#mtuOf(family, reply.oif) : reply.mtu;
		return {
			family,
			ifindex: reply.oif,
			loopback: reply.oif === LOOPBACK,
			kind: kindOf(reply.type),
			source: isAnyAddress(saddr, family) ? reply.source : saddr,
			...(reply.gateway === undefined ? {} : { gateway: reply.gateway }),
			mtu: Math.min(mtu, learned ?? mtu),
			hopLimit: reply.hopLimit === 0 ? this.#hopLimitOf(family, reply.oif) : reply.hopLimit,
			noXfrm: false,
			mark,
			mtuLocked: reply.mtuLocked,
		};
	}

	/** A source that is not ours is refused for IPv4 (EINVAL): what is forwarded goes as from any source. */
	#askKernel({ isForwarded, ...asked }: Asked): RouteReply | undefined {
		const { family, saddr } = asked;
		const hasOther = isForwarded && !isAnyAddress(saddr, family);
		for (const source of hasOther ? [saddr, anyAddress()] : [saddr]) {
			const question = { ...asked, saddr: source };
			const reply = this.#request(question);
			if (reply?.mayBeLearned === true && reply.mtu !== 0) {
				const { mtu, mtuLocked } = this.#request({ ...question, asConfigured: true }) ?? reply;
				return { ...reply, mtu, mtuLocked };
			}
			if (reply !== undefined) {
				return reply;
			}
		}
		return undefined;
	}

	#request(question: RouteQuestion): RouteReply | undefined {
		const { errno, messages } = this.#socket.request(getRoute(question));
		const [raw] = messages;
		return errno === 0 && raw !== undefined ? parseRoute(raw) : undefined;
	}

	#mtuOf(family: number, ifindex: number): number {
		const { mtu, ipv6Mtu } = this.#linkOf(ifindex);
		return family === Family.Ipv4 ? mtu : ipv6Mtu;
	}

	/** For IPv6 the device's, as routers have told it. */
	#hopLimitOf(family: number, ifindex: number): number {
		if (family !== Family.Ipv4) {
			return this.#linkOf(ifindex).ipv6HopLimit || HOP_LIMIT;
		}
		this.#ipv4HopLimit ||= readIpv4HopLimit();
		return this.#ipv4HopLimit;
	}

	#linkOf(ifindex: number): LinkDefaults {
		let link = this.#links.get(ifindex);
		if (link === undefined) {
			link = this.#askLink(ifindex);
			this.#links.set(ifindex, link);
		}
		return link;
	}

	#askLink(ifindex: number): LinkDefaults {
		const [raw] = this.#socket.request(getLink(ifindex)).messages;
		return (raw === undefined ? undefined : parseLinkDefaults(raw)) ?? GONE;
	}
}

function readIpv4HopLimit(): number {
	return netSysctl('ipv4/ip_default_ttl') ?? HOP_LIMIT;
}

function areSame(a: LinkDefaults, b: LinkDefaults): boolean {
	return a.mtu === b.mtu && a.ipv6Mtu === b.ipv6Mtu && a.ipv6HopLimit === b.ipv6HopLimit;
}

function keyOf({ family, daddr, saddr, mark, oif, isForwarded }: Asked): string {
	const octets = addressOctets(family);
	const numbers = [
		mark,
		oif,
		Number(isForwarded),
		...daddr.subarray(0, octets),
		...saddr.subarray(0, octets),
	];
	return String.fromCharCode(family === Family.Ipv4 ? 4 : 6) + numbers.join();
}
