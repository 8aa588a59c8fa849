/** Kinds of cases about policies. */
import type { ReceiverPolicy } from '../golden/vector-case.ts';
import {
	policyCommand,
	randomEnds,
	type StateSpec,
	setupCommands,
	stateCommand,
	swapEnds,
	templateWords,
} from './association.ts';
import {
	associate,
	flowSelector,
	type Kind,
	type Proto,
	protoSpec,
	randomVersion,
	shuffle,
} from './kind.ts';
import type { IpVersion } from './packet.ts';
import type { Random } from './random.ts';
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

/** A template for the state, or for something like it, or for nothing that is there. */
export function randomTemplate(random: Random, spec: StateSpec): string {
	const spi = (spec.spi ?? 0) + (random.chance(0.3) ? 1 : 0);
	const level = random.chance(0.4) ? ' level use' : '';
	const { reqid, ...anyReqid } = spec;
	const words = templateWords(random.chance(0.2) ? anyReqid : spec, level);
	return random.chance(0.25) ? words.replace(' reqid', ` spi 0x${spi.toString(16)} reqid`) : words;
}

/** Some of the templates, mostly in their order. */
function randomTemplates(random: Random, specs: readonly StateSpec[]): string {
	const some = specs.filter(() => random.chance(0.8));
	const order = random.chance(0.2) ? shuffle(random, some) : some;
	return order.map((spec) => randomTemplate(random, spec)).join(' ');
}

/** Templates of which one thing may not be as the states that packets came by have it. */
function spoiled(random: Random, words: string): string {
	const mode = words.includes('mode tunnel') ? ['tunnel', 'transport'] : ['transport', 'tunnel'];
	return random.pick([
		words,
		words,
		words.replace(` mode ${mode[0]}`, ` mode ${mode[1]}`),
		words.replace(/ (src \S+ dst \S+)?( proto)/, ' src 192.0.2.250 dst 192.0.2.251$2'),
		words.replace(/ (spi \S+ )?reqid/, ' spi 0x7777 reqid'),
	]);
}

/** Policies of the sockets that take what is delivered: ICMP, a raw protocol, two UDP ports. */
function receivers(
	random: Random,
	family: IpVersion,
	selector: string,
	words: string,
): ReceiverPolicy[] {
	return [family === 4 ? 1 : 58, 253, 4242, 4243].map((socket) => {
		const rest = random.pick(['action allow', 'action allow', 'action block', words]);
		return { family, socket, policy: policyCommand(selector, 'in', rest) };
	});
}

const templates: Kind = {
	name: 'templates',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const tunnel = random.chance(0.5);
		const chain = random.pick<readonly Proto[]>([
			['esp', 'ah'],
			['ah', 'esp'],
			['esp', 'esp'],
			['comp', 'esp'],
			['esp'],
		]);
		const specs = chain.map((proto, i) =>
			protoSpec(random, ends, proto, tunnel && i === 0 ? 'tunnel' : 'transport'),
		);
		const selector = flowSelector(ends, tunnel);
		const policy = (direction: 'in' | 'out' | 'fwd', words: string): string =>
			policyCommand(selector, direction, words);
		const known = specs.filter(() => random.chance(0.85)).map(stateCommand);
		return {
			first: {
				id: `${id}-out`,
				tags: ['out', 'templates'],
				setup: setupCommands(ends),
				xfrm: [...known, policy('out', randomTemplates(random, specs))],
				steps: sendingSteps(random, ends, tunnel, 3),
			},
			inbound: (emitted) => {
				const plain = randomTemplates(random, specs);
				const words = spoiled(random, plain);
				return [
					{
						id: `${id}-in`,
						tags: ['in', 'templates'],
						setup: setupCommands(swapEnds(ends)),
						xfrm: [...specs.map(stateCommand), policy('in', words), policy('fwd', words)],
						...(random.chance(0.3)
							? { policies: receivers(random, version, selector, plain) }
							: {}),
						steps: [
							...receivingSteps(random, emitted, 1),
							{ at: 'wan', packet: randomPacket(random, version, ends.wanA, ends.wanB) },
							{ at: 'wan', packet: randomPacket(random, version, ends.hostA, ends.hostB) },
						],
					},
				];
			},
		};
	},
};

const exempt: Kind = {
	name: 'exempt-devices',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const tunnel = random.chance(0.7);
		const spec = protoSpec(random, ends, 'esp', tunnel ? 'tunnel' : 'transport');
		const selector = flowSelector(ends, tunnel);
		const device = random.pick(['lan', 'wan']);
		const name = random.pick(['disable_policy', 'disable_xfrm']);
		const family = name === 'disable_xfrm' ? 4 : version;
		const sysctl = { [`net.ipv${family}.conf.${device}.${name}`]: 1 };
		const rule = random.pick(['action block', templateWords(spec)]);
		return {
			first: {
				id: `${id}-out`,
				tags: ['out', 'exempt'],
				sysctl,
				setup: setupCommands(ends),
				xfrm: [
					stateCommand(spec),
					...(['out', 'in', 'fwd'] as const).map((direction) =>
						policyCommand(selector, direction, rule),
					),
				],
				steps: sendingSteps(random, ends, tunnel, 4),
			},
			inbound: (emitted) => [
				{
					id: `${id}-in`,
					tags: ['in', 'exempt'],
					sysctl,
					setup: setupCommands(swapEnds(ends)),
					xfrm: [
						stateCommand(spec),
						...(['in', 'fwd'] as const).map((direction) =>
							policyCommand(selector, direction, rule),
						),
					],
					steps: [
						...receivingSteps(random, emitted, 1),
						{ at: 'wan', packet: randomPacket(random, version, ends.wanA, ends.wanB) },
						{ at: 'wan', packet: randomPacket(random, version, ends.hostA, ends.hostB) },
						{ at: 'wan', packet: randomPacket(random, version, ends.hostA, ends.ownB) },
					],
				},
			],
		};
	},
};

export const policyKinds: readonly Kind[] = [subPolicies, templates, selection, defaults, exempt];
