/** What a program under `xfrm exec` sees of itself: as if it had been started plainly. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type Host, Laboratory, pause, type Running, until, XFRM } from './laboratory.ts';
import type { Case } from './scenario.ts';

/** Runs with a host on which the daemon runs. */
export async function withDaemon(
	run: (host: Host, daemon: Running) => Promise<unknown>,
): Promise<unknown> {
	const laboratory = new Laboratory();
	try {
		const host = laboratory.host('a');
		return await run(host, await host.daemon());
	} finally {
		await laboratory.close();
	}
}

/** Lines of /proc/self that a start by Node could change. */
const LOOK = [
	'grep -E "^(Sig(Pnd|Blk|Ign|Cgt)|ShdPnd|Cap|NoNewPrivs|Umask|Groups)" /proc/self/status',
	'cat /proc/self/limits',
	'ls /proc/self/fd',
	'grep flags /proc/self/fdinfo/0 /proc/self/fdinfo/1 /proc/self/fdinfo/2',
	'readlink /proc/self/cwd',
].join('; ');

/** Both ways in which a program is led to the daemon. */
const WAYS: readonly (readonly string[])[] = [[], ['--seccomp']];

const lateRights: Case = {
	name: 'a program that sends, and then becomes one with rights, gets EPERM',
	run: () =>
		withDaemon(async (host, daemon) => {
			const sleep = join(host.folder, 'sleep');
			host.must(`cp /bin/sleep ${sleep}`);
			host.must(`setcap cap_net_admin+ep ${sleep}`);
			host.must(`chmod 755 ${host.folder} ${join(host.folder, '..')}`);
			const script = `import os, socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
os.set_inheritable(s.fileno(), True)
if os.fork() == 0:
    s.sendto(struct.pack("=IHHIII", 20, 35, 5, 1, 0, 0xffffffff), (0x58465244, 0))
    os.execv("${sleep}", ["sleep", "3"])
print(*struct.unpack("=IHHIIi", s.recv(500)[:20])[1::4])`;
			daemon.kill('SIGSTOP');
			const nobody = [
				'setpriv',
				'--reuid=65534',
				'--clear-groups',
				'/usr/bin/python3',
				'-c',
				script,
			];
			const program = host.start(nobody);
			await pause(1500);
			daemon.kill('SIGCONT');
			await host.untilText(() => program.stdout, /\n/);
			assert.equal(program.stdout, '2 -1\n', 'an error message, EPERM');
		}),
};

/** Asks once, tells its port id, and takes what comes until it is told to end. */
const ASKED = `import socket, struct, sys
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6)
s.sendto(struct.pack("=IHHIII", 20, 35, 1, 1, 0, 0xffffffff), (0, 0))
print(struct.unpack("=IHH", s.recvfrom(500)[0][:8])[1], s.getsockname()[0], flush=True)
s.settimeout(1.5)
try: print(s.recvfrom(500))
except TimeoutError: print("nothing more")`;

const unsolicited: Case = {
	name: 'exec: nobody but the daemon can send to a program’s socket',
	run: () =>
		withDaemon(async (host) => {
			for (const way of WAYS) {
				const words = ['exec', ...way, '--', '/usr/bin/python3', '-c', ASKED];
				const program = host.start([process.execPath, XFRM, ...words]);
				await host.untilText(() => program.stdout, /\n/);
				const [type, port] = program.stdout.trim().split(' ');
				assert.equal(type, '34', 'NEWSADINFO');
				const flood = `import socket
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
for i in range(100):
    try: s.sendto(bytes(20), (${port}, 0)); print("sent")
    except ConnectionRefusedError: pass`;
				const nobody = ['setpriv', '--reuid=65534', '--clear-groups', '/usr/bin/python3'];
				assert.equal(host.must([...nobody, '-c', flood]), '');
				assert.equal(await program.ended, 0, program.stderr);
				assert.match(program.stdout, /nothing more\n$/);
			}
		}),
};

