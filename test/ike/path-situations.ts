/** What lies between the gateways: NATs that forget, addresses that change, paths that are narrow. */
import assert from 'node:assert/strict';
import { Charon, type Connection } from './charon.ts';
import { type Host, type Laboratory, type Plane, pause, until } from './laboratory.ts';
import {
	ALL_PEERS,
	assertPings,
	type Case,
	connectionOf,
	IPV4,
	IPV6,
	isInner,
	lossOver,
	peerHost,
	type Situation,
	WITH_TABLES,
	withCharons,
	withEnds,
	withLaboratory,
} from './scenario.ts';
import { sendTcp } from './traffic.ts';
import { WireWatch } from './wire-watch.ts';

const group = 'Paths';
const A = '192.168.80.1';
const B = '192.168.81.2';
const NARROW = 1280;

interface Routed {
	readonly a: Host;
	readonly router: Host;
	readonly b: Host;
}

/** A and B with a router between them, data planes included. */
function withRouter<T>(
	peer: Plane,
	run: (hosts: Routed, laboratory: Laboratory) => Promise<T>,
): Promise<T> {
	return withLaboratory(async (laboratory) => {
		const [a, router] = [laboratory.host('a'), laboratory.host('r')];
		const b = await peerHost(laboratory, 'b', peer);
		laboratory.wire(a, 'eth0', [`${A}/24`], router, 'eth0', ['192.168.80.254/24']);
		laboratory.wire(router, 'eth1', ['192.168.81.254/24'], b, 'eth0', [`${B}/24`]);
		router.must('sysctl -qw net.ipv4.ip_forward=1');
		a.must(`ip address add ${IPV4.innerA} dev lo`);
		b.must(`ip address add ${IPV4.innerB} dev lo`);
		a.must('ip route add default via 192.168.80.254');
		b.must('ip route add default via 192.168.81.254');
		await Promise.all([a.daemon(), peer === 'ourselves' ? b.daemon() : null]);
		return run({ a, router, b }, laboratory);
	});
}

function ends(changes: Partial<Connection> = {}): readonly [Connection, Connection] {
	const { netA, netB } = IPV4;
	return [
		{ local: A, remote: B, localTs: netA, remoteTs: netB, ...changes },
		{ local: B, remote: A, localTs: netB, remoteTs: netA, ...changes },
	];
}

/** Has the router translate what leaves by a device to ports that begin so. */
function translate(router: Host, device: string, ports: number): void {
	router.run('nft flush ruleset');
	router.must(
		'nft -f -',
		'table ip nat {\nchain out {\ntype nat hook postrouting priority srcnat\n' +
			`oifname "${device}" ip protocol udp masquerade to :${ports}-${ports + 999}\n}\n}\n`,
	);
	// A masquerade forgets its connections with the device.
	router.must(`ip link set ${device} down`);
	router.must(`ip link set ${device} up`);
}

function rebinding(behind: 'a' | 'b'): Situation {
	return {
		group,
		name:
			behind === 'a'
				? 'behind a NAT: ESP in UDP, keepalives; the NAT forgets, the peer follows'
				: 'the peer behind a NAT that forgets: MAPPING, and its new port is followed',
		// libipsec has no way to tell charon of a new port.
		peers: behind === 'a' ? WITH_TABLES : ALL_PEERS,
		run: (peer) =>
			withRouter(peer, async ({ a, router, b }) => {
				const device = behind === 'a' ? 'eth1' : 'eth0';
				translate(router, device, 20_000);
				// No way to the host behind the NAT but its translation.
				const front = behind === 'a' ? b : a;
				front.must('ip route del default');
				const [left, right] = ends();
				const any = { remote: '%any', remoteId: behind === 'a' ? A : B };
				const [one, other] = await Promise.all([
					Charon.start(a, behind === 'a' ? left : { ...left, ...any }, 'keep_alive = 1s'),
					Charon.start(b, behind === 'a' ? { ...right, ...any } : right, 'keep_alive = 1s'),
				]);
				(behind === 'a' ? one : other).initiate();
				assertPings(a, IPV4.innerB, 5);
				const states = (): string => front.tables('state');
				assert.match(states(), /encap type espinudp sport 20\d{3} dport 4500/);
				if (behind === 'a') {
					const watch = await WireWatch.start(a, 'eth0');
					await pause(3500);
					const { keepalives } = await watch.stop(isInner);
					assert.ok(keepalives >= 2, `${keepalives} keepalives`);
				}
				translate(router, device, 30_000);
				const from = behind === 'a' ? a : b;
				const [own, far] =
					behind === 'a' ? (['innerA', 'innerB'] as const) : (['innerB', 'innerA'] as const);
				from.ping(IPV4[far], 5, `-I ${IPV4[own]}`);
				const mapped = (): boolean => /sport 30\d{3}/.test(states());
				await until('the new port is in the states', mapped, 10_000);
				assertPings(from, IPV4[far], 5, `-I ${IPV4[own]}`);
				assertPings(front, IPV4[own], 5, `-I ${IPV4[far]}`);
			}),
	};
}

