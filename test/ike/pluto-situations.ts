/** libreswan's pluto over the daemon, with strongSwan at the other end. */
import assert from 'node:assert/strict';
import { Charon } from './charon.ts';
import { pause, until } from './laboratory.ts';
import { Pluto } from './pluto.ts';
import {
	ALL_PEERS,
	assertPings,
	connectionOf,
	countStates,
	IPV4,
	isInner,
	lossOver,
	type PeerEnds,
	type Situation,
	withPeer,
} from './scenario.ts';
import { WireWatch } from './wire-watch.ts';

const group = 'libreswan';
const PINGS = 5;
const TRAP_LOSS_MAX = 50;
const ANSWER_LOSS_MAX = 5;

async function plutoAndCharon({ a, b }: PeerEnds): Promise<readonly [Pluto, Charon]> {
	const [, right] = connectionOf(IPV4, { encap: true });
	const { netA, netB, innerA } = IPV4;
	const connection = {
		local: IPV4.a,
		remote: IPV4.b,
		localNet: netA,
		source: innerA,
		remoteNet: netB,
		encap: true,
	};
	return Promise.all([Pluto.start(a, connection), Charon.start(b, right)]);
}

const lifeOfATunnel: Situation = {
	group,
	name: 'pluto: up, rekeyed under traffic, down',
	peers: ALL_PEERS,
	run: (peer) =>
		withPeer(peer, async (ends) => {
			const { a, b } = ends;
			const [pluto, charon] = await plutoAndCharon(ends);
			const watch = await WireWatch.start(a, 'eth0');
			pluto.must('--initiate', '--name', 'net');
			assert.equal(countStates(a), 2);
			assertPings(a, IPV4.innerB, PINGS);
			assertPings(b, IPV4.innerA, PINGS, `-I ${IPV4.innerB}`);
			const lost = await lossOver(a, 2, async () => {
				pluto.must('--rekey-ipsec', '--name', 'net');
			});
			const lostToo = await lossOver(a, 2, async () => {
				charon.must('--rekey', '--child', 'net');
			});
			const { esp, plain } = await watch.stop(isInner);
			assert.equal(plain, 0);
			assert.ok(new Set(esp.map(({ spi }) => spi)).size >= 6, 'three generations of states');
			pluto.must('--terminate', '--name', 'net');
			await until('states gone', () => countStates(a) === 0);
			assert.equal(lost, 0, 'pings lost over a rekeying by pluto');
			// Asked by its peer, pluto sends with what the peer has no keys for before it has its answer.
			assert.ok(lostToo <= ANSWER_LOSS_MAX, `${lostToo} pings lost over a rekeying by the peer`);
			return `${lost} lost; rekeyed by the peer: ${lostToo}`;
		}),
};

const trap: Situation = {
	group,
	name: 'pluto: a trap, which stays when its tunnel goes down',
	peers: ALL_PEERS,
	run: (peer) =>
		withPeer(peer, async (ends) => {
			const { a } = ends;
			a.must('sysctl -qw net.core.xfrm_acq_expires=2');
			// The daemon looks at it twice a second.
			await pause(600);
			const [pluto, charon] = await plutoAndCharon(ends);
			const watch = await WireWatch.start(a, 'eth0');
			pluto.must('--route', '--name', 'net');
			const lost = await lossOver(a, 4, async () => {});
			assert.equal(a.tables('state').match(/aead/g)?.length, 2);
			charon.must('--terminate', '--ike', 'gw');
			// The larval one too: pluto's trap asks for other states than pluto makes, so that it stays for its time.
			await until('states gone', () => countStates(a) === 0, 10_000);
			const came = a.ping(IPV4.innerB, 60);
			assert.ok(came >= 20, `${came} of 60 pings came back`);
			const { plain } = await watch.stop(isInner);
			assert.equal(plain, 0);
			assert.ok(lost <= TRAP_LOSS_MAX, `${lost} pings lost`);
			return `${lost} lost`;
		}),
};

export const plutoSituations: readonly Situation[] = [lifeOfATunnel, trap];
