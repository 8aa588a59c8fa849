/** Programs without rights, or with bad manners, and what they can do to others: nothing. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import type { Host, Running } from './laboratory.ts';
import { pause, until, XFRM } from './laboratory.ts';
import { NOBODY } from './safety-cases.ts';
import { type Case, IPV4, withEnds, withLaboratory } from './scenario.ts';

/** Not one that a user's own settings put in front. */
const PYTHON = '/usr/bin/python3';

/** Sends one message of each type, and prints what comes back: type and errno. */
const EVERY_TYPE = `import socket, struct, sys
protocol, port = int(sys.argv[1]), int(sys.argv[2])
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
s.settimeout(5)
for kind in range(16, 48):
    for flags in (5, 0x305):
        s.sendto(struct.pack("=IHHII", 316, kind, flags, kind, 0) + bytes(300), (port, 0))
        answer = s.recv(4096)
        print(kind, flags, *struct.unpack("=H", answer[4:6]), *struct.unpack("=i", answer[16:20]))`;

const unprivileged: Case = {
	name: 'hostile: a user without rights gets what the kernel says, EPERM, for everything',
	run: () =>
		withLaboratory(async (laboratory) => {
			const host = laboratory.host('a');
			await host.daemon();
			const asked = (protocol: number, port: number): string =>
				host.must([...NOBODY, PYTHON, '-c', EVERY_TYPE, `${protocol}`, `${port}`]);
			const answers = asked(2, 0x5846_5244);
			assert.equal(answers, asked(6, 0));
			assert.ok((answers.match(/ 2 -1$/gm)?.length ?? 0) >= 48, answers);
			// Nor does it help to be root, such as a container's, without the capability.
			const count = ['/usr/sbin/ip', 'xfrm', 'state', 'count'];
			for (const way of [[], ['--seccomp']]) {
				const { status, stderr } = host.wrapped(
					['setpriv', '--bounding-set=-net_admin'],
					...['exec', ...way, '--', ...count],
				);
				assert.notEqual(status, 0);
				assert.match(stderr, /Operation not permitted/);
			}
		}),
};

const TRY_TO_BIND = `import socket
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
try:
    s.bind((0x58465244, 0)); print("bound")
except OSError as e:
    print(e.errno)`;

const portId: Case = {
	name: 'hostile: the daemon’s port id is never free while it is needed, and no keeper is left behind',
	run: () =>
		withLaboratory(async (laboratory) => {
			const host = laboratory.host('a');
			const first = await host.daemon();
			const tryToBind = (): string => host.must([...NOBODY, PYTHON, '-c', TRY_TO_BIND]).trim();
			assert.equal(tryToBind(), '98');
			first.kill('SIGKILL');
			await first.ended;
			assert.equal(tryToBind(), '98', 'the keeper holds it');
			const second = await host.daemon();
			host.mustExec('ip xfrm state count');
			second.kill('SIGTERM');
			assert.equal(await second.ended, 0);
			const pids = spawnSync('ip', ['netns', 'pids', host.namespace], { encoding: 'utf8' });
			assert.equal(pids.stdout.trim(), '', 'no keeper is left behind');
		}),
};

/** Takes the daemon's port id, and tells all who listen that all states are gone. */
const LIAR = `import socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
s.bind((0x58465244, 0))
lie = struct.pack("=IHHII", 17, 28, 0, 0, 0) + bytes([50, 0, 0, 0])
told = 0
for row in [line.split() for line in open("/proc/net/netlink")][1:]:
    if row[1] == "2" and int(row[2]) != 0x58465244:
        s.sendto(lie, (int(row[2]), 0)); told += 1
try: s.sendto(lie, (0, 0x1ff))
except ConnectionRefusedError: pass
print(told)`;

/** Reads news as they come, and does not ask who has sent them. */
const READS = `import os, socket
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6); s.bind((0, 15))
while True: print("octets", len(os.read(s.fileno(), 65536)), flush=True)`;

