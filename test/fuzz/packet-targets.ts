/**
 * Targets `host`, `input`, `output`, `check`, `iptfs`, `stream`: hostile packets at the hosts of the golden
 * cases, by the host's doors (devices, sockets, TCP connections) and by the engine's.
 */
import { Batch, PacketAction } from '@xfrm/engine';
import type { World } from '@xfrm/explain';
import { PacketBuffer } from '@xfrm/wire';
import { addressFrom, Direction } from '@xfrm/wire/xfrm';
import type { Random } from '../kernel/random.ts';
import { arriving, departing, kindOf } from '../properties/tunnel-ends.ts';
import { type CasePacket, type GoldenCase, octetsOf, packetsOf } from './golden-packets.ts';
import { mutated } from './octet-mutation.ts';
import {
	casesWhere,
	checkAnswer,
	checkObserved,
	counted,
	type Door,
	HEAD_OCTETS,
	Option,
	PacketSubject,
} from './packet-subject.ts';
import type { SubjectTarget } from './subject.ts';
import { check } from './target.ts';

/** Packets taken off one another at most, as tunnels in tunnels. */
const ROUNDS_MAX = 8;
const SEEDS = 1500;

function markOf(options: number): { mark?: number } {
	return options & Option.Marked ? { mark: 7 } : {};
}

// The host's doors.

const fromLan: Door = ({ world }, octets, options) =>
	checkObserved(world.receive('lan', octets, markOf(options)));
const fromWan: Door = ({ world }, octets, options) =>
	checkObserved(world.receive('wan', octets, markOf(options)));

/** A socket of this host sends it, if it can be a packet at all. */
function sending(sender: 'hdrincl' | 'socket' | 'udp'): Door {
	return ({ world }, octets, options) => {
		const version = (octets[0] ?? 0) >> 4;
		const header = version === 4 ? ((octets[0] ?? 0) & 15) * 4 : 40;
		if ((version !== 4 && version !== 6) || header < 20 || octets.length < header + 8) {
			return 'no packet';
		}
		return checkObserved(world.send(octets, { ...markOf(options), sender }), true);
	};
}

/** Octets of the connection, cut where an octet in front says. */
const byStream: Door = ({ world, connection }, octets, options) => {
	if (connection === 0) {
		return 'no connection';
	}
	if (options & Option.Forward) {
		const error = world.host.sendStream(connection, octets, world.nowUs);
		return `${checkObserved(world.observe(error))}`;
	}
	const words = new Set<string>();
	for (let at = 1; at < octets.length; ) {
		const end = at + 1 + (octets[0] ?? 0);
		world.host.receiveStream(connection, octets.subarray(at, end), world.nowUs);
		words.add(checkObserved(world.observe(0)));
		at = end;
	}
	return [...words].sort().join();
};

// The engine's doors.

/** What the engine had kept or made, and what is due. */
function drain(world: World): string {
	const { engine } = world;
	let packets = 0;
	for (let packet = engine.pollPacket(); packet !== undefined; packet = engine.pollPacket()) {
		check(++packets < 5000, 'packets without end');
	}
	return `${packets} ${checkObserved(world.observe(0))}`;
}

function buffer(octets: Uint8Array, options: number): PacketBuffer {
	const packet = PacketBuffer.from(octets);
	packet.mark = options & Option.Marked ? 7 : 0;
	return packet;
}

/** Takes off all that can be taken off; the packet, and in words what happened. */
function open(world: World, octets: Uint8Array, options: number): [PacketBuffer, string[]] {
	const { engine } = world;
	const packet = buffer(octets, options);
	const words: string[] = [];
	for (let round = 0; round < ROUNDS_MAX && arriving(packet); round++) {
		if (packet.transportAt + 8 > packet.end) {
			break;
		}
		const before = counted(world);
		const batch = Batch.of(world.nowUs, packet);
		batch.processor = options & Option.OtherProcessor ? 1 : 0;
		switch (kindOf(packet)) {
			case 'encap':
				engine.udpEncapInput(batch, options & Option.Forward ? 1 : 2);
				break;
			case 'transform':
				engine.input(batch);
				break;
			default:
				return [packet, words];
		}
		words.push(checkAnswer(world, packet, before));
		if (packet.action !== PacketAction.Reinject) {
			break;
		}
	}
	return [packet, words];
}

const byInput: Door = ({ world }, octets, options) => {
	const [, words] = open(world, octets, options);
	return `${words.join()} ${drain(world)}`;
};

const byAddress: Door = ({ world }, octets, options) => {
	const packet = buffer(octets, options);
	if (!arriving(packet) || packet.family !== 10) {
		return 'no packet';
	}
	const [source, destination] = [8, 24].map((at) => addressFrom(octets, at, 16));
	const before = counted(world);
	const proto = options & Option.Forward ? 43 : 60;
	const taken = world.engine.addressInput(
		packet,
		destination ?? new Uint8Array(16),
		source ?? new Uint8Array(16),
		proto,
		world.nowUs,
	);
	return `${taken} ${taken ? '' : checkAnswer(world, packet, before)} ${drain(world)}`;
};

