/**
 * Hostile packets at the hosts of the golden cases, through one of several doors: the host's, or those of the
 * engine. A provider that takes every ICV for right lets damage reach what only a peer with the key could send.
 *
 *     input:  | case (2) | door (1) | options (1) | packet, or octets of a stream |
 *
 * Whatever comes: nothing throws, what the engine says is one of its words, a drop that Linux counts is
 * counted, what leaves is IP of its own length, and no table grows.
 */
import { nodeProvider } from '@xfrm/crypto/node';
import { nullProvider } from '@xfrm/crypto/null';
import type { CryptoBatch, CryptoProvider } from '@xfrm/crypto/provider';
import { COUNTER_COUNT, linux61, linux619, PacketAction } from '@xfrm/engine';
import { type Observed, World } from '@xfrm/explain';
import { availableOf, readProfiles } from '../golden/golden-files.ts';
import { seededRandom } from '../golden/laboratory.ts';
import { openConnection } from '../golden/tcp-connection.ts';
import { type GoldenCase, goldenCases, octetsOf } from './golden-packets.ts';
import type { Subject } from './subject.ts';
import { check } from './target.ts';

export const HEAD_OCTETS = 4;

/** Bits of the octet of options. */
export const Option = {
	/** The provider that takes every ICV for right. */
	Trusting: 1,
	Marked: 2,
	Forward: 4,
	OtherProcessor: 8,
	/** Seconds go by before, or minutes. */
	Later: 16,
	MuchLater: 32,
} as const;

const START_US = 1_700_000_000_500_000;
/** Hosts kept at once; the one that was made first goes. */
const HOSTS_MAX = 150;
/** Larval states and IPComp's helpers come beside those configured. */
const STATES_BESIDE_MAX = 600;

/** Opens and seals without doing anything, but compresses. */
function trustingProvider(): CryptoProvider {
	const [nothing, real] = [nullProvider(), nodeProvider()];
	const isCompression = ({ keys }: CryptoBatch): boolean =>
		keys[0] !== undefined && compressors.has(keys[0]);
	const compressors = new WeakSet<object>();
	return {
		name: 'trusting',
		supports: (kind, name, icvBits) => real.supports(kind, name, icvBits),
		espKey: (spec) => nothing.espKey(spec),
		macKey: (spec) => nothing.macKey(spec),
		compressor: (name) => {
			const made = real.compressor(name);
			if (made !== undefined) {
				compressors.add(made);
			}
			return made;
		},
		seal: (batch) => (isCompression(batch) ? real : nothing).seal(batch),
		open: (batch) => (isCompression(batch) ? real : nothing).open(batch),
	};
}

const PROVIDERS: readonly CryptoProvider[] = [nodeProvider(), trustingProvider()];

/** A host of a case under attack. */
export interface Victim {
	readonly world: World;
	/** The case's TCP connection, 0 for none. */
	readonly connection: number;
	/** States that it began with. */
	readonly states: number;
}

function availableText(newer: boolean): Parameters<typeof availableOf>[0] {
	const text = readProfiles().available[newer ? 'uml619' : 'uml61'];
	if (text === undefined) {
		throw new RangeError('golden/profiles.json does not say what the kernel had');
	}
	return text;
}

function makeVictim(one: GoldenCase, provider: CryptoProvider): Victim {
	const world = new World({
		profile: one.newer ? linux619 : linux61,
		available: { ...availableOf(availableText(one.newer)), modules: new Set(one.modules) },
		provider,
		random: seededRandom(7),
		startUs: START_US,
		processors: 2,
	});
	for (const name of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']) {
		world.setSysctl(name, 1);
	}
	for (const [name, value] of Object.entries(one.sysctl ?? {})) {
		world.setSysctl(name, Number(value));
	}
	for (const command of ['link set lan up mtu 1500', 'link set wan up mtu 1500']) {
		world.run(command);
	}
	for (const command of [...one.setup, ...one.xfrm]) {
		world.run(command);
	}
	for (const request of one.nl ?? []) {
		world.request(octetsOf(request));
	}
	for (const { family, port, type } of one.encap ?? []) {
		world.openEncapSocket(family === 4 ? 2 : 10, port, type);
	}
	world.host.openUdp({ family: 2, port: 4242, receiveErrors: true });
	world.host.openUdp({ family: 10, port: 4242, receiveErrors: true });
	const connection = one.tcp === undefined ? 0 : openConnection(world.host, one.tcp);
	world.advance(2000);
	return { world, connection, states: world.engine.sadInfo().stateCount };
}

/** How a packet is put in. What became of it, in a word. */
export type Door = (victim: Victim, octets: Uint8Array, options: number) => string;

