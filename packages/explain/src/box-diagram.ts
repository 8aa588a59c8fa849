/**
 * A decision diagram over boxes: dimension by dimension the flows are sorted by which boxes they are in,
 * until all are told apart. Parts that are in the same boxes from there on share what follows, so that ten
 * thousand prefixes on one side and ten thousand on the other do not make a hundred million parts.
 *
 *     source ─ in 1 and 3 ──── destination ─ in 3 ── … leaf {3}
 *            ├ in 3 ─────────'             └ in none … leaf {}
 *            └ in none ── leaf {}
 *
 * Within a dimension a trie of bits is walked along the boxes that care; what is in the same boxes becomes
 * one branch, with all its cubes.
 */
import { type Box, type Cubes, commonCubes, DIMENSIONS, Dimension, type Region } from './box.ts';

/** Protocols that are alike for all boxes: which they are, and how many bits stand in place of ports. */
export interface ProtoClass {
	/** As a flow is decoded: what selectors are compared with. */
	readonly decoded: number;
	readonly protos: readonly number[];
	/** Bits of sport and dport that can be other than 0. */
	readonly sportBits: number;
	readonly dportBits: number;
}

export interface Branch<Leaf> {
	readonly cubes: Cubes;
	/** Cubes of sport and dport that come with a protocol. */
	readonly ports?: readonly [sport: Cubes | null, dport: Cubes | null];
	readonly child: Diagram<Leaf>;
}

export type Diagram<Leaf> =
	| { readonly leaf: Leaf; readonly branches?: undefined }
	| { readonly dimension: number; readonly branches: readonly Branch<Leaf>[] };

export interface DiagramOptions<Leaf> {
	readonly boxes: readonly Box[];
	/** How protocols are told apart. */
	readonly protos: readonly ProtoClass[];
	/**
	 * Leaves boxes out that can no longer matter, given those that cover all that is left of a part; both in
	 * order. Called with every set.
	 */
	readonly reduce?: (set: readonly number[], covers: (box: number) => boolean) => readonly number[];
	readonly leaf: (set: readonly number[]) => Leaf;
}

/** Nothing is known of the protocol yet. */
const NO_CLASS = -1;
const PROTO_BIT = 1 << Dimension.Proto;
const PORT_BITS = (1 << Dimension.Sport) | (1 << Dimension.Dport);

export function buildDiagram<Leaf>(options: DiagramOptions<Leaf>): Diagram<Leaf> {
	return new Builder(options).build(
		0,
		NO_CLASS,
		options.boxes.map((_, i) => i),
	);
}

class Builder<Leaf> {
	readonly #options: DiagramOptions<Leaf>;
	/** The dimensions that a box cares about, a bit each. */
	readonly #cares: Uint16Array;
	readonly #known: Map<string, { set: readonly number[]; diagram: Diagram<Leaf> }[]> = new Map();

