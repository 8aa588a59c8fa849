/** Every way in which the start can fail: its sentence, status 2, no "ready", and the machine as it was. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Host, Laboratory, type Output } from './laboratory.ts';
import { machineRecord } from './machine-record.ts';
import type { Case } from './scenario.ts';

async function withHost(run: (host: Host, laboratory: Laboratory) => Promise<void>): Promise<void> {
	const laboratory = new Laboratory();
	try {
		await run(laboratory.host('a'), laboratory);
	} finally {
		await laboratory.close();
	}
}

function assertRefused({ status, stdout, stderr }: Output, sentence: RegExp): void {
	assert.equal(status, 2);
	assert.equal(stdout, '');
	assert.match(stderr, sentence);
}

function refused(
	name: string,
	wrap: readonly string[],
	sentence: RegExp,
	options: readonly string[] = [],
): Case {
	return {
		name: `no start: ${name}`,
		run: () =>
			withHost(async (host) => {
				host.must('sysctl -qw net.ipv4.conf.all.rp_filter=1');
				const before = machineRecord(host);
				assertRefused(host.wrapped(wrap, 'daemon', ...options), sentence);
				assert.deepEqual(machineRecord(host), before);
			}),
	};
}

const second: Case = {
	name: 'no start: a second daemon',
	run: () =>
		withHost(async (host) => {
			const running = await host.daemon();
			assertRefused(host.xfrm('daemon'), /another xfrm daemon runs .*\(process \d+\)/);
			assert.equal(running.process.exitCode, null);
			host.mustExec('ip xfrm state count');
		}),
};

const oldJournal: Case = {
	name: 'no start: a journal of another version; the guard of its daemon stays',
	run: () =>
		withHost(async (host) => {
			const before = machineRecord(host);
			const options = ['--state-dir', join(host.folder, 'state')];
			const running = await host.daemon(...options);
			host.mustExec('ip xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out action block');
			running.kill('SIGTERM');
			assert.equal(await running.ended, 0);
			const guarded = machineRecord(host);
			assert.match(guarded.join('\n'), /10\.1\.0\.0 \. 10\.2\.0\.0/);
			const change = 's/"version":[0-9]*/"version":99/';
			host.must(['sh', '-c', `sed -i '${change}' ${host.folder}/state/*/journal`]);
			const output = host.xfrm('daemon', ...options);
			assertRefused(output, /journal is another version’s; "xfrm daemon --cleanup"/);
			assert.deepEqual(machineRecord(host), guarded);
			host.xfrmMust('daemon', '--cleanup', ...options);
			assert.deepEqual(machineRecord(host), before);
		}),
};

const ready: Case = {
	name: 'ready: on stdout, on a descriptor, to a service manager; state folder and files are root’s',
	run: () =>
		withHost(async (host) => {
			const file = join(host.folder, 'ready');
			const socket = join(host.folder, 'notify');
			const listen = `import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("${socket}"); s.settimeout(8); print("up", flush=True); print(s.recv(200).decode())`;
			const manager = host.start(['python3', '-c', listen]);
			await new Promise((resolve) => manager.process.stdout?.once('data', resolve));
			const state = join(host.folder, 'state');
			const running = host.start(
				[
					'sh',
					'-c',
					`exec ${host.command('daemon', '--ready-fd', '7', '--state-dir', state)} 7>${file}`,
				],
				{ NOTIFY_SOCKET: socket, NODE_OPTIONS: '--inspect=0' },
			);
			await manager.ended;
			const pid = /^ready pid=(\d+)\n$/.exec(running.stdout)?.[1];
			assert.equal(pid, String(running.pid));
			assert.equal(readFileSync(file, 'utf8'), `ready pid=${pid}\n`);
			assert.match(manager.stdout, new RegExp(`READY=1\nMAINPID=${pid}`));
			const modes = host.must(['find', state, '-printf', '%M %u\n']);
			assert.match(modes, /^(drwx------ root\n){2}(-rw------- root\n){2}$/);
			const status = readFileSync(`/proc/${pid}/status`, 'utf8');
			const threads = host.must([
				'sh',
				'-c',
				`grep -h ^CapPrm /proc/${pid}/task/*/status | sort -u`,
			]);
			assert.equal(threads, 'CapPrm:\t0000000000083400\n', 'no thread has more rights than needed');
			const caught = BigInt(`0x${/^SigCgt:\s*(\w+)$/m.exec(status)?.[1]}`);
			assert.equal((caught >> 9n) & 1n, 1n, 'SIGUSR1 is caught');
			process.kill(Number(pid), 'SIGUSR1');
			await new Promise((resolve) => setTimeout(resolve, 300));
			// NODE_OPTIONS was heeded by the first Node only, which is no more, and whose memory had no keys.
			assert.equal(running.stderr.match(/Debugger listening/g)?.length, 1);
			assert.equal(host.run('ss -Hltn').stdout, '');
		}),
};

