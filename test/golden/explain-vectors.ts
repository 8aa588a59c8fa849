/**
 * `explain` asked about every packet of kernel-vectors*.jsonl and kernel-interfaces.jsonl, by what its command
 * line takes: host lines, sockets, sysctls, rules, packets with their options, waits and commands between.
 * Outcome and counters have to be what the kernel's doings say, and what left has to be what left there.
 * What the runner of the vectors judges beside (events, deliveries field by field, states afterwards) is not
 * judged again.
 */
import { nodeProvider } from '@xfrm/crypto/node';
import type { Available, KernelProfile } from '@xfrm/engine';
import {
	type Answer,
	Explainer,
	type PacketOptions,
	parseHostLine,
	splitWords,
} from '@xfrm/explain';
import { formatHex } from '@xfrm/wire';
import { parseAddress } from '@xfrm/wire/xfrm';
import { fixChosenValues } from './chosen-values.ts';
import { type Difference, differs } from './difference.ts';
import { hostFacts, outcomesOf, segmentOf } from './explain-outcome.ts';
import { isKeepalive } from './keepalive-compare.ts';
import { isOverwritten } from './kernel-bugs.ts';
import { bytesOf, firstDeviceNumber, STEP_US, seededRandom } from './laboratory.ts';
import { maskPacket, maskWanted } from './packet-mask.ts';
import { unwrap } from './unwrap.ts';
import type { Expectation, TcpConnection, VectorCase, VectorStep } from './vector-case.ts';

const provider = nodeProvider();
const START_US = 1_700_000_000_500_000;

/** Packets of a case that are right, how many were asked about, and how many were not, by reason. */
export interface VectorAnswers {
	readonly right: number;
	readonly of: number;
	readonly unasked: ReadonlyMap<string, number>;
	readonly difference?: Difference | undefined;
}

/** Asks about all packets of a case, in order, with everything between them carried out. */
export function explainVector(
	vector: VectorCase,
	profile: KernelProfile,
	available: Available,
	newer: boolean,
): VectorAnswers {
	const all = vector.steps.reduce((sum, step) => sum + packetsOf(vector, step).length, 0);
	if (vector.tags.includes('kernel-bug')) {
		return { right: 0, of: 0, unasked: new Map([['a bug of that kernel', all]]) };
	}
	const explainer = setUp(vector, profile, available, newer);
	let [right, of] = [0, 0];
	let difference: Difference | undefined;
	for (const [number, step] of vector.steps.entries()) {
		const told = carryOut(explainer, vector, step);
		if (told.answers.some(({ code }) => code === 'provider.algorithm')) {
			return { right: 0, of: 0, unasked: new Map([['a cipher that the provider lacks', all]]) };
		}
		const wrong = compareStep(explainer, vector, step, told, `step ${number}`);
		difference ??= wrong;
		of += told.answers.length;
		right += wrong === undefined ? told.answers.length : 0;
	}
	const ike = vector.steps.filter((step) => step.ike_send !== undefined).length;
	const unasked = new Map(
		ike === 0 ? [] : [['what our own program writes into a TCP connection', ike]],
	);
	return { right, of, unasked, difference };
}

/** The packets of a step. */
function packetsOf({ tcp }: VectorCase, step: VectorStep): readonly Uint8Array[] {
	const segments =
		tcp === undefined ? [] : (step.tcp_send ?? []).map((hex) => segmentOf(tcp, bytesOf(hex)));
	return [
		...(step.burst ?? (step.packet === undefined ? [] : [step.packet])).map(bytesOf),
		...segments,
	];
}

/** Answers to the packets of a step, and all that came of it. */
interface Told {
	readonly answers: readonly Answer[];
	readonly left: readonly Uint8Array[];
	readonly counters: Readonly<Record<string, number>>;
}

