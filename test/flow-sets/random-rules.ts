/**
 * Nasty random rule sets, as commands: prefixes that nest and cross, masked ports and marks, if_ids, ties of
 * priority and of age, sub policies, all directions and families, defaults, levels, thresholds of the lists,
 * states of every mode that flows tell apart. And edits of them, as daemons and people make them.
 *
 * A rule is a line for `ip xfrm`; behind `#` stand masks of ports, which only netlink can set:
 *
 *     policy add src 10.0.0.0/8 dst 0.0.0.0/0 proto udp sport 4096 dir out # sport 0xf000
 */
import { nodeProvider } from '@xfrm/crypto/node';
import type { KernelProfile } from '@xfrm/engine';
import { Explainer, type World } from '@xfrm/explain';
import { parseCommand } from '@xfrm/iproute';
import { decodeMessage, encodeMessage, splitMessages } from '@xfrm/netlink';
import { picker } from '../../packages/explain/src/random-rules-fixture.test.ts';

export type Random = (below: number) => number;

const KEY = '0x3f1a5be2c8d04976aa10e5cd27b3648f9e02c571';
const LOCAL = [
	['192.0.2.1', '192.0.2.2', '10.1.1.1'],
	['2001:db8::1', '2001:db8::2'],
] as const;
const PEERS = [
	['198.51.100.1', '198.51.100.2', '10.2.0.1'],
	['2001:db8:f::1', '2001:db8:f::2'],
] as const;
export const MARKS = [0, 0, 1, 2, 3, 0x10, 0x11, 0x30, 0x80000001, 0xffffffff] as const;

/** An address out of few, so that prefixes meet; rarely any. */
export function randomAddress(random: Random, v6: boolean): string {
	const pick = picker(random);
	if (random(12) === 0) {
		const part = (): string => random(65536).toString(16);
		return v6
			? `2001:db8:${part()}:${part()}::${part()}`
			: `${random(224)}.${random(256)}.${random(256)}.${random(256)}`;
	}
	return v6
		? pick([
				...LOCAL[1],
				...PEERS[1],
				`2001:db8:${pick([1, 2, 3])}:${pick([0, 8])}::${pick([1, 2, 3, 'a:1'])}`,
			])
		: pick([
				...LOCAL[0],
				...PEERS[0],
				`10.${pick([0, 1, 2, 3])}.${pick([0, 1, 128, 129])}.${pick([0, 1, 2, 200, 255])}`,
			]);
}

function randomPrefix(random: Random, v6: boolean): string {
	const lengths = v6
		? [0, 0, 0, 3, 16, 32, 33, 46, 47, 48, 63, 64, 65, 96, 127, 128, 128]
		: [0, 0, 0, 1, 7, 8, 8, 14, 15, 16, 16, 17, 23, 24, 31, 32, 32];
	return `${randomAddress(random, v6)}/${picker(random)(lengths)}`;
}

/** Words of a selector behind its addresses, and masks of its ports. */
function randomUpper(random: Random): readonly [words: string, masks: string] {
	const pick = picker(random);
	const port = (): number => pick([0, 53, 443, 500, 1024, 4096, 4500, 65535]);
	const mask = (): string => pick(['0xffff', '0xfff0', '0xf000', '0x8000', '0x0003', '0x00ff']);
	const proto = pick(['udp', 'tcp', 'sctp', 'dccp']);
	switch (random(12)) {
		case 0:
			return [`proto ${proto} dport ${port()}`, ''];
		case 1:
			return [`proto ${proto} sport ${port()}`, ''];
		case 2:
			return [`proto ${proto} sport ${port()} dport ${port()}`, `sport ${mask()} dport ${mask()}`];
		case 3:
			return [`proto ${proto} dport ${port()}`, `dport ${mask()}`];
		case 4:
			return [`proto icmp type ${pick([0, 3, 8])} code ${pick([0, 1])}`, pick(['', 'dport 0'])];
		case 5:
			return [`proto ipv6-icmp type ${pick([1, 128, 135])}`, ''];
		case 6:
			return [`proto gre key ${pick(['0.1.0.2', '0.0.0.7', '0.1.0.0'])}`, ''];
		case 7:
			return [`proto ${pick([4, 41, 47, 50, 51, 108, 135, 253, 255, 43, 44, 60])}`, ''];
		case 8:
			return [`proto ${proto}`, ''];
		case 9:
			return [`proto ${proto} sport ${port()}`, `sport ${mask()} noproto`];
		default:
			return ['', ''];
	}
}

