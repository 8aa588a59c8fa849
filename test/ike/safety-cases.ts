/** What must never happen, whatever becomes of the daemon: plaintext on the wire, a number used twice. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { CAPTURE_TABLE } from '../../packages/linux/src/daemon/marks.ts';
import { Charon } from './charon.ts';
import { type Host, pause, type Running, runOn, until, XFRM } from './laboratory.ts';
import {
	assertPings,
	type Case,
	connectionOf,
	countStates,
	IPV4,
	isInner,
	lossOver,
	outerAddresses,
	settle,
	withCharons,
	withEnds,
	withLaboratory,
} from './scenario.ts';
import { assertNumbersOnce, WireWatch } from './wire-watch.ts';

/** Rounds of the case that kills the daemon: `--kills`, or IKE_KILLS. */
function rounds(): number {
	return Number(process.env['IKE_KILLS'] ?? 2);
}

/** Pings ten milliseconds apart until it is ended. */
function pingAlways(host: Host, destination: string, source: string): Running {
	return host.start(['ping', '-n', '-i', '0.01', '-W', '1', '-I', source, destination]);
}

/** Waits until a ping comes back; milliseconds it took. */
async function untilPing(host: Host, destination: string, source: string): Promise<number> {
	const begun = performance.now();
	const comesBack = (): boolean => host.ping(destination, 1, `-W 0.2 -I ${source}`) === 1;
	await until('traffic again', comesBack, 10_000);
	return performance.now() - begun;
}

/** Words before a program that is to have no rights. */
export const NOBODY: readonly string[] = ['setpriv', '--reuid=65534', '--clear-groups'];

/** A program without rights that tries to get the daemon's port id, and tells what it receives on it. */
const BINDER = `import socket, time
tries = 0
while True:
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
    try:
        s.bind((0x58465244, 0))
        print("bound", flush=True)
        s.settimeout(1)
        print(len(s.recv(65536)), flush=True)
    except OSError: pass
    s.close()
    tries += 1
    if tries % 1000 == 0: print("tries", tries, flush=True)
    time.sleep(0.0005)`;

/** Becomes ready, or is killed while it starts. */
async function restart(host: Host, killAfterMs: number | undefined): Promise<Running> {
	if (killAfterMs !== undefined) {
		const early = host.start([process.execPath, XFRM, 'daemon']);
		await pause(killAfterMs);
		early.kill('SIGKILL');
		await early.ended;
	}
	return host.daemon();
}

function median(values: readonly number[]): number {
	return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

const killed: Case = {
	name: 'safety: kill -9 under traffic: no plaintext, no number twice, tables and traffic back',
	quick: true,
	run: () =>
		withEnds(async (ends) => {
			const { a, b } = ends;
			const [one] = await withCharons(ends, connectionOf(IPV4, { encap: true }));
			const watch = await WireWatch.start(b, 'eth0');
			one.must('--initiate', '--child', 'net');
			// At once: nothing may have gone in clear behind the acknowledgements.
			assertPings(a, IPV4.innerB, 5);
			const traffic = [
				pingAlways(a, IPV4.innerB, IPV4.innerA),
				pingAlways(b, IPV4.innerA, IPV4.innerB),
			];
			const binder = a.start([...NOBODY, '/usr/bin/python3', '-c', BINDER]);
			const kills = rounds();
			let daemon = ends.daemonA;
			const policies = a.mustExec('ip xfrm policy');
			const back: number[] = [];
			for (let round = 0; round < kills; round++) {
				await pause(Math.random() * 300);
				killDaemon(daemon);
				await pause(Math.random() * 100);
				assert.equal(a.ping(IPV4.innerB, 1, '-W 0.1'), 0, 'nothing goes without a daemon');
				// Every third successor does not live to be ready.
				daemon = await restart(a, round % 3 === 2 ? Math.random() * 800 : undefined);
				back.push(await untilPing(a, IPV4.innerB, IPV4.innerA));
				if (round % 10 < 2) {
					assert.equal(countStates(a), 2);
					assert.equal(a.mustExec('ip xfrm policy'), policies);
				}
			}
			for (const pings of [...traffic, binder]) {
				pings.kill('SIGINT');
				await pings.ended;
			}
			const { esp, plain } = await watch.stop(isInner);
			assert.equal(plain, 0, 'no plaintext on the wire');
			assert.ok(esp.length > 20 * kills);
			assertNumbersOnce(esp);
			const worst = Math.max(...back);
			assert.ok(worst < 1000, `traffic was back ${worst} ms after "ready"`);
			assert.doesNotMatch(binder.stdout, /bound|^\d/m, 'the port id was never free');
			const tries = /tries (\d+)\n$/.exec(binder.stdout)?.[1] ?? 'less than 1000';
			return [
				`${kills} kills, ${esp.length} packets in ESP, none in clear, no number twice`,
				`traffic back ${median(back).toFixed(0)} ms after ready, at most ${worst.toFixed(0)} ms`,
				`${tries} tries to bind its port id`,
			].join('; ');
		}),
};

/** Kills the process of the daemon, not `ip netns exec` around it: that has become it. */
function killDaemon(daemon: Running): void {
	daemon.kill('SIGKILL');
}

const stopped: Case = {
	name: 'safety: SIGTERM: status 0 within 5 s; the guard stays while policies demand it, and goes with them',
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
			await untilPing(a, IPV4.innerB, IPV4.innerA);
			one.must('--terminate', '--ike', 'gw');
			await until('policies gone', () => a.mustExec('ip xfrm policy') === '');
			daemon.kill('SIGTERM');
			assert.equal(await daemon.ended, 0);
			assert.match(daemon.stderr, /the guard is gone/);
			assert.equal(a.run('nft list ruleset').stdout, '');
			assert.doesNotMatch(a.must('ip rule'), /fwmark/);
			assert.equal(a.run(`ip route show table ${CAPTURE_TABLE}`).stdout, '');
			const { plain } = await watch.stop(isInner);
			assert.equal(plain, 0);
		}),
};

