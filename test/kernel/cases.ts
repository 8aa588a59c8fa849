/** The kinds of random cases: one function each, from a seed to a scenario. */
import {
	type Ends,
	policyCommand,
	randomAuth,
	randomEnds,
	randomEspAlgorithms,
	randomSpi,
	type StateSpec,
	setupCommands,
	stateCommand,
	swapEnds,
	templateWords,
} from './association.ts';
import { fragmentPacket, type IpVersion } from './packet.ts';
import { plainIpScenario } from './plain-ip.ts';
import type { Random } from './random.ts';
import {
	type Case,
	randomPacket,
	receivingSteps,
	type Scenario,
	type Step,
	sendingSteps,
} from './scenario.ts';

export interface Kind {
	readonly name: string;
	make(random: Random, id: string): Scenario;
}

interface Plan {
	readonly ends: Ends;
	readonly specs: readonly StateSpec[];
	readonly tunnel: boolean;
	/** Words behind the policies of A, of B. */
	readonly policyExtra?: string;
	readonly encap?: Case['encap'];
	/** States of B where they differ from A's. */
	readonly specsIn?: readonly StateSpec[];
	/** Templates of B where they differ from A's. */
	readonly templatesIn?: string;
	readonly packets?: number;
	readonly damage?: number;
	readonly selector?: [out: string, back: string];
	/** Further policies of B, in front. */
	readonly policiesIn?: readonly string[];
	readonly steps?: readonly Step[];
	readonly mapSteps?: (steps: Step[]) => Step[];
}

/** A sends, B receives: the ordinary scenario. */
function associate(random: Random, id: string, plan: Plan): Scenario {
	const { ends, specs, tunnel } = plan;
	const selector = tunnel
		? `src ${ends.netA} dst ${ends.netB}`
		: `src ${ends.wanA} dst ${ends.wanB}`;
	const extra = plan.policyExtra ?? '';
	const templates = specs.map((spec) => templateWords(spec)).join(' ');
	const first: Case = {
		id: `${id}-out`,
		tags: ['out'],
		setup: setupCommands(ends),
		xfrm: [
			...specs.map(stateCommand),
			policyCommand(selector, 'out', `${extra} ${templates}`.trim()),
		],
		...(plan.encap === undefined ? {} : { encap: plan.encap }),
		steps: plan.steps ?? sendingSteps(random, ends, tunnel, plan.packets ?? random.int(2, 4)),
	};
	const templatesIn = plan.templatesIn ?? templates;
	const inbound = (emitted: readonly string[]): Case[] => {
		const steps = receivingSteps(random, emitted, plan.damage ?? 2);
		return [
			{
				id: `${id}-in`,
				tags: ['in'],
				setup: setupCommands(swapEnds(ends)),
				xfrm: [
					...(plan.specsIn ?? specs).map(stateCommand),
					...(plan.policiesIn ?? []),
					...(['fwd', 'in'] as const).map((direction) =>
						policyCommand(selector, direction, `${extra} ${templatesIn}`.trim()),
					),
				],
				...(plan.encap === undefined ? {} : { encap: plan.encap }),
				steps: plan.mapSteps?.(steps) ?? steps,
			},
		];
	};
	return { first, inbound };
}

type Proto = 'esp' | 'ah' | 'comp';

function protoSpec(
	random: Random,
	ends: Ends,
	proto: Proto,
	mode: 'transport' | 'tunnel' | 'beet',
	extra = '',
): StateSpec {
	const algorithms =
		proto === 'esp'
			? randomEspAlgorithms(random)
			: proto === 'ah'
				? randomAuth(random)
				: { words: 'comp deflate', name: 'deflate', ivOctets: 0 };
	const window = proto === 'comp' ? '' : random.pick(['replay-window 32', 'replay-window 4', '']);
	return {
		src: ends.wanA,
		dst: ends.wanB,
		proto,
		spi: proto === 'comp' ? random.int(256, 0xffff) : randomSpi(random),
		reqid: random.int(1, 0x7fffffff),
		mode,
		algorithms,
		extra: [window, extra].filter((word) => word !== '').join(' '),
	};
}

