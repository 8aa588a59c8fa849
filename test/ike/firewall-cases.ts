/** What else a gateway does with packets: new addresses, marks kept by connection, sources checked, other rules. */
import assert from 'node:assert/strict';
import { type Host, pause, until } from './laboratory.ts';
import {
	assertPings,
	type Case,
	connectionOf,
	IPV4,
	IPV6,
	isInner,
	withCharons,
	withEnds,
} from './scenario.ts';
import { WireWatch } from './wire-watch.ts';

const BEHIND = '10.1.0.9';
/** Of the other network, but nobody's: what is sent there has to get another destination. */
const SERVICE = '10.96.0.1';
/** Of a network that no policy is about. */
const OTHER = '172.16.0.9';
const PINGS = 3;

/** A rule of a base chain. */
interface Hooked {
	readonly type: 'nat' | 'filter' | 'route';
	readonly hook: 'prerouting' | 'output' | 'postrouting';
	readonly priority: string;
	readonly rule: string;
}

interface Attempt {
	readonly what: string;
	readonly firewall: readonly Hooked[];
	/** Who pings, and from where: the gateway, or a host behind it. */
	readonly from: 'gateway' | 'behind';
	readonly source: string;
	readonly destination: string;
	/** Pings come back; else nothing at all leaves. */
	readonly comesBack: boolean;
}

const connectionMarks: readonly Hooked[] = [
	{ type: 'filter', hook: 'prerouting', priority: 'mangle', rule: 'meta mark set ct mark' },
	{ type: 'route', hook: 'output', priority: 'mangle', rule: 'meta mark set ct mark' },
	{ type: 'filter', hook: 'postrouting', priority: 'mangle', rule: 'ct mark set meta mark' },
];

function destination(hook: 'prerouting' | 'output'): readonly Hooked[] {
	const rule = `ip daddr ${SERVICE} dnat to ${IPV4.innerB}`;
	return [{ type: 'nat', hook, priority: '-100', rule }];
}

function source(from: string): readonly Hooked[] {
	const rule = `ip saddr ${from} ip daddr ${IPV4.netB} snat to ${IPV4.innerA}`;
	return [{ type: 'nat', hook: 'postrouting', priority: 'srcnat', rule }];
}

const attempts: readonly Attempt[] = [
	{
		what: 'another destination for what is forwarded',
		firewall: destination('prerouting'),
		from: 'behind',
		source: BEHIND,
		destination: SERVICE,
		comesBack: true,
	},
	{
		what: 'another destination for what the gateway sends',
		firewall: destination('output'),
		from: 'gateway',
		source: IPV4.innerA,
		destination: SERVICE,
		comesBack: true,
	},
	{
		what: 'another source for what is forwarded',
		firewall: source(OTHER),
		from: 'behind',
		source: OTHER,
		destination: IPV4.innerB,
		comesBack: false,
	},
	{
		what: 'another source for what the gateway sends',
		firewall: source(IPV4.a),
		from: 'gateway',
		source: IPV4.a,
		destination: IPV4.innerB,
		comesBack: false,
	},
	{
		what: 'marks kept by connection, forwarded',
		firewall: connectionMarks,
		from: 'behind',
		source: BEHIND,
		destination: IPV4.innerB,
		comesBack: true,
	},
	{
		what: 'marks kept by connection, sent',
		firewall: connectionMarks,
		from: 'gateway',
		source: IPV4.innerA,
		destination: IPV4.innerB,
		comesBack: true,
	},
	{
		what: 'a mark that is changed late',
		firewall: [
			{
				type: 'route',
				hook: 'output',
				priority: 'filter',
				rule: 'meta mark set meta mark or 0x4000',
			},
		],
		from: 'gateway',
		source: IPV4.innerA,
		destination: IPV4.innerB,
		comesBack: true,
	},
];

function load(host: Host, chains: readonly Hooked[]): void {
	const text = chains.map(
		({ type, hook, priority, rule }) =>
			`chain ${hook} {\ntype ${type} hook ${hook} priority ${priority}\n${rule}\n}\n`,
	);
	// In one piece: nothing is between the firewalls.
	host.must('nft -f -', `table ip fw\ndelete table ip fw\ntable ip fw {\n${text.join('')}}\n`);
}

const rewritten: Case = {
	name: 'firewall: whatever NAT and marks make of a packet, what a policy protects does not leave in clear',
	quick: true,
	run: () =>
		withEnds(async (pair) => {
			const { laboratory, a } = pair;
			const behind = laboratory.host('c');
			laboratory.wire(a, 'eth1', ['10.1.0.254/24', '172.16.0.254/24'], behind, 'eth0', [
				`${BEHIND}/24`,
				`${OTHER}/24`,
			]);
			behind.must('ip route add default via 10.1.0.254');
			a.must('sysctl -qw net.ipv4.ip_forward=1');
			const [one] = await withCharons(pair, connectionOf(IPV4));
			one.initiate();
			const isPlain = (address: string): boolean => isInner(address) || address === OTHER;
			for (const { what, firewall, from, source: own, destination: to, comesBack } of attempts) {
				load(a, firewall);
				const watch = await WireWatch.start(a, 'eth0');
				const came = (from === 'behind' ? behind : a).ping(to, PINGS, `-I ${own}`);
				const { plain, esp } = await watch.stop(isPlain);
				assert.equal(plain, 0, `${what}: nothing in clear`);
				assert.equal(came, comesBack ? PINGS : 0, what);
				assert.equal(esp.length, comesBack ? 2 * PINGS : 0, what);
			}
		}),
};

const RP_FILTER = 'net.ipv4.conf.all.rp_filter';

