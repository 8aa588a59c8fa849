/** Programs that `xfrm exec` reaches by their system calls: static ones, Go's, those of other users. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withDaemon } from './exec-cases.ts';
import { type Host, XFRM } from './laboratory.ts';
import type { Case } from './scenario.ts';

/** Path of a program's source among those of the suite. */
export function client(name: string): string {
	return fileURLToPath(new URL(`./clients/${name}`, import.meta.url));
}

/** Compiles with words that end with the source; the file, in the host's folder. */
export function compiled(host: Host, output: string, words: readonly string[]): string {
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

function staticHabits(): readonly string[] {
	return ['gcc', '-O2', '-static', '-DSTATIC', '-pthread', client('netlink-habits.c')];
}

const habits: Case = {
	name: 'exec: what programs do with a socket, static or not, is as the kernel has it',
	quick: true,
	run: () =>
		withDaemon(async (host) => {
			const source = client('netlink-habits.c');
			const dynamic = compiled(host, 'dynamic', ['gcc', '-O2', '-pthread', source]);
			const isStatic = compiled(host, 'static', staticHabits());
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

/** Prints the mark of a socket that has asked for a bypass of all policies, or the errno. */
const BYPASS = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    s.setsockopt(0, 17, bytes(168))
    print(hex(s.getsockopt(1, 36)))
except OSError as e: print(e.errno)`;

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
			assert.equal(supervised('python3', '-c', BYPASS).stdout, '0x58461201\n');
			const nobody = [
				'setpriv',
				'--reuid=65534',
				'--clear-groups',
				'/usr/bin/python3',
				'-c',
				BYPASS,
			];
			assert.equal(supervised(...nobody).stdout, '1\n');
		}),
};

const namespaces: Case = {
	name: 'exec: who has rights in a user namespace of its own has them over no socket of another',
	run: () =>
		withDaemon(async (host) => {
			const bypass = (...words: readonly string[]): string => {
				const python = ['/usr/bin/python3', '-c', BYPASS];
				return host.xfrmMust('exec', '--seccomp', '--', ...words, ...python);
			};
			const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
			assert.equal(bypass(...nobody, 'unshare', '-Ur'), '1\n');
			assert.equal(bypass('unshare', '-Ur'), '1\n');
			// Over the network that belongs to it, it has.
			assert.equal(bypass(...nobody, 'unshare', '-Urn'), '0x58461201\n');
		}),
};

const fewRights: Case = {
	name: 'exec: a supervisor without CAP_SYS_ADMIN, as in a container, speaks for nobody who has less than it',
	run: () =>
		withDaemon(async (host) => {
			const isStatic = compiled(host, 'static', staticHabits());
			const contained = ['setpriv', '--bounding-set=-sys_admin', process.execPath, XFRM, 'exec'];
			assert.equal(host.must([...contained, '--', isStatic]), 'ok\n');
			const count = ['/usr/sbin/ip', 'xfrm', 'state', 'count'];
			const supervised = [...contained, '--seccomp', '--'];
			assert.match(host.must([...supervised, ...count]), /SAD count 0/);
			for (const less of [
				['setpriv', '--reuid=65534', '--clear-groups'],
				['setpriv', '--bounding-set=-net_admin'],
				['unshare', '-Ur'],
			]) {
				const { status, stderr } = host.run([...supervised, ...less, ...count]);
				assert.notEqual(status, 0, less.join(' '));
				assert.match(stderr, /Operation not permitted/, less.join(' '));
			}
		}),
};

const pastTheFilter: Case = {
	name: 'exec: no way past the supervisor leads to the kernel’s tables',
	run: () =>
		withDaemon(async (host) => {
			const source = client('past-the-filter.c');
			const program = compiled(host, 'past', ['gcc', '-O2', '-static', '-no-pie', source]);
			const [uring, key, ...others] = host.mustExec(program).trim().split('\n');
			assert.deepEqual([uring, key], ['io_uring ENOSYS', 'PF_KEY EAFNOSUPPORT']);
			if (process.arch === 'x64') {
				assert.deepEqual(others, [
					'socket of 32 bits EPROTONOSUPPORT',
					'socketcall EPROTONOSUPPORT',
					'io_uring of 32 bits ENOSYS',
					'another socket of 32 bits 0',
					'another socketcall 0',
					'socket of x32 ENOSYS',
				]);
			}
			// A program of 32 bits is not started at all.
			const small = join(host.folder, 'small');
			host.must(['sh', '-c', `printf '\\177ELF\\1%095d' 0 > ${small}; chmod 755 ${small}`]);
			const { status, stderr } = host.exec(small);
			assert.equal(status, 126);
			assert.match(stderr, /small is a 32-bit program/);
		}),
};

/** Ways in which programs start others, in Python: FILE is the first argument. */
const STARTS = `import os, subprocess, sys
file, name = sys.argv[1], os.path.basename(sys.argv[1])
os.environ["PATH"] = os.path.dirname(file) + ":" + os.environ["PATH"]
def forked(start):
    if os.fork() == 0: start()
    return os.wait()[1]
def bare(): os.execve(file, [name], {})
for start in (
    lambda: subprocess.run([file]).returncode,
    lambda: os.system(file),
    lambda: os.waitpid(os.posix_spawn(file, [file], os.environ), 0)[1],
    lambda: os.waitpid(os.posix_spawnp(name, [name], os.environ), 0)[1],
    lambda: forked(lambda: os.execlp(name, name)),
    lambda: forked(bare),
): print(start(), flush=True)`;

const startedByOthers: Case = {
	name: 'exec: a static program that a dynamic one starts does not configure the kernel',
	run: () =>
		withDaemon(async (host) => {
			const source = client('past-the-filter.c');
			compiled(host, 'past', ['gcc', '-O2', '-static', '-no-pie', source]);
			const isStatic = compiled(host, 'static', staticHabits());
			assert.equal(host.xfrmMust('exec', '--', 'sh', '-c', isStatic), 'ok\n');
			assert.equal(host.xfrmMust('exec', '--', 'env', isStatic), 'ok\n');
			assert.equal(host.xfrmMust('exec', '--', 'xargs', '-a', '/dev/null', isStatic), 'ok\n');
			const told = host.xfrmMust('exec', '--', '/usr/bin/python3', '-c', STARTS, isStatic);
			assert.equal(told, 'ok\n0\n'.repeat(6));
			// Names, arguments and statuses are what they would be.
			const words = host.xfrmMust('exec', '--', 'sh', '-c', `${host.folder}/past; echo $?`);
			assert.match(words, /^io_uring ENOSYS\nPF_KEY EAFNOSUPPORT\n[\s\S]*0\n$/);
			assert.equal(host.xfrm('exec', '--', 'sh', '-c', `${host.folder}/nothing`).status, 127);
		}),
};

const nested: Case = {
	name: 'exec: what is supervised may call xfrm exec itself',
	run: () =>
		withDaemon(async (host) => {
			const inner = [
				process.execPath,
				XFRM,
				'exec',
				'--seccomp',
				'--',
				'ip',
				'xfrm',
				'state',
				'count',
			];
			assert.match(host.xfrmMust('exec', '--seccomp', '--', ...inner), /SAD count 0/);
			assert.match(host.xfrmMust('exec', '--', ...inner), /SAD count 0/);
		}),
};

/** Waits for a datagram with its sender, and then wants another socket: the errors. */
const ABANDONED = `import errno, socket
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6)
s.bind((0, 1))
print("waits", flush=True)
for attempt in (lambda: s.recvfrom(100), lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6)):
    try: print(attempt())
    except OSError as e: print(errno.errorcode[e.errno], flush=True)
print(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).fileno() > 0)`;

const abandoned: Case = {
	name: 'exec: without its supervisor a program is told ENOSYS, and is not led to the kernel',
	run: () =>
		withDaemon(async (host) => {
			const program = host.start([
				...[process.execPath, XFRM, 'exec', '--seccomp', '--'],
				...['python3', '-c', ABANDONED],
			]);
			await host.untilText(() => program.stdout, /waits/);
			for (const pid of supervisors(host)) {
				process.kill(Number(pid), 'SIGTERM');
				process.kill(Number(pid), 'SIGKILL');
			}
			assert.equal(await program.ended, 0);
			assert.equal(program.stdout, 'waits\nENOSYS\nENOSYS\nTrue\n');
		}),
};

const supervisor: Case = {
	name: 'exec: the supervisor goes with the last program that it serves, and reads nothing for others',
	run: () =>
		withDaemon(async (host) => {
			// Many have come and gone before.
			const before = 'for i in 1 2 3 4 5 6 7 8 9; do ip xfrm state count; done';
			const monitor = host.start([
				...[process.execPath, XFRM, 'exec', '--seccomp', '--'],
				...['sh', '-c', `${before}; exec ip xfrm monitor`],
			]);
			await host.untilListening(0xffff_ffff);
			const [pid = ''] = supervisors(host);
			assert.deepEqual(supervisors(host), [pid]);
			// Nothing of the program's is open there, and no other user may look into it.
			const open = host
				.must(['sh', '-c', `readlink /proc/${pid}/fd/*`])
				.trim()
				.split('\n');
			const odd = open.filter(
				(link) => !/^(\/dev\/null|net:|anon_inode:seccomp|socket:)/.test(link),
			);
			assert.deepEqual(odd, []);
			// /dev/null three times, its namespace, the filter; and the monitor's socket where it waits.
			assert.ok(open.length <= 6, open.join(' '));
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
			await host.untilText(() => supervisors(host).join(' '), /^$/);
		}),
};

/** Processes beside programs of this host. */
function supervisors(host: Host): string[] {
	return host
		.must(['sh', '-c', 'grep -l xfrm-superviso /proc/[0-9]*/comm || true'])
		.split('\n')
		.map((path) => path.split('/')[2] ?? '')
		.filter((pid) => pid !== '' && isInNamespace(host, pid));
}

/** Zombies have no namespace any more. */
function isInNamespace(host: Host, pid: string): boolean {
	const own = host.must('readlink /proc/self/ns/net');
	return host.run(`readlink /proc/${pid}/ns/net`).stdout === own;
}

export const supervisedCases: readonly Case[] = [
	habits,
	goClient,
	rights,
	namespaces,
	fewRights,
	pastTheFilter,
	startedByOthers,
	nested,
	abandoned,
	supervisor,
];
