/** Kinds of cases about states: replay, lifetimes, marks, choice, acquire. */
import {
	type Ends,
	policyCommand,
	randomEnds,
	randomEspAlgorithms,
	type StateSpec,
	setupCommands,
	stateCommand,
	swapEnds,
	templateWords,
} from './association.ts';
import { associate, flowSelector, type Kind, protoSpec, randomVersion, shuffle } from './kind.ts';
import type { Random } from './random.ts';
import { randomPacket, receivingSteps, type Step, sendingSteps } from './scenario.ts';

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

/** What makes one of several states of a reqid fit or not. */
function randomFitness(random: Random, ends: Ends, tunnel: boolean): Partial<StateSpec> {
	const selector = flowSelector(ends, tunnel);
	const any = ends.outer === 4 ? '0.0.0.0' : '::';
	return random.pick<Partial<StateSpec>>([
		{},
		{ src: any },
		{ extra: `sel ${selector} proto udp` },
		{ extra: `sel ${selector} proto udp dport ${random.pick([4242, 4243])}` },
		{ extra: `sel ${selector} proto ${ends.inner === 4 ? 'icmp' : 'ipv6-icmp'}` },
		{ extra: `sel ${selector} proto 253` },
		{ extra: 'mark 0x10 mask 0xf0' },
		{ extra: 'mark 0x01 mask 0x0f' },
		{ extra: 'mark 0x11 mask 0xff' },
		{ extra: 'limit packet-soft 1' },
		{ extra: 'limit packet-hard 2' },
		{ extra: 'flag wildrecv' },
		{ reqid: 77 },
		{ dst: ends.hostB },
	]);
}

const choice: Kind = {
	name: 'state-choice',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const tunnel = random.chance(0.5);
		const mode = tunnel ? 'tunnel' : 'transport';
		const specs = Array.from({ length: random.int(2, 5) }, () => ({
			...protoSpec(random, ends, 'esp', mode),
			reqid: 5,
			extra: '',
			...randomFitness(random, ends, tunnel),
		}));
		const spi = random.chance(0.3) ? ` spi 0x${(random.pick(specs).spi ?? 0).toString(16)}` : '';
		const peers = tunnel ? ` src ${ends.wanA} dst ${ends.wanB}` : '';
		const template = `tmpl${peers} proto esp${spi} reqid 5 mode ${mode}`;
		const words = random.chance(0.4) ? 'mark 0x11 mask 0x3f ' : '';
		const marks = [0, 0x11, 0x10, 0x51];
		const steps = sendingSteps(random, ends, tunnel, 6).map((step) =>
			'at' in step && step.at === 'local' ? { ...step, mark: random.pick(marks) } : step,
		);
		return {
			first: {
				id: `${id}-out`,
				tags: ['out', 'choice'],
				setup: setupCommands(ends),
				xfrm: [
					...specs.map(stateCommand),
					policyCommand(flowSelector(ends, tunnel), 'out', words + template),
				],
				steps,
			},
			inbound: (emitted) => [
				{
					id: `${id}-in`,
					tags: ['in', 'choice'],
					setup: setupCommands(swapEnds(ends)),
					xfrm: [
						...shuffle(random, [...specs]).map(stateCommand),
						policyCommand(flowSelector(ends, tunnel), 'in', template),
						policyCommand(flowSelector(ends, tunnel), 'fwd', template),
					],
					steps: receivingSteps(random, emitted, 1),
				},
			],
		};
	},
};

/** Sequence numbers around which ESN has to guess the high half. */
const TURNS: readonly string[] = ['0', '1', '0x7fffffff', '0x80000000', '0xffffff80', '0xfffffffe'];

const jumps: Kind = {
	name: 'esn-jumps',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const base = protoSpec(random, ends, random.pick(['esp', 'ah']), 'transport');
		const algorithms = base.proto === 'esp' ? randomEspAlgorithms(random, true) : base.algorithms;
		const window = random.pick([32, 64, 96, 1024]);
		const esn = random.chance(0.8);
		const flags = esn ? `replay-window ${window} flag esn` : 'replay-window 32';
		const place = (what: 'seq' | 'oseq'): string => {
			const high = esn ? ` replay-${what}-hi ${random.int(0, 2)}` : '';
			return ` replay-${what} ${random.pick(TURNS)}${high}`;
		};
		const spec = { ...base, algorithms, extra: flags + place('oseq') };
		return associate(random, id, {
			ends,
			specs: [spec],
			specsIn: [{ ...spec, extra: flags + place('seq') }],
			tunnel: false,
			packets: 5,
			damage: 1,
			mapSteps: (steps) => (random.chance(0.5) ? shuffle(random, steps) : steps),
		});
	},
};

export const stateKinds: readonly Kind[] = [
	replay,
	jumps,
	lifetimes,
	timeLimits,
	marks,
	choice,
	acquire,
];
