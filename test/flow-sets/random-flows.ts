/** Random questions about sets of flows, and flows within them: many at the edges of what the rules name. */
import type { World } from '@xfrm/explain';
import { PacketBuffer } from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';
import { DIMENSIONS, Dimension, type Region } from '../../packages/explain/src/box.ts';
import type { FlowContext } from '../../packages/explain/src/flow-sample.ts';
import { type FlowLookup, writeFlow } from '../../packages/explain/src/lookup.ts';
import type { FlowLine } from '../../packages/explain/src/lookup-line.ts';
import { picker } from '../../packages/explain/src/random-rules-fixture.test.ts';
import { MARKS, type Random, randomAddress } from './random-rules.ts';

/** A question as `xfrm prove` takes it. */
export function randomQuestion(random: Random, world: World): string {
	const pick = picker(random);
	const direction = pick(['out', 'out', 'in', 'fwd']);
	const spis = [...world.engine.states()].map(({ spi }) => spi >>> 0).filter((spi) => spi !== 0);
	const via = (): string => `0x${pick(spis).toString(16)}`;
	const prefixes = (): string => {
		const v6 = random(4) === 0;
		const lengths = v6 ? [0, 16, 32, 47, 48, 64, 128] : [0, 1, 8, 8, 12, 16, 24, 31, 32];
		return Array.from({ length: 1 + random(3) }, () => {
			const one = random(6) === 0 ? !v6 : v6;
			return `${randomAddress(random, one)}/${pick(one === v6 ? lengths : [0, 8, 16])}`;
		}).join();
	};
	return [
		pick(['', '', `src ${prefixes()}`, 'src any']),
		pick(['', '', `dst ${prefixes()}`]),
		pick([
			'',
			'',
			'',
			'proto udp',
			'proto tcp,icmp',
			'proto 47,253,ipv6-icmp',
			'proto gre',
			'proto 135',
		]),
		pick([
			'',
			'',
			'',
			'dport 1-1023',
			'dport 53,500-4500',
			'sport 4096-65535',
			'sport 0 dport 443',
			'type 8,128',
		]),
		pick(['', '', '', 'mark 0', 'mark 0x1/0x3', 'mark 0x10/0x11', 'mark 0x80000001']),
		pick(['', '', '', 'if_id 5', 'if_id 7', 'if_id 9']),
		direction === 'out' ? pick(['', '', '', 'dev eth1', 'dev eth0']) : '',
		direction !== 'out' && spis.length > 0
			? pick(['', `via ${via()}`, `via ${via()} ${via()}`])
			: '',
		`dir ${direction}`,
		`${pick(['never', 'always'])} ${pick(['pass', 'transform', 'drop', 'acquire', 'consume', 'pass,acquire', 'drop,consume'])}`,
	]
		.filter((part) => part !== '')
		.join(' ');
}

/** Values that rules name, and their neighbours. */
interface Edges {
	readonly source: readonly Int32Array[];
	readonly destination: readonly Int32Array[];
	readonly sport: readonly number[];
	readonly dport: readonly number[];
	readonly mark: readonly number[];
}

const PROTOS = [
	17, 17, 6, 6, 1, 58, 47, 132, 33, 135, 50, 51, 108, 253, 4, 41, 43, 44, 60, 255, 0, 136,
];
const WORDS_MAX = 4;

/** Draws flows. */
export class FlowSource {
	readonly #random: Random;
	readonly #edges: Readonly<Record<number, Edges>>;
	readonly #packet: PacketBuffer = new PacketBuffer(2048);

