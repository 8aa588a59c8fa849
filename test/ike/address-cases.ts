/** Addresses and links that come, go and get other names under states and policies that stay. */
import assert from 'node:assert/strict';
import { type Host, pause, until } from './laboratory.ts';
import {
	type Addresses,
	assertPings,
	type Case,
	type Ends,
	IPV4,
	IPV6,
	isInner,
	withEnds,
} from './scenario.ts';
import { type Seen, WireWatch } from './wire-watch.ts';

const PINGS = 3;
const KEY: string = `0x${'11'.repeat(20)}`;

/** Words that add a state of the tunnel. @param more words of its own */
function stateWords(spi: string, src: string, dst: string, more: string): string {
	return (
		`ip xfrm state add src ${src} dst ${dst} proto esp spi ${spi} reqid 1 mode tunnel ` +
		`replay-window 32 aead rfc4106(gcm(aes)) ${KEY} 128 ${more}`
	);
}

function addPolicies(host: Host, side: 'a' | 'b', addresses: Addresses, more: string = ''): void {
	const { a, b, netA, netB } = addresses;
	for (const [src, dst, from, to, isOut] of [
		[a, b, netA, netB, side === 'a'],
		[b, a, netB, netA, side === 'b'],
	] as const) {
		for (const dir of isOut ? ['out'] : ['in', 'fwd']) {
			const template = `tmpl src ${src} dst ${dst} proto esp reqid 1 mode tunnel`;
			host.mustExec(`ip xfrm policy add src ${from} dst ${to} dir ${dir} ${more} ${template}`);
		}
	}
}

/** Gives a host states and policies of a tunnel. @param more words of all that it has there */
function addTunnel(host: Host, side: 'a' | 'b', addresses: Addresses, more: string = ''): void {
	const { a, b } = addresses;
	host.mustExec(stateWords('0x100', a, b, more).trim());
	host.mustExec(stateWords('0x200', b, a, more).trim());
	addPolicies(host, side, addresses, more);
}

/** What is on the wire while A pings B, of which so many come back. */
async function seenWhile({ a, b }: Ends, addresses: Addresses, comesBack: number): Promise<Seen> {
	const watch = await WireWatch.start(b, 'eth0');
	const came = a.ping(addresses.innerB, PINGS, `-W 0.3 -I ${addresses.innerA}`);
	const seen = await watch.stop(isInner);
	assert.equal(seen.plain, 0, 'nothing in clear');
	assert.equal(came, comesBack);
	return seen;
}

/** Linux asks by which route a state's source leaves: IPv4 has none for an address that is nobody's here. */
function lostSource(addresses: Addresses, goes: boolean): Case {
	const { a: own, b: peer } = addresses;
	const ipv4 = !own.includes(':');
	const [ofNet, ofHost] = ipv4 ? ['/24', '/32'] : ['/64', '/128'];
	const onWire = ipv4 ? ' dev eth0' : ' dev eth0 nodad';
	return {
		name: `addresses: a state’s source is removed and added again, ${ipv4 ? 'IPv4' : 'IPv6'}`,
		run: () =>
			withEnds(async (pair) => {
				const { a, b } = pair;
				addTunnel(a, 'a', addresses);
				addTunnel(b, 'b', addresses);
				// Its prefix, and the way out, stay.
				a.must(`ip address add ${own}7${ofNet}${onWire}`);
				a.must('sysctl -qw net.ipv4.conf.eth0.promote_secondaries=1');
				await seenWhile(pair, addresses, PINGS);
				a.must(`ip address del ${own}${ofNet} dev eth0`);
				a.must(`ip route replace default via ${peer}`);
				const { esp } = await seenWhile(pair, addresses, 0);
				assert.equal(esp.filter(({ spi }) => spi === 0x100).length, goes ? PINGS : 0);
				a.must(`ip address add ${own}${ofHost} dev lo`);
				await seenWhile(pair, addresses, PINGS);
				a.must('ip link set eth0 down');
				await seenWhile(pair, addresses, 0);
				a.must('ip link set eth0 up');
				a.must(`ip address replace ${own}${ofNet}${onWire}`);
				a.must(`ip route replace default via ${peer}`);
				assertPings(a, addresses.innerB, PINGS, `-I ${addresses.innerA}`);
			}),
	};
}