/**
 * Looks at all that came out of a host; in a word what it was.
 *
 * @param given a local program wrote the headers itself, and what it wrote of lengths leaves as it is
 */
export function checkObserved(observed: Observed, given: boolean = false): string {
	for (const { packet } of observed.emitted) {
		const version = (packet[0] ?? 0) >> 4;
		const total =
			version === 4
				? (packet[2] ?? 0) * 256 + (packet[3] ?? 0)
				: (packet[4] ?? 0) * 256 + (packet[5] ?? 0) + 40;
		check(version === 4 || version === 6, `a packet of version ${version} leaves`);
		check(given || total === packet.length, `a packet of ${packet.length} octets says ${total}`);
	}
	for (const [name, more] of observed.counters) {
		check(Number.isInteger(more) && more > 0, `${name} goes up by ${more}`);
	}
	const [first] = observed.emitted;
	const proto =
		first === undefined
			? ''
			: (first.packet[0] ?? 0) >> 4 === 4
				? first.packet[9]
				: first.packet[6];
	return [
		observed.emitted.length,
		proto,
		observed.delivered.length,
		observed.socketErrors.length,
		observed.events.length,
		observed.error,
		[...observed.counters.keys()].join('+'),
	].join(' ');
}

const ACTIONS: ReadonlySet<number> = new Set(Object.values(PacketAction));

/** Counters as numbers, to see afterwards that a counted drop was counted. */
export function counted(world: World): Float64Array {
	return world.engine.net.counters.slice();
}

/** Looks at a packet that the engine has answered about. */
export function checkAnswer(
	world: World,
	packet: { action: number; verdict: number; start: number; end: number; bytes: Uint8Array },
	before: Float64Array,
): string {
	const { action, verdict, start, end, bytes } = packet;
	check(ACTIONS.has(action), `action ${action}`);
	check(start >= 0 && start <= end && end <= bytes.length, `from ${start} to ${end}`);
	const { counters } = world.engine.net;
	let raised = 0;
	for (let i = 1; i <= COUNTER_COUNT; i++) {
		const more = (counters[i] ?? 0) - (before[i] ?? 0);
		check(Number.isInteger(more) && more >= 0, `counter ${i} goes up by ${more}`);
		raised += more;
	}
	if (action === PacketAction.Drop && verdict >= 1 && verdict <= COUNTER_COUNT) {
		check((counters[verdict] ?? 0) > (before[verdict] ?? 0), `drop ${verdict} is not counted`);
	}
	return `${action} ${verdict} ${raised}`;
}

/** Hosts by case and provider, made when first met. */
export class PacketSubject implements Subject {
	readonly #cases: readonly GoldenCase[];
	readonly #doors: readonly Door[];
	readonly #victims: Map<number, Victim> = new Map();

	constructor(cases: readonly GoldenCase[], doors: readonly Door[]) {
		this.#cases = cases;
		this.#doors = doors;
	}

	attempt(input: Uint8Array): string {
		const [high = 0, low = 0, number = 0, options = 0] = input;
		const door = this.#doors[number % this.#doors.length];
		const victim = this.#victim(high * 256 + low, options);
		const { world } = victim;
		world.host.processor = (options & Option.OtherProcessor) === 0 ? 0 : 1;
		const us = options & Option.MuchLater ? 400_000_000 : options & Option.Later ? 3_000_000 : 1000;
		const later = checkObserved(world.advance(us));
		const word = door?.(victim, input.subarray(HEAD_OCTETS), options) ?? '';
		const { stateCount } = world.engine.sadInfo();
		check(stateCount <= victim.states + STATES_BESIDE_MAX, `${stateCount} states`);
		check(world.host.effectsLost === 0, 'effects that nobody took');
		return `${number % this.#doors.length} ${word} ${us > 1000 ? later : ''}`;
	}

	#victim(number: number, options: number): Victim {
		const place = number % this.#cases.length;
		const trusting = options & Option.Trusting;
		const key = 2 * place + trusting;
		const known = this.#victims.get(key);
		if (known !== undefined) {
			return known;
		}
		const [one, provider] = [this.#cases[place], PROVIDERS[trusting]];
		if (one === undefined || provider === undefined) {
			throw new RangeError('the golden files are absent');
		}
		const made = makeVictim(one, provider);
		this.#victims.set(key, made);
		const [oldest] = this.#victims.keys();
		if (this.#victims.size > HOSTS_MAX && oldest !== undefined) {
			this.#victims.delete(oldest);
		}
		return made;
	}
}

/** Those of the golden cases that a target is about. */
export function casesWhere(wanted: (one: GoldenCase) => boolean): readonly GoldenCase[] {
	return goldenCases().filter(wanted);
}
