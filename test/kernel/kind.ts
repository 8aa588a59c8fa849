/**
 * What the kinds of cases are made with: A sends, B receives, with states and policies to match.
 */
import {
	type Ends,
	policyCommand,
	randomAuth,
	randomEspAlgorithms,
	randomSpi,
	type StateSpec,
	setupCommands,
	stateCommand,
	swapEnds,
	templateWords,
} from './association.ts';
import type { IpVersion } from './packet.ts';
import type { Random } from './random.ts';
import { type Case, receivingSteps, type Scenario, type Step, sendingSteps } from './scenario.ts';

export interface Kind {
	readonly name: string;
	make(random: Random, id: string): Scenario;
}

export interface Plan {
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
	/** Other flows for the policies of A, of B. */
	readonly selector?: readonly [out: string, inward: string];
	/** Further policies of B, in front. */
	readonly policiesIn?: readonly string[];
	/** Further commands of B, behind. */
	readonly inCommands?: readonly string[];
	readonly steps?: readonly Step[];
	readonly mapSteps?: (steps: Step[]) => Step[];
}

/** A sends, B receives: the ordinary scenario. */
export function associate(random: Random, id: string, plan: Plan): Scenario {
	const { ends, specs, tunnel } = plan;
	const flows = flowSelector(ends, tunnel);
	const [selector, selectorIn] = plan.selector ?? [flows, flows];
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
						policyCommand(selectorIn, direction, `${extra} ${templatesIn}`.trim()),
					),
					...(plan.inCommands ?? []),
				],
				...(plan.encap === undefined ? {} : { encap: plan.encap }),
				steps: plan.mapSteps?.(steps) ?? steps,
			},
		];
	};
	return { first, inbound };
}

export type Proto = 'esp' | 'ah' | 'comp';

export function protoSpec(
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

/** Prefix length of a single address. */
export function fullLength(version: IpVersion): number {
	return version === 4 ? 32 : 128;
}

export function randomVersion(random: Random): IpVersion {
	return random.pick([4, 6] as const);
}

/** The flows that a policy is for: between the networks, or between the gateways themselves. */
export function flowSelector(ends: Ends, tunnel: boolean): string {
	return tunnel ? `src ${ends.netA} dst ${ends.netB}` : `src ${ends.wanA} dst ${ends.wanB}`;
}

/** The list in another order, in place. */
export function shuffle<T>(random: Random, list: T[]): T[] {
	for (let i = list.length - 1; i > 0; i--) {
		const j = random.int(0, i);
		[list[i], list[j]] = [list[j] as T, list[i] as T];
	}
	return list;
}