/** Sends five packets past all policies and one that is blocked; tells the mark that it sees after each step. */
const MARKED = `import os, socket
SO_MARK, BYPASS = 36, bytes(168)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
mark = lambda value: s.setsockopt(socket.SOL_SOCKET, SO_MARK, value)
told = lambda: print(s.getsockopt(socket.SOL_SOCKET, SO_MARK))
to = ("192.0.2.2", 500)
mark(7); s.setsockopt(socket.IPPROTO_IP, 17, BYPASS); told()
s.sendto(b"1", to)
mark(9); told()
s.sendmsg([b"2"], [(socket.IPPROTO_IP, socket.IP_TTL, (9).to_bytes(4, "little"))], 0, to)
s.connect(to)
d = s.dup(); os.write(d.fileno(), b"3")
s.sendmsg([b"4"], [(socket.SOL_SOCKET, SO_MARK, (7).to_bytes(4, "little"))])
mark(0); told()
s.send(b"5")
mark(7); s.setsockopt(socket.IPPROTO_IP, 17, None, 0); told()
s.send(b"captured")`;

const marked: Case = {
	name: 'exec: a socket that bypasses all policies has a mark of its own, before and behind',
	run: () =>
		withDaemon(async (host) => {
			host.must('ip link add eth0 type veth peer name eth1');
			host.must('ip address add 192.0.2.1/24 dev eth0');
			for (const device of ['eth0', 'eth1']) {
				host.must(`ip link set ${device} up`);
			}
			host.must('ip neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev eth0');
			const marks = ['0x00000000', '0x00000007', '0x00000009'];
			const rules = marks.map((mark) => `meta mark ${mark} counter`).join('\n');
			host.must(
				'nft -f -',
				`table ip seen {\nchain out {\ntype filter hook postrouting priority 0\nudp dport != 500 accept\n${rules}\n}\n}\n`,
			);
			host.mustExec('ip xfrm policy add dst 192.0.2.0/24 dir out action block');
			const words = ['exec', '--', '/usr/bin/python3', '-c', MARKED];
			assert.equal(host.xfrmMust(...words), '7\n9\n0\n7\n');
			const seen = host.must('nft list table ip seen');
			const counts = [...seen.matchAll(/mark (\w+) counter packets (\d+)/g)];
			assert.deepEqual(
				counts.map(([, mark, count]) => `${mark} ${count}`),
				[`${marks[0]} 1`, `${marks[1]} 2`, `${marks[2]} 2`],
			);
		}),
};