const checkedSources: Case = {
	name: 'firewall: rp_filter for all devices, strict or loose, is none for what comes out of a tunnel',
	run: () =>
		withEnds(async (pair) => {
			const { a, b, daemonA } = pair;
			const [one] = await withCharons(pair, connectionOf(IPV4));
			one.initiate();
			const read = (name: string): string => a.must(`sysctl -n ${name}`).trim();
			const device = 'net.ipv4.conf.eth0.rp_filter';
			a.must(`sysctl -qw ${device}=0`);
			for (const value of ['1', '2']) {
				a.must(`sysctl -qw ${RP_FILTER}=${value}`);
				await until('moved', () => read(RP_FILTER) === '0');
				assert.equal(read(device), value);
				assertPings(b, IPV4.innerA, PINGS, `-I ${IPV4.innerB}`);
			}
			assert.match(daemonA.stderr, /rp_filter is 0 now/);
		}),
};

/** As firewalld has them, which is what they are for unless somebody has said otherwise. */
const FIREWALLD = `table inet fw {
chain filter_PREROUTING {
type filter hook prerouting priority filter + 10
icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
meta nfproto ipv6 fib saddr . mark . iif oif missing drop
}
chain filter_INPUT {
type filter hook input priority filter + 10
meta mark != 0 drop
}
}
`;

const firewalldSources: Case = {
	name: 'firewall: firewalld’s check of sources lets what comes out of an IPv6 tunnel in, and nothing forged',
	run: () =>
		withEnds(async (pair) => {
			const { a, b } = pair;
			const [one] = await withCharons(pair, connectionOf(IPV6));
			one.initiate();
			a.must('nft -f -', FIREWALLD);
			assertPings(b, IPV6.innerA, PINGS, `-I ${IPV6.innerB}`);
			assertPings(a, IPV6.innerB, PINGS, `-I ${IPV6.innerA}`);
			a.must('ip link add other type veth peer name far');
			a.must('ip link set far up');
			a.must('ip link set other up');
			a.must('ip -6 route add 2001:db8:9::/64 dev other');
			b.must('ip address add 2001:db8:9::1/128 dev lo');
			assert.equal(b.ping(IPV6.a, 1, '-W 0.3 -I 2001:db8:9::1'), 0, 'a source of another way');
		}),
};

const otherRules: Case = {
	name: 'firewall: rules in front, rules flushed, the device down and up: captured packets are led on',
	run: () =>
		withEnds(async (pair) => {
			const { a, daemonA } = pair;
			const [one] = await withCharons(pair, connectionOf(IPV4));
			one.initiate();
			const watch = await WireWatch.start(a, 'eth0');
			const repaired = (): number => daemonA.stderr.match(/they are there again/g)?.length ?? 0;
			const again = async (count: number): Promise<void> => {
				await until('led on', () => repaired() === count);
				assertPings(a, IPV4.innerB, PINGS, `-I ${IPV4.innerA}`);
			};
			a.must(`ip rule add pref 2 to ${IPV4.netB} lookup main`);
			await again(0);
			a.must('ip rule flush');
			a.must('ip rule add pref 32766 lookup main');
			await again(1);
			a.must('ip link set xfrmd0 down');
			a.must('ip link set xfrmd0 up');
			await again(2);
			// A daemon that takes its own repair for somebody's change would go on for ever.
			await pause(1200);
			await again(2);
			const { plain, esp } = await watch.stop(isInner);
			assert.deepEqual([plain, esp.length], [0, 2 * 4 * PINGS]);
		}),
};

/** Sends an ICMPv6 message of a type from an address to another. */
const ICMPV6 = `import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58); s.bind((sys.argv[1], 0))
s.setsockopt(41, 16, 255); s.sendto(bytes([int(sys.argv[3])] + 63 * [0]), (sys.argv[2], 0))`;

const discovery: Case = {
	name: 'firewall: neighbour discovery is spared at this host, not what is forwarded and says that it is',
	run: () =>
		withEnds(async (pair) => {
			const { laboratory, a } = pair;
			const [own, gateway] = ['2001:db8:1::9', '2001:db8:1::fe'];
			const behind = laboratory.host('c');
			laboratory.wire(a, 'eth1', [`${gateway}/64`], behind, 'eth0', [`${own}/64`]);
			behind.must(`ip route add default via ${gateway}`);
			a.must('sysctl -qw net.ipv6.conf.all.forwarding=1');
			const [one] = await withCharons(pair, connectionOf({ ...IPV6, a: IPV4.a, b: IPV4.b }));
			one.initiate();
			assert.equal(behind.ping(gateway, 1), 1);
			for (const dir of ['out', 'in']) {
				a.tables(
					...`policy add src ::/0 dst ::/0 dir ${dir} priority 9999999 action block`.split(' '),
				);
			}
			assert.equal(behind.ping(gateway, 1, '-W 0.3'), 0);
			const watch = await WireWatch.start(a, 'eth0');
			for (const type of ['133', '134', '135', '136', '137']) {
				behind.must(['python3', '-S', '-c', ICMPV6, own, IPV6.innerB, type]);
			}
			const { plain, esp } = await watch.stop(isInner);
			assert.deepEqual([plain, esp.length], [0, 5]);
			behind.must(`ip neighbour change ${gateway} dev eth0 nud probe`);
			const isThere = (): boolean => / REACHABLE/.test(behind.must(`ip neighbour show ${gateway}`));
			await until('the gateway answers its neighbour', isThere);
		}),
};

export const firewallCases: readonly Case[] = [
	rewritten,
	checkedSources,
	firewalldSources,
	otherRules,
	discovery,
];
