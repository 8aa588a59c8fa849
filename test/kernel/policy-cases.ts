/** Kinds of cases about policies. */
import {
	policyCommand,
	randomEnds,
	setupCommands,
	stateCommand,
	swapEnds,
	templateWords,
} from './association.ts';
import { associate, type Kind, protoSpec, shuffle } from './kind.ts';
import { type Case, randomPacket, receivingSteps, sendingSteps } from './scenario.ts';

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

export const policyKinds: readonly Kind[] = [subPolicies, selection, defaults];
