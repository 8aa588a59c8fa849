/** Random rules in a small universe, where everything overlaps, and flows that meet them. */
import { nodeProvider } from '@xfrm/crypto/node';
import { type KernelProfile, linux619 } from '@xfrm/engine';
import { Explainer } from './explainer.ts';

/** Numbers by mulberry32: the same seed, the same history. */
export function numbers(seed: number): (below: number) => number {
	let state = seed | 0;
	return (below) => {
		state = (state + 0x6d2b79f5) | 0;
		let t = Math.imul(state ^ (state >>> 15), 1 | state);
		t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
		return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
	};
}

type Pick = <T>(items: readonly T[]) => T;

const LOCAL4 = ['192.0.2.1', '192.0.2.2'];
const LOCAL6 = ['2001:db8::1', '2001:db8::2'];
const PEERS4 = ['198.51.100.1', '198.51.100.2'];
const PEERS6 = ['2001:db8:f::1', '2001:db8:f::2'];
const KEY = '0x3f1a5be2c8d04976aa10e5cd27b3648f9e02c571';

export function picker(random: (below: number) => number): Pick {
	return (items) => items[random(items.length)] as (typeof items)[number];
}

function address(pick: Pick, v6: boolean): string {
	return v6
		? `2001:db8:${pick([1, 2, 3])}::${pick([1, 2, 3, 'a:1'])}`
		: pick([
				...LOCAL4,
				...PEERS4,
				`10.${pick([0, 1, 2])}.${pick([0, 1, 129])}.${pick([1, 2, 200])}`,
			]);
}

function prefix(pick: Pick, v6: boolean): string {
	const lengths = v6 ? [0, 0, 16, 32, 47, 48, 64, 128] : [0, 0, 0, 8, 8, 15, 16, 17, 24, 32];
	return `${address(pick, v6)}/${pick(lengths)}`;
}

function upper(pick: Pick): string {
	return pick([
		'',
		'',
		'',
		'',
		'',
		'',
		'proto udp',
		'proto tcp dport 443',
		'proto udp sport 500',
		`proto udp dport ${pick([53, 500])}`,
		'proto icmp',
		'proto icmp type 8',
		'proto gre',
		'proto gre key 0.1.0.2',
		'proto ipv6-icmp type 128 code 0',
		'proto 47',
		'proto 253',
	]);
}

/** Ends of a tunnel: from here to a peer, or, coming in, the other way round. */
function endpoints(pick: Pick, v6: boolean, coming: boolean): string {
	const here = pick([...(v6 ? LOCAL6 : LOCAL4), v6 ? '::' : '0.0.0.0']);
	const there = pick(v6 ? PEERS6 : PEERS4);
	return coming ? `src ${there} dst ${pick(v6 ? LOCAL6 : LOCAL4)}` : `src ${here} dst ${there}`;
}

function template(pick: Pick, v6: boolean, coming: boolean): string {
	if (!coming && pick([true, true, false])) {
		return `tmpl src ${v6 ? LOCAL6[0] : LOCAL4[0]} dst ${v6 ? PEERS6[0] : PEERS4[0]} proto esp reqid 1 mode tunnel`;
	}
	const mode = pick(['tunnel', 'tunnel', 'transport', 'beet']);
	const ends = mode === 'transport' ? '' : endpoints(pick, v6, coming);
	const level = pick(['', '', 'level use']);
	return `tmpl ${ends} proto ${pick(['esp', 'esp', 'ah'])} reqid ${pick([0, 1, 2])} mode ${mode} ${level}`;
}

/** One policy as a command. */
export function randomPolicy(random: (below: number) => number): string {
	const pick = picker(random);
	const v6 = random(4) === 0;
	const templates = pick([0, 0, 1, 1, 1, 2]);
	const block = random(5) === 0;
	const direction = pick(['out', 'out', 'in', 'fwd']);
	return [
		`policy ${pick(['add', 'add', 'add', 'update'])}`,
		`src ${prefix(pick, v6)} dst ${prefix(pick, v6)} ${upper(pick)}`,
		pick(['', '', '', '', 'dev eth1']),
		`dir ${direction}`,
		pick(['', '', '', 'ptype sub']),
		pick(['', '', '', 'mark 1 mask 0x3', 'mark 0x10 mask 0xf0']),
		pick(['', '', '', '', 'if_id 5']),
		`priority ${pick([1, 1, 2, 3, 3, 10])}`,
		block ? 'action block' : '',
		...(block
			? []
			: Array.from({ length: templates }, () => template(pick, v6, direction !== 'out'))),
	].join(' ');
}

/** One state as a command. */
export function randomState(random: (below: number) => number, spi: number): string {
	const pick = picker(random);
	const v6 = spi % 8 === 2;
	const mode = pick(['tunnel', 'tunnel', 'transport']);
	const ends =
		mode === 'transport'
			? `src ${address(pick, v6)} dst ${address(pick, v6)}`
			: endpoints(pick, v6, random(3) === 0);
	return [
		`state add ${ends} proto esp spi ${spi} mode ${mode} reqid ${pick([0, 1, 1, 2])}`,
		pick(['', '', '', 'mark 1 mask 0x3']),
		pick(['', '', '', 'if_id 5']),
		pick(['', '', 'output-mark 1']),
		`aead 'rfc4106(gcm(aes))' ${KEY} 128`,
		pick(['', '', `sel src ${prefix(pick, v6)} dst ${prefix(pick, v6)} ${upper(pick)}`]),
	].join(' ');
}

/** A host with random rules; what Linux would refuse is left out. */
export function randomHost(
	seed: number,
	policies: number,
	profile: KernelProfile = linux619,
): { readonly explainer: Explainer; readonly commands: readonly string[] } {
	const random = numbers(seed);
	const explainer = new Explainer({
		profile,
		provider: nodeProvider(),
		random: (bytes) => bytes.fill(7),
		startUs: 1_700_000_000_000_000,
		listener: random(2) === 0,
	});
	explainer.run('link set eth0 up');
	explainer.run('link set eth1 up');
	const commands = [
		...Array.from({ length: 3 + random(12) }, (_, i) => randomState(random, 0x100 + i)),
		...Array.from({ length: policies }, () => randomPolicy(random)),
		...['in', 'out', 'fwd'].map((dir) =>
			random(4) === 0 ? `policy setdefault ${dir} block` : `policy setdefault ${dir} accept`,
		),
	];
	const carried = commands.filter((command) => explainer.run(`xfrm ${command}`).status === 0);
	explainer.takeEvents();
	explainer.prepare();
	return { explainer, commands: carried };
}

/** A flow in words. `via` names states of `randomHost`. */
export function randomFlow(random: (below: number) => number): string {
	const pick = picker(random);
	const v6 = random(4) === 0;
	const words = pick([
		'proto udp dport 53',
		'proto udp sport 500 dport 500',
		'proto tcp dport 443',
		'proto icmp type 8',
		'proto icmp type 0',
		'proto 47',
		'proto 253',
		'proto ipv6-icmp type 128',
	]);
	const direction = pick(['out', 'out', 'in', 'fwd']);
	return [
		`src ${address(pick, v6)} dst ${address(pick, v6)} ${words}`,
		`dir ${direction}`,
		pick(['', '', 'mark 1', 'mark 0x11']),
		pick(['', '', '', 'if_id 5']),
	]
		.join(' ')
		.trim();
}
