/**
 * Kinds of cases in which everything is mixed: several states and policies, of both types and of sockets,
 * that fit or fit almost, settings, packets of all sorts, and commands and time between them.
 */
import type { ReceiverPolicy } from '../golden/vector-case.ts';
import {
	type Ends,
	policyCommand,
	randomEnds,
	type StateSpec,
	setupCommands,
	stateCommand,
	swapEnds,
	templateWords,
} from './association.ts';
import { randomChange } from './change-cases.ts';
import {
	flowSelector,
	fullLength,
	type Kind,
	type Proto,
	protoSpec,
	randomVersion,
	shuffle,
} from './kind.ts';
import { randomTemplate } from './policy-cases.ts';
import type { Random } from './random.ts';
import { type Case, randomPacket, receivingSteps, type Step, sendingSteps } from './scenario.ts';

type Direction = 'in' | 'out' | 'fwd';

/** What the two hosts of a mixture have in common. */
interface Plan {
	readonly ends: Ends;
	readonly tunnel: boolean;
	/** Innermost first; further ones are alternatives. */
	readonly specs: readonly StateSpec[];
	/** How many of them are put around a packet. */
	readonly layers: number;
}

const CHAINS: readonly (readonly Proto[])[] = [
	['esp'],
	['esp'],
	['ah'],
	['comp'],
	['esp', 'ah'],
	['ah', 'esp'],
	['comp', 'esp'],
	['esp', 'esp'],
	['comp', 'esp', 'ah'],
	['esp', 'ah', 'esp'],
	['ah', 'esp', 'esp', 'ah'],
];

/** Words of states that change what is done. */
function stateWords(random: Random, spec: StateSpec): string {
	const tunnel = spec.mode !== 'transport';
	const words = random.pick([
		'',
		'',
		'',
		'limit packet-hard 3',
		'limit packet-soft 1',
		'limit byte-hard 900',
		'limit byte-soft 200',
		'mark 0x1 mask 0x1',
		'mark 0x3 mask 0x7',
		'output-mark 0x4',
		'output-mark 0x4 mask 0xf',
		'flag wildrecv',
		'flag icmp',
		...(tunnel ? ['flag noecn', 'flag decap-dscp', 'flag nopmtudisc', 'flag af-unspec'] : []),
		...(tunnel ? ['extra-flag dont-encap-dscp', 'flag align4'] : []),
		...(spec.proto === 'esp'
			? ['tfcpad 200', 'replay-window 64 flag esn', 'replay-window 128 flag esn']
			: []),
	]);
	return words.includes('esn') ? words : [spec.extra, words].filter((word) => word).join(' ');
}

function randomPlan(random: Random): Plan {
	const outer = randomVersion(random);
	const tunnel = random.chance(0.55);
	const inner = tunnel && random.chance(0.2) ? (outer === 4 ? 6 : 4) : outer;
	const ends = randomEnds(random, outer, inner);
	const chain = random.pick(CHAINS);
	const mode = (i: number): 'tunnel' | 'transport' => (tunnel && i === 0 ? 'tunnel' : 'transport');
	const layers = chain.map((proto, i) => protoSpec(random, ends, proto, mode(i)));
	const others = Array.from({ length: random.int(0, 2) }, () => {
		const i = random.int(0, chain.length - 1);
		const proto = random.chance(0.7) ? (chain[i] ?? 'esp') : random.pick(['esp', 'ah'] as const);
		const { reqid = 0 } = layers[i] ?? {};
		return { ...protoSpec(random, ends, proto, mode(i)), ...(random.chance(0.6) ? { reqid } : {}) };
	});
	const specs = [...layers, ...others].map((spec) => {
		const cross = inner !== outer && spec.mode === 'tunnel' ? 'flag af-unspec' : '';
		const extra = cross === '' ? stateWords(random, spec) : `${spec.extra ?? ''} ${cross}`.trim();
		// Octets behind another compressor are others: no limit may hang on them.
		const limited = chain.includes('comp') && extra.includes('limit byte');
		return { ...spec, extra: limited ? (spec.extra ?? '') : extra };
	});
	return { ends, tunnel, specs, layers: layers.length };
}

/** Flows that a policy may be for: the right one mostly. */
function randomSelector(random: Random, { ends, tunnel }: Plan): string {
	const flows = flowSelector(ends, tunnel);
	const full = fullLength(ends.inner);
	const [a, b] = tunnel ? [ends.hostA, ends.hostB] : [ends.wanA, ends.wanB];
	const control = ends.inner === 4 ? 'icmp' : 'ipv6-icmp';
	return random.pick([
		flows,
		flows,
		flows,
		`src ${a}/${full} dst ${b}/${full}`,
		`dst ${b}/${full}`,
		`${flows} proto udp`,
		`${flows} proto udp dport 4242`,
		`${flows} proto ${control}`,
		`${flows} proto 253`,
		`${flows} dev ${random.pick(['lan', 'wan'])}`,
		ends.inner === 4 ? 'src 0.0.0.0/0 dst 0.0.0.0/0' : `src ${a}/16 dst ::/0`,
	]);
}

