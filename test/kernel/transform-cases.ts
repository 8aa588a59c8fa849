/** Kinds of cases by transform and mode. */
import {
	policyCommand,
	randomEnds,
	setupCommands,
	stateCommand,
	swapEnds,
	templateWords,
} from './association.ts';
import { associate, type Kind, type Proto, protoSpec } from './kind.ts';
import type { IpVersion } from './packet.ts';
import { randomPacket, receivingSteps, type Step } from './scenario.ts';

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

const protocols: Kind[] = (['esp', 'ah', 'comp'] as const).flatMap((proto) =>
	(['transport', 'tunnel'] as const).flatMap((mode) =>
		([4, 6] as const).map((version) => protocol(proto, mode, version)),
	),
);

/** Home address option or type 2 routing header by a sub policy, ESP or AH by a main one. */
const mobileSealed: Kind = {
	name: 'ro-sealed',
	make(random, id) {
		const hex = (): string => random.int(1, 0xffff).toString(16);
		const [home, coa, peer] = [1, 2, 3].map((n) => `2001:db8:${hex()}:${n}::${hex()}`) as [
			string,
			string,
			string,
		];
		const hao = random.chance(0.5);
		const [src, dst, proto] = hao ? [home, peer, 'hao'] : [peer, home, 'route2'];
		const ends = { ...randomEnds(random, 6, 6), wanA: src, wanB: dst };
		const seal = protoSpec(random, ends, random.pick(['esp', 'esp', 'ah']), 'transport');
		const xfrm = (direction: 'in' | 'out'): string[] => {
			const level = random.chance(0.3) ? ' level use' : '';
			const template = `tmpl src ${src} dst ${dst} proto ${proto} mode ro${level}`;
			const both = random.chance(0.3);
			const flow = `src ${src} dst ${dst}`;
			return [
				`ip xfrm state add src ${src} dst ${dst} proto ${proto} mode ro coa ${coa}`,
				stateCommand(seal),
				...(both
					? [policyCommand(flow, direction, `${templateWords(seal)} ${template}`)]
					: [
							policyCommand(flow, direction, `ptype sub ${template}`),
							policyCommand(flow, direction, `ptype main ${templateWords(seal)}`),
						]),
			];
		};
		const mobileHost = [
			`addr add ${home}/128 dev lan home nodad`,
			`addr add ${coa}/64 dev wan nodad`,
			'route add ::/0 dev wan',
		];
		const correspondent = [`addr add ${peer}/64 dev wan nodad`, 'route add ::/0 dev wan'];
		return {
			first: {
				id: `${id}-out`,
				tags: ['out', 'mip6'],
				setup: hao ? mobileHost : correspondent,
				xfrm: xfrm('out'),
				steps: Array.from({ length: 3 }, () => ({
					at: 'local' as const,
					packet: randomPacket(random, 6, src, dst, 600),
				})),
			},
			inbound: (emitted) => [
				{
					id: `${id}-in`,
					tags: ['in', 'mip6'],
					setup: hao ? correspondent : mobileHost,
					xfrm: xfrm('in'),
					steps: receivingSteps(random, emitted, 2),
				},
			],
		};
	},
};

export const transformKinds: readonly Kind[] = [
	...protocols,
	crossFamily,
	beet,
	mobile('hao'),
	mobile('route2'),
	mobileSealed,
	nested,
	natTraversal,
	flags,
];
