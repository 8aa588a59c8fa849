/** What becomes of connections in the course of time: rekeying, lifetimes, ends, a charon that dies. */
import assert from 'node:assert/strict';
import { Charon } from './charon.ts';
import { pause, until } from './laboratory.ts';
import {
	ALL_PEERS,
	assertPings,
	connectionOf,
	countStates,
	IPV4,
	isInner,
	lossOver,
	type Situation,
	withCharons,
	withPeer,
} from './scenario.ts';
import { assertNumbersOnce, type Seen, WireWatch } from './wire-watch.ts';

const group = 'Rekeying, lifetimes and ends';

/** SPIs that were seen, and no number of one of them twice. */
function assertGenerations({ esp, plain }: Seen, wanted: number): void {
	assert.equal(plain, 0, 'no plaintext on the wire');
	const spis = new Set(esp.map(({ spi }) => spi));
	assert.ok(spis.size >= wanted, `${spis.size} of ${wanted} SPIs were used`);
	assertNumbersOnce(esp);
}

/** Traffic all the time, while both ends do something with their connection. */
function underTraffic(
	name: string,
	seconds: number,
	generations: number,
	happens: (one: Charon, other: Charon) => Promise<void>,
	more: { readonly child?: string; readonly settings?: string; readonly lossMax?: number } = {},
): Situation {
	return {
		group,
		name,
		peers: ALL_PEERS,
		run: (peer) =>
			withPeer(peer, async (ends) => {
				const { a } = ends;
				const { settings, child = '', lossMax = 0 } = more;
				const pair = connectionOf(IPV4, { encap: true, child });
				const [one, other] = await withCharons(ends, pair, settings);
				one.initiate();
				const watch = await WireWatch.start(a, 'eth0');
				// A guest takes its time for each command.
				const long = peer === 'kernel' ? 2 * seconds : seconds;
				const lost = await lossOver(a, long, () => happens(one, other));
				assertGenerations(await watch.stop(isInner), 2 * generations);
				assert.ok(lost <= lossMax, `${lost} pings lost`);
				assert.ok(countStates(a) >= 2);
				return `${lost} lost`;
			}),
	};
}

const rekey = underTraffic('CHILD_SA rekeyed, from either end', 6, 4, async (one, other) => {
	for (const charon of [one, other, one]) {
		charon.must('--rekey', '--child', 'net');
		await pause(700);
	}
});

const collision = underTraffic(
	'CHILD_SA rekeyed by both ends at once',
	6,
	2,
	async (one, other) => {
		// Neither waits for its answer, so that requests cross.
		for (let round = 0; round < 3; round++) {
			const both = [one, other].map((charon) => charon.begin('--rekey', '--child', 'net'));
			await Promise.all(both.map(({ ended }) => ended));
			await pause(700);
		}
	},
);

const ikeRekey = underTraffic('IKE_SA rekeyed', 4, 1, async (one, other) => {
	for (const charon of [one, other]) {
		charon.must('--rekey', '--ike', 'gw');
		await pause(700);
	}
});

const reauthentication = underTraffic(
	'IKE_SA reauthenticated, make before break',
	5,
	2,
	async (one) => {
		one.must('--rekey', '--ike', 'gw', '--reauth');
		await pause(1500);
	},
	{ settings: 'make_before_break = yes', lossMax: 5 },
);

const byTime = underTraffic(
	'CHILD_SA lives 3 s: rekeyed when its soft limit of time is reached',
	8,
	3,
	() => pause(6500),
	{ child: 'rekey_time = 2s\nlife_time = 6s\nrand_time = 0s' },
);

const byOctets = underTraffic(
	'CHILD_SA lives 30,000 octets: rekeyed at its soft limit of octets',
	6,
	3,
	() => pause(5000),
	{ child: 'rekey_bytes = 10000\nlife_bytes = 30000\nrand_bytes = 0' },
);

const byPackets = underTraffic(
	'CHILD_SA lives 300 packets: rekeyed at its soft limit of packets',
	6,
	3,
	() => pause(5000),
	{ child: 'rekey_packets = 100\nlife_packets = 300\nrand_packets = 0' },
);