/** Most pings of ten milliseconds that may go missing when both addresses go on for a while. */
const MOVE_LOSS_MAX = 5;

function mobike(isSudden: boolean): Situation {
	return {
		group,
		name: isSudden
			? 'MOBIKE: the link goes down, another takes over'
			: 'MOBIKE: a better way by another address',
		peers: ALL_PEERS,
		run: (peer) =>
			withRouter(peer, async ({ a, router, b }, laboratory) => {
				laboratory.wire(a, 'eth1', ['192.168.83.1/24'], router, 'eth2', ['192.168.83.254/24']);
				a.must('ip route add default via 192.168.83.254 metric 20');
				const [left, right] = ends({ encap: true, lines: 'mobike = yes' });
				const [one] = await Promise.all([
					Charon.start(a, { ...left, local: '%any', localId: A }, 'prefer_best_path = yes'),
					Charon.start(b, { ...right, remote: '%any', remoteId: A }),
				]);
				one.initiate();
				assertPings(a, IPV4.innerB, 3);
				const watch = await WireWatch.start(router, 'eth1');
				const lost = await lossOver(a, 6, async () => {
					a.must(isSudden ? 'ip link set eth0 down' : `ip route del default via 192.168.80.254`);
					await until('moved', () => /src 192\.168\.83\.1 /.test(a.tables('state')), 5000);
					await pause(500);
				});
				const { plain } = await watch.stop(isInner);
				assert.equal(plain, 0, 'no plaintext on the wire');
				assert.doesNotMatch(a.tables('state'), /src 192\.168\.80\.1 /);
				assertPings(b, IPV4.innerA, 5, `-I ${IPV4.innerB}`);
				// A sudden end is noticed by charon a tenth of a second later, and asks its way first.
				assert.ok(isSudden || lost <= MOVE_LOSS_MAX, `${lost} pings lost`);
				return `${lost} lost`;
			}),
	};
}

/** The largest packet that goes to the other side whole, by asking for ever smaller ones. */
function largestWhole(host: Host): number {
	for (let octets = NARROW; octets > 1100; octets -= 2) {
		const { stdout } = host.run(
			`ping -n -c 2 -i 0.1 -W 0.3 -M do -s ${octets - 28} -I ${IPV4.innerA} ${IPV4.innerB}`,
		);
		if (/ [12] received/.test(stdout)) {
			return octets;
		}
	}
	return 0;
}

function narrow(encap: boolean, want: number): Situation {
	return {
		group,
		name: `a path of ${NARROW} octets is told inward: ${want} ${encap ? 'in UDP' : 'in plain ESP'}; TCP gets through`,
		peers: encap ? ALL_PEERS : WITH_TABLES,
		run: (peer) =>
			withRouter(peer, async ({ a, router, b }) => {
				router.must(`ip link set eth1 mtu ${NARROW}`);
				b.must(`ip link set eth0 mtu ${NARROW}`);
				const [left, right] = ends({ encap });
				const [one] = await Promise.all([Charon.start(a, left), Charon.start(b, right)]);
				one.initiate();
				// TCP first: what it sends at the beginning is too long, and it has to hear of it.
				await sendTcp(a, IPV4.innerA, b, IPV4.innerB, 500_000);
				await sendTcp(b, IPV4.innerB, a, IPV4.innerA, 500_000);
				// The first packet that is too long teaches the path, the next one is told of it.
				a.ping(IPV4.innerB, 3, `-M do -s 1300 -I ${IPV4.innerA}`);
				const { stdout, stderr } = a.run(
					`ping -n -c 1 -W 1 -M do -s 1300 -I ${IPV4.innerA} ${IPV4.innerB}`,
				);
				assert.match(stdout + stderr, new RegExp(`mtu ?[:=]? ?${want}`));
				assert.equal(largestWhole(a), want);
			}),
	};
}