export const execCases: readonly Case[] = [
	{
		name: 'exec: signals, limits, descriptors and flags are those of a plain start',
		run: () =>
			withDaemon(async (host) => {
				for (const around of ['', 'ulimit -Sn 300; ', "trap '' HUP PIPE; ", 'ulimit -c 0; ']) {
					const plain = host.must(['sh', '-c', `${around}sh -c '${LOOK}'`]);
					for (const way of WAYS) {
						const command = host.command('exec', ...way, '--', 'sh', '-c', `'${LOOK}'`);
						assert.equal(host.must(['sh', '-c', `${around}${command}`]), plain, around);
					}
				}
				// Descriptors that are given go through.
				const inner = host.command('exec', '--', 'sh', '-c', "'cat <&7'");
				const through = host.must(['sh', '-c', `exec 7</etc/os-release; ${inner}`]);
				assert.equal(through, host.must('cat /etc/os-release'));
			}),
	},
	{
		name: 'exec: statuses, and silence',
		run: () =>
			withDaemon(async (host) => {
				const rows: readonly [readonly string[], number][] = [
					[['sh', '-c', 'exit 7'], 7],
					[['/nowhere/program'], 127],
					[['no-such-program'], 127],
					[['/etc/passwd'], 126],
				];
				for (const way of WAYS) {
					for (const [words, status] of rows) {
						const title = [...way, ...words].join(' ');
						assert.equal(host.xfrm('exec', ...way, '--', ...words).status, status, title);
					}
					const silent = host.xfrm('exec', ...way, '--', 'true');
					assert.deepEqual(silent, { status: 0, stdout: '', stderr: '' });
					const inner = host.command('exec', ...way, '--', 'sh', '-c', "'echo $$'");
					const pids = host.must(['sh', '-c', `echo $$; exec ${inner}`]);
					const [before, after] = pids.trim().split('\n');
					assert.equal(after, before, 'the same process');
				}
			}),
	},
	{
		name: 'exec: what another user runs is told nothing by the loader of a library that is not theirs to read',
		run: () =>
			withDaemon(async (host) => {
				const nobody = 'setpriv --reuid=65534 --clear-groups';
				const python = 'import subprocess; print(subprocess.run(["id", "-u"]).returncode)';
				for (const inner of ['id -u', 'sh -c "id -u"', `/usr/bin/python3 -c '${python}'`]) {
					const { stdout, stderr } = host.xfrm('exec', '--', 'sh', '-c', `exec ${nobody} ${inner}`);
					assert.match(stdout, /^65534\n/);
					assert.equal(stderr, '', inner);
				}
				// Others of LD_PRELOAD stay.
				const words = ['exec', '--', ...nobody.split(' '), 'sh', '-c', 'echo $LD_PRELOAD'];
				const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
				const other = `/usr/lib/${machine}-linux-gnu/libm.so.6`;
				const kept = host.wrapped(['env', `LD_PRELOAD=${other}`], ...words);
				assert.equal(kept.stdout, `${other}:\n`);
			}),
	},
	{
		name: 'exec: without a daemon it waits, says so and ends with 2',
		run: async () => {
			const laboratory = new Laboratory();
			try {
				const host = laboratory.host('a');
				const begun = performance.now();
				const { status, stderr } = host.xfrm('exec', '--wait', '1', '--', 'true');
				assert.equal(status, 2);
				assert.match(stderr, /no xfrm daemon answers/);
				assert.ok(performance.now() - begun > 1000);
			} finally {
				await laboratory.close();
			}
		},
	},
	{
		name: 'a policy is in force when its request is answered',
		run: () =>
			withDaemon(async (host) => {
				for (let i = 1; i <= 5; i++) {
					host.mustExec(
						`ip xfrm policy add src 10.1.0.0/16 dst 10.${i}.0.0/16 dir out action block`,
					);
					assert.match(host.must('nft list table inet xfrm'), new RegExp(`10\\.${i}\\.0\\.0`));
				}
				host.mustExec('ip xfrm policy flush');
				const chain = (): string => host.must('nft list table inet xfrm');
				await until('the filter lets go', () => !chain().includes('10.1.0.0'));
			}),
	},
	{
		name: 'a sysctl counts for the next request',
		run: () =>
			withDaemon(async (host) => {
				for (let seconds = 41; seconds <= 43; seconds++) {
					host.must(`sysctl -qw net.core.xfrm_acq_expires=${seconds}`);
					host.mustExec(
						`ip xfrm state allocspi src 192.0.2.1 dst 192.0.2.${seconds} proto esp mode tunnel reqid 1`,
					);
					const told = host.mustExec('ip -s xfrm state');
					assert.match(told, new RegExp(`expire add: soft 0\\(sec\\), hard ${seconds}\\(sec\\)`));
				}
				host.must('sysctl -qw net.ipv4.ip_no_pmtu_disc=1');
				const state = 'src 192.0.2.1 dst 192.0.2.2 proto comp spi 0x100';
				host.mustExec(`ip xfrm state add ${state} comp deflate`);
				assert.match(host.mustExec('ip xfrm state'), /flag nopmtudisc/);
			}),
	},
	lateRights,
	unsolicited,
	marked,
];