const frozen: Case = {
	name: 'safety: SIGSTOP under traffic: nothing leaves in clear, no number twice, and it goes on',
	run: () =>
		withEnds(async (ends) => {
			const { a, b } = ends;
			const [one] = await withCharons(ends, connectionOf(IPV4));
			one.must('--initiate', '--child', 'net');
			const watch = await WireWatch.start(b, 'eth0');
			const traffic = [
				pingAlways(a, IPV4.innerB, IPV4.innerA),
				pingAlways(b, IPV4.innerA, IPV4.innerB),
			];
			for (let round = 0; round < 5; round++) {
				await pause(Math.random() * 200);
				ends.daemonA.kill('SIGSTOP');
				await pause(20);
				assert.equal(a.ping(IPV4.innerB, 3, '-W 0.2'), 0);
				ends.daemonA.kill('SIGCONT');
				const took = await untilPing(a, IPV4.innerB, IPV4.innerA);
				assert.ok(took < 1000, `traffic was back after ${took} ms`);
			}
			for (const pings of traffic) {
				pings.kill('SIGINT');
				await pings.ended;
			}
			const { esp, plain } = await watch.stop(isInner);
			assert.equal(plain, 0);
			assertNumbersOnce(esp);
		}),
};

const interfaceDown: Case = {
	name: 'safety: the interface down and up: nothing in clear by another way, and traffic is back',
	run: () =>
		withEnds(async (ends) => {
			const { laboratory, a, b } = ends;
			// Another way out, worse than the first, to somebody who listens.
			const other = laboratory.host('c');
			laboratory.wire(a, 'eth1', ['192.168.81.1/24'], other, 'eth0', ['192.168.81.3/24']);
			a.must('ip route add default via 192.168.81.3 metric 500');
			const [one] = await withCharons(ends, connectionOf(IPV4));
			one.must('--initiate', '--child', 'net');
			const watches = [await WireWatch.start(b, 'eth0'), await WireWatch.start(other, 'eth0')];
			const traffic = pingAlways(a, IPV4.innerB, IPV4.innerA);
			for (let round = 0; round < 5; round++) {
				await pause(Math.random() * 200);
				a.must('ip link set eth0 down');
				assert.equal(a.ping(IPV4.innerB, 3, `-W 0.2 -I ${IPV4.innerA}`), 0);
				if (round === 3) {
					// The daemon comes back where its interface is not there.
					killDaemon(ends.daemonA);
					await a.daemon();
				}
				a.must('ip link set eth0 up');
				a.must(`ip route add default via ${IPV4.b}`);
				const took = await untilPing(a, IPV4.innerB, IPV4.innerA);
				assert.ok(took < 2000, `traffic was back after ${took} ms`);
			}
			traffic.kill('SIGINT');
			await traffic.ended;
			for (const watch of watches) {
				const { esp, plain } = await watch.stop(isInner);
				assert.equal(plain, 0);
				assertNumbersOnce(esp);
			}
		}),
};