/** Templates that ask for what is there, or almost. */
function randomWords(random: Random, plan: Plan): string {
	const right = plan.specs.slice(0, plan.layers);
	const roll = random.int(0, 9);
	if (roll < 4) {
		return right.map((spec) => templateWords(spec)).join(' ');
	}
	if (roll === 4) {
		return random.pick(['action block', 'action allow', 'action allow']);
	}
	const some = plan.specs.filter(() => random.chance(0.6));
	const order = random.chance(0.2) ? shuffle(random, some) : some;
	return order.map((spec) => nearTemplate(random, spec)).join(' ') || 'action allow';
}

function nearTemplate(random: Random, spec: StateSpec): string {
	const wrong = random.pick<Partial<StateSpec>>([
		{},
		{},
		{},
		{ mode: spec.mode === 'tunnel' ? 'transport' : 'tunnel' },
		{ src: spec.dst },
		{ proto: spec.proto === 'esp' ? 'ah' : 'esp' },
		{ reqid: (spec.reqid ?? 0) ^ 1 },
	]);
	return randomTemplate(random, { ...spec, ...wrong });
}

function randomPolicies(random: Random, plan: Plan, directions: readonly Direction[]): string[] {
	return directions.flatMap((direction) => {
		const right = plan.specs.slice(0, plan.layers).map((spec) => templateWords(spec));
		const own = random.chance(0.8)
			? [
					policyCommand(
						flowSelector(plan.ends, plan.tunnel),
						direction,
						`priority 5 ${right.join(' ')}`,
					),
				]
			: [];
		const others = Array.from({ length: random.int(0, 2) }, () => {
			const type = random.chance(0.35) ? 'ptype sub ' : '';
			const mark = random.chance(0.15) ? 'mark 0x1 mask 0x3 ' : '';
			const flag = random.chance(0.15) ? 'flag icmp ' : '';
			const words = `${mark}${type}priority ${random.int(1, 9)} ${flag}${randomWords(random, plan)}`;
			return policyCommand(randomSelector(random, plan), direction, words);
		});
		return shuffle(random, [...own, ...others]);
	});
}

/** Defaults, now and then. */
function randomDefaults(random: Random): string[] {
	const block = (): string => random.pick(['accept', 'accept', 'block']);
	return random.chance(0.2)
		? [`ip xfrm policy setdefault in ${block()} fwd ${block()} out ${block()}`]
		: [];
}

function randomSettings(random: Random, version: number): Pick<Case, 'sysctl'> {
	const device = random.pick(['lan', 'wan', 'all']);
	const settings: readonly Readonly<Record<string, number>>[] = [
		{ [`net.ipv${version}.conf.${device}.disable_policy`]: 1 },
		{ [`net.ipv4.conf.${device}.disable_xfrm`]: 1 },
		{ 'net.core.xfrm_acq_expires': 1 },
		{ 'net.ipv4.ip_forward': 0 },
		{ 'net.ipv4.ip_no_pmtu_disc': 1 },
		{ [`net.ipv4.conf.${device}.rp_filter`]: 1 },
	];
	return random.chance(0.15) ? { sysctl: random.pick(settings) } : {};
}

/** Commands and time between the packets. */
function disturbed(
	random: Random,
	plan: Plan,
	steps: readonly Step[],
	direction: Direction,
): Step[] {
	const { ends, tunnel, specs } = plan;
	const selector = flowSelector(ends, tunnel);
	return steps.flatMap((step): Step[] => {
		if (random.chance(0.12)) {
			const made = randomChange(random, selector, specs).replace(/^ip /, '');
			const counts = made.includes('limit byte') && specs.some(({ proto }) => proto === 'comp');
			const change = counts ? 'xfrm policy flush' : made;
			const inward = direction === 'out' ? change : change.replaceAll(' out', ` ${direction}`);
			return [step, { ip: [inward] }];
		}
		return random.chance(0.015) ? [step, { sleep_ms: 1200 }] : [step];
	});
}

/** A policy of the socket that sends: mostly one that allows what is sent. */
function ownPolicy(random: Random, plan: Plan): string {
	const words = random.chance(0.4)
		? random.pick(['action allow', 'action allow', 'action block'])
		: randomWords(random, plan);
	return `ip xfrm policy add ${randomSelector(random, plan)} dir out ${words}`;
}

function sendSteps(random: Random, plan: Plan): Step[] {
	const { ends, tunnel } = plan;
	const steps = sendingSteps(random, ends, tunnel, random.int(3, 6));
	return steps.map((step) => {
		if (!('at' in step) || step.at !== 'local') {
			return step;
		}
		const mark = random.chance(0.3) ? { mark: random.pick([1, 3, 5, 0x11]) } : {};
		const policy = random.chance(0.2) ? { policy: ownPolicy(random, plan) } : {};
		return { ...step, ...mark, ...policy };
	});
}

