/** Kinds of cases about XFRM interfaces, for a guest that has the module. */
import {
	policyCommand,
	randomEnds,
	setupCommands,
	stateCommand,
	swapEnds,
	templateWords,
} from './association.ts';
import { flowSelector, type Kind, protoSpec, randomVersion } from './kind.ts';
import type { Random } from './random.ts';
import { type Case, randomPacket, receivingSteps, type Step, sendingSteps } from './scenario.ts';

const MODULES: readonly string[] = ['xfrm_interface'];

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
			modules: MODULES,
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
					modules: MODULES,
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

export const interfaceKinds: readonly Kind[] = [interfaces];
