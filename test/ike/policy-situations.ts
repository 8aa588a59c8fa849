/** Which packets are protected by what: overlapping policies, bypass, block, traps, compression. */
import assert from 'node:assert/strict';
import type { Charon } from './charon.ts';
import { until } from './laboratory.ts';
import {
	ALL_PEERS,
	assertPings,
	connectionOf,
	countStates,
	IPV4,
	isInner,
	lossOver,
	type Situation,
	WITH_TABLES,
	withCharons,
	withPeer,
} from './scenario.ts';
import { sendTcp } from './traffic.ts';
import { WireWatch } from './wire-watch.ts';

const group = 'Policies';
const PINGS = 5;

/** SPI that a child sends with. */
function spiOut(charon: Charon, child: string): number {
	const lines = charon.must('--list-sas', '--child', child);
	return Number.parseInt(/out\s+([0-9a-f]{8})/.exec(lines)?.[1] ?? '0', 16);
}

function ends(isA: boolean, remote: string): string {
	const [local, far] = isA ? [IPV4.netA, remote] : [remote, IPV4.netA];
	return `local_ts = ${local}\nremote_ts = ${far}\nesp_proposals = aes128gcm16`;
}

const overlapping = (byPriority: boolean): Situation => ({
	group,
	name: byPriority
		? 'overlapping policies: the wider first, by a priority of its own'
		: 'overlapping policies: the narrower first',
	// libipsec goes by widths alone.
	peers: byPriority ? WITH_TABLES : ALL_PEERS,
	run: (peer) =>
		withPeer(peer, async (pair) => {
			const { a, b } = pair;
			const [left, right] = connectionOf(IPV4, { encap: true });
			const children = (isA: boolean): Record<string, string> => ({
				narrow: ends(isA, '10.2.0.64/26'),
				// Wide, but in front of all by its priority.
				first: `${ends(isA, '10.2.0.0/25')}\npriority = 10`,
			});
			const [one] = await withCharons(pair, [
				{ ...left, children: children(true) },
				{ ...right, children: children(false) },
			]);
			b.must('ip address add 10.2.0.65 dev lo');
			b.must('ip address add 10.2.0.129 dev lo');
			const rounds: (readonly [string, string, string])[] = [
				['net', '10.2.0.65', 'net'],
				['narrow', '10.2.0.65', 'narrow'],
				['narrow', '10.2.0.129', 'net'],
			];
			if (byPriority) {
				rounds.push(['first', '10.2.0.65', 'first']);
			}
			const up = new Set<string>();
			for (const [child, destination, wanted] of rounds) {
				if (!up.has(child)) {
					up.add(child);
					one.initiate(child);
				}
				const watch = await WireWatch.start(a, 'eth0');
				assertPings(a, destination, PINGS, `-I ${IPV4.innerA}`);
				const { esp, plain } = await watch.stop(isInner);
				assert.equal(plain, 0);
				const spi = spiOut(one, wanted);
				const count = esp.filter((packet) => packet.spi === spi).length;
				assert.equal(count, PINGS, `${destination} by ${wanted} after ${[...up].join(', ')}`);
			}
		}),
});

