/** Kinds of cases whose rules change between packets, or are made for packets that waited. */
import {
	type Ends,
	policyCommand,
	randomEnds,
	type StateSpec,
	setupCommands,
	stateCommand,
	templateWords,
} from './association.ts';
import { flowSelector, type Kind, protoSpec, randomVersion } from './kind.ts';
import type { Random } from './random.ts';
import { type Step, sendingSteps } from './scenario.ts';

/** A command of `ip` without the word, as steps have it. */
function asStep(...commands: readonly string[]): { ip: string[] } {
	return { ip: commands.map((command) => command.replace(/^ip /, '')) };
}

function identity(spec: StateSpec): string {
	return `src ${spec.src} dst ${spec.dst} proto ${spec.proto} spi 0x${(spec.spi ?? 0).toString(16)}`;
}

/** One change to states or policies. */
export function randomChange(
	random: Random,
	selector: string,
	specs: readonly StateSpec[],
): string {
	const spec = random.pick(specs);
	const policy = `${selector} dir out`;
	const words = random.pick(['action block', 'action allow', templateWords(spec)]);
	const priority = `priority ${random.int(0, 3)}`;
	const limits = random.pick(['limit packet-hard 1', 'limit byte-hard 200', 'limit packet-soft 1']);
	return random.pick([
		`ip xfrm policy update ${policy} ${priority} ${words}`,
		`ip xfrm policy update ${policy} ${priority} ${words}`,
		`ip xfrm policy add ${policy} ${priority} ${words}`,
		`ip xfrm policy add ${policy} mark 0x${random.int(1, 3)} mask 0x3 ${priority} ${words}`,
		`ip xfrm policy delete ${policy}`,
		'ip xfrm policy flush',
		`ip xfrm policy setdefault out ${random.pick(['block', 'accept'])}`,
		stateCommand({ ...spec, extra: `${spec.extra ?? ''} ${limits}` }).replace(' add ', ' update '),
		stateCommand({ ...spec, extra: limits, spi: random.int(256, 9999) }),
		`ip xfrm state delete ${identity(spec)}`,
		`ip xfrm state deleteall src ${spec.src} proto ${spec.proto}`,
		'ip xfrm state flush',
		`ip xfrm state flush proto ${random.pick(['esp', 'ah'])}`,
		stateCommand(spec),
	]);
}

const changes: Kind = {
	name: 'changes',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const tunnel = random.chance(0.6);
		const mode = tunnel ? 'tunnel' : 'transport';
		const specs = [protoSpec(random, ends, 'esp', mode), protoSpec(random, ends, 'ah', mode)];
		const selector = flowSelector(ends, tunnel);
		const steps = Array.from({ length: 5 }, () => [
			...sendingSteps(random, ends, tunnel, 1),
			asStep(
				...Array.from({ length: random.int(1, 2) }, () => randomChange(random, selector, specs)),
			),
		]).flat();
		const [first] = specs;
		return {
			first: {
				id: `${id}-out`,
				tags: ['out', 'changes'],
				setup: setupCommands(ends),
				xfrm: [
					...specs.map(stateCommand),
					...(first === undefined ? [] : [policyCommand(selector, 'out', templateWords(first))]),
				],
				steps: [...steps, ...sendingSteps(random, ends, tunnel, 2)],
			},
		};
	},
};

/** Commands by which a key manager might answer an acquire; some of them are the wrong answer. */
function answers(random: Random, ends: Ends, spec: StateSpec): string[] {
	const spi = random.int(0x100, 0xfff);
	const alloc =
		`ip xfrm state allocspi src ${spec.src} dst ${spec.dst} proto esp mode ${spec.mode} ` +
		`reqid ${spec.reqid ?? 0} min ${spi} max ${spi}`;
	const other = random.pick<Partial<StateSpec>>([
		{},
		{},
		{ reqid: (spec.reqid ?? 0) + 1 },
		{ mode: spec.mode === 'tunnel' ? 'transport' : 'tunnel' },
		{ src: ends.outer === 4 ? '0.0.0.0' : '::' },
		{ extra: `sel ${flowSelector(ends, spec.mode === 'tunnel')} proto udp` },
	]);
	const state = stateCommand({ ...spec, ...other, spi });
	return random.chance(0.3) ? [alloc, state.replace(' add ', ' update ')] : [state];
}

/** By then the hold queue has tried at 0.1, 0.3, 0.7 and 1.5 s, and not yet at 3.1 s. */
const HELD_MS = 1800;

const acquireAnswers: Kind = {
	name: 'acquire-answers',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const tunnel = random.chance(0.5);
		const mode = tunnel ? 'tunnel' : 'transport';
		const { spi: _spi, ...spec } = protoSpec(random, ends, 'esp', mode);
		const words = random.chance(0.3) ? ` mark 0x5 mask 0xf` : '';
		const held = random.chance(0.4);
		const given = answers(random, ends, { ...spec, extra: `${spec.extra ?? ''}${words}` });
		const send = (): Step[] =>
			sendingSteps(random, ends, tunnel, random.int(1, 3)).map((step) =>
				'at' in step && step.at === 'local' && words !== '' ? { ...step, mark: 0x25 } : step,
			);
		return {
			first: {
				id: `${id}-out`,
				tags: ['out', 'acquire'],
				...(held ? { sysctl: { 'net.core.xfrm_larval_drop': 0 } } : {}),
				setup: setupCommands(ends),
				xfrm: [policyCommand(flowSelector(ends, tunnel), 'out', `${words} ${templateWords(spec)}`)],
				steps: [
					...send(),
					{ ...asStep(...given), ...(held ? { sleep_ms: HELD_MS } : {}) },
					...send(),
				],
			},
		};
	},
};

export const changeKinds: readonly Kind[] = [changes, acquireAnswers];