/** As of a host with two providers, neither of which takes the other's addresses. */
function ownWay(addresses: Addresses, second: readonly [own: string, peer: string]): Case {
	const [own, peer] = second;
	const ipv4 = !own.includes(':');
	const prefix = ipv4 ? 24 : 64;
	return {
		name: `addresses: a rule by source leads a tunnel out by that address’s uplink, ${ipv4 ? 'IPv4' : 'IPv6'}`,
		run: () =>
			withEnds(async ({ laboratory, a, b }) => {
				laboratory.wire(a, 'eth1', [`${own}/${prefix}`], b, 'eth1', [`${peer}/${prefix}`]);
				a.must(`ip ${ipv4 ? '' : '-6 '}rule add from ${own} lookup 100`);
				a.must(`ip route add default via ${peer} table 100`);
				addTunnel(a, 'a', { ...addresses, a: own });
				addTunnel(b, 'b', { ...addresses, a: own });
				const watches = [await WireWatch.start(b, 'eth0'), await WireWatch.start(b, 'eth1')];
				assertPings(a, addresses.innerB, PINGS, `-I ${addresses.innerA}`);
				const seen = await Promise.all(watches.map((watch) => watch.stop(isInner)));
				const sent = seen.map(({ esp }) => esp.filter(({ spi }) => spi === 0x100).length);
				assert.deepEqual(sent, [0, PINGS]);
			}),
	};
}

/** Processor time that all programs of a host have taken, in hundredths of a second. */
function ticks(host: Host): number {
	const pids = host.must(`ip netns pids ${host.namespace}`).trim().split(/\s+/);
	const stats = host.run(['cat', ...pids.map((pid) => `/proc/${pid}/stat`)]).stdout.split('\n');
	const times = stats.map(
		(line) => line.split(') ')[1]?.split(' ').slice(11, 13).map(Number) ?? [],
	);
	return times.flat().reduce((sum, each) => sum + each, 0);
}

const ownDevice: Case = {
	name: 'addresses: the daemon’s own device is removed, or gets another name: one is made again',
	run: () =>
		withEnds(async (pair) => {
			const { a, b, daemonA } = pair;
			addTunnel(a, 'a', IPV4);
			addTunnel(b, 'b', IPV4);
			await seenWhile(pair, IPV4, PINGS);
			for (const [count, command] of [
				[1, 'ip link delete xfrmd0'],
				[2, 'ip link set xfrmd0 name other0'],
			] as const) {
				a.must(command);
				await until('there again', () => {
					const told = daemonA.stderr.match(/taken the device xfrmd0 away: it is there again/g);
					return told?.length === count;
				});
				await seenWhile(pair, IPV4, PINGS);
			}
			assert.doesNotMatch(a.must('ip link'), /other0/);
			const before = ticks(a);
			await pause(1000);
			const after = ticks(a);
			assert.ok(after - before < 30, `${after - before} hundredths of a second`);
		}),
};

const namedDevice: Case = {
	name: 'addresses: a device by if_id gets another name, for a successor too, is moved, and removed',
	run: () =>
		withEnds(async (pair) => {
			const { laboratory, a, b, daemonA } = pair;
			addTunnel(a, 'a', IPV4, 'if_id 42');
			addTunnel(b, 'b', IPV4);
			a.must(`ip route add ${IPV4.netB} dev xfrm-42 src ${IPV4.innerA}`);
			await seenWhile(pair, IPV4, PINGS);
			// What the filter lets pass from a device it does by its name.
			a.tables(...'policy add src 10.0.0.0/8 dst 10.0.0.0/8 dir in action block'.split(' '));
			a.must('ip link set xfrm-42 name ipsec0');
			await until('renamed', () => /xfrm-42, .*, is ipsec0 now/.test(daemonA.stderr));
			await seenWhile(pair, IPV4, PINGS);
			daemonA.kill('SIGKILL');
			await daemonA.ended;
			const successor = await a.daemon();
			await seenWhile(pair, IPV4, PINGS);
			assert.doesNotMatch(a.must('ip link'), /xfrm-42/);
			const inside = laboratory.host('c');
			a.must(`ip link set ipsec0 netns ${inside.namespace}`);
			inside.must('ip link set ipsec0 up');
			inside.must('ip address add 10.1.0.9/32 dev ipsec0');
			inside.must(`ip route add ${IPV4.netB} dev ipsec0`);
			await pause(600);
			assertPings(inside, IPV4.innerB, PINGS);
			inside.must('ip link delete ipsec0');
			await until('removed', () => /ipsec0, .*, is gone/.test(successor.stderr));
			a.tables(...`policy add src ${IPV4.netA} dst 10.3.0.0/24 dir out if_id 42`.split(' '));
			a.must('ip link show xfrm-42');
		}),
};