const charonKilled: Case = {
	name: 'safety: charon killed: tables stay in force, its successor makes them anew',
	run: () =>
		withEnds(async (ends) => {
			const { a, b } = ends;
			const connections = connectionOf(IPV4, { encap: true });
			const [one] = await withCharons(ends, connections);
			one.must('--initiate', '--child', 'net');
			const watch = await WireWatch.start(b, 'eth0');
			const traffic = pingAlways(a, IPV4.innerB, IPV4.innerA);
			one.running.kill('SIGKILL');
			await one.running.ended;
			one.forget();
			assert.equal(countStates(a), 2);
			const policies = a.mustExec('ip xfrm policy');
			assert.match(policies, /dir out/);
			// ESP in UDP stands still without the owner of its port, as in Linux; nothing goes in clear.
			await pause(700);
			assert.equal(a.ping(IPV4.innerB, 3, '-W 0.2'), 0);
			const next = await Charon.start(a, connections[0]);
			next.must('--initiate', '--child', 'net');
			// The peer takes the old states away when it hears of the new ones.
			await untilPing(a, IPV4.innerB, IPV4.innerA);
			assertPings(a, IPV4.innerB, 5);
			traffic.kill('SIGINT');
			await traffic.ended;
			// Of A only: B's charon takes its policies away for a moment, and then may answer in clear.
			const { esp, plain } = await watch.stop((address) => address === IPV4.innerA);
			assert.equal(plain, 0);
			assertNumbersOnce(esp);
		}),
};

/** Takes a namespace away with what runs in it, and makes another one of its name. */
function recycle(host: Host): void {
	const ip = (...words: readonly string[]): string =>
		spawnSync('ip', ['netns', ...words, host.namespace], { encoding: 'utf8' }).stdout;
	for (const pid of ip('pids').trim().split(/\s+/).map(Number)) {
		process.kill(pid, 'SIGKILL');
	}
	ip('del');
	ip('add');
	host.must('ip link set lo up');
}

const recycled: Case = {
	name: 'safety: a namespace that is made anew under the same name inherits nothing',
	run: () =>
		withLaboratory(async (laboratory) => {
			const host = laboratory.host('a');
			const first = await host.daemon();
			host.mustExec('ip xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out action block');
			host.mustExec(
				'ip xfrm state allocspi src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel reqid 1',
			);
			killDaemon(first);
			await first.ended;
			recycle(host);
			const second = await host.daemon();
			assert.equal(host.mustExec('ip xfrm policy'), '');
			assert.equal(host.mustExec('ip xfrm state'), '');
			assert.doesNotMatch(host.must('nft list ruleset'), /10\.2\.0\.0/);
			killDaemon(second);
			await second.ended;
		}),
};

const forged: Case = {
	name: 'safety: plaintext that a policy forbids is not delivered nor forwarded, daemon alive or dead',
	run: () =>
		withEnds(async (ends) => {
			const { laboratory, a, b } = ends;
			// A host behind A, for which its fwd policies speak.
			const behind = laboratory.host('c');
			laboratory.wire(a, 'eth1', ['10.1.0.254/24'], behind, 'eth0', ['10.1.0.9/24']);
			behind.must('ip route add default via 10.1.0.254');
			a.must('sysctl -qw net.ipv4.ip_forward=1');
			const [one] = await withCharons(ends, connectionOf(IPV4));
			one.must('--initiate', '--child', 'net');
			assert.equal(b.ping('10.1.0.9', 3, `-I ${IPV4.innerB}`), 3, 'protected it is forwarded');
			// B has no policies any more, and so sends in clear what A takes protected only.
			ends.daemonB.kill('SIGKILL');
			await ends.daemonB.ended;
			cleanUp(b);
			b.must(`ip route add 10.1.0.0/24 via ${IPV4.a}`);
			const counted = (host: Host): string =>
				host.must(['sh', '-c', 'grep ^Icmp: /proc/net/snmp | tail -1 | cut -d" " -f2']).trim();
			const before = [counted(a), counted(behind)];
			const forge = (what: string): void => {
				assert.equal(b.ping(IPV4.innerA, 3, `-W 0.3 -I ${IPV4.innerB}`), 0, what);
				assert.equal(b.ping('10.1.0.9', 3, `-W 0.3 -I ${IPV4.innerB}`), 0, what);
				assert.deepEqual([counted(a), counted(behind)], before, what);
			};
			forge('daemon alive');
			ends.daemonA.kill('SIGSTOP');
			forge('daemon stopped');
			ends.daemonA.kill('SIGKILL');
			await ends.daemonA.ended;
			forge('daemon dead');
		}),
};

