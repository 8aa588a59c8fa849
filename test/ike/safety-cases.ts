/** What must never happen, whatever becomes of the daemon: plaintext on the wire, a number used twice. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import type { Host, Running } from './laboratory.ts';
import { pause, until } from './laboratory.ts';
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

/** Rounds of a case that repeats what it does; more by IKE_KILLS. */
const KILLS = Number(process.env['IKE_KILLS'] ?? 2);

/** Pings ten milliseconds apart until it is ended. */
function pingAlways(host: Host, destination: string): Running {
	return host.start(['ping', '-n', '-i', '0.01', '-W', '1', destination]);
}

/** SPIs with a number that was seen twice. */
function repeated(esp: readonly { readonly spi: number; readonly seq: number }[]): string[] {
	const seen = new Set<string>();
	const twice: string[] = [];
	for (const { spi, seq } of esp) {
		const key = `${spi.toString(16)}:${seq}`;
		if (seen.has(key)) {
			twice.push(key);
		}
		seen.add(key);
	}
	return twice;
}

/** Waits until a ping comes back; milliseconds it took. */
async function untilPing(host: Host, destination: string): Promise<number> {
	const begun = performance.now();
	await until('traffic again', () => host.ping(destination, 1, '-W 0.2') === 1, 10_000);
	return performance.now() - begun;
}

const killed: Case = {
	name: 'kill -9 under traffic: no plaintext, no number twice, tables and traffic back',
	quick: true,
	run: () =>
		withEnds(async (ends) => {
			const { a, b } = ends;
			const [one] = await withCharons(ends, connectionOf(IPV4, { encap: true }));
			const watch = await WireWatch.start(b, 'eth0');
			one.must('--initiate', '--child', 'net');
			// At once: nothing may have gone in clear behind the acknowledgements.
			assertPings(a, IPV4.innerB, 5);
			const traffic = pingAlways(a, IPV4.innerB);
			let daemon = ends.daemonA;
			const policies = a.mustExec('ip xfrm policy');
			for (let round = 0; round < KILLS; round++) {
				await pause(Math.random() * 300);
				killDaemon(daemon);
				await pause(Math.random() * 300);
				assert.equal(a.ping(IPV4.innerB, 1), 0, 'nothing goes through without a daemon');
				daemon = await a.daemon();
				assert.equal(countStates(a), 2);
				assert.equal(a.mustExec('ip xfrm policy'), policies);
				const took = await untilPing(a, IPV4.innerB);
				assert.ok(took < 1000, `traffic was back after ${took} ms`);
			}
			traffic.kill('SIGINT');
			await traffic.ended;
			const { esp, plain } = await watch.stop(isInner);
			assert.equal(plain, 0, 'no plaintext on the wire');
			assert.ok(esp.length > 20);
			assert.deepEqual(repeated(esp), []);
		}),
};

/** Kills the process of the daemon, not `ip netns exec` around it: that has become it. */
function killDaemon(daemon: Running): void {
	daemon.kill('SIGKILL');
}

const stopped: Case = {
	name: 'SIGTERM: status 0 within 5 s; the guard stays while policies demand it, and goes with them',
	run: () =>
		withEnds(async (ends) => {
			const { a, b } = ends;
			const [one] = await withCharons(ends, connectionOf(IPV4));
			one.must('--initiate', '--child', 'net');
			const watch = await WireWatch.start(b, 'eth0');
			const begun = performance.now();
			ends.daemonA.kill('SIGTERM');
			assert.equal(await ends.daemonA.ended, 0);
			assert.ok(performance.now() - begun < 5000);
			assert.match(ends.daemonA.stderr, /the guard stays/);
			assert.equal(a.ping(IPV4.innerB, 3), 0);
			assert.equal(a.ping(IPV4.innerB, 3, `-I ${IPV4.innerA}`), 0);
			const daemon = await a.daemon();
			assert.equal(countStates(a), 2);
			await untilPing(a, IPV4.innerB);
			one.must('--terminate', '--ike', 'gw');
			await until('policies gone', () => a.mustExec('ip xfrm policy') === '');
			daemon.kill('SIGTERM');
			assert.equal(await daemon.ended, 0);
			assert.match(daemon.stderr, /the guard is gone/);
			assert.equal(a.run('nft list ruleset').stdout, '');
			assert.doesNotMatch(a.must('ip rule'), /fwmark/);
			assert.equal(a.run('ip route show table 1481003776').stdout, '');
			const { plain } = await watch.stop(isInner);
			assert.equal(plain, 0);
		}),
};

