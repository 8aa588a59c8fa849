/** What a gateway's own firewall does to packets: new addresses, marks kept by connection, strict sources. */
import assert from 'node:assert/strict';
import type { Host } from './laboratory.ts';
import { type Case, connectionOf, IPV4, isInner, withCharons, withEnds } from './scenario.ts';
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

export const firewallCases: readonly Case[] = [rewritten];
