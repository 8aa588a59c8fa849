/** Kinds of cases about packets that are cut, damaged, in fragments, or too big. */
import {
	type Ends,
	policyCommand,
	randomEnds,
	setupCommands,
	stateCommand,
	templateWords,
} from './association.ts';
import { associate, flowSelector, type Kind, protoSpec, randomVersion, shuffle } from './kind.ts';
import { fragmentPacket, makePacket, randomPayload } from './packet.ts';
import type { Random } from './random.ts';
import { randomPacket, type Step } from './scenario.ts';

const fragments: Kind = {
	name: 'fragments',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const ends = randomEnds(random, version, version);
		const mode = random.pick(['transport', 'tunnel'] as const);
		const spec = protoSpec(random, ends, random.pick(['esp', 'ah']), mode);
		const big = (): string =>
			mode === 'transport'
				? randomPacket(random, version, ends.wanA, ends.wanB, 1440)
				: randomPacket(random, version, ends.ownA, ends.hostB, 1440);
		return associate(random, id, {
			ends,
			specs: [spec],
			tunnel: mode === 'tunnel',
			steps: Array.from({ length: 4 }, () => ({ at: 'local' as const, packet: big() })),
			damage: 2,
			mapSteps: (steps) => steps.flatMap((step) => inFragments(random, step)),
		});
	},
};

/** Mostly all fragments of a packet, in any order; some lost, some twice. */
function inFragments(random: Random, step: Step): Step[] {
	if (!('packet' in step) || random.chance(0.2)) {
		return [step];
	}
	const size = 8 * random.int(2, 60);
	const parts = fragmentPacket(step.packet, size, random.u32());
	if (random.chance(0.15)) {
		parts.splice(random.int(0, parts.length - 1), 1);
	}
	if (random.chance(0.15) && parts[0] !== undefined) {
		parts.push(parts[0]);
	}
	const order = random.chance(0.5) ? shuffle(random, parts) : parts;
	return order.map((packet) => ({ at: 'wan', packet, note: 'a fragment' }));
}

const damaged: Kind = {
	name: 'damaged',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const ends = randomEnds(random, version, version);
		const mode = random.pick(['transport', 'tunnel'] as const);
		const spec = protoSpec(random, ends, random.pick(['esp', 'ah', 'comp']), mode);
		return associate(random, id, { ends, specs: [spec], tunnel: mode === 'tunnel', damage: 8 });
	},
};

/** Packets about as long as the path, with and without DF. */
function longSteps(random: Random, ends: Ends, tunnel: boolean, mtu: number): Step[] {
	return Array.from({ length: 4 }, () => {
		const length = mtu - random.int(0, 120);
		const at = !tunnel || random.chance(0.3) ? ('local' as const) : ('lan' as const);
		const [src, dst] = !tunnel
			? [ends.wanA, ends.wanB]
			: [at === 'lan' ? ends.hostA : ends.ownA, random.pick([ends.hostB, ends.ownB])];
		const packet = makePacket(ends.inner, {
			src,
			dst,
			proto: random.pick(['udp', 'raw']),
			sport: 999,
			dport: 4242,
			payload: random.bytes(length - (ends.inner === 4 ? 28 : 48)),
			dontFragment: random.chance(0.6),
			tos: random.pick([0, 0xb8, 1]),
			id: random.int(1, 65535),
		});
		return { at, packet };
	});
}

const smallMtu: Kind = {
	name: 'small-mtu',
	make(random, id) {
		const outer = randomVersion(random);
		const inner = random.chance(0.8) ? outer : outer === 4 ? 6 : 4;
		const ends = randomEnds(random, outer, inner);
		const tunnel = inner !== outer || random.chance(0.7);
		const flags = random.pick(['', '', 'flag nopmtudisc', 'flag noecn', 'tfcpad 1400']);
		const extra = inner === outer ? flags : 'flag af-unspec';
		const proto = extra.startsWith('tfc') ? 'esp' : random.pick(['esp', 'ah'] as const);
		const spec = protoSpec(random, ends, proto, tunnel ? 'tunnel' : 'transport', extra);
		const mtu = random.int(1280, 1420);
		return {
			first: {
				id: `${id}-out`,
				tags: ['out', 'mtu'],
				setup: [`link set wan mtu ${mtu}`, ...setupCommands(ends)],
				xfrm: [
					stateCommand(spec),
					policyCommand(flowSelector(ends, tunnel), 'out', templateWords(spec)),
				],
				steps: longSteps(random, ends, tunnel, mtu),
			},
		};
	},
};

/** An ICMP error about a packet that left, from somewhere on its path. */
function errorAbout(random: Random, emitted: string, ends: Ends, mtu: number): Step {
	const version = ends.outer;
	const quoted = [...Buffer.from(emitted, 'hex')].slice(0, random.pick([28, 48, 68, 300]));
	const tooBig = random.chance(0.8);
	const [type, code] = version === 4 ? (tooBig ? [3, 4] : [3, 1]) : tooBig ? [2, 0] : [1, 3];
	const rest = version === 4 ? [0, 0, mtu >> 8, mtu & 255] : [0, 0, mtu >> 8, mtu & 255];
	const packet = makePacket(version, {
		src: random.pick([ends.wanB, version === 4 ? '198.18.0.1' : '2001:db8:ffff::1']),
		dst: ends.wanA,
		proto: 'icmp',
		sport: type,
		dport: code,
		payload: Uint8Array.from([...rest, ...quoted]),
	});
	return { at: 'wan', packet, note: 'an error about it' };
}