const frozen: Case = {
	name: 'SIGSTOP: nothing leaves in clear, and traffic goes on afterwards',
	run: () =>
		withEnds(async (ends) => {
			const { a, b } = ends;
			const [one] = await withCharons(ends, connectionOf(IPV4));
			one.must('--initiate', '--child', 'net');
			const watch = await WireWatch.start(b, 'eth0');
			ends.daemonA.kill('SIGSTOP');
			assert.equal(a.ping(IPV4.innerB, 5), 0);
			ends.daemonA.kill('SIGCONT');
			assertPings(a, IPV4.innerB, 5);
			const { plain } = await watch.stop(isInner);
			assert.equal(plain, 0);
		}),
};

const forged: Case = {
	name: 'plaintext that a policy forbids is not delivered, daemon alive or dead',
	run: () =>
		withEnds(async (ends) => {
			const { a, b } = ends;
			const [one] = await withCharons(ends, connectionOf(IPV4));
			one.must('--initiate', '--child', 'net');
			// B has no policies any more, and so sends in clear what A takes protected only.
			ends.daemonB.kill('SIGKILL');
			await ends.daemonB.ended;
			cleanUp(b);
			const counted = (): string =>
				a.must(['sh', '-c', 'grep ^Icmp: /proc/net/snmp | tail -1 | cut -d" " -f2']).trim();
			const before = counted();
			assert.equal(b.ping(IPV4.innerA, 3, `-I ${IPV4.innerB}`), 0);
			assert.equal(counted(), before, 'daemon alive');
			ends.daemonA.kill('SIGKILL');
			await ends.daemonA.ended;
			assert.equal(b.ping(IPV4.innerA, 3, `-I ${IPV4.innerB}`), 0);
			assert.equal(counted(), before, 'daemon dead');
		}),
};

/** What a dead daemon has left is taken away. */
function cleanUp(host: Host): void {
	host.xfrmMust('daemon', '--cleanup');
}

const unprivileged: Case = {
	name: 'a user without rights: EPERM for everything, and never the port id',
	run: () =>
		withEnds(async ({ a, daemonA }) => {
			const as = (command: string): ReturnType<Host['run']> =>
				a.run(['setpriv', '--reuid=65534', '--clear-groups', 'sh', '-c', command]);
			// As root the shim is compiled and found; the program itself runs without rights.
			a.mustExec('ip xfrm state count');
			for (const command of ['state list', 'policy flush', 'state count']) {
				const { status, stderr } = a.exec(
					`setpriv --reuid=65534 --clear-groups ip xfrm ${command}`,
				);
				assert.notEqual(status, 0);
				assert.match(stderr, /Operation not permitted/);
			}
			const bind = `import socket
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
try:
    s.bind((0x58465244, 0)); print("bound")
except OSError as e:
    print(e.errno)`;
			const tryToBind = (): string => as(`python3 -c '${bind}'`).stdout.trim();
			assert.equal(tryToBind(), '98');
			daemonA.kill('SIGKILL');
			await daemonA.ended;
			assert.equal(tryToBind(), '98', 'the keeper holds it');
			const daemon = await a.daemon();
			a.mustExec('ip xfrm state count');
			daemon.kill('SIGTERM');
			assert.equal(await daemon.ended, 0);
			const pids = spawnSync('ip', ['netns', 'pids', a.namespace], { encoding: 'utf8' });
			assert.equal(pids.stdout.trim(), '', 'no keeper is left behind');
		}),
};

export const safetyCases: readonly Case[] = [killed, stopped, frozen, forged, unprivileged];
