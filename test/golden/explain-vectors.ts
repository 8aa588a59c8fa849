/**
 * `explain` asked about every packet of kernel-vectors*.jsonl: outcome and first counter as the kernel's doings say
 * (the table of golden/README.md), and the octets of what left. What the runner of the vectors judges beside
 * (events, deliveries field by field, states afterwards) is not judged again.
 */
import { nodeProvider } from '@xfrm/crypto/node';
import type { Available, KernelProfile } from '@xfrm/engine';
import { type Answer, Explainer, type PacketOptions } from '@xfrm/explain';
import { formatHex } from '@xfrm/wire';
import { parseAddress } from '@xfrm/wire/xfrm';
import { isTunneled } from './applied-states.ts';
import { fixChosenValues } from './chosen-values.ts';
import { type Difference, differs } from './difference.ts';
import { isOverwritten } from './kernel-bugs.ts';
import { bytesOf, STEP_US, seededRandom } from './laboratory.ts';
import { maskPacket, maskWanted } from './packet-mask.ts';
import { unwrap } from './unwrap.ts';
import type { Expectation, VectorCase, VectorStep } from './vector-case.ts';

const provider = nodeProvider();
const START_US = 1_700_000_000_500_000;
const ACQUIRE = 23;

/** Cases whose packets nobody can tell beforehand, or that hang on sockets that explain takes to be there. */
const UNTOLD: readonly string[] = [
	// The ports of states with encap count as sockets with UDP_ENCAP; in these cases nobody listens.
	'natt4-tunnel-no-socket',
	'natt6-tunnel-no-socket',
	'natt4-nonike-in',
	'esp-aes.16-digest_null',
	// A protected ICMP error, with identifications of its own inside and outside.
	'icmp-local',
];

/** Packets of a case that are right, and how many were asked about. */
export interface VectorAnswers {
	readonly right: number;
	readonly of: number;
	readonly difference?: Difference;
}

/** Asks about all packets of a case, in order, with everything between them carried out. */
export function explainVector(
	vector: VectorCase,
	profile: KernelProfile,
	available: Available,
	newer: boolean,
): VectorAnswers {
	if (!hasWords(vector)) {
		return { right: 0, of: 0 };
	}
	const loaded = { ...available, modules: new Set(vector.modules) };
	const explainer = setUp(vector, profile, loaded, newer);
	let [right, of] = [0, 0];
	let difference: Difference | undefined;
	for (const [number, step] of vector.steps.entries()) {
		fixChosenValues(explainer.world.engine, step.expect, false);
		for (const command of step.ip ?? []) {
			explainer.run(command);
		}
		if (step.sleep_ms !== undefined) {
			explainer.wait(step.sleep_ms / 1000);
		}
		if (step.packet === undefined || !isJudged(step)) {
			explainer.wait(STEP_US / 1_000_000);
			continue;
		}
		const answer = explainer.ask(bytesOf(step.packet), optionsOf(step));
		if (answer.code === 'provider.algorithm') {
			return { right: 0, of: 0 }; // not counted, as in the runner of the vectors
		}
		// What comes later of it, by timers, is the packet's too.
		const later = explainer.world.advance(Math.max(STEP_US, (step.settle_ms ?? 0) * 1000));
		const left = [...answer.packets.map(bytesOf), ...later.emitted.map(({ packet }) => packet)];
		const wrong = compareStep(explainer, vector, step, { answer, left }, `step ${number}`);
		difference ??= wrong;
		of += 1;
		right += wrong === undefined ? 1 : 0;
	}
	return difference === undefined ? { right, of } : { right, of, difference };
}

/** Connections of TCP and several processors are nothing that explain is told of. */
function hasWords({ tcp, steps }: VectorCase): boolean {
	return tcp === undefined && steps.every(({ cpu }) => cpu === undefined || cpu === 0);
}