const liar: Case = {
	name: 'hostile: who takes the port id of a daemon that has been stopped is believed nothing',
	run: () =>
		withLaboratory(async (laboratory) => {
			const host = laboratory.host('a');
			const daemon = await host.daemon();
			const listeners = [[], ['--seccomp']].flatMap((way) =>
				[
					['ip', 'xfrm', 'monitor'],
					[PYTHON, '-c', READS],
				].map((words) => host.start([process.execPath, XFRM, 'exec', ...way, '--', ...words])),
			);
			const listening = (): number =>
				host.must('cat /proc/net/netlink').match(/ (?:ffffffff|0000000f) /g)?.length ?? 0;
			await until('listeners', () => listening() === listeners.length, 20_000);
			await pause(600);
			const change = 'xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out';
			host.mustExec(`ip ${change}`);
			host.mustExec(`ip ${change.replace('add', 'delete')}`);
			const hears = ({ stdout }: Running): boolean => /Deleted|octets.*octets/s.test(stdout);
			await until('news', () => listeners.every(hears));
			daemon.kill('SIGTERM');
			assert.equal(await daemon.ended, 0);
			const before = listeners.map(({ stdout }) => stdout);
			assert.equal(host.must([...NOBODY, PYTHON, '-c', LIAR]), `${listeners.length}\n`);
			await pause(500);
			assert.deepEqual(
				listeners.map(({ stdout }) => stdout),
				before,
			);
		}),
};

/** Asks for all states by a port id of its own, and has no room for the answer. */
const DIES_AMID_DUMP = `import socket, struct, time
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
s.bind((4242, 0))
s.sendto(struct.pack("=IHHII", 16, 18, 0x301, 1, 0), (0, 0))
print("asked", flush=True)
time.sleep(60)`;

/** Takes the same port id once it is free, and tells what comes. */
const HEIR = `import socket
print("waits", flush=True)
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
while True:
    try: s.bind((4242, 0)); break
    except OSError: pass
s.settimeout(1)
octets = 0
try:
    while True: octets += len(s.recv(65536))
except TimeoutError: print("told", octets)`;

const heir: Case = {
	name: 'hostile: who takes the port id of a program that dies amid its dump is told nothing of it',
	run: () =>
		withLaboratory(async (laboratory) => {
			const host = laboratory.host('a');
			await host.daemon();
			const states = Array.from(
				{ length: 200 },
				(_, i) =>
					`xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi ${i + 256} mode tunnel ` +
					`enc aes 0x${'11'.repeat(16)} auth sha256 0x${'22'.repeat(32)}`,
			);
			host.exec('ip -batch -', states.join('\n'));
			for (const way of [[], ['--seccomp']]) {
				const words = ['exec', ...way, '--', PYTHON, '-c', DIES_AMID_DUMP];
				const victim = host.start([process.execPath, XFRM, ...words]);
				await host.untilText(() => victim.stdout, /asked/);
				const thief = host.start([...NOBODY, PYTHON, '-c', HEIR]);
				await host.untilText(() => thief.stdout, /waits/);
				await pause(100);
				assert.equal(thief.stdout, 'waits\n');
				victim.kill('SIGKILL');
				await thief.ended;
				assert.equal(thief.stdout, 'waits\ntold 0\n');
			}
			assert.equal(host.mustExec('ip xfrm state').match(/^src /gm)?.length, 200);
		}),
};

/** Takes the port id once nobody has it, and tells what it is sent. */
const IMPOSTOR = `import socket
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
s.bind((0x58465244, 0))
print("bound", flush=True)
while True:
    bytes, sender = s.recvfrom(65536)
    print("got", bytes.hex(), flush=True)
    s.sendto(bytes, sender)`;

/** A key manager that adds a state when it is told to, and says what became of it. */
const ADDS_STATES = `import socket, struct, sys
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6)
s.bind((0, 0))
s.settimeout(8)
def ask(kind, body):
    try:
        s.sendto(struct.pack("=IHHII", 16 + len(body), kind, 5, 1, 0) + body, (0, 0))
        return "answered " + str(len(s.recv(65536)) > 0)
    except OSError as e: return "error " + str(e.errno)
print(ask(35, bytes(4)), flush=True)
sys.stdin.readline()
print(ask(16, b"k" * 224), flush=True)
print(ask(35, bytes(4)), flush=True)`;