/** What a dead daemon has left is taken away. */
function cleanUp(host: Host): void {
	host.xfrmMust('daemon', '--cleanup');
}

const flushed: Case = {
	name: 'safety: the host’s filter flushed under traffic: the guard stays, nothing leaves in clear',
	run: () =>
		withEnds(async (ends) => {
			const { a, b } = ends;
			const [major = 0, minor = 0] = release().split('.').map(Number);
			if (major < 6 || (major === 6 && minor < 9)) {
				return 'not tried: Linux before 6.9 lets anybody take a table away';
			}
			const [one] = await withCharons(ends, connectionOf(IPV4));
			one.must('--initiate', '--child', 'net');
			const watch = await WireWatch.start(b, 'eth0');
			const lost = await lossOver(a, 2, async () => {
				for (let round = 0; round < 20; round++) {
					a.must('nft flush ruleset');
				}
			});
			assert.equal(lost, 0);
			assert.match(a.must('nft list tables'), /^table inet xfrm$/m);
			const { plain } = await watch.stop(isInner);
			assert.equal(plain, 0);
			return undefined;
		}),
};

const full: Case = {
	name: 'safety: the state folder full under traffic: it goes on, and a successor knows when there is room',
	run: () =>
		withLaboratory(async (laboratory) => {
			const [a, b] = [laboratory.host('a'), laboratory.host('b')];
			laboratory.wire(a, 'eth0', outerAddresses('a'), b, 'eth0', outerAddresses('b'));
			settle(a, 'a');
			settle(b, 'b');
			const folder = join(a.folder, 'state');
			mkdirSync(folder);
			const mount = ['mount', '-t', 'tmpfs', '-o', 'size=1m,mode=0700', 'none', folder];
			assert.equal(runOn(a.machine, mount).status, 0);
			try {
				const start = (): Promise<Running> => a.daemon('--state-dir', folder);
				const [first] = await Promise.all([start(), b.daemon()]);
				const [one] = await withCharons({ laboratory, a, b, daemonA: first }, connectionOf(IPV4));
				one.must('--initiate', '--child', 'net');
				const watch = await WireWatch.start(b, 'eth0');
				const fill = ['sh', '-c', `head -c 2M /dev/zero > ${folder}/filler`];
				assert.notEqual(a.run(fill).status, 0, 'no room is left');
				const lost = await lossOver(a, 2, async () => {
					one.must('--rekey', '--child', 'net');
				});
				assert.equal(lost, 0, 'pings lost');
				assert.match(first.stderr, /the journal cannot be written .*: a successor would not know/);
				rmSync(join(folder, 'filler'));
				a.mustExec('ip xfrm policy add src 10.9.0.0/16 dst 10.8.0.0/16 dir out action block');
				await a.untilText(() => first.stderr, /the journal is written again/);
				const spis = (): string[] => a.mustExec('ip xfrm state').match(/spi 0x[0-9a-f]+/g) ?? [];
				// charon deletes what it has rekeyed some seconds later.
				await until('the old states are gone', () => spis().length === 2, 10_000);
				const states = spis();
				killDaemon(first);
				await start();
				assert.deepEqual(spis(), states);
				await untilPing(a, IPV4.innerB, IPV4.innerA);
				const { esp, plain } = await watch.stop(isInner);
				assert.equal(plain, 0);
				assert.ok(esp.length > 400);
				assertNumbersOnce(esp);
			} finally {
				runOn(a.machine, ['umount', '-l', folder]);
			}
		}),
};

export const safetyCases: readonly Case[] = [
	killed,
	stopped,
	frozen,
	full,
	flushed,
	interfaceDown,
	charonKilled,
	recycled,
	forged,
];
