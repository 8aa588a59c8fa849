/** Kinds of cases about XFRM interfaces and VTI devices, for a guest that has the modules. */
import {
	policyCommand,
	randomEnds,
	setupCommands,
	stateCommand,
	swapEnds,
	templateWords,
} from './association.ts';
import { flowSelector, type Kind, protoSpec, randomVersion } from './kind.ts';
import { DEVICE_MODULES } from './oracle.ts';
import type { Random } from './random.ts';
import { type Case, randomPacket, receivingSteps, type Step, sendingSteps } from './scenario.ts';

/** An if_id, now and then another than that of the device. */
function nearId(random: Random, ifId: number): string {
	return random.pick([
		...new Array<string>(5).fill(`if_id 0x${ifId.toString(16)}`),
		`if_id 0x${(ifId ^ 1).toString(16)}`,
		'',
	]);
}

const interfaces: Kind = {
	name: 'xfrm-interface',
	make(random, id) {
		const outer = randomVersion(random);
		const inner = random.chance(0.75) ? outer : outer === 4 ? 6 : 4;
		const ends = randomEnds(random, outer, inner);
		const ifId = random.int(1, 0x7fffffff);
		const cross = inner === outer ? '' : 'flag af-unspec ';
		const spec = protoSpec(
			random,
			ends,
			random.pick(['esp', 'esp', 'ah']),
			'tunnel',
			`${cross}${nearId(random, ifId)}`.trim(),
		);
		const device = (): string[] => [
			`link add x0 type xfrm dev wan if_id 0x${nearOf(random, ifId).toString(16)}`,
			'link set x0 up',
		];
		const host = (own: typeof ends): string[] => {
			const [lan = '', wan = '', route = ''] = setupCommands(own);
			const through = random.chance(0.9) ? route.replace('dev wan', 'dev x0') : route;
			const down = random.chance(0.07) ? ['link set x0 down'] : [];
			return [lan, wan, ...device(), through, ...down];
		};
		const rule = (direction: 'in' | 'out' | 'fwd'): string[] => {
			const words = random.pick([
				...new Array<string>(6).fill(templateWords(spec)),
				'action block',
				'',
			]);
			return words === ''
				? []
				: [
						policyCommand(
							flowSelector(ends, true),
							direction,
							`${nearId(random, ifId)} ${words}`.trim(),
						),
					];
		};
		const bound = (step: Step): Step =>
			'at' in step && step.at === 'local' && random.chance(0.2)
				? { ...step, bind_dev: 'x0' }
				: step;
		const defaults = random.chance(0.1) ? ['ip xfrm policy setdefault out block fwd block'] : [];
		const first: Case = {
			id: `${id}-out`,
			tags: ['out', 'interface'],
			modules: DEVICE_MODULES,
			setup: host(ends),
			xfrm: [...defaults, stateCommand(spec), ...rule('out')],
			steps: sendingSteps(random, ends, true, 4).map(bound),
		};
		return {
			first,
			inbound: (emitted) => [
				{
					id: `${id}-in`,
					tags: ['in', 'interface'],
					modules: DEVICE_MODULES,
					setup: host(swapEnds(ends)),
					xfrm: [stateCommand(spec), ...rule('in'), ...rule('fwd')],
					steps: [
						...receivingSteps(random, emitted, 2),
						{ at: 'wan', packet: randomPacket(random, inner, ends.hostA, ends.hostB, 200) },
					],
				},
			],
		};
	},
};

function nearOf(random: Random, ifId: number): number {
	return random.chance(0.93) ? ifId : ifId ^ 2;
}

