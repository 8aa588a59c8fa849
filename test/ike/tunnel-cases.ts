/** Connections of unmodified charons over the user-space data plane, and what goes through them. */
import assert from 'node:assert/strict';
import type { Connection } from './charon.ts';
import { until } from './laboratory.ts';
import {
	type Addresses,
	assertPings,
	type Case,
	connectionOf,
	countStates,
	IPV4,
	IPV6,
	isInner,
	withCharons,
	withEnds,
} from './scenario.ts';
import { WireWatch } from './wire-watch.ts';

const PINGS = 10;

function tunnelCase(
	name: string,
	outer: Addresses,
	inner: Addresses,
	changes: Partial<Connection>,
	quick: boolean = false,
): Case {
	return {
		name,
		quick,
		run: () =>
			withEnds(async (ends) => {
				const { a, b } = ends;
				const addresses = { ...outer, netA: inner.netA, netB: inner.netB };
				const [one] = await withCharons(ends, connectionOf(addresses, changes));
				const watch = await WireWatch.start(b, 'eth0');
				one.must('--initiate', '--child', 'net');
				assert.deepEqual([countStates(a), countStates(b)], [2, 2]);
				const policies = a.mustExec('ip xfrm policy');
				assert.equal(policies.match(/dir (out|in|fwd) priority/g)?.length, 3);
				// Once without a source of its own: the kernel chooses it, charon's route says which.
				assertPings(a, inner.innerB, PINGS);
				assertPings(b, inner.innerA, PINGS, `-I ${inner.innerB}`);
				const { esp, plain } = await watch.stop(isInner);
				assert.equal(plain, 0, 'no plaintext on the wire');
				assert.equal(esp.length, 4 * PINGS);
				one.must('--terminate', '--ike', 'gw');
				await until('states gone', () => countStates(a) + countStates(b) === 0);
			}),
	};
}

function transportCase(addresses: Addresses, name: string): Case {
	return {
		name,
		run: () =>
			withEnds(async (ends) => {
				const { a, b } = ends;
				const pair = connectionOf(
					{ ...addresses, netA: 'dynamic', netB: 'dynamic' },
					{ mode: 'transport' },
				);
				const [one] = await withCharons(ends, pair);
				one.must('--initiate', '--child', 'net');
				const watch = await WireWatch.start(b, 'eth0');
				assertPings(a, addresses.b, PINGS);
				assertPings(b, addresses.a, PINGS);
				const { esp } = await watch.stop(isInner);
				assert.equal(esp.length, 4 * PINGS);
			}),
	};
}

export const tunnelCases: readonly Case[] = [
	tunnelCase('tunnel, IPv4, ESP in UDP', IPV4, IPV4, { encap: true }, true),
	tunnelCase('tunnel, IPv4, plain ESP', IPV4, IPV4, {}),
	tunnelCase('tunnel, IPv6', IPV6, IPV6, {}),
	tunnelCase('tunnel, IPv6, ESP in UDP', IPV6, IPV6, { encap: true }),
	tunnelCase('tunnel, IPv4 in IPv6', IPV6, IPV4, {}),
	tunnelCase('tunnel, IPv6 in IPv4', IPV4, IPV6, {}),
	tunnelCase('tunnel, AES-CBC with HMAC-SHA-256, ESN', IPV4, IPV4, {
		espProposals: 'aes256-sha256-esn',
	}),
	tunnelCase('tunnel, ChaCha20-Poly1305', IPV4, IPV4, { espProposals: 'chacha20poly1305' }),
	transportCase(IPV4, 'transport, IPv4'),
	transportCase(IPV6, 'transport, IPv6'),
	{
		name: 'trap: the first packet brings the tunnel up',
		run: () =>
			withEnds(async (ends) => {
				const pair = connectionOf(IPV4, { startAction: 'trap' });
				await withCharons(ends, pair);
				// At most fifty pings of ten milliseconds may go missing meanwhile.
				const count = ends.a.ping(IPV4.innerB, 40);
				assert.ok(count >= 30, `${count} of 40 pings came back`);
				assert.equal(countStates(ends.a), 2);
			}),
	},
];