function protocol(proto: Proto, mode: 'transport' | 'tunnel', version: IpVersion): Kind {
	return {
		name: `${proto}-${mode}-v${version}`,
		make(random, id) {
			const ends = randomEnds(random, version, version);
			const spec = protoSpec(random, ends, proto, mode);
			// A receiver of IPComp has to make it optional, since short packets come as they are.
			const templatesIn =
				proto === 'comp' && random.chance(0.7) ? templateWords(spec, ' level use') : undefined;
			return associate(random, id, {
				ends,
				specs: [spec],
				tunnel: mode === 'tunnel',
				...(templatesIn === undefined ? {} : { templatesIn }),
			});
		},
	};
}

const crossFamily: Kind = {
	name: 'cross-family',
	make(random, id) {
		const outer = random.pick([4, 6] as const);
		const ends = randomEnds(random, outer, outer === 4 ? 6 : 4);
		const spec = protoSpec(random, ends, random.pick(['esp', 'ah']), 'tunnel', 'flag af-unspec');
		return associate(random, id, { ends, specs: [spec], tunnel: true });
	},
};

const beet: Kind = {
	name: 'beet',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const ends = randomEnds(random, version, random.chance(0.8) ? version : version === 4 ? 6 : 4);
		const full = ends.inner === 4 ? 32 : 128;
		const selector = `src ${ends.hostA}/${full} dst ${ends.ownB}/${full}`;
		const spec = protoSpec(random, ends, 'esp', 'beet', `sel ${selector}`);
		const template = templateWords(spec);
		return {
			first: {
				id: `${id}-out`,
				tags: ['out'],
				setup: setupCommands(ends),
				xfrm: [stateCommand(spec), policyCommand(selector, 'out', template)],
				steps: Array.from({ length: 3 }, () => ({
					at: 'lan' as const,
					packet: randomPacket(random, ends.inner, ends.hostA, ends.ownB),
				})),
			},
			inbound: (emitted) => [
				{
					id: `${id}-in`,
					tags: ['in'],
					setup: setupCommands(swapEnds(ends)),
					xfrm: [
						stateCommand(spec),
						policyCommand(selector, 'in', template),
						policyCommand(selector, 'fwd', template),
					],
					steps: receivingSteps(random, emitted, 2),
				},
			],
		};
	},
};

const nested: Kind = {
	name: 'nested',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const tunnel = random.chance(0.6);
		const ends = randomEnds(random, version, version);
		const chain = random.pick<readonly Proto[]>([
			['comp', 'esp'],
			['esp', 'ah'],
			['comp', 'esp', 'ah'],
			['comp', 'ah'],
		]);
		const specs = chain.map((proto, i) =>
			protoSpec(random, ends, proto, tunnel && i === 0 ? 'tunnel' : 'transport'),
		);
		const templatesIn = specs
			.map((spec) => templateWords(spec, spec.proto === 'comp' ? ' level use' : ''))
			.join(' ');
		const oneMissing = random.chance(0.2);
		return associate(random, id, {
			ends,
			specs,
			tunnel,
			templatesIn: oneMissing && specs[0] !== undefined ? templateWords(specs[0]) : templatesIn,
		});
	},
};

const natTraversal: Kind = {
	name: 'esp-in-udp',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const mode = random.pick(['transport', 'tunnel', 'beet'] as const);
		const ends = randomEnds(random, version, version);
		const port = random.pick([4500, 4500, 10000]);
		const encap = `encap espinudp ${port} ${port} ${version === 4 ? '0.0.0.0' : '::'}`;
		const tunnel = mode !== 'transport';
		const full = version === 4 ? 32 : 128;
		const selector =
			mode === 'beet' ? ` sel src ${ends.hostA}/${full} dst ${ends.hostB}/${full}` : '';
		const spec = protoSpec(random, ends, 'esp', mode, encap + selector);
		return associate(random, id, {
			ends,
			specs: [spec],
			tunnel,
			encap: [{ family: version, port, type: 'espinudp' }],
			policyExtra: 'priority 9',
			policiesIn: [
				policyCommand(
					`src ${ends.wanA} dst ${ends.wanB} proto udp sport ${port} dport ${port}`,
					'in',
					'priority 1 action allow',
				),
			],
			mapSteps: (steps) =>
				steps.map((step) =>
					random.chance(0.15) && 'packet' in step ? otherSourcePort(step, version) : step,
				),
		});
	},
};