/** A device that takes the if_id from the route outward, and tells it inward (`external`). */
const metadata: Kind = {
	name: 'xfrm-metadata',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const ifId = random.int(1, 0x7fffffff);
		const extra = nearId(random, ifId);
		const spec = protoSpec(random, ends, random.pick(['esp', 'esp', 'ah']), 'tunnel', extra);
		const rules = (directions: readonly ('in' | 'out' | 'fwd')[]): string[] =>
			directions.map((direction) => {
				const id = random.chance(0.8) ? extra : nearId(random, ifId);
				const words = random.chance(0.9) ? templateWords(spec) : 'action block';
				return policyCommand(flowSelector(ends, true), direction, `${id} ${words}`.trim());
			});
		const host = (own: typeof ends): string[] => {
			const [lan = '', wan = ''] = setupCommands(own);
			const encap = `encap xfrm if_id 0x${nearOf(random, ifId).toString(16)}`;
			const under = random.chance(0.2) ? ` link_dev ${random.pick(['wan', 'lan'])}` : '';
			const device = ['link add x0 type xfrm external', 'link set x0 up'];
			const route = `route add ${own.netB} dev x0`;
			return [lan, wan, ...device, random.chance(0.9) ? `${route} ${encap}${under}` : route];
		};
		const tags = ['interface', 'metadata'];
		const first: Case = {
			id: `${id}-out`,
			tags: ['out', ...tags],
			modules: DEVICE_MODULES,
			setup: host(ends),
			xfrm: [stateCommand(spec), ...rules(['out'])],
			steps: sendingSteps(random, ends, true, 4),
		};
		return {
			first,
			inbound: (emitted) => [
				{
					id: `${id}-in`,
					tags: ['in', ...tags],
					modules: DEVICE_MODULES,
					setup: host(swapEnds(ends)),
					xfrm: [stateCommand(spec), ...rules(['in', 'fwd'])],
					steps: receivingSteps(random, emitted, 2),
				},
			],
		};
	},
};

/** A VTI device: its keys are marks of the states and policies that belong to it. */
const vti: Kind = {
	name: 'vti',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const [out, back] = [random.int(1, 0xffffffff), random.int(1, 0xffffffff)];
		const marked = (key: number): string => {
			const near = random.chance(0.9) ? key : (key ^ 1) >>> 0;
			const mask = random.pick(['0xffffffff', '0xffffffff', '0xffff']);
			return random.chance(0.75) ? `mark 0x${near.toString(16)} mask ${mask}` : '';
		};
		const proto = random.pick(['esp', 'esp', 'esp', 'ah'] as const);
		const mode = random.chance(0.9) ? 'tunnel' : 'transport';
		const spec = protoSpec(random, ends, proto, mode, marked(out));
		const rules = (directions: readonly ('in' | 'out' | 'fwd')[], key: number): string[] =>
			directions
				.filter(() => random.chance(0.9))
				.map((direction) => {
					const words = random.chance(0.9) ? templateWords(spec) : 'action block';
					return policyCommand(
						flowSelector(ends, true),
						direction,
						`${marked(key)} ${words}`.trim(),
					);
				});
		const host = (own: typeof ends, keys: readonly [ikey: number, okey: number]): string[] => {
			const [lan = '', wan = '', route = ''] = setupCommands(own);
			const type = version === 4 ? 'vti' : 'vti6';
			const remote = random.chance(0.85)
				? own.wanB
				: random.pick([version === 4 ? '0.0.0.0' : '::', own.wanA]);
			const tunnel = `local ${own.wanA} remote ${remote} ikey ${keys[0]} okey ${keys[1]}`;
			const up = random.chance(0.95) ? ['link set v0 up'] : [];
			return [lan, wan, `link add v0 type ${type} ${tunnel}`, ...up, route.replace('wan', 'v0')];
		};
		const first: Case = {
			id: `${id}-out`,
			tags: ['out', 'vti'],
			modules: DEVICE_MODULES,
			setup: host(ends, [back, out]),
			xfrm: [stateCommand(spec), ...rules(['out'], out)],
			steps: sendingSteps(random, ends, true, 4),
		};
		return {
			first,
			inbound: (emitted) => [
				{
					id: `${id}-in`,
					tags: ['in', 'vti'],
					modules: DEVICE_MODULES,
					setup: host(swapEnds(ends), [random.chance(0.9) ? out : 0, back]),
					xfrm: [
						stateCommand(random.chance(0.8) ? spec : { ...spec, extra: '' }),
						...rules(['in', 'fwd'], out),
					],
					steps: receivingSteps(random, emitted, 2),
				},
			],
		};
	},
};

export const interfaceKinds: readonly Kind[] = [interfaces, metadata, vti];
