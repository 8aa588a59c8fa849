/** What a program under `xfrm exec` sees of itself: as if it had been started plainly. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Host, Laboratory, pause, type Running, until } from './laboratory.ts';
import type { Case } from './scenario.ts';

async function withDaemon(
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

function client(name: string): string {
	return fileURLToPath(new URL(`./clients/${name}`, import.meta.url));
}

function compiled(host: Host, output: string, words: readonly string[]): string {
	const file = join(host.folder, output);
	const [compiler = '', ...args] = words;
	const { status, stderr } = spawnSync(
		compiler,
		[...args.slice(0, -1), '-o', file, args.at(-1) ?? ''],
		{
			encoding: 'utf8',
			env: { ...process.env, CGO_ENABLED: '0', GO111MODULE: 'off', GOPATH: '/usr/share/gocode' },
		},
	);
	assert.equal(status, 0, stderr);
	return file;
}

const habits: Case = {
	name: 'exec: what programs do with a socket, static or not, is as the kernel has it',
	quick: true,
	run: () =>
		withDaemon(async (host) => {
			const source = client('netlink-habits.c');
			const dynamic = compiled(host, 'dynamic', ['gcc', '-O2', '-pthread', source]);
			const isStatic = compiled(host, 'static', ['gcc', '-O2', '-static', '-pthread', source]);
			assert.equal(host.must(['unshare', '-n', dynamic]), 'ok\n', 'the kernel itself');
			assert.equal(host.mustExec(dynamic), 'ok\n');
			assert.equal(host.mustExec(isStatic), 'ok\n');
			assert.equal(host.xfrmMust('exec', '--seccomp', '--', dynamic), 'ok\n');
			// A few open files only.
			const command = host.command('exec', '--', isStatic);
			assert.equal(host.must(['sh', '-c', `ulimit -Sn 40; ${command}`]), 'ok\n');
			const told = host.xfrm('exec', '--verbose', '--', isStatic).stderr;
			assert.match(told, /static is linked statically: reached by its system calls/);
			assert.match(host.xfrm('exec', '--verbose', '--', dynamic).stderr, /LD_PRELOAD/);
		}),
};

const NETLINK_GO = '/usr/share/gocode/src/github.com/vishvananda/netlink';

const goClient: Case = {
	name: 'exec: a static Go program adds, lists and deletes states and policies',
	run: () =>
		withDaemon(async (host) => {
			if (!existsSync(NETLINK_GO) || !existsSync('/usr/bin/go')) {
				assert.notEqual(process.env['CI'], 'true', 'the packages are there');
				return 'not tried: apt-get install golang golang-github-vishvananda-netlink-dev';
			}
			const source = client('states-and-policies.go');
			const program = compiled(host, 'go-client', ['go', 'build', source]);
			const told = 'again: file exists\n1 4660 1 10.2.0.0/16\n';
			assert.equal(host.mustExec(`${program} keep`), told);
			assert.match(host.mustExec('ip xfrm state'), /spi 0x00001234 reqid 7 mode tunnel/);
			assert.match(host.mustExec('ip xfrm policy'), /^src 10.1.0.0\/16 dst 10.2.0.0\/16/);
			host.mustExec('ip xfrm policy flush');
			host.mustExec('ip xfrm state flush');
			assert.equal(host.mustExec(program), `${told}done\n`);
			assert.equal(host.mustExec('ip xfrm state'), '');
			return undefined;
		}),
};

const rights: Case = {
	name: 'exec: whoever is supervised has no more rights than without, and no way around it',
	run: () =>
		withDaemon(async (host) => {
			const supervised = (...words: readonly string[]): ReturnType<Host['xfrm']> =>
				host.xfrm('exec', '--seccomp', '--', ...words);
			const count = ['/usr/sbin/ip', 'xfrm', 'state', 'count'];
			host.mustExec(
				'ip xfrm state allocspi src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel reqid 1',
			);
			// With nothing of its environment left it asks the daemon still; the shim is lost so.
			assert.match(supervised('env', '-i', ...count).stdout, /SAD count 1/);
			for (const words of [count, ['/usr/sbin/ip', 'xfrm', 'policy', 'flush']]) {
				const { status, stderr } = supervised(
					'setpriv',
					'--reuid=65534',
					'--clear-groups',
					...words,
				);
				assert.notEqual(status, 0);
				assert.match(stderr, /Operation not permitted/);
			}
			// A program that runs as another user, whose loader heeds no LD_PRELOAD.
			const other = join(host.folder, 'ip');
			host.must(`cp /usr/sbin/ip ${other}`);
			host.must(`chown 65534 ${other}`);
			host.must(`chmod 4755 ${other}`);
			host.must(`chmod 755 ${host.folder} ${join(host.folder, '..')}`);
			const { stderr } = host.xfrm('exec', '--verbose', '--', other, 'xfrm', 'state', 'count');
			assert.match(stderr, /rights of another user: reached by its system calls/);
			assert.match(stderr, /Operation not permitted/);
			// Socket options that need a right: a bypass of all policies.
			const bypass = `import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    s.setsockopt(0, 17, bytes(168))
    print(hex(s.getsockopt(1, 36)))
except OSError as e: print(e.errno)`;
			assert.equal(supervised('python3', '-c', bypass).stdout, '0x58465201\n');
			const nobody = [
				'setpriv',
				'--reuid=65534',
				'--clear-groups',
				'/usr/bin/python3',
				'-c',
				bypass,
			];
			assert.equal(supervised(...nobody).stdout, '1\n');
		}),
};

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

const supervisor: Case = {
	name: 'exec: the supervisor goes with the last program that it serves, and reads nothing for others',
	run: () =>
		withDaemon(async (host) => {
			const supervisors = (): string[] =>
				host
					.must(['sh', '-c', 'grep -l xfrm-superviso /proc/[0-9]*/comm || true'])
					.split('\n')
					.map((path) => path.split('/')[2] ?? '')
					.filter((pid) => pid !== '' && isInNamespace(host, pid));
			const monitor = host.start(
				host.command('exec', '--seccomp', '--', 'ip', 'xfrm', 'monitor').split(' '),
			);
			await host.untilListening(0xffff_ffff);
			const [pid = ''] = supervisors();
			assert.deepEqual(supervisors(), [pid]);
			// Nothing of the program's is open there, and no other user may look into it.
			const open = host
				.must(['sh', '-c', `readlink /proc/${pid}/fd/*`])
				.trim()
				.split('\n');
			const odd = open.filter(
				(link) => !/^(\/dev\/null|net:|anon_inode:seccomp|socket:)/.test(link),
			);
			assert.deepEqual(odd, []);
			const dumpable = host.run([
				'setpriv',
				'--reuid=65534',
				'--clear-groups',
				'cat',
				`/proc/${pid}/maps`,
			]);
			assert.notEqual(dumpable.status, 0);
			host.mustExec(
				'ip xfrm state allocspi src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel reqid 1',
			);
			host.mustExec('ip xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out action block');
			await host.untilText(() => monitor.stdout, /10\.2\.0\.0\/16/);
			// A signal ends a program that waits for the daemon.
			monitor.kill('SIGTERM');
			assert.equal(await monitor.ended, 'SIGTERM');
			await host.untilText(() => supervisors().join(' '), /^$/);
		}),
};

/** Zombies have no namespace any more. */
function isInNamespace(host: Host, pid: string): boolean {
	const own = host.must('readlink /proc/self/ns/net');
	return host.run(`readlink /proc/${pid}/ns/net`).stdout === own;
}

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
	habits,
	goClient,
	rights,
	lateRights,
	supervisor,
];
