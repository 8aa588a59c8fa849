/** Kinds of cases at the edges: too deep, wrong mode, not keyed yet, numbers used up, no way out, too late. */
import {
	policyCommand,
	randomAuth,
	randomEnds,
	randomEspAlgorithms,
	randomSpi,
	type StateSpec,
	setupCommands,
	stateCommand,
	swapEnds,
	templateWords,
} from './association.ts';
import { associate, flowSelector, type Kind, protoSpec, randomVersion } from './kind.ts';
import { type IpVersion, makePacket, rawPacket } from './packet.ts';
import { randomPacket, receivingSteps, type Step, sendingSteps } from './scenario.ts';

const NULL_CIPHER = { words: `enc 'ecb(cipher_null)' ""`, name: 'null', ivOctets: 0 };
const ESP = 50;

/** ESP in transport mode under the null cipher, by hand: any depth. */
function sealByHand(
	packet: string,
	version: IpVersion,
	spis: readonly number[],
	seq: number,
): string {
	const bytes = [...Buffer.from(packet, 'hex')];
	const headerOctets = version === 4 ? ((bytes[0] ?? 0) & 15) * 4 : 40;
	const protoAt = version === 4 ? 9 : 6;
	let next = bytes[protoAt] ?? 0;
	let payload = bytes.slice(headerOctets);
	const be32 = (value: number): number[] => [
		value >>> 24,
		(value >> 16) & 255,
		(value >> 8) & 255,
		value & 255,
	];
	for (const spi of spis) {
		const pad = (4 - ((payload.length + 2) % 4)) % 4;
		const padding = Array.from({ length: pad }, (_, i) => i + 1);
		payload = [...be32(spi), ...be32(seq), ...payload, ...padding, pad, next];
		next = ESP;
	}
	const header = bytes.slice(0, headerOctets);
	header[protoAt] = next;
	return rawPacket(version, header, payload);
}

const depth: Kind = {
	name: 'depth',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const layers = random.int(1, 8);
		const specs = Array.from(
			{ length: layers },
			(): StateSpec => ({
				src: ends.wanA,
				dst: ends.wanB,
				proto: 'esp',
				spi: randomSpi(random),
				reqid: random.int(1, 99999),
				mode: 'transport',
				algorithms: NULL_CIPHER,
			}),
		);
		const words = (list: readonly StateSpec[]): string =>
			list.map((spec) => templateWords(spec, random.chance(0.2) ? ' level use' : '')).join(' ');
		const split = random.int(0, Math.min(6, layers));
		const policies = (direction: 'in' | 'out'): string[] => {
			const flow = flowSelector(ends, false);
			const [sub, main] = [specs.slice(0, split), specs.slice(split, split + 6)];
			return [
				...(sub.length > 0 ? [policyCommand(flow, direction, `ptype sub ${words(sub)}`)] : []),
				policyCommand(flow, direction, main.length > 0 ? words(main) : 'action allow'),
			];
		};
		const spis = specs.map((spec) => spec.spi ?? 0);
		const plain = (): string => randomPacket(random, version, ends.wanA, ends.wanB, 200);
		const steps = [1, 2, 3].map((seq): Step => {
			const packet = sealByHand(plain(), version, spis.slice(0, random.int(1, layers)), seq);
			return { at: 'wan', packet };
		});
		const whole: Step = { at: 'wan', packet: sealByHand(plain(), version, spis, 9) };
		return {
			first: {
				id: `${id}-in`,
				tags: ['in', 'depth'],
				setup: setupCommands(swapEnds(ends)),
				xfrm: [...specs.map(stateCommand), ...policies('in')],
				steps: [...steps, whole],
			},
			inbound: () => [
				{
					id: `${id}-out`,
					tags: ['out', 'depth'],
					setup: setupCommands(ends),
					xfrm: [...specs.map(stateCommand), ...policies('out')],
					steps: sendingSteps(random, ends, false, 3),
				},
			],
		};
	},
};

const wrongMode: Kind = {
	name: 'wrong-mode',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const proto = random.pick(['esp', 'esp', 'ah', 'comp'] as const);
		const modes =
			proto === 'esp'
				? (['tunnel', 'transport', 'beet'] as const)
				: (['tunnel', 'transport'] as const);
		const [mode, modeIn] = [random.pick(modes), random.pick(modes)];
		const sel = `sel src ${ends.wanA} dst ${ends.wanB}`;
		const withSelector = (one: StateSpec['mode']): string => (one === 'beet' ? sel : '');
		const spec = protoSpec(random, ends, proto, mode, withSelector(mode));
		const { extra: _extra, ...rest } = spec;
		const specIn: StateSpec = { ...rest, mode: modeIn, extra: withSelector(modeIn) };
		return associate(random, id, {
			ends,
			specs: [spec],
			specsIn: [specIn],
			tunnel: mode === 'tunnel' && random.chance(0.5),
			templatesIn: templateWords(random.chance(0.7) ? specIn : spec),
			damage: 1,
		});
	},
};