	constructor(options: DiagramOptions<Leaf>) {
		this.#options = options;
		this.#cares = Uint16Array.from(options.boxes, (box) => {
			let cares = 0;
			for (let dimension = 0; dimension < DIMENSIONS; dimension++) {
				cares |= box[2 * dimension + 1] === 0 ? 0 : 1 << dimension;
			}
			return cares;
		});
	}

	/** @param done dimensions by which flows are told apart already, a bit each */
	build(done: number, protoClass: number, all: readonly number[]): Diagram<Leaf> {
		const { reduce, leaf } = this.#options;
		const set = reduce === undefined ? all : reduce(all, (box) => this.#open(box, done) === 0);
		const dimension = this.#nextDimension(done, set);
		if (dimension < 0) {
			return this.#remember('leaf', set, () => ({ leaf: leaf(set) }));
		}
		// The protocol's class matters only where ports are still to be told apart.
		const ports = (done & PROTO_BIT) !== 0 && set.some((box) => this.#open(box, done) & PORT_BITS);
		return this.#remember(`${done} ${ports ? protoClass : ''}`, set, () =>
			dimension === Dimension.Proto
				? this.#byProtocol(done, set)
				: this.#byBits(dimension, done, protoClass, set),
		);
	}

	/** Dimensions that a box still cares about. */
	#open(box: number, done: number): number {
		return (this.#cares[box] ?? 0) & ~done;
	}

	/**
	 * The dimension to go on with, below 0 for none. It is one that the first box cares about which cares about
	 * any: so the strongest policies are met soon, and what they cover is done with.
	 */
	#nextDimension(done: number, set: readonly number[]): number {
		for (const box of set) {
			const open = this.#open(box, done);
			if (open !== 0) {
				// Ports come behind the protocol: which flows have any depends on it.
				const early =
					(open & PORT_BITS) !== 0 && (done & PROTO_BIT) === 0 ? open | PROTO_BIT : open;
				return 31 - Math.clz32(early & -early);
			}
		}
		return -1;
	}

	#remember(key: string, set: readonly number[], make: () => Diagram<Leaf>): Diagram<Leaf> {
		let hash = set.length;
		for (const box of set) {
			hash = Math.imul(hash ^ box, 0x01000193) ^ (hash >>> 15);
		}
		const name = `${key} ${hash}`;
		const known = this.#known.get(name) ?? [];
		const same = known.find((one) => sameSet(one.set, set));
		if (same !== undefined) {
			return same.diagram;
		}
		const diagram = make();
		known.push({ set, diagram });
		this.#known.set(name, known);
		return diagram;
	}

	#byProtocol(done: number, set: readonly number[]): Diagram<Leaf> {
		const { boxes, protos } = this.#options;
		const at = 2 * Dimension.Proto;
		const branches = protos.map((one, i): Branch<Leaf> => {
			const within = set.filter((box) => {
				const mask = boxes[box]?.[at + 1] ?? 0;
				return (((boxes[box]?.[at] ?? 0) ^ one.decoded) & mask) === 0;
			});
			return {
				cubes: one.protos.flatMap((proto) => [proto, 0xff]),
				ports: [domainCubes(one.sportBits), domainCubes(one.dportBits)],
				child: this.build(done | PROTO_BIT, i, within),
			};
		});
		return { dimension: Dimension.Proto, branches };
	}

	#byBits(
		dimension: number,
		done: number,
		protoClass: number,
		set: readonly number[],
	): Diagram<Leaf> {
		const split = new Split(this.#options.boxes, dimension, this.#domain(dimension, protoClass));
		const now = done | (1 << dimension);
		const branches = new Map<Diagram<Leaf>, number[]>();
		for (const { set: within, cubes } of split.run(set)) {
			const child = this.build(now, protoClass, within);
			const known = branches.get(child);
			if (known === undefined) {
				branches.set(child, cubes);
			} else {
				// Not push(...cubes): there may be more cubes than arguments may be.
				for (const word of cubes) {
					known.push(word);
				}
			}
		}
		const [only] = branches.keys();
		if (branches.size === 1 && only !== undefined) {
			return only;
		}
		return { dimension, branches: [...branches].map(([child, cubes]) => ({ cubes, child })) };
	}

	#domain(dimension: number, protoClass: number): number {
		const one = this.#options.protos[protoClass];
		if (dimension === Dimension.Sport) {
			return one?.sportBits ?? 0xffff;
		}
		return dimension === Dimension.Dport ? (one?.dportBits ?? 0xffff) : -1;
	}
}

/** Cubes of the ports that a protocol can have, null for all. */
function domainCubes(bits: number): Cubes | null {
	return bits === 0xffff ? null : [0, 0xffff & ~bits];
}

function sameSet(a: readonly number[], b: readonly number[]): boolean {
	return a.length === b.length && a.every((box, i) => box === b[i]);
}

interface FlowClass {
	readonly set: readonly number[];
	readonly cubes: number[];
}

/** Sorts the values of one dimension by the boxes they are in. */
class Split {
	readonly #boxes: readonly Box[];
	readonly #at: number;
	readonly #domain: number;
	/** Sets of boxes as chains: the number of a chain and a box give the number of the longer one. */
	readonly #chains: Map<number, number> = new Map();
	readonly #parents: number[] = [0];
	readonly #members: number[] = [-1];
	readonly #cubes: Map<number, number[]> = new Map();

	constructor(boxes: readonly Box[], dimension: number, domain: number) {
		this.#boxes = boxes;
		this.#at = 2 * dimension;
		this.#domain = domain;
	}