const hardLimit: Situation = {
	group,
	name: 'hard limit without a rekeying: the CHILD_SA ends, nothing in clear',
	peers: ALL_PEERS,
	run: (peer) =>
		withPeer(peer, async (ends) => {
			const { a } = ends;
			const child = 'rekey_packets = 0\nlife_packets = 30\nrekey_time = 0\nclose_action = none';
			const pair = connectionOf(IPV4, { encap: true, startAction: 'trap', child });
			const [one] = await withCharons(ends, pair);
			one.initiate();
			const watch = await WireWatch.start(a, 'eth0');
			const before = spisOf(a.tables('state'));
			a.ping(IPV4.innerB, 40);
			const isNew = (): boolean => {
				const now = spisOf(a.tables('state'));
				return now.length >= 2 && now.every((spi) => !before.includes(spi));
			};
			await until('others in their place', isNew, 10_000);
			assertPings(a, IPV4.innerB, 5);
			const { plain } = await watch.stop(isInner);
			assert.equal(plain, 0);
		}),
};

function spisOf(states: string): readonly string[] {
	return states.match(/spi 0x[0-9a-f]+/g) ?? [];
}

function deletion(withTrap: boolean): Situation {
	return {
		group,
		name: withTrap
			? 'deleted, its trap stays: nothing in clear, the next packet brings it up'
			: 'deleted without a trap: policies are gone, packets go in clear',
		peers: ALL_PEERS,
		run: (peer) =>
			withPeer(peer, async (ends) => {
				const { a } = ends;
				const startAction = withTrap ? 'trap' : 'none';
				const [left, right] = connectionOf(IPV4, { encap: true });
				const pair = [{ ...left, startAction }, right] as const;
				const [one, other] = await withCharons(ends, pair);
				one.initiate();
				assertPings(a, IPV4.innerB, 5);
				const watch = await WireWatch.start(a, 'eth0');
				for (const [charon, what] of [
					[one, '--child'],
					[other, '--ike'],
				] as const) {
					charon.must('--terminate', what, what === '--ike' ? 'gw' : 'net');
					await until('states gone', () => countStates(a) === 0);
					const policies = a.tables('policy');
					assert.equal(/dir out/.test(policies), withTrap, policies);
					const came = a.ping(IPV4.innerB, 40, `-I ${IPV4.innerA}`);
					if (withTrap) {
						assert.ok(came >= 20, `${came} of 40 pings came back`);
						assert.equal(countStates(a), 2);
					}
					if (!withTrap && what === '--child') {
						one.initiate();
					}
				}
				const { plain } = await watch.stop(isInner);
				assert.equal(plain > 0, !withTrap, `${plain} packets in clear`);
			}),
	};
}

const restarted: Situation = {
	group,
	name: 'charon killed and started again: its port is shared anew, the tunnel comes up',
	peers: ALL_PEERS,
	run: (peer) =>
		withPeer(peer, async (ends) => {
			const { a, daemonA } = ends;
			const [left, right] = connectionOf(IPV4, { encap: true });
			const [one] = await withCharons(ends, [left, right]);
			one.initiate();
			assertPings(a, IPV4.innerB, 5);
			const watch = await WireWatch.start(a, 'eth0');
			one.running.kill('SIGKILL');
			await one.running.ended;
			await until('port dropped', () => daemonA.stderr.includes('shares port 4500 no longer'));
			assert.equal(a.ping(IPV4.innerB, 2), 0, 'ESP in UDP stops with the owner of its port');
			one.forget();
			const again = await Charon.start(a, left);
			again.initiate();
			assertPings(a, IPV4.innerB, 5);
			const { plain } = await watch.stop(isInner);
			assert.equal(plain, 0);
		}),
};

export const lifeSituations: readonly Situation[] = [
	rekey,
	collision,
	ikeRekey,
	reauthentication,
	byTime,
	byOctets,
	byPackets,
	hardLimit,
	deletion(true),
	deletion(false),
	restarted,
];