const larvalInput: Kind = {
	name: 'larval-input',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const tunnel = random.chance(0.5);
		const mode = tunnel ? 'tunnel' : 'transport';
		const spec = { ...protoSpec(random, ends, 'esp', mode), spi: random.int(0x100, 0xffff) };
		const alloc =
			`ip xfrm state allocspi src ${spec.src} dst ${spec.dst} proto esp mode ${mode} ` +
			`reqid ${spec.reqid ?? 0} min ${spec.spi} max ${spec.spi}`;
		const sealed = associate(random, id, { ends, specs: [spec], tunnel });
		return {
			first: sealed.first,
			inbound: (emitted) => {
				const template = templateWords(spec);
				const early = receivingSteps(random, emitted.slice(0, 2), 1);
				const update = stateCommand(spec).replace(' add ', ' update ').slice(3);
				return [
					{
						id: `${id}-in`,
						tags: ['in', 'larval'],
						setup: setupCommands(swapEnds(ends)),
						xfrm: [
							alloc,
							...(['in', 'fwd'] as const).map((direction) =>
								policyCommand(flowSelector(ends, tunnel), direction, template),
							),
						],
						steps: [...early, { ip: [update] }, ...receivingSteps(random, emitted, 1)],
					},
				];
			},
		};
	},
};

/** Sequence numbers at their end. */
const overflow: Kind = {
	name: 'sequence-end',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const base = protoSpec(
			random,
			ends,
			random.pick(['esp', 'ah']),
			random.pick(['transport', 'tunnel']),
		);
		const algorithms =
			base.proto === 'esp' ? randomEspAlgorithms(random, true) : randomAuth(random);
		const last = `0xfffffff${random.pick(['c', 'd', 'e', 'f'])}`;
		const wrap = random.chance(0.4) ? ' extra-flag oseq-may-wrap' : '';
		const extra = random.pick([
			`replay-window 32${wrap} replay-oseq ${last}`,
			`replay-oseq ${last}${wrap}`,
			`replay-window 64 flag esn${wrap} replay-oseq ${last} replay-oseq-hi 0xffffffff`,
		]);
		const spec = { ...base, algorithms, extra };
		return associate(random, id, {
			ends,
			specs: [spec],
			specsIn: [
				{
					...spec,
					extra: random.pick([
						'replay-window 32',
						extra.replaceAll('oseq', 'seq').replace(/ extra-flag \S+/, ''),
					]),
				},
			],
			tunnel: spec.mode === 'tunnel',
			packets: 5,
			damage: 1,
		});
	},
};

const noRoute: Kind = {
	name: 'no-route',
	make(random, id) {
		const outer = randomVersion(random);
		const inner = random.chance(0.8) ? outer : outer === 4 ? 6 : 4;
		const ends = randomEnds(random, outer, inner);
		const far = outer === 4 ? '198.18.7.9' : '2001:db8:ffff:7::9';
		const spec = {
			...protoSpec(
				random,
				ends,
				random.pick(['esp', 'ah', 'comp']),
				'tunnel',
				inner === outer ? '' : 'flag af-unspec',
			),
			dst: far,
		};
		const route = random.pick([
			[],
			[`route add unreachable ${far}/${outer === 4 ? 32 : 128}`],
			[`route add prohibit ${far}/${outer === 4 ? 32 : 128}`],
			[`route add blackhole ${far}/${outer === 4 ? 32 : 128}`],
			[`route add ${far}/${outer === 4 ? 32 : 128} dev wan`],
		]);
		const source = random.chance(0.2)
			? { src: outer === 4 ? '198.18.0.1' : '2001:db8:eeee::1' }
			: {};
		const made = { ...spec, ...source };
		return {
			first: {
				id: `${id}-out`,
				tags: ['out', 'route'],
				setup: [...setupCommands(ends), ...route],
				xfrm: [
					stateCommand(made),
					policyCommand(flowSelector(ends, true), 'out', templateWords(made)),
				],
				steps: sendingSteps(random, ends, true, 4),
			},
		};
	},
};