/** Steps that explain has words for: one packet, by a raw socket or a device. */
function isJudged(step: VectorStep): boolean {
	return step.policy === undefined && step.burst === undefined;
}

function setUp(
	vector: VectorCase,
	profile: KernelProfile,
	available: Available,
	newer: boolean,
): Explainer {
	const explainer = new Explainer({
		profile,
		provider,
		available,
		random: seededRandom(7),
		startUs: START_US,
		processors: newer ? 2 : 1,
	});
	const has = (module: string): boolean => available.modules?.has(module) === true;
	const first = has('ip6_vti') ? 4 : newer || has('ip_vti') ? 3 : 2;
	explainer.world.host.addDevice('lan', first);
	explainer.world.host.addDevice('wan', first + (vector.wan === 'ether' ? 2 : 1));
	for (const command of ['link set lan up mtu 1500', 'link set wan up mtu 1500']) {
		explainer.run(command);
	}
	for (const name of ['net.ipv4.icmp_echo_ignore_all', 'net.ipv6.icmp.echo_ignore_all']) {
		explainer.setSysctl(name, 1);
	}
	for (const [name, value] of Object.entries(vector.sysctl ?? {})) {
		explainer.setSysctl(name, Number(value));
	}
	for (const command of [...vector.setup, ...vector.xfrm]) {
		explainer.run(command);
	}
	for (const { family, port, type } of vector.encap ?? []) {
		explainer.openEncapSocket(family === 4 ? 2 : 10, port, type);
	}
	for (const request of vector.nl ?? []) {
		explainer.world.request(bytesOf(request));
	}
	explainer.takeEvents();
	return explainer;
}

function optionsOf(step: VectorStep): PacketOptions {
	const { at, mark, sender, bind_dev } = step;
	const common = mark === undefined ? {} : { mark };
	if (at === 'local') {
		return {
			...common,
			direction: 'out',
			sender: sender === undefined ? 'hdrincl' : 'socket',
			...(bind_dev === undefined ? {} : { device: bind_dev }),
		};
	}
	return { ...common, device: at ?? 'wan' };
}

/** An answer, and all packets that left. */
interface Told {
	readonly answer: Answer;
	readonly left: readonly Uint8Array[];
}

function compareStep(
	explainer: Explainer,
	vector: VectorCase,
	step: VectorStep,
	{ answer, left }: Told,
	name: string,
): Difference | undefined {
	const { expect } = step;
	const want = [...outcomesOf(step, hostOf(vector)), ...alsoRight(step, answer)];
	const counters = Object.keys(expect.stat ?? {});
	if (!want.includes(answer.outcome)) {
		return {
			field: `${name} outcome`,
			want: want.join(' or '),
			have: `${answer.outcome}: ${answer.reason}`,
		};
	}
	const counter = answer.counter ?? null;
	if (
		expect.stat !== undefined &&
		!(counter === null ? counters.length === 0 : counters.includes(counter))
	) {
		return { field: `${name} counter`, want: counters.join(', ') || 'none', have: `${counter}` };
	}
	return UNTOLD.some((id) => vector.id.startsWith(id))
		? undefined
		: compareEmitted(explainer, expect, left, name);
}

/** What the kernel's doings do not show: a state that left the packet as it was, a socket that nobody reads. */
function alsoRight(step: VectorStep, answer: Answer): readonly string[] {
	const { emit = [], deliver = [], stat = {} } = step.expect;
	const nothing = emit.length + deliver.length + Object.keys(stat).length === 0;
	const last = answer.steps.at(-1)?.step;
	return [
		...(answer.states.some(({ proto }) => proto === 'comp') ? ['transform'] : []),
		...(nothing && last === 'DELIVER' ? ['pass'] : []),
		// A socket is taken to listen everywhere, and ports of states with encap count as open.
		...(emit.some(({ packet }) => isNobodyThere(bytesOf(packet))) ? ['pass', 'transform'] : []),
		// The ICMP error about it was itself protected.
		...(answer.steps.some(({ step: verb }) => verb === 'ICMP') ? ['drop'] : []),
	];
}

