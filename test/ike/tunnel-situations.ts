/** Tunnels and transport mode between gateways, and what goes through them. */
import assert from 'node:assert/strict';
import type { Connection } from './charon.ts';
import { Charon } from './charon.ts';
import { type Plane, until } from './laboratory.ts';
import {
	type Addresses,
	ALL_PEERS,
	assertPings,
	connectionOf,
	countStates,
	IPV4,
	IPV6,
	isInner,
	outerAddresses,
	peerHost,
	type Situation,
	WITH_TABLES,
	withCharons,
	withLaboratory,
	withPeer,
} from './scenario.ts';
import { WireWatch } from './wire-watch.ts';

const PINGS = 10;
const BOTH: Addresses = {
	...IPV4,
	netA: `${IPV4.netA}, ${IPV6.netA}`,
	netB: `${IPV4.netB}, ${IPV6.netB}`,
};

/** Up, pings of each family from both ends, nothing in clear, down. */
async function tunnel(
	peer: Plane,
	outer: Addresses,
	inner: readonly Addresses[],
	changes: Partial<Connection>,
): Promise<void> {
	await withPeer(peer, async (ends) => {
		const { a, b } = ends;
		const netA = inner.map((family) => family.netA).join(', ');
		const netB = inner.map((family) => family.netB).join(', ');
		const [one] = await withCharons(ends, connectionOf({ ...outer, netA, netB }, changes));
		const watch = await WireWatch.start(a, 'eth0');
		one.initiate();
		assert.equal(countStates(a), 2);
		const policies = a.tables('policy').match(/dir (out|in|fwd) priority/g)?.length;
		assert.equal(policies, 3 * inner.length);
		for (const family of inner) {
			// Once without a source of its own: the kernel chooses it, charon's route says which.
			assertPings(a, family.innerB, PINGS);
			assertPings(b, family.innerA, PINGS, `-I ${family.innerB}`);
		}
		const { esp, plain } = await watch.stop(isInner);
		assert.equal(plain, 0, 'no plaintext on the wire');
		assert.equal(esp.length, 4 * PINGS * inner.length);
		one.must('--terminate', '--ike', 'gw');
		await until('states gone', () => countStates(a) === 0);
	});
}

function tunnelSituation(
	name: string,
	outer: Addresses,
	inner: readonly Addresses[],
	changes: Partial<Connection> = {},
	quick: boolean = false,
): Situation {
	// In plain ESP libipsec does not speak at all: with it everything is in UDP.
	const peers = changes.encap === true ? ALL_PEERS : WITH_TABLES;
	return {
		group: 'Tunnels',
		name,
		peers,
		quick,
		run: (peer) => tunnel(peer, outer, inner, changes),
	};
}

/** Hosts behind both gateways, which forward for them. */
const sites: Situation = {
	group: 'Tunnels',
	name: 'two sites behind gateways, IPv4 and IPv6',
	peers: ALL_PEERS,
	run: (peer) =>
		withLaboratory(async (laboratory) => {
			const a = laboratory.host('a');
			const b = await peerHost(laboratory, 'b', peer);
			laboratory.wire(a, 'eth0', outerAddresses('a'), b, 'eth0', outerAddresses('b'));
			const hosts = [a, b].map((gateway, index) => {
				const host = laboratory.behind(gateway, `${gateway.name}1`);
				const inside = [`10.${index + 1}.0`, `2001:db8:${index + 1}:`];
				const [four = '', six = ''] = inside;
				const near = [`${four}.1/24`, `${six}:1/64`];
				laboratory.wire(gateway, 'lan0', near, host, 'eth0', [`${four}.9/24`, `${six}:9/64`]);
				host.must(`ip route add default via ${four}.1`);
				host.must(`ip route add default via ${six}:1`);
				gateway.must('sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1');
				const other = index === 0 ? 'b' : 'a';
				gateway.must(`ip route add default via ${IPV4[other]}`);
				gateway.must(`ip route add default via ${IPV6[other]}`);
				return host;
			});
			const [hostA, hostB] = hosts as [(typeof hosts)[0], (typeof hosts)[0]];
			await Promise.all([a.daemon(), peer === 'ourselves' ? b.daemon() : null]);
			const [left, right] = connectionOf(BOTH, { encap: true });
			const [one] = await Promise.all([Charon.start(a, left), Charon.start(b, right)]);
			const watch = await WireWatch.start(a, 'eth0');
			one.initiate();
			for (const [from, to] of [
				[hostA, '10.2.0.9'],
				[hostB, '10.1.0.9'],
				[hostA, '2001:db8:2::9'],
				[hostB, '2001:db8:1::9'],
			] as const) {
				assertPings(from, to, PINGS);
			}
			const { esp, plain } = await watch.stop(isInner);
			assert.equal(plain, 0);
			assert.equal(esp.length, 8 * PINGS);
		}),
};

function transportSituation(name: string, addresses: Addresses, encap: boolean): Situation {
	return {
		group: 'Transport mode',
		name,
		peers: WITH_TABLES,
		run: (peer) =>
			withPeer(peer, async (ends) => {
				const { a, b } = ends;
				const pair = connectionOf(
					{ ...addresses, netA: 'dynamic', netB: 'dynamic' },
					{ mode: 'transport', encap },
				);
				const [one] = await withCharons(ends, pair);
				one.initiate();
				const state = a.tables('state');
				assert.match(state, /mode transport/);
				assert.equal(/encap type espinudp/.test(state), encap);
				const watch = await WireWatch.start(a, 'eth0');
				assertPings(a, addresses.b, PINGS);
				assertPings(b, addresses.a, PINGS);
				const { esp } = await watch.stop(isInner);
				assert.equal(esp.length, 4 * PINGS);
			}),
	};
}

export const tunnelSituations: readonly Situation[] = [
	tunnelSituation('IPv4', IPV4, [IPV4]),
	tunnelSituation('IPv4, ESP in UDP', IPV4, [IPV4], { encap: true }, true),
	tunnelSituation('IPv6', IPV6, [IPV6]),
	tunnelSituation('IPv6, ESP in UDP', IPV6, [IPV6], { encap: true }),
	tunnelSituation('IPv4 in IPv6', IPV6, [IPV4]),
	tunnelSituation('IPv4 in IPv6, ESP in UDP', IPV6, [IPV4], { encap: true }),
	tunnelSituation('IPv6 in IPv4', IPV4, [IPV6]),
	tunnelSituation('IPv6 in IPv4, ESP in UDP', IPV4, [IPV6], { encap: true }),
	tunnelSituation('IPv4 and IPv6 in one tunnel', IPV4, [IPV4, IPV6]),
	tunnelSituation('IPv4 and IPv6 in one tunnel, ESP in UDP', IPV4, [IPV4, IPV6], { encap: true }),
	sites,
	transportSituation('IPv4', IPV4, false),
	transportSituation('IPv6', IPV6, false),
	transportSituation('IPv4, ESP in UDP', IPV4, true),
	transportSituation('IPv6, ESP in UDP', IPV6, true),
];