function carryOut(explainer: Explainer, vector: VectorCase, step: VectorStep): Told {
	fixChosenValues(explainer.world.engine, step.expect, step.sender === 'udp');
	for (const command of step.ip ?? []) {
		explainer.run(command);
	}
	for (const request of step.nl ?? []) {
		explainer.request(bytesOf(request));
	}
	const counters: Record<string, number> = {};
	const add = (name: string, more: number): void => {
		counters[name] = (counters[name] ?? 0) + more;
	};
	const left: Uint8Array[] = [];
	const answers: Answer[] = [];
	for (const packet of packetsOf(vector, step)) {
		const answer = explainer.ask(packet, optionsOf(step));
		const due = explainer.wait(0); // what is due at once happens between the packets of a burst
		left.push(...answer.packets.map(bytesOf));
		left.push(...explainer.takeLeft().map((one) => bytesOf(one.packet)));
		for (const [name, more] of [...Object.entries(answer.counters), ...due.counters]) {
			add(name, more);
		}
		answers.push(answer);
	}
	const passes = Math.max(STEP_US, Math.max(step.settle_ms ?? 0, step.sleep_ms ?? 0) * 1000);
	for (const [name, more] of explainer.wait(passes / 1_000_000).counters) {
		add(name, more);
	}
	left.push(...explainer.takeLeft().map((one) => bytesOf(one.packet)));
	return { answers, left, counters };
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
	for (const line of hostLines(vector, newer)) {
		for (const command of parseHostLine(splitWords(line), { device: undefined })) {
			explainer.configure(command);
		}
	}
	const { sysctl = {}, setup, xfrm, encap = [], nl = [], tcp } = vector;
	for (const name of ['net.ipv4.icmp_echo_ignore_all', 'net.ipv6.icmp.echo_ignore_all']) {
		explainer.setSysctl(name, 1);
	}
	for (const [name, value] of Object.entries(sysctl)) {
		explainer.setSysctl(name, Number(value));
	}
	explainer.implyNoSockets();
	for (const proto of [1, 58, 253]) {
		explainer.openListener(proto);
	}
	for (const port of [4242, 4243]) {
		explainer.openListener(17, port);
	}
	for (const command of [...setup, ...xfrm]) {
		explainer.run(command);
	}
	for (const { family, port, type } of encap) {
		explainer.openEncapSocket(family === 4 ? 2 : 10, port, type);
	}
	for (const request of nl) {
		explainer.request(bytesOf(request));
	}
	openConnection(explainer, tcp);
	explainer.takeEvents();
	return explainer;
}

/** The modules of the laboratory, and its devices by the numbers that they had there. */
function hostLines({ modules = [], wan }: VectorCase, newer: boolean): readonly string[] {
	const first = firstDeviceNumber(modules, newer);
	return [
		...modules.map((module) => `modprobe ${module}`),
		`${first}: lan: <POINTOPOINT,UP,LOWER_UP> mtu 1500`,
		`${first + (wan === 'ether' ? 2 : 1)}: wan: <POINTOPOINT,UP,LOWER_UP> mtu 1500`,
	];
}

function openConnection(explainer: Explainer, tcp: TcpConnection | undefined): void {
	const [ours, peers] = (tcp?.addr ?? []).map((text) => parseAddress(text));
	if (tcp !== undefined && ours !== undefined && peers !== undefined) {
		explainer.openStream({
			family: ours.family,
			local: ours.address,
			localPort: tcp.port[0],
			remote: peers.address,
			remotePort: tcp.port[1],
			espInTcp: tcp.ulp !== false,
		});
	}
}

function optionsOf(step: VectorStep): PacketOptions {
	const { at, mark, sender, bind_dev: device, cpu } = step;
	const common = {
		...(mark === undefined ? {} : { mark }),
		...(cpu === undefined ? {} : { processor: cpu }),
	};
	if (at === 'local') {
		return {
			...common,
			direction: 'out',
			sender: sender === 'udp' ? 'udp' : 'hdrincl',
			...(device === undefined ? {} : { device }),
		};
	}
	return { ...common, device: at ?? 'wan' };
}

function compareStep(
	explainer: Explainer,
	vector: VectorCase,
	step: VectorStep,
	told: Told,
	name: string,
): Difference | undefined {
	const { expect } = step;
	if (told.answers.length === 0) {
		return undefined;
	}
	return (
		compareOutcomes(vector, step, told, name) ??
		(expect.stat && differs(`${name} counters`, expect.stat, told.counters)) ??
		compareEmitted(explainer, expect, told.left, name)
	);
}

/** Of several packets given at once one has to have the outcome seen, and the others one that goes with it. */
function compareOutcomes(
	vector: VectorCase,
	step: VectorStep,
	{ answers }: Told,
	name: string,
): Difference | undefined {
	const want = outcomesOf(step, hostFacts(vector), answers);
	const field = `${name} outcome`;
	const have = answers.map(({ outcome, reason }) => `${outcome}: ${reason}`).join(' | ');
	const [only] = answers;
	if (answers.length === 1 && only !== undefined) {
		return want.includes(only.outcome) ? undefined : { field, want: want.join(' or '), have };
	}
	const { stat = {}, events = [] } = step.expect;
	const beside = [
		'consume',
		...(Object.keys(stat).length > 0 ? ['drop'] : []),
		...(events.some(({ msg }) => msg === 'ACQUIRE') ? ['acquire'] : []),
	];
	const fits = answers.every(({ outcome }) => want.includes(outcome) || beside.includes(outcome));
	return fits ? undefined : { field, want: `${want.join(' or ')} or ${beside.join(' or ')}`, have };
}

/** What left there has to have left here, octet by octet but for what nobody can tell beforehand. */
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
		if (!same && !alike && !isKeepalive(wanted)) {
			return differs(`${name} emit ${i}`, packet, left.map(formatHex).join(' '));
		}
	}
	const stream = expect.tcp ?? '';
	return left.map(formatHex).join('').includes(stream)
		? undefined
		: differs(`${name} tcp`, stream, left.map(formatHex).join(' '));
}