/** The NAT in between chose another port: MAPPING. The IPv6 checksum is kept right by moving the length's weight. */
function otherSourcePort(step: Step & { packet: string }, version: IpVersion): Step {
	const bytes = Buffer.from(step.packet, 'hex');
	const at = version === 4 ? ((bytes[0] ?? 0) & 15) * 4 : 40;
	if (bytes.length < at + 8 || bytes[version === 4 ? 9 : 6] !== 17) {
		return step;
	}
	const port = bytes.readUInt16BE(at);
	bytes.writeUInt16BE(port ^ 1, at);
	if (version === 6) {
		const sum = bytes.readUInt16BE(at + 6) + (port & 1 ? 1 : -1);
		bytes.writeUInt16BE(sum & 0xffff, at + 6);
	}
	return { ...step, packet: bytes.toString('hex'), note: 'another source port' };
}

const replay: Kind = {
	name: 'replay',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const ends = randomEnds(random, version, version);
		const proto = random.pick(['esp', 'ah'] as const);
		const esn = random.chance(0.5);
		const window = esn ? random.pick([32, 64, 128, 256]) : random.pick([4, 8, 32]);
		const near = random.chance(0.4);
		const flags = esn ? `replay-window ${window} flag esn` : `replay-window ${window}`;
		const oseq = near && esn ? ' replay-oseq 0xfffffffd replay-oseq-hi 1' : '';
		const seq = near && esn ? ' replay-seq 0xfffffffd replay-seq-hi 1' : '';
		const base = protoSpec(random, ends, proto, random.pick(['transport', 'tunnel']));
		const algorithms = proto === 'esp' ? randomEspAlgorithms(random, true) : base.algorithms;
		const spec = { ...base, algorithms, extra: flags + oseq };
		const count = random.int(3, 9);
		return associate(random, id, {
			ends,
			specs: [spec],
			specsIn: [{ ...spec, extra: flags + seq }],
			tunnel: spec.mode === 'tunnel',
			packets: count,
			damage: 0,
			mapSteps: (steps) => shuffle(random, [...steps, ...steps.slice(0, 3)]),
		});
	},
};

function shuffle<T>(random: Random, list: T[]): T[] {
	for (let i = list.length - 1; i > 0; i--) {
		const j = random.int(0, i);
		[list[i], list[j]] = [list[j] as T, list[i] as T];
	}
	return list;
}

const lifetimes: Kind = {
	name: 'lifetimes',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const ends = randomEnds(random, version, version);
		const limit = (): string =>
			random.pick([
				`limit packet-hard ${random.int(0, 3)}`,
				`limit packet-soft ${random.int(0, 2)} limit packet-hard ${random.int(2, 4)}`,
				`limit byte-hard ${random.int(1, 900)}`,
				`limit byte-soft ${random.int(1, 300)}`,
			]);
		const mode = random.pick(['transport', 'tunnel'] as const);
		const spec = protoSpec(random, ends, random.pick(['esp', 'ah', 'comp']), mode);
		const limited = { ...spec, extra: `${spec.extra ?? ''} ${limit()}`.trim() };
		const outward = random.chance(0.5);
		return associate(random, id, {
			ends,
			specs: [outward ? limited : spec],
			specsIn: [limited],
			tunnel: mode === 'tunnel',
			packets: 5,
			damage: 1,
		});
	},
};

const timeLimits: Kind = {
	name: 'time-limits',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const ends = randomEnds(random, version, version);
		const limit = random.pick(['time-hard 2', 'time-soft 1 limit time-hard 9', 'time-use-hard 2']);
		const spec = protoSpec(random, ends, 'esp', 'tunnel', `limit ${limit}`);
		const scenario = associate(random, id, { ends, specs: [spec], tunnel: true, packets: 2 });
		const [before, after] = scenario.first.steps;
		const steps = [before, { sleep_ms: 3300 }, after].filter((step) => step !== undefined);
		return { first: { ...scenario.first, steps } };
	},
};