/** Ends of a tunnel: from here to a peer, or, coming in, the other way round. */
function randomEnds(random: Random, v6: boolean, coming: boolean): string {
	const pick = picker(random);
	const here = pick<string>([...LOCAL[v6 ? 1 : 0], v6 ? '::' : '0.0.0.0']);
	const there = pick<string>(PEERS[v6 ? 1 : 0]);
	return coming
		? `src ${there} dst ${pick<string>(LOCAL[v6 ? 1 : 0])}`
		: `src ${here} dst ${there}`;
}

function randomTemplate(random: Random, v6: boolean, coming: boolean): string {
	const pick = picker(random);
	const mode = pick(['tunnel', 'tunnel', 'tunnel', 'transport', 'transport', 'beet']);
	const ends = mode === 'transport' ? '' : randomEnds(random, random(8) === 0 ? !v6 : v6, coming);
	const spi = pick(['', '', '', '', `spi ${0x100 + random(8)}`]);
	return [
		`tmpl ${ends} proto ${pick(['esp', 'esp', 'esp', 'ah', 'comp'])} ${spi}`,
		`reqid ${pick([0, 1, 1, 2])} mode ${mode} ${pick(['', '', '', 'level use'])}`,
	].join(' ');
}

export function randomPolicy(random: Random): string {
	const pick = picker(random);
	const v6 = random(4) === 0;
	const direction = pick(['out', 'out', 'out', 'in', 'fwd']);
	const templates = pick([0, 0, 1, 1, 1, 1, 2, 3]);
	const [upper, masks] = randomUpper(random);
	const action =
		random(5) === 0
			? ['action block']
			: Array.from({ length: templates }, () => randomTemplate(random, v6, direction !== 'out'));
	return [
		`policy ${pick(['add', 'add', 'add', 'update'])}`,
		`src ${randomPrefix(random, v6)} dst ${randomPrefix(random, v6)} ${upper}`,
		pick(['', '', '', '', 'dev eth1']),
		`dir ${direction}`,
		pick(['', '', '', 'ptype sub']),
		pick([
			'',
			'',
			'',
			'mark 1 mask 0x3',
			'mark 0x10 mask 0xf0',
			'mark 0 mask 0x1',
			'mark 0x80000001 mask 0xffffffff',
		]),
		pick(['', '', '', '', 'if_id 5', 'if_id 7']),
		`priority ${pick([0, 1, 1, 2, 2, 3, 10, 4294967295])}`,
		...action,
		...(masks === '' ? [] : [`# ${masks}`]),
	].join(' ');
}

export function randomState(random: Random, spi: number): string {
	const pick = picker(random);
	const v6 = random(5) === 0;
	const mode = pick(['tunnel', 'tunnel', 'tunnel', 'transport', 'transport', 'beet']);
	const ends =
		mode === 'transport'
			? `src ${pick([randomAddress(random, v6), v6 ? '::' : '0.0.0.0'])} dst ${randomAddress(random, v6)}`
			: randomEnds(random, v6, random(3) === 0);
	const [upper, masks] = randomUpper(random);
	const proto = pick(['esp', 'esp', 'esp', 'esp', 'ah', 'comp']);
	const algorithm = {
		esp: `aead 'rfc4106(gcm(aes))' ${KEY} ${pick([64, 128, 128, 128])}`,
		ah: `auth-trunc 'hmac(sha256)' 0x${'5a'.repeat(32)} 128`,
		comp: 'comp deflate',
	}[proto];
	const inner = random(6) === 0 ? !v6 : v6;
	return [
		`state add ${ends} proto ${proto} spi ${proto === 'comp' ? spi & 0xffff : spi} mode ${mode} reqid ${pick([0, 1, 1, 2])}`,
		pick(['', '', '', 'mark 1 mask 0x3', 'mark 0x10 mask 0xf0']),
		pick(['', '', '', 'if_id 5']),
		pick(['', '', 'output-mark 1', 'output-mark 0x10 mask 0x30']),
		algorithm,
		pick([
			'',
			'',
			`sel src ${randomPrefix(random, inner)} dst ${randomPrefix(random, inner)} ${upper}`,
		]),
		...(masks === '' ? [] : [`# ${masks}`]),
	].join(' ');
}

