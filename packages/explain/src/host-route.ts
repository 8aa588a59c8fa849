/** `ip route`, as a value. */
import type { RouteConfig, RouteEncap } from '@xfrm/host';
import { Family } from '@xfrm/wire/xfrm';
import type { Draft, Reader } from './host-line.ts';

/** `ip route add|replace|append|del`. */
export interface RouteCommand {
	readonly object: 'route';
	readonly verb: 'add' | 'replace' | 'append' | 'del';
	readonly config: RouteConfig;
}

const ROUTE_KINDS = [
	'unicast',
	'local',
	'broadcast',
	'unreachable',
	'blackhole',
	'prohibit',
] as const;
export function routeVerb(verb: string): RouteCommand['verb'] {
	switch (verb) {
		case 'delete':
			return 'del';
		case 'change':
		case 'chg':
		case 'replace':
			return 'replace';
		case 'append':
			return 'append';
		default:
			return 'add';
	}
}

export function parseRoute(
	reader: Reader,
	verb: RouteCommand['verb'],
	family: number,
): RouteCommand {
	const named = ROUTE_KINDS.find((kind) => kind === reader.peek());
	if (named !== undefined) {
		reader.at++;
	}
	reader.take('to');
	const to = reader.prefix(family, 'a prefix or "default"');
	const config: Draft<RouteConfig> = {
		family: to.family,
		destination: to.address,
		prefixLength: to.prefixLength,
		...(named === undefined ? {} : { kind: named }),
	};
	while (reader.peek() !== undefined) {
		routeWord(reader, config);
	}
	if (config.family === Family.Unspec) {
		config.family = Family.Ipv4;
	}
	return { object: 'route', verb, config };
}

/** What `ip route` prints with a value that decides nothing here. */
const ROUTE_VALUES =
	/^(proto|protocol|scope|pref|error|weight|realms?|advmss|expires|window|rtt|rttvar|initcwnd)$/;

/** One word of a route with its value; flags are read over, as `ip route` prints many. */
function routeWord(reader: Reader, route: Draft<RouteConfig>): void {
	const word = reader.next('a word');
	switch (word) {
		case 'dev':
		case 'oif':
			route.device = reader.next('a device');
			return;
		case 'via': {
			if (reader.peek() === 'inet' || reader.peek() === 'inet6') {
				reader.at++;
			}
			const gateway = reader.address('the address of a gateway');
			route.gateway = gateway.address;
			route.family = route.family === Family.Unspec ? gateway.family : route.family;
			return;
		}
		case 'table':
			route.table = reader.table();
			return;
		case 'src': {
			const source = reader.address('a source address');
			route.source = source.address;
			route.family = route.family === Family.Unspec ? source.family : route.family;
			return;
		}
		case 'mtu':
			reader.take('lock');
			route.mtu = reader.number('an MTU');
			return;
		case 'hoplimit':
			route.hopLimit = reader.number('a hop limit');
			return;
		case 'tos':
		case 'dsfield':
			route.tos = reader.number('a TOS');
			return;
		case 'metric':
		case 'preference':
		case 'priority':
			route.metric = reader.number('a metric');
			return;
		case 'encap':
			route.encap = parseEncap(reader);
			return;
		case 'nexthop':
			throw reader.refuse('a route with one next hop: multipath routes are not supported');
		default:
			if (ROUTE_VALUES.test(word)) {
				reader.next('a value');
			}
	}
}

/**
 * What follows `encap`: `xfrm if_id N [link_dev DEVICE]`, for an external XFRM interface.
 *
 * @spec X-13
 */
function parseEncap(reader: Reader): RouteEncap {
	if (!reader.take('xfrm')) {
		reader.next('xfrm');
		throw reader.refuse('xfrm: no other encapsulation is supported');
	}
	let ifId: number | undefined;
	let link: string | undefined;
	for (;;) {
		if (reader.take('if_id')) {
			ifId = reader.number('an if_id');
		} else if (reader.take('link_dev')) {
			link = reader.next('a device');
		} else if (ifId === undefined || ifId === 0) {
			reader.next('if_id');
			throw reader.refuse('if_id N, not 0');
		} else {
			return { ifId, ...(link === undefined ? {} : { link }) };
		}
	}
}