function impostor(way: readonly string[]): Case {
	return {
		name: `hostile: no key goes to who has taken the daemon’s port id (exec ${way.join(' ')})`,
		run: () =>
			withLaboratory(async (laboratory) => {
				const host = laboratory.host('a');
				const daemon = await host.daemon();
				const inner = host.command('exec', ...way, '--', PYTHON, '-c');
				const manager = host.start(['sh', '-c', `(sleep 4; echo) | ${inner} "$0"`, ADDS_STATES]);
				await host.untilText(() => manager.stdout, /answered True/);
				daemon.kill('SIGTERM');
				await daemon.ended;
				const taker = host.start([...NOBODY, PYTHON, '-c', IMPOSTOR]);
				await host.untilText(() => taker.stdout, /bound/);
				await manager.ended;
				assert.equal(manager.stdout, 'answered True\nerror 111\nerror 111\n');
				// What came is the question who is there: a message of no octets.
				const got = taker.stdout.split('\n').filter((line) => line.startsWith('got'));
				assert.ok(got.length > 0);
				assert.deepEqual([...new Set(got)], ['got 10000000010005000000000000000000']);
			}),
	};
}

/** Ways to be a nuisance, by the octets and the sockets of it; root has others. */
const FLOODS: readonly (readonly [string, string])[] = [
	['garbage', 'out(os.urandom(random.randrange(0, 3000)))'],
	['half messages', 'out(struct.pack("=IHHII", 60000, 16, 5, 1, 0) + bytes(200))'],
	['many in one', 'out(struct.pack("=IHHIII", 20, 35, 5, 1, 0, 0) * 400)'],
	['a socket for each', 's = fresh(); out(struct.pack("=IHHIII", 20, 35, 5, 1, 0, 0))'],
];

const NUISANCE = `import os, random, socket, struct
kept = []
def fresh():
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 2)
    kept.append(s)
    if len(kept) > 400: kept.pop(0).close()
    return s
s = fresh()
def out(bytes):
    try: s.sendto(bytes, (0x58465244, 0))
    except OSError: pass
while True:
    `;

/** Round trips in milliseconds, one a line. */
const ROUND_TRIPS = `import socket, struct, time
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6)
s.settimeout(20)
for i in range(40):
    begun = time.monotonic()
    s.sendto(struct.pack("=IHHIII", 20, 35, 1, i, 0, 0xffffffff), (0, 0))
    answer = s.recv(4096)
    assert struct.unpack("=I", answer[8:12]) == (i,)
    print((time.monotonic() - begun) * 1000)
    time.sleep(0.01)`;

function roundTrips(host: Host): { readonly middle: number; readonly worst: number } {
	const words = ['exec', '--', PYTHON, '-c', ROUND_TRIPS];
	const times = host
		.xfrmMust(...words)
		.trim()
		.split('\n')
		.map(Number)
		.sort((x, y) => x - y);
	assert.equal(times.length, 40);
	return { middle: times[20] ?? 0, worst: times.at(-1) ?? 0 };
}

const floods: Case = {
	name: 'hostile: floods of garbage, half messages, new sockets: others are answered, traffic flows',
	run: () =>
		withEnds(async ({ a, b }) => {
			const quiet = roundTrips(a);
			const notes = [`quiet ${quiet.middle.toFixed(1)} ms (most ${quiet.worst.toFixed(0)})`];
			for (const [what, line] of FLOODS) {
				const users = /garbage|half/.test(what) ? [NOBODY, []] : [NOBODY];
				for (const user of users) {
					const flooders: Running[] = [];
					for (let i = 0; i < 2; i++) {
						flooders.push(a.start([...user, PYTHON, '-c', `${NUISANCE}${line}`]));
					}
					await pause(1000);
					const { middle, worst } = roundTrips(a);
					assert.ok(
						flooders.every((flooder) => !flooder.hasEnded),
						flooders[0]?.stderr,
					);
					for (const flooder of flooders) {
						flooder.kill('SIGKILL');
						await flooder.ended;
					}
					const who = user.length > 0 ? 'a user' : 'root';
					notes.push(`${what} by ${who} ${middle.toFixed(1)} (${worst.toFixed(0)})`);
					assert.ok(worst < 3000, notes.join('; '));
				}
			}
			assert.equal(a.ping(IPV4.b, 3), 3);
			a.mustExec('ip xfrm state count');
			b.mustExec('ip xfrm state count');
			return notes.join('; ');
		}),
};

export const hostileCases: readonly Case[] = [
	unprivileged,
	portId,
	heir,
	liar,
	impostor([]),
	impostor(['--seccomp']),
	floods,
];