/** Sends "fragmentation needed" to the first address, as if its packet to the second had been on the way. */
const FORGE = `import socket, struct, sys
own, peer, mtu, spi, ports = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4], 0), int(sys.argv[5])
upper = struct.pack(">II", spi, 1)
if ports: upper = struct.pack(">HHHH", ports, ports, 1400, 0) + upper
ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 1500, 1, 0x4000, 60, 17 if ports else 50, 0,
    socket.inet_aton(own), socket.inet_aton(peer))
icmp = lambda sum: struct.pack(">BBHHH", 3, 4, sum, 0, mtu) + ip + upper
sum = sum(struct.unpack(">%dH" % (len(icmp(0)) // 2), icmp(0)))
while sum >> 16: sum = (sum & 0xffff) + (sum >> 16)
socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).sendto(icmp(~sum & 0xffff), (own, 0))`;

function forgedError(encap: boolean, want: number): Case {
	const how = encap ? 'in UDP' : 'in plain ESP';
	return {
		name: `paths: "too big" is believed when it quotes a packet of a state, ${how}`,
		run: () =>
			withRouter('ourselves', async ({ a, router, b }) => {
				const [left, right] = ends({ encap });
				const [one] = await Promise.all([Charon.start(a, left), Charon.start(b, right)]);
				one.initiate();
				const states = a.tables('state');
				const spi = new RegExp(`src ${A} dst ${B}\\s+proto esp spi (0x[0-9a-f]+)`).exec(
					states,
				)?.[1];
				assert.ok(spi !== undefined, states);
				const forge = (quotedSpi: string, ports: number): void => {
					const numbers = [String(NARROW), quotedSpi, String(ports)];
					router.must(['python3', '-S', '-c', FORGE, A, B, ...numbers]);
				};
				const port = encap ? 4500 : 0;
				const wide = `-M do -s 1400 -I ${IPV4.innerA}`;
				assertPings(a, IPV4.innerB, 3, wide);
				forge('0xc0ffee01', port);
				forge(spi, encap ? 0 : 4500);
				forge(spi, 4501);
				assertPings(a, IPV4.innerB, 3, wide);
				forge(spi, port);
				const { stdout, stderr } = a.run(`ping -n -c 1 -W 1 ${wide} ${IPV4.innerB}`);
				assert.match(stdout + stderr, new RegExp(`mtu ?[:=]? ?${want}`));
			}),
	};
}

/** A path that is narrower than its ends' devices, over IPv6. */
function narrowIpv6(encap: boolean, octets: number, want: number): Case {
	const how = encap ? 'in UDP' : 'in plain ESP';
	return {
		name: `paths: an IPv6 path of ${octets} octets is told inward: ${want} ${how}`,
		run: () =>
			withRouter('ourselves', async ({ a, router, b }) => {
				const [outerA, outerB] = ['2001:db8:80::1', '2001:db8:81::2'];
				router.must('sysctl -qw net.ipv6.conf.all.forwarding=1');
				a.must(`ip address add ${outerA}/64 dev eth0 nodad`);
				router.must('ip address add 2001:db8:80::254/64 dev eth0 nodad');
				router.must('ip address add 2001:db8:81::254/64 dev eth1 nodad');
				b.must(`ip address add ${outerB}/64 dev eth0 nodad`);
				a.must('ip route add default via 2001:db8:80::254');
				b.must('ip route add default via 2001:db8:81::254');
				a.must(`ip address add ${IPV6.innerA} dev lo`);
				b.must(`ip address add ${IPV6.innerB} dev lo`);
				router.must(`ip link set eth1 mtu ${octets}`);
				b.must(`ip link set eth0 mtu ${octets}`);
				const { netA, netB } = IPV6;
				const left = { local: outerA, remote: outerB, localTs: netA, remoteTs: netB, encap };
				const right = { local: outerB, remote: outerA, localTs: netB, remoteTs: netA, encap };
				const [one] = await Promise.all([Charon.start(a, left), Charon.start(b, right)]);
				one.initiate();
				await sendTcp(a, IPV6.innerA, b, IPV6.innerB, 500_000);
				const ping = `ping -n -W 1 -M do -I ${IPV6.innerA}`;
				a.run(`${ping} -c 3 -s ${octets - 20} ${IPV6.innerB}`);
				const { stdout, stderr } = a.run(`${ping} -c 1 -s ${octets - 20} ${IPV6.innerB}`);
				assert.match(stdout + stderr, new RegExp(`mtu ?[:=]? ?${want}`));
				assertPings(a, IPV6.innerB, 3, `-M do -s ${want - 48} -I ${IPV6.innerA}`);
			}),
	};
}