const shunts: Situation = {
	group,
	name: 'bypass and block beside a tunnel',
	peers: WITH_TABLES,
	run: (peer) =>
		withPeer(peer, async (pair) => {
			const { a, b } = pair;
			const [left, right] = connectionOf(IPV4);
			const shunt = (isA: boolean, destination: string, mode: 'pass' | 'drop') => ({
				name: mode,
				local: '127.0.0.1',
				remote: '127.0.0.1',
				localTs: isA ? IPV4.netA : destination,
				remoteTs: isA ? destination : IPV4.netA,
				mode,
				espProposals: '',
				startAction: 'trap',
				// By itself charon has blocks give way to tunnels.
				child: mode === 'drop' ? 'priority = 1' : '',
			});
			const pass = '10.2.0.8/32';
			const [one] = await withCharons(pair, [
				[left, shunt(true, pass, 'pass'), shunt(true, '10.2.0.9/32', 'drop')],
				[right, shunt(false, pass, 'pass')],
			]);
			for (const address of ['10.2.0.8', '10.2.0.9']) {
				b.must(`ip address add ${address} dev lo`);
			}
			one.initiate();
			const watch = await WireWatch.start(a, 'eth0');
			assertPings(a, IPV4.innerB, PINGS);
			assertPings(a, '10.2.0.8', PINGS, `-I ${IPV4.innerA}`);
			assert.equal(a.ping('10.2.0.9', 2, `-I ${IPV4.innerA}`), 0);
			assert.equal(b.ping(IPV4.innerA, 2, '-I 10.2.0.9'), 0);
			const { esp, plain } = await watch.stop(isInner);
			assert.equal(plain, 2 * PINGS);
			// B's pings from 10.2.0.9 came protected, and were blocked.
			assert.equal(esp.length, 2 * PINGS + 2);
			assert.match(a.xfrmMust('stat'), /^XfrmInPolBlock\s+[1-9]/m);
			assert.match(a.xfrmMust('stat'), /^XfrmOutPolBlock\s+[1-9]/m);
		}),
};

/** Most pings of ten milliseconds that may go missing until the tunnel is up. */
const TRAP_LOSS_MAX = 50;

const trap: Situation = {
	group,
	name: 'a trap: the first packet brings the tunnel up',
	peers: ALL_PEERS,
	quick: true,
	run: (peer) =>
		withPeer(peer, async (pair) => {
			const { a } = pair;
			const [left, right] = connectionOf(IPV4, { encap: true });
			await withCharons(pair, [{ ...left, startAction: 'trap' }, right]);
			const watch = await WireWatch.start(a, 'eth0');
			const lost = await lossOver(a, 3, async () => {});
			const { plain } = await watch.stop(isInner);
			assert.equal(plain, 0, 'no plaintext on the wire');
			assert.equal(countStates(a), 2);
			assert.ok(lost <= TRAP_LOSS_MAX, `${lost} pings lost`);
			return `${lost} lost`;
		}),
};

const compressed: Situation = {
	group,
	name: 'IPComp within ESP: what is long is shorter on the wire, what is short goes as it is',
	peers: WITH_TABLES,
	run: (peer) =>
		withPeer(peer, async (pair) => {
			const { a, b } = pair;
			const [one] = await withCharons(pair, connectionOf(IPV4, { child: 'ipcomp = yes' }));
			one.initiate();
			assert.match(a.tables('state'), /proto comp/);
			for (const [octets, most] of [
				[1000, 400],
				[40, 200],
			] as const) {
				const watch = await WireWatch.start(a, 'eth0');
				assertPings(a, IPV4.innerB, PINGS, `-s ${octets} -p 55`);
				assertPings(b, IPV4.innerA, PINGS, `-s ${octets} -p 55 -I ${IPV4.innerB}`);
				const { esp, plain } = await watch.stop(isInner);
				assert.equal(plain, 0);
				assert.equal(esp.length, 4 * PINGS);
				assert.ok(esp.every((packet) => packet.octets < most));
			}
		}),
};