function receiverPolicies(random: Random, plan: Plan): { policies?: readonly ReceiverPolicy[] } {
	if (!random.chance(0.4)) {
		return {};
	}
	const family = plan.ends.inner;
	const sockets = [family === 4 ? 1 : 58, 253, 4242, 4243];
	const policies = sockets
		.filter(() => random.chance(0.6))
		.map((socket) => {
			const words = random.chance(0.5)
				? random.pick(['action block', 'action allow', 'action allow'])
				: randomWords(random, plan);
			const policy = `ip xfrm policy add ${randomSelector(random, plan)} dir in ${words}`;
			return { family, socket, policy };
		});
	return { policies };
}

/** The state as the other end has it: the same, or something almost like it. */
function received(random: Random, plan: Plan, spec: StateSpec): StateSpec[] {
	const other = random.pick<readonly Partial<StateSpec>[]>([
		...new Array<Partial<StateSpec>[]>(14).fill([{}]),
		[],
		[{ mode: spec.mode === 'tunnel' ? 'transport' : 'tunnel' }],
		[{ src: plan.ends.outer === 4 ? '0.0.0.0' : '::' }],
		[{ extra: `${spec.extra ?? ''} sel ${flowSelector(plan.ends, plan.tunnel)} proto udp` }],
		[{ extra: 'mark 0x1 mask 0x1' }],
		[{ extra: 'replay-window 32' }],
		[{ reqid: (spec.reqid ?? 0) ^ 1 }],
	]);
	return other.map((one) => ({ ...spec, ...one }));
}

function receivingCase(random: Random, id: string, plan: Plan, emitted: readonly string[]): Case {
	const { ends, specs } = plan;
	const back = swapEnds(ends);
	const plain = Array.from({ length: random.int(0, 2) }, (): Step => {
		const [src, dst] = random.pick([
			[ends.wanA, ends.wanB],
			[ends.hostA, ends.hostB],
			[ends.hostA, ends.ownB],
		]);
		const version = src.includes(':') ? 6 : 4;
		return { at: 'wan', packet: randomPacket(random, version, src, dst, 300) };
	});
	const steps = [...receivingSteps(random, emitted, 3), ...plain];
	const order = random.chance(0.4) ? shuffle(random, steps) : steps;
	const direction = plan.tunnel ? random.pick(['in', 'fwd'] as const) : 'in';
	return {
		id,
		tags: ['in', 'mixture'],
		...randomSettings(random, ends.inner),
		setup: setupCommands(back),
		xfrm: [
			...randomDefaults(random),
			...specs.flatMap((spec) => received(random, plan, spec)).map(stateCommand),
			...randomPolicies(random, plan, plan.tunnel ? ['in', 'fwd'] : ['in']),
		],
		...receiverPolicies(random, plan),
		steps: disturbed(random, plan, order, direction),
	};
}

const mixture: Kind = {
	name: 'mixture',
	make(random, id) {
		const plan = randomPlan(random);
		const missing = random.chance(0.15);
		const specs = missing ? plan.specs.slice(1) : plan.specs;
		return {
			first: {
				id: `${id}-out`,
				tags: ['out', 'mixture'],
				...randomSettings(random, plan.ends.inner),
				setup: setupCommands(plan.ends),
				xfrm: [
					...randomDefaults(random),
					...shuffle(random, specs.map(stateCommand)),
					...randomPolicies(random, plan, ['out']),
				],
				steps: disturbed(random, plan, sendSteps(random, plan), 'out'),
			},
			inbound: (emitted) => [receivingCase(random, `${id}-in`, plan, emitted)],
		};
	},
};

/** As a mixture, but the other end does what is expected: the chains as such, and damage. */
const chains: Kind = {
	name: 'chains',
	make(random, id) {
		const plan = randomPlan(random);
		const right = plan.specs.slice(0, plan.layers);
		const words = right.map((spec) => templateWords(spec)).join(' ');
		const selector = flowSelector(plan.ends, plan.tunnel);
		const optional = right
			.map((spec) => templateWords(spec, spec.mode === 'transport' ? ' level use' : ''))
			.join(' ');
		const inward = random.chance(0.3) ? optional : words;
		return {
			first: {
				id: `${id}-out`,
				tags: ['out', 'chains'],
				setup: setupCommands(plan.ends),
				xfrm: [...plan.specs.map(stateCommand), policyCommand(selector, 'out', words)],
				steps: sendSteps(random, plan),
			},
			inbound: (emitted) => [
				{
					id: `${id}-in`,
					tags: ['in', 'chains'],
					setup: setupCommands(swapEnds(plan.ends)),
					xfrm: [
						...plan.specs.map(stateCommand),
						policyCommand(selector, 'in', inward),
						policyCommand(selector, 'fwd', inward),
					],
					...receiverPolicies(random, plan),
					steps: receivingSteps(random, emitted, 4),
				},
			],
		};
	},
};

export const mixtureKinds: readonly Kind[] = [mixture, chains];