const pathMtu: Kind = {
	name: 'path-mtu',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const tunnel = random.chance(0.7);
		const proto = random.pick(['esp', 'ah'] as const);
		const spec = protoSpec(random, ends, proto, tunnel ? 'tunnel' : 'transport');
		const rules = {
			setup: setupCommands(ends),
			xfrm: [
				stateCommand(spec),
				policyCommand(flowSelector(ends, tunnel), 'out', templateWords(spec)),
			],
		};
		const mtu = random.int(version === 4 ? 500 : 1200, 1400);
		const before = longSteps(random, ends, tunnel, 1300).slice(0, 2);
		return {
			first: { id: `${id}-out`, tags: ['out', 'mtu'], ...rules, steps: before },
			inbound: (emitted) => [
				{
					id: `${id}-told`,
					tags: ['out', 'mtu'],
					...rules,
					steps: [
						...before.slice(0, 1),
						...emitted.slice(0, 1).map((packet) => errorAbout(random, packet, ends, mtu)),
						...longSteps(random, ends, tunnel, Math.max(mtu, 600)),
					],
				},
			],
		};
	},
};

const errorsInTunnel: Kind = {
	name: 'errors-in-tunnel',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const extra = random.chance(0.5) ? 'flag icmp' : '';
		const spec = protoSpec(random, ends, 'esp', 'tunnel', extra);
		const back = { ...protoSpec(random, ends, 'esp', 'tunnel'), src: spec.dst, dst: spec.src };
		const { netA, netB } = ends;
		const wide = random.chance(0.5);
		const extraFlag = random.chance(0.4) ? 'flag icmp ' : '';
		const steps = Array.from({ length: 5 }, () => ({
			at: 'lan' as const,
			packet: makePacket(version, {
				src: ends.hostA,
				dst: random.pick([ends.hostB, ends.hostB, ends.ownB]),
				proto: random.pick(['udp', 'raw', 'icmp'] as const),
				sport: random.pick([1, 3]),
				dport: random.pick([1, 4, 7]),
				payload: random.chance(0.5) ? quotedPayload(random, ends) : random.bytes(60),
				ttl: random.pick([2, 2, 3, 64]),
			}),
		}));
		const protocol = wide ? '' : ' proto udp';
		return associate(random, id, {
			ends,
			specs: [spec],
			tunnel: true,
			steps,
			selector: [`src ${netA} dst ${netB}`, `src ${netA} dst ${netB}${protocol}`],
			inCommands: [
				stateCommand(back),
				policyCommand(`src ${netB} dst ${netA}${protocol}`, 'out', extraFlag + templateWords(back)),
			],
			damage: 1,
		});
	},
};

/** Rest of the ICMP header, and a packet of the other end's that the error is about. */
function quotedPayload(random: Random, ends: Ends): Uint8Array {
	const quoted = makePacket(ends.inner, {
		src: ends.hostB,
		dst: ends.hostA,
		proto: random.pick(['udp', 'raw']),
		sport: 4242,
		dport: 99,
		payload: random.bytes(20),
	});
	return Uint8Array.from([0, 0, 0, 0, ...Buffer.from(quoted, 'hex')]);
}

const IPV4_OPTIONS: readonly (readonly number[])[] = [
	[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
	// Full: a time would be written otherwise.
	[68, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0],
	[148, 4, 0, 0],
	[130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
	[1, 1, 0x1e, 4, 1, 2, 0, 0],
	[0x9e, 4, 9, 9, 1, 1, 1, 0],
	// Unsound: AH cannot tell what in them changes on the way.
	[7, 1, 4, 0],
	[148, 99, 0, 0],
	[130, 0, 0, 0],
];

const EXTENSIONS: readonly (readonly [proto: number, octets: readonly number[]])[] = [
	[0, [0, 1, 4, 0, 0, 0, 0]],
	[0, [0, 5, 2, 0, 0, 1, 0]],
	[60, [0, 0x1e, 4, 1, 2, 3, 4]],
	[60, [0, 0x3e, 4, 1, 2, 3, 4]],
	[60, [1, 0x1e, 2, 1, 2, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0]],
	[43, [0, 0, 0, 0, 0, 0, 0]],
	[43, [2, 2, 1, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]],
	[60, [0, 0x1e, 99, 1, 2, 3, 4]],
];

/** Headers that AH has to look through, and ESP leaves in front of itself. */
const headers: Kind = {
	name: 'options-and-headers',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const tunnel = random.chance(0.3);
		const proto = random.pick(['ah', 'ah', 'esp', 'comp'] as const);
		const spec = protoSpec(random, ends, proto, tunnel ? 'tunnel' : 'transport');
		const steps = Array.from({ length: 4 }, () => ({
			at: 'local' as const,
			packet: makePacket(version, {
				src: tunnel ? ends.ownA : ends.wanA,
				dst: tunnel ? ends.hostB : ends.wanB,
				proto: random.pick(['udp', 'raw'] as const),
				sport: 7,
				dport: 4242,
				payload: randomPayload(random, random.int(1, 300)),
				id: random.int(1, 65535),
				tos: random.pick([0, 0xb9]),
				dontFragment: random.chance(0.5),
				...(version === 4
					? { options: random.pick(IPV4_OPTIONS) }
					: { extensions: EXTENSIONS.filter(() => random.chance(0.35)) }),
			}),
		}));
		return associate(random, id, { ends, specs: [spec], tunnel, steps });
	},
};

export const packetKinds: readonly Kind[] = [
	fragments,
	damaged,
	smallMtu,
	pathMtu,
	errorsInTunnel,
	headers,
];