/** The host's filter says by a mark what an arriving packet is: states and policies are found by it. */
function marked(encap: boolean): Case {
	return {
		name: `paths: marks that the filter puts on what arrives, ${encap ? 'in UDP' : 'in plain ESP'}`,
		run: () =>
			withEnds(async (pair) => {
				const { a } = pair;
				const [left, right] = connectionOf(IPV4, { encap });
				const child = 'mark_in = 42\nmark_in_sa = yes\nmark_out = 42';
				const [one] = await withCharons(pair, [{ ...left, child }, right]);
				one.initiate();
				assert.match(a.tables('state'), /mark 0x2a/);
				const ping = (): number => a.ping(IPV4.innerB, 3, `-W 0.3 -m 42 -I ${IPV4.innerA}`);
				assert.equal(ping(), 0, 'nobody has marked what arrives');
				const arriving = encap ? 'udp dport 4500' : 'ip protocol esp';
				a.must(
					'nft -f -',
					'table ip marks {\nchain in {\ntype filter hook prerouting priority mangle\n' +
						`${arriving} meta mark set 42\n}\n}\n`,
				);
				assert.equal(ping(), 3);
			}),
	};
}

/** Which way the outer packets go, a rule for the mark that the state gives them says (set_mark_out). */
function byOutputMark(encap: boolean): Case {
	return {
		name: `paths: a state’s output mark leads by another way, ${encap ? 'in UDP' : 'in plain ESP'}`,
		run: () =>
			withRouter('ourselves', async ({ a, router, b }, laboratory) => {
				laboratory.wire(a, 'eth1', ['192.168.83.1/24'], router, 'eth2', ['192.168.83.254/24']);
				for (const device of ['all', 'eth2']) {
					router.must(`sysctl -qw net.ipv4.conf.${device}.rp_filter=0`);
				}
				a.must('ip rule add fwmark 42 table 100');
				a.must('ip route add default via 192.168.83.254 table 100');
				const [left, right] = ends({ encap });
				const marking = { ...left, child: 'set_mark_out = 42' };
				const [one] = await Promise.all([Charon.start(a, marking), Charon.start(b, right)]);
				one.initiate();
				const [first, second] = [
					await WireWatch.start(a, 'eth0'),
					await WireWatch.start(a, 'eth1'),
				];
				assertPings(a, IPV4.innerB, 3, `-I ${IPV4.innerA}`);
				const [back, out] = [await first.stop(isInner), await second.stop(isInner)];
				assert.deepEqual([back.esp.length, out.esp.length], [3, 3]);
				assert.deepEqual([back.plain, out.plain], [0, 0]);
			}),
	};
}