const subPolicies: Kind = {
	name: 'sub-policies',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const ends = randomEnds(random, version, version);
		const tunnel = random.chance(0.5);
		const spec = protoSpec(random, ends, 'esp', tunnel ? 'tunnel' : 'transport');
		const other = protoSpec(random, ends, 'ah', 'transport');
		const selector = tunnel
			? `src ${ends.netA} dst ${ends.netB}`
			: `src ${ends.wanA} dst ${ends.wanB}`;
		const choice = (): string =>
			random.pick([
				'action allow',
				'action block',
				templateWords(spec),
				templateWords(other),
				'none',
			]);
		const policies = (direction: 'in' | 'out' | 'fwd'): string[] =>
			(['sub', 'main'] as const).flatMap((type) => {
				const words = choice();
				return words === 'none'
					? []
					: [policyCommand(selector, direction, `ptype ${type} ${words}`)];
			});
		const sealed = associate(random, id, { ends, specs: [spec], tunnel });
		const first: Case = {
			...sealed.first,
			xfrm: [stateCommand(spec), stateCommand(other), ...policies('out')],
		};
		return {
			first,
			inbound: (emitted) => [
				{
					id: `${id}-in`,
					tags: ['in', 'sub'],
					setup: setupCommands(swapEnds(ends)),
					xfrm: [stateCommand(spec), stateCommand(other), ...policies('in'), ...policies('fwd')],
					steps: [
						...receivingSteps(random, emitted, 1),
						{ at: 'wan', packet: randomPacket(random, version, ends.wanA, ends.wanB) },
						{ at: 'wan', packet: randomPacket(random, version, ends.hostA, ends.hostB) },
					],
				},
			],
		};
	},
};

const marks: Kind = {
	name: 'marks',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const ends = randomEnds(random, version, version);
		const mask = random.pick([0xff, 0xf0, 0xffffffff]);
		const value = random.int(1, 15) * 16 + random.int(0, 15);
		const words = `mark 0x${(value & mask).toString(16)} mask 0x${mask.toString(16)}`;
		const onState = random.chance(0.6);
		const tunnel = random.chance(0.5);
		const outputMark = random.chance(0.3)
			? ` output-mark 0x${random.int(1, 255).toString(16)}`
			: '';
		const spec = protoSpec(
			random,
			ends,
			'esp',
			tunnel ? 'tunnel' : 'transport',
			`${onState ? words : ''}${outputMark}`.trim(),
		);
		const mark = (): number => random.pick([value, value & mask, 0, random.int(0, 255)]);
		const steps = Array.from({ length: 4 }, () => ({
			at: 'local' as const,
			packet: tunnel
				? randomPacket(random, version, ends.ownA, ends.hostB)
				: randomPacket(random, version, ends.wanA, ends.wanB),
			mark: mark(),
		}));
		return associate(random, id, {
			ends,
			specs: [spec],
			tunnel,
			policyExtra: random.chance(0.7) ? words : '',
			steps,
			mapSteps: (list) => list.map((step) => ('packet' in step ? step : step)),
		});
	},
};

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

const flags: Kind = {
	name: 'flags',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const ends = randomEnds(random, version, version);
		const words = random.pick([
			'flag noecn',
			'flag decap-dscp',
			'flag nopmtudisc',
			'flag noecn decap-dscp',
			'extra-flag dont-encap-dscp',
			'tfcpad 300',
			'flag align4',
		]);
		const proto = words.startsWith('flag') && random.chance(0.3) ? 'ah' : 'esp';
		const spec = protoSpec(random, ends, proto, 'tunnel', words);
		return associate(random, id, { ends, specs: [spec], tunnel: true, damage: 1 });
	},
};

function mobile(proto: 'hao' | 'route2'): Kind {
	return {
		name: `ro-${proto}`,
		make(random, id) {
			const hex = (): string => random.int(1, 0xffff).toString(16);
			const [home, coa, peer] = [1, 2, 3].map((n) => `2001:db8:${hex()}:${n}::${hex()}`);
			const [src, dst] = proto === 'hao' ? [home, peer] : [peer, home];
			const state = (other: string): string =>
				`ip xfrm state add src ${src} dst ${dst} proto ${proto} mode ro coa ${other}`;
			const template = `tmpl src ${src} dst ${dst} proto ${proto} mode ro`;
			const level = random.chance(0.3) ? ' level use' : '';
			const mobileHost = [
				`addr add ${home}/128 dev lan home nodad`,
				`addr add ${coa}/64 dev wan nodad`,
				'route add ::/0 dev wan',
			];
			const correspondent = [`addr add ${peer}/64 dev wan nodad`, 'route add ::/0 dev wan'];
			const selector = `src ${src} dst ${dst}`;
			const given = random.chance(0.85);
			const other = random.chance(0.15) ? `2001:db8:ffff::${hex()}` : (coa ?? '');
			return {
				first: {
					id: `${id}-out`,
					tags: ['out', 'mip6'],
					setup: proto === 'hao' ? mobileHost : correspondent,
					xfrm: [
						...(given ? [state(coa ?? '')] : []),
						policyCommand(selector, 'out', template + level),
					],
					steps: Array.from({ length: 3 }, () => ({
						at: 'local' as const,
						packet: randomPacket(random, 6, src ?? '', dst ?? '', 600),
					})),
				},
				inbound: (emitted) => [
					{
						id: `${id}-in`,
						tags: ['in', 'mip6'],
						setup: proto === 'hao' ? correspondent : mobileHost,
						xfrm: [
							...(random.chance(0.85) ? [state(other)] : []),
							...(random.chance(0.8) ? [policyCommand(selector, 'in', template + level)] : []),
						],
						steps: receivingSteps(random, emitted, 2),
					},
				],
			};
		},
	};
}

