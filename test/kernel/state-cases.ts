/** Kinds of cases about states: replay, lifetimes, marks, choice, acquire. */
import {
	policyCommand,
	randomEnds,
	randomEspAlgorithms,
	setupCommands,
	stateCommand,
	templateWords,
} from './association.ts';
import { associate, type Kind, protoSpec, shuffle } from './kind.ts';
import { randomPacket, type Step, sendingSteps } from './scenario.ts';

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

export const stateKinds: readonly Kind[] = [replay, lifetimes, timeLimits, marks, acquire];
