/**
 * What does the policy lookup cost in tables of 100, 10,000 and 100,000 policies? Three shapes: host pairs;
 * twenty prefix pairs mixed; host pairs with protocol and ports. All policies have one priority, so that no
 * tuple can be skipped; half of the flows hit a policy, half hit none. Bound: 1 µs each.
 *
 * Run alone, on built packages: node --import tsx bench/lookup.ts
 */
import { pathToFileURL } from 'node:url';
import { linux619, Spd, XfrmPolicy } from '@xfrm/engine';
import { Flow } from '@xfrm/wire';
import { anySelector, Direction, Family, type Selector, UNLIMITED } from '@xfrm/wire/xfrm';

export interface BenchRow {
	readonly bench: string;
	readonly case: string;
	readonly value: number;
	readonly unit: string;
}

const SIZES = [100, 10_000, 100_000];
const FLOW_COUNT = 4096;
/** Short ones, and the best of them counts: a shared machine disturbs most. */
const ROUNDS = 300;

/** Small, seeded, good enough to spread addresses. */
function generator(seed: number): () => number {
	let state = seed;
	return () => {
		state = (Math.imul(state, 1664525) + 1013904223) | 0;
		return state >>> 0;
	};
}

interface Shape {
	readonly name: string;
	readonly family: number;
	selector(random: () => number, place: number): Selector;
}

function address(family: number, random: () => number): Uint8Array {
	const octets = new Uint8Array(16);
	const count = family === Family.Ipv4 ? 4 : 16;
	for (let i = 0; i < count; i++) {
		octets[i] = random() >>> 24;
	}
	return octets;
}

function hostPair(family: number, random: () => number): Selector {
	const bits = family === Family.Ipv4 ? 32 : 128;
	return {
		...anySelector(family),
		daddr: address(family, random),
		saddr: address(family, random),
		prefixlenD: bits,
		prefixlenS: bits,
	};
}

/** Twenty pairs of prefix lengths. */
const PAIRS: readonly (readonly [number, number])[] = [8, 16, 20, 24, 32].flatMap((prefixlenD) =>
	[12, 16, 24, 28].map((prefixlenS) => [prefixlenD, prefixlenS] as const),
);

const shapes: readonly Shape[] = [
	{ name: 'exact v4', family: 2, selector: (random) => hostPair(2, random) },
	{ name: 'exact v6', family: 10, selector: (random) => hostPair(10, random) },
	{
		name: '20 prefix pairs v4',
		family: 2,
		selector: (random, place) => {
			const [prefixlenD = 0, prefixlenS = 0] = PAIRS[place % PAIRS.length] ?? [];
			return { ...hostPair(2, random), prefixlenD, prefixlenS };
		},
	},
	{
		name: '20 prefix pairs v6',
		family: 10,
		selector: (random, place) => {
			const [prefixlenD = 0, prefixlenS = 0] = PAIRS[place % PAIRS.length] ?? [];
			return {
				...hostPair(10, random),
				prefixlenD: 4 * prefixlenD,
				prefixlenS: 4 * prefixlenS,
			};
		},
	},
	{
		name: 'ports v4',
		family: 2,
		selector: (random, place) => ({
			...hostPair(2, random),
			proto: place % 2 === 0 ? 6 : 17,
			dport: random() & 0xffff,
			dportMask: 0xffff,
			sport: random() & 0xffff,
			sportMask: place % 3 === 0 ? 0xffff : 0,
		}),
	},
];

function words(octets: Uint8Array): Int32Array {
	const view = new DataView(octets.buffer, octets.byteOffset);
	return Int32Array.from({ length: 4 }, (_, i) => view.getInt32(4 * i));
}

function fill(spd: Spd, shape: Shape, size: number): Selector[] {
	const random = generator(size + shape.name.length);
	const selectors: Selector[] = [];
	for (let i = 0; i < size; i++) {
		const selector = shape.selector(random, i);
		selectors.push(selector);
		const policy = new XfrmPolicy(
			{
				selector,
				lifetime: UNLIMITED,
				priority: 1000,
				index: 0,
				direction: Direction.Out,
				action: 0,
				flags: 0,
				share: 0,
				type: 0,
				templates: [],
			},
			spd.freeIndex(Direction.Out, 0),
		);
		spd.insert(policy, spd.twin(policy));
	}
	return selectors;
}

/** Every second flow is inside of a policy's selector. */
function flowsFor(shape: Shape, selectors: readonly Selector[]): Flow[] {
	const random = generator(7);
	return Array.from({ length: FLOW_COUNT }, (_, i) => {
		const flow = new Flow();
		flow.family = shape.family;
		const inside = selectors[random() % selectors.length] ?? anySelector(shape.family);
		const hits = i % 2 === 0;
		flow.daddr.set(words(hits ? inside.daddr : address(shape.family, random)));
		flow.saddr.set(words(inside.saddr));
		flow.proto = inside.proto === 0 ? 17 : inside.proto;
		flow.sport = inside.sport;
		flow.dport = inside.dport;
		return flow;
	});
}

/** Looks every flow up once: nanoseconds each. */
function pass(spd: Spd, flows: readonly Flow[]): number {
	let found = 0;
	const start = process.hrtime.bigint();
	for (const flow of flows) {
		found += spd.lookup(flow, Direction.Out, 0, 0, 1_700_000_000) === null ? 0 : 1;
	}
	const ns = Number(process.hrtime.bigint() - start) / flows.length;
	if (found === 0) {
		throw new Error('no flow met a policy');
	}
	return ns;
}

/** A row a shape and size: nanoseconds a lookup, the best of some rounds. */
export function lookupBench(): BenchRow[] {
	const rows: BenchRow[] = [];
	for (const shape of shapes) {
		for (const size of SIZES) {
			const spd = new Spd(linux619);
			const flows = flowsFor(shape, fill(spd, shape, size));
			let best = Number.POSITIVE_INFINITY;
			for (let round = 0; round < ROUNDS; round++) {
				best = Math.min(best, pass(spd, flows));
			}
			const value = Math.round(best * 10) / 10;
			rows.push({ bench: 'lookup', case: `${shape.name}, ${size} policies`, value, unit: 'ns' });
		}
	}
	return rows;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
	for (const row of lookupBench()) {
		console.log(`${row.case.padEnd(36)} ${row.value.toFixed(1).padStart(8)} ${row.unit}`);
	}
}
