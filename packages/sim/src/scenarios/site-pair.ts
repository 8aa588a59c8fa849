/**
 * Two sites as most scenarios have them, over IPv4 or IPv6, inside and outside each by itself:
 *
 *     alice 10.1.0.2 ─ lan-a ─ 10.1.0.1 gate-a 192.0.2.1 ─ wan ─ 192.0.2.2 gate-b 10.2.0.1 ─ lan-b ─ 10.2.0.2 bob
 */
import { Family } from '@xfrm/wire/xfrm';
import type { ForgedFlow } from '../attacker.ts';
import { forgedFlow, type History } from '../history.ts';
import type { Connection } from '../keys/connection.ts';
import type { Link } from '../links/link.ts';
import type { Machine } from '../machine.ts';
import { device, forwarding, ordinary, type TunnelEnds, tunnelPolicies, user } from './scenario.ts';

export interface SitePair {
	readonly alice: Machine;
	readonly bob: Machine;
	readonly gateA: Machine;
	readonly gateB: Machine;
	readonly wan: Link;
	readonly inner: SiteAddresses;
}

/** Addresses of what is inside, with the length of a site's prefix. */
interface SiteAddresses {
	readonly family: number;
	readonly length: number;
	readonly nets: readonly [a: string, b: string];
	readonly gates: readonly [a: string, b: string];
	readonly users: readonly [alice: string, bob: string];
}

const inner4: SiteAddresses = {
	family: Family.Ipv4,
	length: 16,
	nets: ['10.1.0.0/16', '10.2.0.0/16'],
	gates: ['10.1.0.1', '10.2.0.1'],
	users: ['10.1.0.2', '10.2.0.2'],
};
const inner6: SiteAddresses = {
	family: Family.Ipv6,
	length: 48,
	nets: ['2001:db8:1::/48', '2001:db8:2::/48'],
	gates: ['2001:db8:1::1', '2001:db8:2::1'],
	users: ['2001:db8:1::2', '2001:db8:2::2'],
};
const outer4 = { length: 24, ends: ['192.0.2.1', '192.0.2.2'] } as const;
const outer6 = { length: 64, ends: ['2001:db8:f::1', '2001:db8:f::2'] } as const;

/** What sets a pair of sites apart. */
export interface SiteOptions {
	readonly ipv4Only?: boolean;
	/** The same family inside and outside, as transport states behind a tunnel want it. */
	readonly oneFamily?: boolean;
	/** How a gateway is set up for the tunnel, and its connections; absent: one tunnel of ESP. */
	readonly tunnel?: (ends: TunnelEnds, connection: Connection) => SiteTunnel;
}

export interface SiteTunnel {
	/** Commands behind those that set up the devices. */
	readonly setup: readonly string[];
	readonly connections: readonly Connection[];
}

function plainTunnel(ends: TunnelEnds, connection: Connection): SiteTunnel {
	const route = `route add ${ends.remoteNet} dev wan`;
	return { setup: [route, ...tunnelPolicies(ends)], connections: [connection] };
}

/** Builds it, of families drawn by chance unless told; `settings` are those of the connection at both ends. */
export function sitePair(
	history: History,
	settings: Partial<Connection> = {},
	{ ipv4Only = false, oneFamily = false, tunnel = plainTunnel }: SiteOptions = {},
): SitePair {
	const ipv4 = (): boolean => ipv4Only || history.random.chance(0.6);
	const inner = ipv4() ? inner4 : inner6;
	const outer = (oneFamily ? inner === inner4 : ipv4()) ? outer4 : outer6;
	const reqid = 1;
	const gate = (name: string, own: 0 | 1, peer: string): Machine => {
		const other = own === 0 ? 1 : 0;
		const ends = {
			local: outer.ends[own],
			remote: outer.ends[other],
			localNet: inner.nets[own],
			remoteNet: inner.nets[other],
			reqid,
		};
		const { local, remote } = ends;
		const common = { ...ordinary, ...settings, name: 'sites', reqid, innerFamily: inner.family };
		const { setup, connections } = tunnel(ends, { ...common, peer, local, remote });
		return history.machine(name, {
			setup: [
				forwarding,
				'sysctl net.ipv6.conf.all.forwarding 1',
				...device('lan', `${inner.gates[own]}/${inner.length}`),
				...device('wan', `${local}/${outer.length}`),
				...setup,
			],
			connections,
		});
	};
	const gateA = gate('gate-a', 0, 'gate-b');
	const gateB = gate('gate-b', 1, 'gate-a');
	const alice = user(history, 'alice', `${inner.users[0]}/${inner.length}`, inner.gates[0]);
	const bob = user(history, 'bob', `${inner.users[1]}/${inner.length}`, inner.gates[1]);
	const lanA = history.lan('lan-a');
	const lanB = history.lan('lan-b');
	const wan = history.wan('wan');
	alice.plug('lan', lanA, 0);
	gateA.plug('lan', lanA, 1);
	gateA.plug('wan', wan, 0);
	gateB.plug('wan', wan, 1);
	gateB.plug('lan', lanB, 0);
	bob.plug('lan', lanB, 1);
	return { alice, bob, gateA, gateB, wan, inner };
}

/** Datagrams that claim to come from the other site, put in on the way to each gateway. */
export function forgedSites({ inner }: SitePair): readonly ForgedFlow[] {
	const [alice, bob] = inner.users;
	return [forgedFlow(bob, alice, 0), forgedFlow(alice, bob, 1)];
}

/** Traffic in both directions. */
export function talk(history: History, { alice, bob, inner }: SitePair, count: number): void {
	const octets = [40, 200, 900, 1400];
	history.flows(
		{ from: alice, to: inner.users[1], octets },
		{ from: bob, to: inner.users[0], octets },
		count,
	);
}