/** UDP sockets: flows with ports, headers made by the kernel. */
const udpSenders: Kind = {
	name: 'udp-senders',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const tunnel = random.chance(0.5);
		// What the kernel writes into IPv4 headers cannot be told from outside, so no AH over them.
		const proto = version === 4 ? 'esp' : random.pick(['esp', 'ah'] as const);
		const spec = protoSpec(random, ends, proto, tunnel ? 'tunnel' : 'transport');
		const flows = flowSelector(ends, tunnel);
		const ports = random.pick(['', ' proto udp', ' proto udp dport 4242', ' proto udp sport 1000']);
		const mark = random.chance(0.3) ? 'mark 0x1 mask 0x1 ' : '';
		const [src, dst] = tunnel ? [ends.ownA, ends.ownB] : [ends.wanA, ends.wanB];
		const steps = Array.from({ length: 4 }, (): Step => {
			const packet = makePacket(version, {
				src,
				dst,
				proto: 'udp',
				sport: random.pick([1000, 1001]),
				dport: random.pick([4242, 4243]),
				payload: random.bytes(random.int(0, 600)),
				dontFragment: true,
			});
			return { at: 'local', packet, sender: 'udp', mark: random.pick([0, 1, 2]) };
		});
		return associate(random, id, {
			ends,
			specs: [spec],
			tunnel,
			steps,
			policyExtra: mark.trim(),
			selector: [`${flows}${ports}`, flows],
			damage: 1,
		});
	},
};

/** Policies that end, and larval states that nobody answers. */
const policyTimes: Kind = {
	name: 'policy-times',
	make(random, id) {
		const version = randomVersion(random);
		const ends = randomEnds(random, version, version);
		const spec = protoSpec(random, ends, 'esp', 'tunnel');
		// Far from the ends of the sleeps, which last longer in a busy guest.
		const [limit, sleep] = random.pick([
			['limit time-hard 1', 1500],
			['limit time-soft 1 limit time-hard 90', 1500],
			// The first look at the clock may come after two whole seconds.
			['limit time-soft 1 limit time-hard 3', 4400],
			['limit time-use-hard 1', 2400],
			['limit time-use-soft 1 limit time-use-hard 90', 2400],
			['', 2400],
		] as const);
		const known = random.chance(0.6);
		const words = `${limit} ${templateWords(spec)}`;
		return {
			first: {
				id: `${id}-out`,
				tags: ['out', 'time'],
				// One clock only: the order of two that end together is chance.
				...(limit === '' ? { sysctl: { 'net.core.xfrm_acq_expires': 1 } } : {}),
				setup: setupCommands(ends),
				xfrm: [
					...(known ? [stateCommand(spec)] : []),
					policyCommand(flowSelector(ends, true), 'out', words),
				],
				steps: [
					...sendingSteps(random, ends, true, 2),
					{ sleep_ms: sleep },
					...sendingSteps(random, ends, true, 2),
				],
			},
		};
	},
};

/** ESP that comes in UDP, and does not, whatever its state says. */
const encapTypes: Kind = {
	name: 'encap-types',
	make(random, id) {
		const version = 4;
		const ends = randomEnds(random, version, version);
		const any = '0.0.0.0';
		const encap = (port: number): string =>
			random.pick([
				'',
				`encap espinudp ${port} ${port} ${any}`,
				`encap espinudp-nonike ${port} ${port} ${any}`,
			]);
		const mode = random.pick(['transport', 'tunnel'] as const);
		const port = random.pick([4500, 4501]);
		const base = protoSpec(random, ends, 'esp', mode);
		const own = encap(port);
		const other = random.chance(0.5) ? own : encap(port);
		const type = random.pick(['espinudp', 'espinudp-nonike'] as const);
		const short = random.pick([[255], [], [0, 0, 0, 0, 9], [1, 2, 3, 4, 0, 0, 0, 1]]);
		const keepalive = makePacket(version, {
			src: ends.wanA,
			dst: ends.wanB,
			proto: 'udp',
			sport: port,
			dport: port,
			payload: Uint8Array.from(short),
		});
		return associate(random, id, {
			ends,
			specs: [{ ...base, extra: `${base.extra ?? ''} ${own}`.trim() }],
			specsIn: [{ ...base, extra: `${base.extra ?? ''} ${other}`.trim() }],
			tunnel: mode === 'tunnel',
			encap: [{ family: version, port, type }],
			policyExtra: 'priority 9',
			policiesIn: [
				policyCommand(
					`src ${ends.wanA} dst ${ends.wanB} proto udp`,
					'in',
					'priority 1 action allow',
				),
			],
			mapSteps: (steps) => [...steps, { at: 'wan', packet: keepalive }],
		});
	},
};

export const edgeKinds: readonly Kind[] = [
	depth,
	wrongMode,
	larvalInput,
	overflow,
	noRoute,
	udpSenders,
	policyTimes,
	encapTypes,
];