/** Rules of a set, to be carried out in order; with as many policies. */
export function randomRules(random: Random, policies: number): string[] {
	const pick = picker(random);
	const states = Array.from({ length: 3 + random(14) }, (_, i) => randomState(random, 0x100 + i));
	const own = Array.from({ length: policies }, () => randomPolicy(random));
	const defaults = ['in', 'out', 'fwd'].map(
		(dir) => `policy setdefault ${dir} ${random(4) === 0 ? 'block' : 'accept'}`,
	);
	const thresholds =
		random(3) === 0
			? [
					`policy set hthresh4 ${pick([0, 8, 16, 32])} ${pick([0, 8, 16, 32])} hthresh6 ${pick([0, 48, 64, 128])} ${pick([0, 48, 64, 128])}`,
				]
			: [];
	// States that are made later are preferred; policies that are made later come behind their equals.
	return [...defaults, ...thresholds, ...shuffled(random, [...states, ...own])];
}

export function shuffled<T>(random: Random, items: readonly T[]): T[] {
	const order = [...items];
	for (let i = order.length - 1; i > 0; i--) {
		const j = random(i + 1);
		const one = order[i] as T;
		order[i] = order[j] as T;
		order[j] = one;
	}
	return order;
}

/** The rules after a change: something goes, comes, moves or is rekeyed; rarely all is other. */
export function changedRules(random: Random, rules: readonly string[]): string[] {
	let changed = [...rules];
	if (random(20) === 0) {
		return randomRules(random, random(60));
	}
	for (let edits = 1 + random(10); edits > 0; edits--) {
		const at = random(changed.length);
		const rule = changed[at] ?? '';
		switch (random(8)) {
			case 0:
				changed = changed.filter((_, i) => i !== at);
				break;
			case 1:
				changed.splice(at, 0, randomPolicy(random));
				break;
			case 2:
				changed.splice(at, 0, randomState(random, 0x180 + random(64)));
				break;
			case 3:
				changed = shuffled(random, changed);
				break;
			case 4:
				changed = changed.map((one) =>
					one.replace(/ spi 0x?[0-9]+ mode/, (spi) => `${spi.slice(0, -5)}0 mode`),
				);
				break;
			case 5:
				changed[at] = rule.replace(/priority \d+/, `priority ${random(4)}`);
				break;
			case 6:
				changed[at] = rule.replace(/reqid \d/g, `reqid ${random(3)}`).replace(' level use', '');
				break;
			default:
				changed.push(
					`policy setdefault ${picker(random)(['in', 'out', 'fwd'])} ${picker(random)(['block', 'accept'])}`,
				);
		}
	}
	return changed;
}

/** A host with these rules; what Linux would refuse is left out. */
export function hostOf(rules: readonly string[], profile: KernelProfile, listener: boolean): World {
	const explainer = new Explainer({
		profile,
		provider: nodeProvider(),
		random: (bytes) => bytes.fill(7),
		startUs: 1_700_000_000_000_000,
		listener,
	});
	explainer.run('link set eth0 up');
	explainer.run('link set eth1 up');
	for (const rule of rules) {
		carryOut(explainer.world, rule);
	}
	explainer.takeEvents();
	explainer.prepare();
	return explainer.world;
}

function carryOut(world: World, rule: string): void {
	const [text = '', masks] = rule.split('#');
	if (masks === undefined) {
		world.run(`xfrm ${text}`);
		return;
	}
	const { command } = parseCommand(text.trim(), world.context);
	for (const request of command?.requests ?? []) {
		for (const message of splitMessages(request).map((raw) => decodeMessage(raw))) {
			if (message !== undefined) {
				world.request(encodeMessage(withMasks(message, masks)));
			}
		}
	}
}

type Message = NonNullable<ReturnType<typeof decodeMessage>>;

function withMasks(message: Message, masks: string): Message {
	const of = (name: string): number | undefined => {
		const [, told] = new RegExp(`${name} (\\S+)`).exec(masks) ?? [];
		return told === undefined ? undefined : Number(told);
	};
	switch (message.name) {
		case 'newpolicy':
		case 'updpolicy':
		case 'newsa': {
			const { selector } = message.body;
			const { sportMask, dportMask, proto } = selector;
			const masked = {
				...selector,
				sportMask: of('sport') ?? sportMask,
				dportMask: of('dport') ?? dportMask,
				proto: masks.includes('noproto') ? 0 : proto,
			};
			return { ...message, body: { ...message.body, selector: masked } } as Message;
		}
		default:
			return message;
	}
}