	constructor(random: Random, worlds: readonly World[]) {
		this.#random = random;
		this.#edges = {
			[Family.Ipv4]: edgesOf(worlds, Family.Ipv4),
			[Family.Ipv6]: edgesOf(worlds, Family.Ipv6),
		};
	}

	/** A flow of these; false where a few draws found none. */
	draw(region: Region, context: FlowContext, lookup: FlowLookup, line: FlowLine): boolean {
		for (let tries = 0; tries < 8; tries++) {
			this.#fill(region, context, line);
			// A flow's ports are those that its protocol has.
			writeFlow(this.#packet, line);
			const { sport, dport } = lookup.decode(this.#packet, line);
			line.sport = sport;
			line.dport = dport;
			if (isIn(region, line)) {
				return true;
			}
		}
		return false;
	}

	#fill(region: Region, context: FlowContext, line: FlowLine): void {
		const { family } = context;
		const random = this.#random;
		const edges = this.#edges[family];
		if (edges === undefined) {
			throw new RangeError(`no family ${family}`);
		}
		line.clear();
		line.family = family;
		line.direction = context.direction;
		line.ifId = context.ifId;
		line.device = context.device;
		line.via.push(...context.via);
		this.#fillAddress(line.saddr, edges.source, region, Dimension.Source, family);
		this.#fillAddress(line.daddr, edges.destination, region, Dimension.Destination, family);
		line.proto = this.#value(region, Dimension.Proto, PROTOS, 0xff);
		line.sport = this.#value(region, Dimension.Sport, edges.sport, 0xffff);
		line.dport = this.#value(region, Dimension.Dport, edges.dport, 0xffff);
		const mark = random(2) === 0 ? 0 : this.#value(region, Dimension.Mark, edges.mark, -1);
		line.mark =
			(inCubes(region, Dimension.Mark, mark) ? mark : this.#cubeValue(region, Dimension.Mark)) >>>
			0;
	}

	#fillAddress(
		into: Int32Array,
		edges: readonly Int32Array[],
		region: Region,
		dimension: number,
		family: number,
	): void {
		const words = family === Family.Ipv4 ? 1 : WORDS_MAX;
		const edge = picker(this.#random)(edges);
		into.fill(0);
		for (let i = 0; i < words; i++) {
			const word = this.#random(16) === 0 ? this.#word() : (edge[i] ?? 0);
			into[i] = inCubes(region, dimension + i, word)
				? word
				: this.#cubeValue(region, dimension + i);
		}
	}

	#value(region: Region, dimension: number, edges: readonly number[], all: number): number {
		const word = this.#random(6) === 0 ? this.#word() & all : picker(this.#random)(edges);
		return inCubes(region, dimension, word) ? word : this.#cubeValue(region, dimension) & all;
	}

	/** A value of one of the cubes: the first, the last or any. */
	#cubeValue(region: Region, dimension: number): number {
		const cubes = region[dimension] ?? [0, 0];
		const at = 2 * this.#random(cubes.length / 2);
		const open = ~(cubes[at + 1] ?? 0);
		return (cubes[at] ?? 0) | (open & picker(this.#random)([0, -1, this.#word()]));
	}

	#word(): number {
		return (this.#random(0x10000) << 16) | this.#random(0x10000);
	}
}

function inCubes(region: Region, dimension: number, word: number): boolean {
	const cubes = region[dimension] ?? null;
	if (cubes === null) {
		return true;
	}
	for (let i = 0; i < cubes.length; i += 2) {
		if ((((cubes[i] ?? 0) ^ word) & (cubes[i + 1] ?? 0)) === 0) {
			return true;
		}
	}
	return false;
}

/** The words of a flow, by dimension. */
export function wordAt(line: FlowLine, dimension: number): number {
	if (dimension < Dimension.Destination) {
		return line.saddr[dimension] ?? 0;
	}
	if (dimension < Dimension.Proto) {
		return line.daddr[dimension - Dimension.Destination] ?? 0;
	}
	switch (dimension) {
		case Dimension.Proto:
			return line.proto;
		case Dimension.Sport:
			return line.sport;
		case Dimension.Dport:
			return line.dport;
		default:
			return line.mark | 0;
	}
}

export function isIn(region: Region, line: FlowLine): boolean {
	for (let dimension = 0; dimension < DIMENSIONS; dimension++) {
		if (!inCubes(region, dimension, wordAt(line, dimension))) {
			return false;
		}
	}
	return true;
}

function edgesOf(worlds: readonly World[], family: number): Edges {
	const source: Int32Array[] = [Int32Array.of(0x0a000001, 0, 0, 1)];
	const destination: Int32Array[] = [Int32Array.of(0x0a000001, 0, 0, 1)];
	const sport = [0, 500, 40000];
	const dport = [0, 53, 443];
	const mark: number[] = [...MARKS];
	for (const { engine } of worlds) {
		for (const { selector } of [...engine.policies(), ...engine.states()]) {
			if (selector.family !== family) {
				continue;
			}
			source.push(...around(selector.saddr, selector.saddrMask, family));
			destination.push(...around(selector.daddr, selector.daddrMask, family));
			sport.push(...portsAround(selector.sport, selector.sportMask));
			dport.push(...portsAround(selector.dport, selector.dportMask));
		}
		for (const { markValue, markMask } of engine.policies()) {
			mark.push(markValue, markValue | ~markMask, markValue ^ (markMask & -markMask));
		}
	}
	return { source, destination, sport, dport, mark };
}

/** The first and the last address of a prefix, one within, and those beside it. */
function around(words: ArrayLike<number>, masks: ArrayLike<number>, family: number): Int32Array[] {
	const length = family === Family.Ipv4 ? 1 : WORDS_MAX;
	const first = Int32Array.from({ length: WORDS_MAX }, (_, i) =>
		i < length ? (words[i] ?? 0) & (masks[i] ?? 0) : 0,
	);
	const last = first.map((word, i) => (i < length ? word | ~(masks[i] ?? 0) : 0));
	const within = first.slice();
	within[length - 1] = (first[length - 1] ?? 0) | (1 & ~(masks[length - 1] ?? 0));
	return [first, last, within, stepped(first, -1, length), stepped(last, 1, length)];
}

/** The next address, or the one before. */
function stepped(words: Int32Array, step: number, length: number): Int32Array {
	const next = words.slice();
	for (let i = length - 1; i >= 0; i--) {
		const word = next[i] ?? 0;
		next[i] = word + step;
		if (step > 0 ? word !== -1 : word !== 0) {
			break;
		}
	}
	return next;
}

function portsAround(port: number, mask: number): number[] {
	if (mask === 0) {
		return [];
	}
	const last = (port | ~mask) & 0xffff;
	return [port & mask, last, (port - 1) & 0xffff, (last + 1) & 0xffff];
}