const notRoot = ['setpriv', '--reuid=65534', '--clear-groups'];
const noNetAdmin = ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'];
const noTun = ['unshare', '-m', 'sh', '-c', 'mount --bind /dev/null /dev/net/tun; exec "$0" "$@"'];
const foreignGuard = [
	'sh',
	'-c',
	'nft add table inet xfrm; "$0" "$@"; s=$?; nft delete table inet xfrm; exit $s',
];
const tunInUse = [
	'sh',
	'-c',
	'ip link add xfrmd0 type veth peer name xfrmpeer; "$0" "$@"; s=$?; ip link del xfrmd0; exit $s',
];

const portTaken = [
	'python3',
	'-c',
	`import socket, subprocess, sys
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
s.bind((0x58465244, 0))
sys.exit(subprocess.call(sys.argv[1:]))`,
];
const metricsTaken = [
	'python3',
	'-c',
	`import socket, subprocess, sys
s = socket.socket(); s.bind(("127.0.0.1", 9109)); s.listen()
sys.exit(subprocess.call(sys.argv[1:]))`,
];
/** In a mount namespace of its own: a full file system, or a folder of somebody else's, at /run/xfrm. */
function runXfrm(options: string, then: string): readonly string[] {
	const script = `mkdir -p /run/xfrm; mount -t tmpfs -o ${options} none /run/xfrm; ${then}; exec "$0" "$@"`;
	return ['unshare', '-m', 'sh', '-c', script];
}
const fullDisk = runXfrm(
	'size=64k,mode=0700',
	'head -c 1M /dev/zero > /run/xfrm/filler 2> /dev/null',
);
const foreignFolder = runXfrm('size=1M,mode=0700', 'chown 65534 /run/xfrm');

export const startCases: readonly Case[] = [
	ready,
	second,
	refused('not root', notRoot, /run it as root/),
	refused('no CAP_NET_ADMIN', noNetAdmin, /run it as root/),
	refused('no TUN device', noTun, /\/dev\/net\/tun/),
	refused('a foreign guard', foreignGuard, /a guard stands .*--cleanup/),
	refused('the name of the device is taken', tunInUse, /xfrmd0/),
	refused('the port id is taken', portTaken, /another xfrm daemon runs .*\(process \d+\)/),
	refused('the address of the metrics is taken', metricsTaken, /--metrics 127.0.0.1:9109/, [
		'--metrics',
		'127.0.0.1:9109',
	]),
	refused('a full disk', fullDisk, /the journal can(not be made| be kept nowhere) .*--state-dir/),
	refused('a state folder of somebody else', foreignFolder, /\/run\/xfrm belongs to somebody else/),
	refused('no folder for the state', [], /the journal can be kept nowhere .*--state-dir/, [
		'--state-dir',
		'/proc/nowhere',
	]),
	oldJournal,
];