const byOutput: Door = ({ world }, octets, options) => {
	const version = (octets[0] ?? 0) >> 4;
	if ((version !== 4 && version !== 6) || octets.length < (version === 4 ? 24 : 44)) {
		return 'no packet';
	}
	const packet = departing(octets);
	packet.forwarded = (options & Option.Forward) !== 0;
	packet.flow.proto = octets[version === 4 ? 9 : 6] ?? 0;
	packet.mark = options & Option.Marked ? 7 : 0;
	packet.flow.mark = packet.mark;
	const before = counted(world);
	const batch = Batch.of(world.nowUs, packet);
	batch.processor = options & Option.OtherProcessor ? 1 : 0;
	world.engine.output(batch);
	return `${checkAnswer(world, packet, before)} ${drain(world)}`;
};

const byCheck: Door = ({ world }, octets, options) => {
	const [packet, words] = open(world, octets, options & ~Option.Forward);
	if (packet.end - packet.start < 20) {
		return 'no packet';
	}
	const before = counted(world);
	const direction = options & Option.Forward ? Direction.Fwd : Direction.In;
	world.engine.policyCheck(Batch.of(world.nowUs, packet), direction);
	const word = checkAnswer(world, packet, before);
	const quoted = world.engine.reverseCheck(packet, packet.start + 28, world.nowUs);
	return `${words.join()} ${word} ${quoted} ${drain(world)}`;
};

// Seeds: the packets of the cases, by the doors they were meant for.

/** The input that puts a packet into its case. */
function inputOf(place: number, door: number, options: number, octets: Uint8Array): Uint8Array {
	return new Uint8Array([place >> 8, place & 255, door, options, ...octets]);
}

type DoorOf = (packet: CasePacket) => number;

/** Packets of a pick of the cases, as they were put in, each with and without the real provider. */
function seedsOf(cases: readonly GoldenCase[], random: Random, doorOf: DoorOf): Uint8Array[] {
	const found: Uint8Array[] = [];
	while (found.length < SEEDS && cases.length > 0) {
		const place = random.int(0, cases.length - 1);
		const one = cases[place];
		for (const packet of one === undefined ? [] : packetsOf(one)) {
			const options = random.chance(0.7) ? Option.Trusting : 0;
			found.push(inputOf(place, doorOf(packet), options, packet.octets));
		}
	}
	return found;
}

/** Octets behind the head are what is hostile; now and then another case, door, or option. */
function mutate(input: Uint8Array, random: Random, pool: readonly Uint8Array[]): Uint8Array {
	const head = input.slice(0, HEAD_OCTETS);
	if (random.chance(0.1)) {
		head[random.int(0, HEAD_OCTETS - 1)] = random.u32();
	}
	if (random.chance(0.2)) {
		head[3] = random.u32() & random.u32() & 0x3f;
	}
	const rest = input.subarray(HEAD_OCTETS);
	// Packets as they are fill replay windows, queues and reassemblies.
	const changed = random.chance(0.1) ? rest : mutated(rest, random, pool);
	return new Uint8Array([...head, ...changed]);
}

function packetTarget(
	name: string,
	wanted: (one: GoldenCase) => boolean,
	doors: readonly Door[],
	doorOf: DoorOf,
): SubjectTarget {
	return {
		name,
		open: () => new PacketSubject(casesWhere(wanted), doors),
		seeds: (random) => seedsOf(casesWhere(wanted), random, doorOf),
		mutate,
	};
}

const hasPackets = (one: GoldenCase): boolean => packetsOf(one).length > 0;
const aboutIptfs = (one: GoldenCase): boolean => one.tags.includes('iptfs') && hasPackets(one);
const hostDoors = [fromWan, fromLan, sending('hdrincl'), sending('socket'), sending('udp')];
const hostDoor: DoorOf = ({ at }) => ({ wan: 0, emitted: 0, lan: 1, local: 2 })[at];

/** Octets of streams, the first says how they are cut. */
function streamSeeds(cases: readonly GoldenCase[], random: Random): Uint8Array[] {
	return cases.flatMap((one, place) =>
		one.steps.flatMap(({ tcp_send: sent = [], ike_send: ike, expect }) => {
			const octets = octetsOf([...sent, expect.tcp ?? ''].join(''));
			const cut = random.pick([0, 1, 7, 255]);
			return [
				...[0, Option.Trusting].map((options) =>
					inputOf(place, 0, options, new Uint8Array([cut, ...octets])),
				),
				...(ike === undefined ? [] : [inputOf(place, 0, Option.Forward, octetsOf(ike))]),
			];
		}),
	);
}

const hasConnection = (one: GoldenCase): boolean => one.tcp !== undefined;

export const packetTargets: readonly SubjectTarget[] = [
	packetTarget('host', hasPackets, hostDoors, hostDoor),
	packetTarget('input', hasPackets, [byInput, byAddress], () => 0),
	packetTarget('output', hasPackets, [byOutput], () => 0),
	packetTarget('check', hasPackets, [byCheck], () => 0),
	packetTarget('iptfs', aboutIptfs, [...hostDoors, byInput], hostDoor),
	{
		name: 'stream',
		open: () => new PacketSubject(casesWhere(hasConnection), [byStream, ...hostDoors]),
		seeds: (random) => streamSeeds(casesWhere(hasConnection), random),
		mutate,
	},
];