/** As from an XFRM interface of Linux. */
const unreachable: Case = {
	name: 'paths: a device by if_id tells senders of what no policy and states of it protect',
	run: () =>
		withEnds(async ({ laboratory, a }) => {
			const behind = laboratory.host('c');
			laboratory.wire(a, 'eth1', ['10.1.0.254/24'], behind, 'eth0', ['10.1.0.9/24']);
			behind.must('ip route add default via 10.1.0.254');
			a.must('sysctl -qw net.ipv4.ip_forward=1');
			const policy = (how: string): string =>
				a.tables(
					...`policy update src ${IPV4.netA} dst ${IPV4.netB} dir out if_id 42 ${how}`.split(' '),
				);
			policy('action block');
			a.must(`ip route add ${IPV4.netB} dev xfrm-42 src ${IPV4.innerA}`);
			a.must('ip route add 10.3.0.0/24 dev xfrm-42');
			a.must('ip -6 route add 2001:db8:3::/64 dev xfrm-42');
			const told = (host: Host, to: string): number => {
				const { stdout } = host.run(`ping -n -c 2 -i 0.2 -W 0.5 ${to}`);
				return (
					stdout.match(/Destination Host Unreachable|Destination unreachable: Address/g)?.length ??
					0
				);
			};
			const watch = await WireWatch.start(a, 'eth0');
			const own = (name: string): number => {
				const { own: numbers } = JSON.parse(a.xfrmMust('top', '--json', '--once'));
				return numbers[name];
			};
			assert.equal(told(a, '10.3.0.1'), 2, 'no policy');
			assert.equal(told(a, '2001:db8:3::1'), 2, 'no policy, over IPv6');
			assert.equal(told(behind, '10.3.0.1'), 2, 'no policy, forwarded');
			assert.equal(told(a, IPV4.innerB), 2, 'a policy to block');
			const template = `tmpl src ${IPV4.a} dst ${IPV4.b} proto esp mode tunnel`;
			policy(template);
			assert.equal(told(a, IPV4.innerB), 2, 'no states');
			// So often only is a sender told.
			await pause(2000);
			a.must('sysctl -qw net.core.xfrm_larval_drop=0');
			assert.equal(told(a, IPV4.innerB), 2, 'nothing waits for states');
			assert.equal(own('carrier'), 12);
			// States that lead into the device itself: a packet would go round for ever.
			const ends = `src ${IPV4.a} dst 10.3.0.1 proto esp`;
			policy(template.replace(IPV4.b, '10.3.0.1'));
			const key = `0x${'11'.repeat(20)}`;
			const state = ['state', 'add', ...`${ends} spi 0x100 mode tunnel if_id 42 aead`.split(' ')];
			a.tables(...state, 'rfc4106(gcm(aes))', key, '128');
			assert.equal(told(a, IPV4.innerB), 0, 'round');
			assert.equal(own('collisions'), 2);
			assert.equal(own('carrier'), 12);
			const { plain, esp } = await watch.stop(isInner);
			assert.deepEqual([plain, esp.length], [0, 0]);
		}),
};

/** No policy, and a route by the daemon's own device: whoever has no route would be told so by the kernel. */
const goesRound: Case = {
	name: 'path: what a route leads into the daemon’s device without a policy ends there, and does not go round',
	run: () =>
		withEnds(async ({ a }) => {
			const own = (): Readonly<Record<string, number>> =>
				JSON.parse(a.xfrmMust('top', '--json', '--once')).own;
			a.must('ip route add 10.3.0.0/24 dev xfrmd0');
			a.must('ip -6 route add 2001:db8:3::/64 dev xfrmd0');
			assert.equal(a.ping('10.3.0.1', 2, '-W 0.3'), 0);
			assert.equal(a.ping('2001:db8:3::1', 2, '-W 0.3'), 0);
			const { collisions, sent = 0 } = own();
			assert.equal(collisions, 4);
			assert.ok(sent < 20, `${sent} packets sent`);
			a.must('ip address add fe80::1/64 dev xfrmd0 nodad');
			a.run('ping -n -c 3 -i 0.2 -W 0.3 ff02::1%xfrmd0');
			assert.equal(own()['sent'], sent, 'to whoever is behind the device');
			// Neither does what protects it.
			const ends = `src ${IPV4.a} dst 10.3.0.1 proto esp`;
			const policy = `policy add dst 10.4.0.0/16 dir out tmpl ${ends} mode tunnel`;
			a.tables(...policy.split(' '));
			const key = `0x${'11'.repeat(20)}`;
			const state = `state add ${ends} spi 0x100 mode tunnel aead`;
			a.tables(...state.split(' '), 'rfc4106(gcm(aes))', key, '128');
			a.must(`ip route add 10.4.0.0/16 via ${IPV4.b}`);
			assert.equal(a.ping('10.4.0.1', 2, '-W 0.3'), 0);
			assert.equal(own()['collisions'], 6);
		}),
};

export const pathCases: readonly Case[] = [
	goesRound,
	forgedError(false, 1226),
	forgedError(true, 1218),
	byOutputMark(false),
	byOutputMark(true),
	unreachable,
	marked(false),
	marked(true),
	narrowIpv6(false, 1400, 1326),
	narrowIpv6(true, 1400, 1318),
];

export const pathSituations: readonly Situation[] = [
	rebinding('a'),
	rebinding('b'),
	mobike(false),
	mobike(true),
	narrow(false, 1226),
	narrow(true, 1218),
];