/** As an IKE daemon with a socket for each address: has port 4500 of one, and at once carries out commands. */
const OWNER = `import socket, subprocess, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 4500))
s.setsockopt(socket.IPPROTO_UDP, 100, 2)
for command in sys.argv[2:]: subprocess.run(command.split())
print("done", flush=True); time.sleep(60)`;

const ownSocket: Case = {
	name: 'addresses: ESP in UDP of a new address goes by its socket as soon as there are states',
	run: () =>
		withEnds(async (pair) => {
			const { a, b } = pair;
			const addresses = { ...IPV4, a: '192.168.80.5' };
			const { a: own, b: peer } = addresses;
			a.must(`ip address add ${own}/24 dev eth0`);
			const start = async (host: Host, ...words: readonly string[]): Promise<string> => {
				const running = host.start([...host.configuring, 'python3', '-S', '-c', OWNER, ...words]);
				await until('an owner', () => running.stdout.includes('done'));
				return running.stdout;
			};
			const encap = 'encap espinudp 4500 4500 0.0.0.0';
			const states = [stateWords('0x100', own, peer, encap), stateWords('0x200', peer, own, encap)];
			await start(b, peer, ...states);
			await start(a, IPV4.a, stateWords('0x300', IPV4.a, peer, encap));
			addPolicies(a, 'a', addresses);
			addPolicies(b, 'b', addresses);
			const ping = `ping -n -q -i 0.02 -c 5 -W 1 -I ${IPV4.innerA} ${IPV4.innerB}`;
			assert.match(await start(a, own, ...states, ping), / 5 received/);
		}),
};

/** Advertises, as a router that is none to go by, an MTU on a device. */
const ADVERTISE = `import socket, struct, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58); s.bind(("fe80::2", 0, 0, socket.if_nametoindex(sys.argv[1])))
s.setsockopt(41, 18, 255)
advertisement = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 0, 0, 0) + struct.pack(">BBHI", 5, 1, 0, int(sys.argv[2]))
s.sendto(advertisement, ("ff02::1", 0, 0, socket.if_nametoindex(sys.argv[1])))`;

const advertisedMtu: Case = {
	name: 'addresses: a router advertises a smaller MTU for IPv6 than the device’s, and takes it back',
	run: () =>
		withEnds(async (pair) => {
			const { a, b } = pair;
			addTunnel(a, 'a', IPV6);
			addTunnel(b, 'b', IPV6);
			b.must('ip address add fe80::2/64 dev eth0 nodad');
			// It hears itself, and is to answer without having learned anything.
			b.must('sysctl -qw net.ipv6.conf.eth0.accept_ra=0');
			const advertise = async (mtu: number): Promise<void> => {
				b.must(['python3', '-S', '-c', ADVERTISE, 'eth0', String(mtu)]);
				const told = (): string => a.must('sysctl -n net.ipv6.conf.eth0.mtu').trim();
				await until('advertised', () => told() === String(mtu));
			};
			const ping = `ping -n -c 1 -W 1 -M do -I ${IPV6.innerA}`;
			assertPings(a, IPV6.innerB, PINGS, `-M do -s 1370 -I ${IPV6.innerA}`);
			await advertise(1400);
			a.run(`${ping} -s 1330 ${IPV6.innerB}`);
			const { stdout, stderr } = a.run(`${ping} -s 1330 ${IPV6.innerB}`);
			assert.match(stdout + stderr, /mtu ?[:=]? ?1326/);
			assertPings(a, IPV6.innerB, PINGS, `-M do -s 1278 -I ${IPV6.innerA}`);
			// What this host has learned of the path stays for a while.
			await advertise(1500);
			assertPings(b, IPV6.innerA, PINGS, `-M do -s 1370 -I ${IPV6.innerB}`);
		}),
};

export const addressCases: readonly Case[] = [
	lostSource(IPV4, false),
	lostSource(IPV6, true),
	ownWay(IPV4, ['192.168.81.1', '192.168.81.2']),
	ownWay(IPV6, ['2001:db8:81::1', '2001:db8:81::2']),
	ownSocket,
	advertisedMtu,
	ownDevice,
	namedDevice,
];