const selection: Kind = {
	name: 'selection',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const ends = randomEnds(random, version, version);
		const specs = [1, 2, 3].map(() => protoSpec(random, ends, 'esp', 'tunnel'));
		const full = version === 4 ? 32 : 128;
		const selectors = [
			`src ${ends.netA} dst ${ends.netB}`,
			`src ${ends.hostA}/${full} dst ${ends.hostB}/${full}`,
			`src ${ends.netA} dst ${ends.hostB}/${full}`,
			`src ${ends.netA} dst ${ends.netB} proto udp dport 4242`,
			`dst ${ends.netB} proto ${version === 4 ? 'icmp' : 'ipv6-icmp'}`,
		];
		const policies = Array.from({ length: random.int(2, 5) }, () => {
			const words = random.pick([
				'action block',
				'action allow',
				...specs.map((s) => templateWords(s)),
			]);
			return policyCommand(random.pick(selectors), 'out', `priority ${random.int(1, 3)} ${words}`);
		});
		return {
			first: {
				id: `${id}-out`,
				tags: ['out', 'selection'],
				setup: setupCommands(ends),
				xfrm: shuffle(random, [...specs.map(stateCommand), ...policies]),
				steps: sendingSteps(random, ends, true, 6),
			},
		};
	},
};

const acquire: Kind = {
	name: 'acquire',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const ends = randomEnds(random, version, version);
		const tunnel = random.chance(0.5);
		const spec = protoSpec(random, ends, 'esp', tunnel ? 'tunnel' : 'transport');
		const selector = tunnel
			? `src ${ends.netA} dst ${ends.netB}`
			: `src ${ends.wanA} dst ${ends.wanB}`;
		const send = (): Step[] => sendingSteps(random, ends, tunnel, random.int(1, 2));
		const level = !tunnel && random.chance(0.3) ? ' level use' : '';
		return {
			first: {
				id: `${id}-out`,
				tags: ['out', 'acquire'],
				setup: setupCommands(ends),
				xfrm: [policyCommand(selector, 'out', templateWords(spec, level))],
				steps: [...send(), { ip: [stateCommand(spec).slice(3)] }, ...send()],
			},
		};
	},
};

const defaults: Kind = {
	name: 'defaults',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const ends = randomEnds(random, version, version);
		const spec = protoSpec(random, ends, 'esp', 'tunnel');
		const block = (): string => random.pick(['accept', 'block']);
		const setting = `ip xfrm policy setdefault in ${block()} fwd ${block()} out ${block()}`;
		const some = random.chance(0.5);
		const selector = `src ${ends.netA} dst ${ends.netB}`;
		return {
			first: {
				id: `${id}-out`,
				tags: ['out', 'defaults'],
				setup: setupCommands(ends),
				xfrm: [
					setting,
					stateCommand(spec),
					...(some ? [policyCommand(selector, 'out', templateWords(spec))] : []),
				],
				steps: [
					...sendingSteps(random, ends, true, 3),
					...sendingSteps(random, ends, false, 2),
					{ at: 'wan', packet: randomPacket(random, version, ends.hostB, ends.ownA) },
					{ at: 'wan', packet: randomPacket(random, version, ends.hostB, ends.hostA) },
				],
			},
		};
	},
};

const protocols: Kind[] = (['esp', 'ah', 'comp'] as const).flatMap((proto) =>
	(['transport', 'tunnel'] as const).flatMap((mode) =>
		([4, 6] as const).map((version) => protocol(proto, mode, version)),
	),
);

export const kinds: readonly Kind[] = [
	...protocols,
	crossFamily,
	beet,
	mobile('hao'),
	mobile('route2'),
	nested,
	natTraversal,
	replay,
	lifetimes,
	timeLimits,
	subPolicies,
	marks,
	fragments,
	damaged,
	flags,
	selection,
	acquire,
	defaults,
	{ name: 'plain-ip', make: plainIpScenario },
];