	run(set: readonly number[]): readonly FlowClass[] {
		const caring: number[] = [];
		const wild: number[] = [];
		for (const box of set) {
			const mask = this.#mask(box);
			if ((this.#value(box) & mask & ~this.#domain) !== 0) {
				continue; // Asks for a bit that is always 0.
			}
			((mask & this.#domain) === 0 ? wild : caring).push(box);
		}
		this.#walk(caring, 0, 0, 0);
		return [...this.#cubes].map(([chain, cubes]) => ({
			cubes,
			set: merged(wild, this.#chainMembers(chain)),
		}));
	}

	#value(box: number): number {
		return this.#boxes[box]?.[this.#at] ?? 0;
	}
	#mask(box: number): number {
		return this.#boxes[box]?.[this.#at + 1] ?? 0;
	}

	/**
	 * @param caring boxes that fix bits below those decided
	 * @param value of the bits decided; `mask` says which
	 * @param chain boxes that are met for good
	 */
	#walk(caring: readonly number[], value: number, mask: number, chain: number): void {
		let fixed = 0;
		for (const box of caring) {
			fixed |= this.#mask(box);
		}
		const open = fixed & this.#domain & ~mask;
		if (open === 0) {
			const cubes = this.#cubes.get(chain);
			if (cubes === undefined) {
				this.#cubes.set(chain, [value, mask]);
			} else {
				cubes.push(value, mask);
			}
			return;
		}
		// The highest open bit, so that prefixes become a trie.
		const bit = open < 0 ? -0x80000000 : 1 << (31 - Math.clz32(open));
		for (const side of [0, bit]) {
			const rest: number[] = [];
			let met = chain;
			for (const box of caring) {
				const boxMask = this.#mask(box);
				if ((boxMask & bit) !== 0 && (this.#value(box) & bit) !== side) {
					continue;
				}
				if ((boxMask & this.#domain & ~(mask | bit)) === 0) {
					met = this.#longer(met, box);
				} else {
					rest.push(box);
				}
			}
			this.#walk(rest, value | side, mask | bit, met);
		}
	}

	#longer(chain: number, box: number): number {
		const key = chain * 0x200000 + box;
		const known = this.#chains.get(key);
		if (known !== undefined) {
			return known;
		}
		const made = this.#parents.length;
		this.#parents.push(chain);
		this.#members.push(box);
		this.#chains.set(key, made);
		return made;
	}

	#chainMembers(chain: number): number[] {
		const members: number[] = [];
		for (let at = chain; at !== 0; at = this.#parents[at] ?? 0) {
			members.push(this.#members[at] ?? 0);
		}
		return members.sort((a, b) => a - b);
	}
}

/** Two ordered sets as one. */
function merged(a: readonly number[], b: readonly number[]): readonly number[] {
	if (b.length === 0) {
		return a;
	}
	const all: number[] = [];
	let j = 0;
	for (const box of a) {
		while (j < b.length && (b[j] ?? 0) < box) {
			all.push(b[j++] ?? 0);
		}
		all.push(box);
	}
	while (j < b.length) {
		all.push(b[j++] ?? 0);
	}
	return all;
}

/**
 * Every part of a region, with its leaf.
 *
 * @param wanted says which parts of the diagram are worth going into; absent: all
 */
export function* partsOf<Leaf>(
	diagram: Diagram<Leaf>,
	region: Region,
	wanted: (part: Diagram<Leaf>, region: Region) => boolean = () => true,
): Generator<{ readonly region: Region; readonly leaf: Leaf }> {
	if (!wanted(diagram, region)) {
		return;
	}
	if (diagram.branches === undefined) {
		yield { region, leaf: diagram.leaf };
		return;
	}
	for (const [child, narrowed] of branchesOf(diagram.branches, diagram.dimension, region)) {
		yield* partsOf(child, narrowed, wanted);
	}
}

/** What is behind the branches that have flows of a region, each with the flows. */
export function branchesOf<Leaf>(
	branches: readonly Branch<Leaf>[],
	dimension: number,
	region: Region,
): readonly (readonly [Diagram<Leaf>, Region])[] {
	const found: (readonly [Diagram<Leaf>, Region])[] = [];
	for (const { cubes, ports, child } of branches) {
		const narrowed = [...region];
		const sides: (readonly [number, Cubes | null])[] = [
			[dimension, cubes],
			[Dimension.Sport, ports?.[0] ?? null],
			[Dimension.Dport, ports?.[1] ?? null],
		];
		const isEmpty = sides.some(([at, part]) => {
			const common = commonCubes(narrowed[at] ?? null, part);
			narrowed[at] = common;
			return common?.length === 0;
		});
		if (!isEmpty) {
			found.push([child, narrowed]);
		}
	}
	return found;
}
