/** Addresses and links that come, go and get other names under states and policies that stay. */
import assert from 'node:assert/strict';
import type { Host } from './laboratory.ts';
import {
	type Addresses,
	assertPings,
	type Case,
	type Ends,
	IPV4,
	IPV6,
	isInner,
	withEnds,
} from './scenario.ts';
import { type Seen, WireWatch } from './wire-watch.ts';

const PINGS = 3;
const KEY: string = `0x${'11'.repeat(20)}`;

/** Gives a host states and policies of a tunnel. @param more words of all that it has there */
function addTunnel(host: Host, side: 'a' | 'b', addresses: Addresses, more: string = ''): void {
	const { a, b, netA, netB } = addresses;
	for (const [spi, src, dst, from, to, isOut] of [
		['0x100', a, b, netA, netB, side === 'a'],
		['0x200', b, a, netB, netA, side === 'b'],
	] as const) {
		const ends = `src ${src} dst ${dst} proto esp`;
		const state = `state add ${ends} spi ${spi} reqid 1 mode tunnel replay-window 32 ${more} aead`;
		host.tables(...state.split(/\s+/), 'rfc4106(gcm(aes))', KEY, '128');
		for (const dir of isOut ? ['out'] : ['in', 'fwd']) {
			const policy = `policy add src ${from} dst ${to} dir ${dir} ${more} tmpl ${ends} reqid 1 mode tunnel`;
			host.tables(...policy.split(/\s+/));
		}
	}
}

/** What is on the wire while A pings B, of which so many come back. */
async function seenWhile({ a, b }: Ends, addresses: Addresses, comesBack: number): Promise<Seen> {
	const watch = await WireWatch.start(b, 'eth0');
	const came = a.ping(addresses.innerB, PINGS, `-W 0.3 -I ${addresses.innerA}`);
	const seen = await watch.stop(isInner);
	assert.equal(seen.plain, 0, 'nothing in clear');
	assert.equal(came, comesBack);
	return seen;
}

/** Linux asks by which route a state's source leaves: IPv4 has none for an address that is nobody's here. */
function lostSource(addresses: Addresses, goes: boolean): Case {
	const { a: own, b: peer } = addresses;
	const ipv4 = !own.includes(':');
	const [ofNet, ofHost] = ipv4 ? ['/24', '/32'] : ['/64', '/128'];
	const onWire = ipv4 ? ' dev eth0' : ' dev eth0 nodad';
	return {
		name: `addresses: a state’s source is removed and added again, ${ipv4 ? 'IPv4' : 'IPv6'}`,
		run: () =>
			withEnds(async (pair) => {
				const { a, b } = pair;
				addTunnel(a, 'a', addresses);
				addTunnel(b, 'b', addresses);
				// Its prefix, and the way out, stay.
				a.must(`ip address add ${own}7${ofNet}${onWire}`);
				a.must('sysctl -qw net.ipv4.conf.eth0.promote_secondaries=1');
				await seenWhile(pair, addresses, PINGS);
				a.must(`ip address del ${own}${ofNet} dev eth0`);
				a.must(`ip route replace default via ${peer}`);
				const { esp } = await seenWhile(pair, addresses, 0);
				assert.equal(esp.filter(({ spi }) => spi === 0x100).length, goes ? PINGS : 0);
				a.must(`ip address add ${own}${ofHost} dev lo`);
				await seenWhile(pair, addresses, PINGS);
				a.must('ip link set eth0 down');
				await seenWhile(pair, addresses, 0);
				a.must('ip link set eth0 up');
				a.must(`ip address replace ${own}${ofNet}${onWire}`);
				a.must(`ip route replace default via ${peer}`);
				assertPings(a, addresses.innerB, PINGS, `-I ${addresses.innerA}`);
			}),
	};
}

export const addressCases: readonly Case[] = [lostSource(IPV4, false), lostSource(IPV6, true)];
