/** Many tunnels at once. */
import assert from 'node:assert/strict';
import { loadavg } from 'node:os';
import type { Connection } from './charon.ts';
import { until } from './laboratory.ts';
import {
	ALL_PEERS,
	connectionOf,
	countStates,
	IPV4,
	isInner,
	type Situation,
	withCharons,
	withPeer,
} from './scenario.ts';
import { WireWatch } from './wire-watch.ts';

const TUNNELS = 50;
/** Until all are up, of a machine that does nothing else. */
const SECONDS_MAX = 5;
/** Processes that wait, from which on a machine does. */
const BUSY = 3;

function numbered(connection: Connection, isA: boolean, number: number): Connection {
	const [a, b] = [`10.1.${number}.1`, `10.2.${number}.1`];
	const [localId, remoteId] = isA ? [`a${number}`, `b${number}`] : [`b${number}`, `a${number}`];
	return {
		...connection,
		name: `t${number}`,
		localId,
		remoteId,
		localTs: `${isA ? a : b}/32`,
		remoteTs: `${isA ? b : a}/32`,
		children: {},
	};
}

export const crowdSituations: readonly Situation[] = [
	{
		group: 'Many',
		name: `${TUNNELS} tunnels at once, an IKE_SA each`,
		peers: ALL_PEERS,
		run: (peer) =>
			withPeer(peer, async (ends) => {
				const { a, b } = ends;
				const numbers = Array.from({ length: TUNNELS }, (_, index) => index + 1);
				const batch = (net: number): string =>
					numbers.map((number) => `address add 10.${net}.${number}.1 dev lo\n`).join('');
				a.must('ip -batch -', batch(1));
				b.must('ip -batch -', batch(2));
				const [left, right] = connectionOf(IPV4, { encap: true });
				const [one] = await withCharons(
					ends,
					[[], numbers.map((number) => numbered(right, false, number))],
					'threads = 32\ninit_limit_half_open = 0\ndos_protection = no',
				);
				const watch = await WireWatch.start(a, 'eth0');
				const begun = performance.now();
				const start = { ...left, startAction: 'start' };
				one.load(numbers.map((number) => numbered(start, true, number)));
				const established = (): number => one.log.match(/CHILD_SA net.* established/g)?.length ?? 0;
				await until('all are up', () => established() >= TUNNELS, 60_000);
				const seconds = (performance.now() - begun) / 1000;
				assert.equal(countStates(a), 2 * TUNNELS);
				const words = ['-n', '-q', '-c', '1', '-W', '2'];
				const pings = numbers.map((number) =>
					a.start(['ping', ...words, '-I', `10.1.${number}.1`, `10.2.${number}.1`]),
				);
				await Promise.all(pings.map(({ ended }) => ended));
				const came = pings.filter(({ stdout }) => stdout.includes(' 1 received')).length;
				assert.equal(came, TUNNELS);
				const { esp, plain } = await watch.stop(isInner);
				assert.equal(plain, 0);
				assert.equal(new Set(esp.map(({ spi }) => spi)).size, 2 * TUNNELS);
				assert.ok(seconds <= SECONDS_MAX || (loadavg()[0] ?? 0) > BUSY, `${seconds} s`);
				return `${seconds.toFixed(1)} s`;
			}),
	},
];
