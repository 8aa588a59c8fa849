/** Bad input on the wire: it is counted, nobody is told line by line, and those with a tunnel notice nothing. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Host, Running } from './laboratory.ts';
import {
	assertPings,
	type Case,
	connectionOf,
	type Ends,
	IPV4,
	withCharons,
	withEnds,
} from './scenario.ts';

const SECONDS = 3;
/** Memory that an attack may leave behind: heaps grow until they are collected. */
const MEMORY_GROWTH_KIB_MAX = 40 * 1024;
/** Lines of the log that have other causes. */
const LOG_LINES_MAX = 3;

/** Sends as fast as it can for some seconds, from B to A; prints how many packets. */
const PREAMBLE = `import os, random, socket, struct, sys, time
A, B = "${IPV4.a}", "${IPV4.b}"
until = time.time() + ${SECONDS}
count = 0
def raw(protocol): return socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
whole = raw(socket.IPPROTO_RAW)
esp, icmp = raw(50), raw(1)
def ip(protocol, body, ident=0, fragment=0, source=B):
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), ident, fragment, 64, protocol, 0,
        socket.inet_aton(source), socket.inet_aton(A)) + body
def quoted(protocol, body):
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 128, 0, 0x4000, 64, protocol, 0,
        socket.inet_aton(A), socket.inet_aton(B)) + body
def fragment():
    at = random.choice((0x2000, 0x2001, 0x2003, 5, 0x3fff, 0x1fff))
    return ip(random.choice((17, 50)), os.urandom(8 * random.randrange(1, 100)), random.getrandbits(16), at)
def lie(about):
    return error(random.choice((3, 3, 11, 12)), random.choice((0, 1, 2, 3, 4, 4, 13)),
        random.choice((0, 1, 68, 300, 575, 65535)), about)
def error(kind, code, rest, quoted):
    message = struct.pack("!BBHI", kind, code, 0, rest) + quoted
    total = sum(struct.unpack("!%dH" % (len(message) // 2), message))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return message[:2] + struct.pack("!H", ~total & 0xffff) + message[4:]
while time.time() < until:
    for _ in range(50):
        count += 1
        try:
            `;

const EPILOGUE = `
        except OSError: pass
    time.sleep(0.005)
print(count)`;

interface Attack {
	readonly name: string;
	/** A statement of Python. */
	readonly send: string;
	/** Of /proc/net/xfrm_stat's names, one that has to move; undefined where others take it away. */
	readonly counter: string | undefined;
	/** Reaches the daemon only where a state is in UDP. */
	readonly encap?: boolean;
	/** The kernel believes it, down to 552 octets, as of any packet that was sent: fragments go on. */
	readonly pathMtu?: boolean;
}

/** What looks like a packet of ours in an error message: our own outer header, ports or SPI. */
const QUOTED_UDP = 'quoted(17, struct.pack("!HHHHI", 4500, 4500, 108, 0, random.getrandbits(32)))';
const QUOTED_ESP = 'quoted(50, struct.pack("!II", random.getrandbits(32), 7))';

const ATTACKS: readonly Attack[] = [
	{
		name: 'garbage on UDP 4500',
		send: 'udp.sendto(bytes([random.randrange(1, 256)]) + os.urandom(random.randrange(0, 1400)), (A, 4500))',
		counter: 'XfrmInNoStates',
		encap: true,
	},
	{
		name: 'datagrams of a few octets on UDP 4500',
		send: 'udp.sendto(os.urandom(random.randrange(0, 12)), (A, 4500))',
		counter: undefined,
	},
	{
		name: 'ESP with unknown SPIs',
		send: 'esp.sendto(os.urandom(random.randrange(0, 1400)), (A, 0))',
		counter: 'XfrmInNoStates',
	},
	{
		name: 'ESP from addresses that nobody has',
		send: 'whole.sendto(ip(50, os.urandom(200), source="203.0.113.%d" % random.randrange(256)), (A, 0))',
		counter: undefined,
	},
	{
		name: 'fragments that never become whole, and such as overlap',
		send: 'whole.sendto(fragment(), (A, 0))',
		counter: undefined,
	},
	{
		name: 'ICMP lies about ESP in UDP',
		send: `icmp.sendto(lie(${QUOTED_UDP}), (A, 0))`,
		counter: undefined,
		pathMtu: true,
	},
	{
		name: 'ICMP lies about ESP',
		send: `icmp.sendto(lie(${QUOTED_ESP}), (A, 0))`,
		counter: undefined,
		pathMtu: true,
	},
	{
		name: 'ICMP that is cut anywhere',
		send: `icmp.sendto(error(3, 4, 600, ${QUOTED_UDP})[:random.randrange(8, 56)], (A, 0))`,
		counter: undefined,
		pathMtu: true,
	},
];

function residentKib({ pid }: Running): number {
	return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]);
}

function counterOf(host: Host, name: string): number {
	const stat = host.xfrmMust('stat', '--json');
	return Number(new RegExp(`"${name}":(\\d+)`).exec(stat)?.[1] ?? 0);
}

async function attack(
	{ a, b, daemonA }: Ends,
	{ name, send, counter, pathMtu }: Attack,
): Promise<string> {
	const before = counter === undefined ? 0 : counterOf(a, counter);
	const resident = residentKib(daemonA);
	const lines = daemonA.stderr.split('\n').length;
	const attacker = b.start(['/usr/bin/python3', '-c', `${PREAMBLE}${send}${EPILOGUE}`]);
	// What shares a queue with a flood may be lost with it, but not most of it.
	const back = a.ping(IPV4.innerB, 20, `-I ${IPV4.innerA}`);
	assert.equal(attacker.hasEnded, false, attacker.stderr);
	assert.ok(back >= 10, `${name}: ${back} of 20 pings`);
	assert.equal(await attacker.ended, 0, attacker.stderr);
	const size = pathMtu === true ? '-M do -s 400' : '-M do -s 1300';
	assertPings(a, IPV4.innerB, 10, `${size} -I ${IPV4.innerA}`);
	if (counter !== undefined) {
		const risen = counterOf(a, counter) - before;
		assert.ok(risen > 50, `${name}: ${counter} has risen by ${risen}`);
	}
	const growth = residentKib(daemonA) - resident;
	assert.ok(growth < MEMORY_GROWTH_KIB_MAX, `${name}: ${growth} KiB more`);
	const told = daemonA.stderr.split('\n').slice(lines);
	assert.ok(told.length <= LOG_LINES_MAX, `${name}: ${told.join('\n')}`);
	return `${name}: ${attacker.stdout.trim()} packets, ${back} of 20 pings`;
}

function underAttack(encap: boolean): Case {
	return {
		name: `hostile wire: garbage, fragments, ICMP lies, while a tunnel (ESP${encap ? ' in UDP' : ''}) goes on`,
		run: () =>
			withEnds(async (ends) => {
				const [one] = await withCharons(ends, connectionOf(IPV4, { encap }));
				one.must('--initiate', '--child', 'net');
				const notes: string[] = [];
				for (const kind of ATTACKS) {
					const counter = kind.encap === true && !encap ? undefined : kind.counter;
					notes.push(await attack(ends, { ...kind, counter }));
				}
				one.must('--terminate', '--ike', 'gw');
				return notes.join('; ');
			}),
	};
}

export const wireCases: readonly Case[] = [underAttack(true), underAttack(false)];