/** By if_id at this end, as a peer does not see: routes lead into a device, not policies. */
const interfaceByIfId: Situation = {
	group,
	name: 'a tunnel by if_id: routes into a device of its own, other traffic in clear',
	peers: ALL_PEERS,
	run: (peer) =>
		withPeer(peer, async (pair) => {
			const { a, b } = pair;
			const [left, right] = connectionOf(IPV4, { encap: true });
			const any = '0.0.0.0/0, ::/0';
			const [one] = await withCharons(pair, [
				{ ...left, localTs: any, remoteTs: any, child: 'if_id_in = 42\nif_id_out = 42' },
				{ ...right, localTs: IPV4.netB, remoteTs: IPV4.netA },
			]);
			one.initiate();
			assert.match(a.tables('state'), /if_id 0x2a/);
			assert.match(a.tables('policy'), /if_id 0x2a/);
			const watch = await WireWatch.start(a, 'eth0');
			// B wants such packets protected, and A has no route into the tunnel yet.
			assert.equal(a.ping(IPV4.innerB, 2, `-I ${IPV4.innerA}`), peer === 'libipsec' ? 2 : 0);
			const { plain, esp } = await watch.stop(isInner);
			assert.equal(plain >= 2, true, 'no route leads into the device');
			assert.equal(esp.length, peer === 'libipsec' ? 2 : 0);
			a.must(`ip route add ${IPV4.netB} dev xfrm-42 src ${IPV4.innerA}`);
			const again = await WireWatch.start(a, 'eth0');
			assertPings(a, IPV4.innerB, PINGS);
			assertPings(b, IPV4.innerA, PINGS, `-I ${IPV4.innerB}`);
			assertPings(a, IPV4.b, PINGS);
			const seen = await again.stop(isInner);
			assert.equal(seen.plain, 0);
			assert.equal(seen.esp.length, 4 * PINGS);
			await sendTcp(a, IPV4.innerA, b, IPV4.innerB, 300_000);
			await sendTcp(b, IPV4.innerB, a, IPV4.innerA, 300_000);
			// The device outlives the daemon: its routes go on leading there, and nowhere.
			const dead = await WireWatch.start(a, 'eth0');
			pair.daemonA.kill('SIGKILL');
			await pair.daemonA.ended;
			assert.equal(a.ping(IPV4.innerB, 3), 0);
			const daemon = await a.daemon();
			await until('traffic again', () => a.ping(IPV4.innerB, 1, '-W 0.2') === 1, 10_000);
			one.must('--terminate', '--ike', 'gw');
			await until('policies gone', () => a.tables('policy') === '');
			daemon.kill('SIGTERM');
			assert.equal(await daemon.ended, 0);
			assert.doesNotMatch(a.must('ip link'), /xfrm-42/);
			assert.equal((await dead.stop(isInner)).plain, 0);
		}),
};

/** Two tunnels with the same selectors: which one, a packet's mark says. */
const marks: Situation = {
	group,
	name: 'two tunnels between the same networks, told apart by packets’ marks',
	peers: WITH_TABLES,
	run: (peer) =>
		withPeer(peer, async (pair) => {
			const { a, b } = pair;
			const [left, right] = connectionOf(IPV4, { encap: true, startAction: 'none' });
			const child = (isA: boolean, mark: number): string =>
				`${ends(isA, IPV4.netB)}\nmark_in = ${mark}\nmark_out = ${mark}\nset_mark_in = ${mark}`;
			const [one] = await withCharons(pair, [
				{ ...left, children: { red: child(true, 42), blue: child(true, 43) } },
				{ ...right, children: { red: child(false, 42), blue: child(false, 43) } },
			]);
			// Answers of the peer have the mark of what they answer.
			b.must('sysctl -qw net.ipv4.fwmark_reflect=1');
			one.initiate('red');
			one.initiate('blue');
			for (const [name, mark] of [
				['red', 42],
				['blue', 43],
			] as const) {
				const watch = await WireWatch.start(a, 'eth0');
				assertPings(a, IPV4.innerB, PINGS, `-m ${mark} -I ${IPV4.innerA}`);
				const { esp, plain } = await watch.stop(isInner);
				assert.equal(plain, 0);
				const spi = spiOut(one, name);
				assert.equal(esp.filter((packet) => packet.spi === spi).length, PINGS, name);
				assert.equal(esp.length, 2 * PINGS);
			}
			// What has no mark is nobody's.
			const watch = await WireWatch.start(a, 'eth0');
			a.ping(IPV4.innerB, 2, `-I ${IPV4.innerA}`);
			const { esp } = await watch.stop(isInner);
			assert.equal(esp.length, 0);
		}),
};

export const policySituations: readonly Situation[] = [
	overlapping(false),
	overlapping(true),
	shunts,
	trap,
	compressed,
	interfaceByIfId,
	marks,
];