/** What left has to be among the packets of the answer, octet by octet but for what nobody can tell beforehand. */
function compareEmitted(
	explainer: Explainer,
	expect: Expectation,
	left: readonly Uint8Array[],
	name: string,
): Difference | undefined {
	const { engine } = explainer.world;
	for (const [i, { packet }] of (expect.emit ?? []).entries()) {
		const wanted = bytesOf(packet);
		const same = left.some(
			(have) =>
				maskWanted(wanted, have) === maskPacket(have) ||
				isOverwritten(maskPacket(wanted), maskPacket(have)),
		);
		const inside = unwrap(wanted, engine);
		const alike =
			(inside.compressed || inside.complete || inside.fragmented) &&
			left.some((have) => unwrap(have, engine).layers.join() === inside.layers.join());
		if (!same && !alike) {
			return differs(`${name} emit ${i}`, packet, left.map(formatHex).join(' '));
		}
	}
	return undefined;
}

/** What of a case's host decides how its packets are read. */
interface HostFacts {
	/** Of sockets with UDP_ENCAP. */
	readonly ports: ReadonlySet<number>;
	/** Addresses, as octets in hex. */
	readonly locals: ReadonlySet<string>;
}

function hostOf({ encap = [], setup }: VectorCase): HostFacts {
	const texts = setup.flatMap(
		(command) => /addr(?:ess)? add ([0-9a-f.:]+)/.exec(command)?.[1] ?? [],
	);
	const locals = texts.map((text) => {
		const parsed = parseAddress(text);
		return formatHex(
			parsed?.address.subarray(0, parsed.family === 2 ? 4 : 16) ?? new Uint8Array(0),
		);
	});
	return { ports: new Set(encap.map(({ port }) => port)), locals: new Set(locals) };
}

/** Outcomes that the kernel's doings allow, by the table of golden/README.md. */
function outcomesOf(step: VectorStep, host: HostFacts): readonly string[] {
	const { emit = [], deliver = [], stat = {}, events = [], error } = step.expect;
	const packet = bytesOf(step.packet ?? '');
	const { ports, locals } = host;
	const own = emit.filter((one) => !isOwnIcmpError(bytesOf(one.packet), locals));
	if (own.length > 0 || deliver.length > 0) {
		return [isTunneled(packet, own, deliver, ports) ? 'transform' : 'pass'];
	}
	if (events.some(({ hex }) => bytesOf(hex)[4] === ACQUIRE)) {
		return ['acquire'];
	}
	if (Object.keys(stat).length > 0 || error !== undefined || emit.length > 0) {
		return ['drop'];
	}
	return ['drop', 'consume'];
}

/** An ICMP error made here: that is not the packet, which is gone. */
function isOwnIcmpError(emitted: Uint8Array, locals: ReadonlySet<string>): boolean {
	const v4 = (emitted[0] ?? 0) >> 4 === 4;
	const type = emitted[v4 ? ((emitted[0] ?? 0) & 15) * 4 : 40] ?? 0;
	const isError = v4
		? emitted[9] === 1 && [3, 4, 5, 11, 12].includes(type)
		: emitted[6] === 58 && type < 128;
	return isError && locals.has(formatHex(v4 ? emitted.subarray(12, 16) : emitted.subarray(8, 24)));
}

/** An ICMP error: no such port, no such protocol. */
function isNobodyThere(packet: Uint8Array): boolean {
	const v4 = (packet[0] ?? 0) >> 4 === 4;
	const at = v4 ? ((packet[0] ?? 0) & 15) * 4 : 40;
	return v4
		? packet[9] === 1 && packet[at] === 3 && (packet[at + 1] === 3 || packet[at + 1] === 2)
		: packet[6] === 58 && (packet[at] === 4 || (packet[at] === 1 && packet[at + 1] === 4));
}
