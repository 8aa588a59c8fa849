/** What becomes of connections in the course of time: rekeying, a charon that dies, a NAT that forgets. */
import assert from 'node:assert/strict';
import { Charon } from './charon.ts';
import { type Host, Laboratory, pause, type Running, until } from './laboratory.ts';
import {
	assertPings,
	type Case,
	connectionOf,
	countStates,
	IPV4,
	isInner,
	withCharons,
	withEnds,
} from './scenario.ts';
import { WireWatch } from './wire-watch.ts';

/** Pings ten milliseconds apart, for so many seconds, while something happens; how many went missing. */
async function lossOver(host: Host, seconds: number, run: () => Promise<void>): Promise<number> {
	const count = String(100 * seconds);
	const traffic: Running = host.start([
		'ping',
		'-n',
		'-q',
		'-i',
		'0.01',
		'-W',
		'1',
		'-c',
		count,
		IPV4.innerB,
	]);
	await pause(300);
	await run();
	assert.equal(traffic.process.exitCode, null, 'pings went on all the time');
	await traffic.ended;
	const [, received = '0'] = /(\d+) received/.exec(traffic.stdout) ?? [];
	return Number(count) - Number(received);
}

const rekey: Case = {
	name: 'CHILD_SA and IKE_SA rekeyed under pings of 10 ms: none is lost, no number twice',
	run: () =>
		withEnds(async (ends) => {
			const { a, b } = ends;
			const [one, other] = await withCharons(ends, connectionOf(IPV4, { encap: true }));
			one.must('--initiate', '--child', 'net');
			const watch = await WireWatch.start(b, 'eth0');
			const lost = await lossOver(a, 6, async () => {
				for (const charon of [one, other, one]) {
					charon.must('--rekey', '--child', 'net');
					await pause(500);
				}
				one.must('--rekey', '--ike', 'gw');
				await pause(500);
			});
			assert.equal(lost, 0);
			const { esp, plain } = await watch.stop(isInner);
			assert.equal(plain, 0);
			assert.ok(new Set(esp.map(({ spi }) => spi)).size >= 8, 'four generations of states');
			const numbers = esp.map(({ spi, seq }) => `${spi}:${seq}`);
			assert.equal(new Set(numbers).size, numbers.length);
			assert.equal(countStates(a) >= 2, true);
		}),
};

const restarted: Case = {
	name: 'charon killed and started again: its port is shared anew, the tunnel comes up',
	run: () =>
		withEnds(async (ends) => {
			const { a, daemonA } = ends;
			const [left, right] = connectionOf(IPV4, { encap: true });
			const [one] = await withCharons(ends, [left, right]);
			one.must('--initiate', '--child', 'net');
			assertPings(a, IPV4.innerB, 5);
			one.running.kill('SIGKILL');
			await one.running.ended;
			await until('port dropped', () => daemonA.stderr.includes('has lost its owner'));
			assert.equal(a.ping(IPV4.innerB, 2), 0, 'ESP in UDP stops with the owner of its port');
			one.forget();
			const again = await Charon.start(a, left);
			again.must('--initiate', '--child', 'net');
			assertPings(a, IPV4.innerB, 5);
		}),
};

/** A behind a router that translates addresses, B in front of it. */
const translated: Case = {
	name: 'behind a NAT: ESP in UDP, and a new port is followed',
	run: async () => {
		const laboratory = new Laboratory();
		try {
			const [a, r, b] = ['a', 'r', 'b'].map((name) => laboratory.host(name)) as [Host, Host, Host];
			laboratory.wire(a, 'eth0', ['192.168.80.1/24'], r, 'eth0', ['192.168.80.254/24']);
			laboratory.wire(r, 'eth1', ['192.168.81.254/24'], b, 'eth0', ['192.168.81.2/24']);
			r.must('sysctl -qw net.ipv4.ip_forward=1');
			const translate = (ports: string): string =>
				'table ip nat {\nchain out {\ntype nat hook postrouting priority srcnat\n' +
				`oifname "eth1" ip protocol udp masquerade to :${ports}\n}\n}\n`;
			r.must('nft -f -', translate('20000-20999'));
			a.must(`ip address add ${IPV4.innerA} dev lo`);
			b.must(`ip address add ${IPV4.innerB} dev lo`);
			a.must('ip route add default via 192.168.80.254');
			await Promise.all([a.daemon(), b.daemon()]);
			const [one] = await Promise.all([
				Charon.start(a, {
					local: '192.168.80.1',
					remote: '192.168.81.2',
					localTs: IPV4.netA,
					remoteTs: IPV4.netB,
				}),
				Charon.start(b, {
					local: '192.168.81.2',
					remote: '%any',
					localTs: IPV4.netB,
					remoteTs: IPV4.netA,
				}),
			]);
			one.must('--initiate', '--child', 'net');
			assertPings(a, IPV4.innerB, 5);
			assert.match(b.mustExec('ip xfrm state'), /encap type espinudp sport 20\d{3} dport 4500/);
			// The NAT forgets, and gives another port.
			r.must('nft flush ruleset');
			r.must('nft -f -', translate('30000-30999'));
			r.run('conntrack -F');
			r.must('ip link set eth1 down');
			r.must('ip link set eth1 up');
			const mapped = (): boolean => /sport 30\d{3}/.test(b.mustExec('ip xfrm state'));
			a.ping(IPV4.innerB, 5);
			await until('the new port is in the states', mapped, 10_000);
			assertPings(a, IPV4.innerB, 5);
		} finally {
			await laboratory.close();
		}
	},
};

export const lifeCases: readonly Case[] = [rekey, restarted, translated];
