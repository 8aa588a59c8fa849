/**
 * Tables for benches of the policy lookup: what the selectors of their policies look like. A policy is made of
 * its place in the table and nothing else, so that a million of them need not be kept to ask for one again.
 */
import { Flow } from '@xfrm/wire';
import { anySelector, Family, type Mark, type Selector } from '@xfrm/wire/xfrm';

export interface Shape {
	readonly name: string;
	readonly family: number;
	/** Selector and mark of the policy at a place. */
	policy(place: number): { readonly selector: Selector; readonly mark?: Mark };
	/** Has so many shapes of its own that a lookup has to ask for each. */
	readonly hostile?: true;
}

/** Numbers of 32 bits that look random, the same for the same place. */
export function numbersOf(place: number): () => number {
	let state = Math.imul(place + 1, 0x9e37_79b1);
	return () => {
		state = (state + 0x6d2b_79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), state | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return (mixed ^ (mixed >>> 14)) >>> 0;
	};
}

function address(family: number, random: () => number): Uint8Array {
	const octets = new Uint8Array(16);
	const count = family === Family.Ipv4 ? 4 : 16;
	for (let i = 0; i < count; i++) {
		octets[i] = random() >>> 24;
	}
	return octets;
}

function pair(family: number, place: number, prefixD: number, prefixS: number): Selector {
	const random = numbersOf(place);
	return {
		...anySelector(family),
		daddr: address(family, random),
		saddr: address(family, random),
		prefixlenD: prefixD,
		prefixlenS: prefixS,
	};
}

function withPorts(place: number, sportMask: number, dportMask: number): Selector {
	const random = numbersOf(~place);
	return {
		...pair(2, place, 32, 32),
		proto: place % 2 === 0 ? 6 : 17,
		dport: random() & 0xffff & dportMask,
		dportMask,
		sport: random() & 0xffff & sportMask,
		sportMask,
	};
}

/** Twenty pairs of prefix lengths, of IPv4. */
const PAIRS: readonly (readonly [number, number])[] = [8, 16, 20, 24, 32].flatMap((prefixD) =>
	[12, 16, 24, 28].map((prefixS) => [prefixD, prefixS] as const),
);

function mixed(family: number, place: number): Selector {
	const [prefixD = 0, prefixS = 0] = PAIRS[place % PAIRS.length] ?? [];
	const scale = family === Family.Ipv4 ? 1 : 4;
	return pair(family, place, scale * prefixD, scale * prefixS);
}

/** A thousand masks, each of sixteen bits or more, so that few flows fall under many. */
function oddMask(place: number): number {
	const random = numbersOf(place % 1000);
	return (random() | random()) >>> 0;
}

export const shapes: readonly Shape[] = [
	{ name: 'exact', family: 2, policy: (place) => ({ selector: pair(2, place, 32, 32) }) },
	{ name: 'exact IPv6', family: 10, policy: (place) => ({ selector: pair(10, place, 128, 128) }) },
	{ name: '/30', family: 2, policy: (place) => ({ selector: pair(2, place, 30, 30) }) },
	{
		name: 'ports',
		family: 2,
		policy: (place) => ({ selector: withPorts(place, place % 3 === 0 ? 0xffff : 0, 0xffff) }),
	},
	{
		name: 'marked',
		family: 2,
		policy: (place) => ({
			selector: pair(2, place, 24, 24),
			mark: { v: place & 0xff, m: 0xff },
		}),
	},
	{ name: '20 prefix pairs', family: 2, policy: (place) => ({ selector: mixed(2, place) }) },
	{ name: '20 prefix pairs IPv6', family: 10, policy: (place) => ({ selector: mixed(10, place) }) },
	{
		name: 'hostile: 1000 prefix pairs',
		family: 10,
		hostile: true,
		policy: (place) => ({
			selector: pair(10, place, 64 + (place % 40), 64 + (Math.floor(place / 40) % 25)),
		}),
	},
	{
		name: 'hostile: 1000 mark masks',
		family: 2,
		hostile: true,
		policy: (place) => ({
			selector: pair(2, place, 32, 32),
			mark: { v: (numbersOf(~place)() & oddMask(place)) >>> 0, m: oddMask(place) },
		}),
	},
	{
		name: 'hostile: 1000 port masks',
		family: 2,
		hostile: true,
		policy: (place) => ({
			selector: withPorts(place, oddMask(place) & 0xffff, oddMask(place) >>> 16),
		}),
	},
];

function words(octets: Uint8Array): Int32Array {
	const view = new DataView(octets.buffer, octets.byteOffset);
	return Int32Array.from({ length: 4 }, (_, i) => view.getInt32(4 * i));
}

/** Flows for a table of so many policies: every second one falls under a policy of it. */
export function flowsFor(shape: Shape, size: number, count: number): Flow[] {
	return Array.from({ length: count }, (_, i) => {
		const random = numbersOf(i);
		const { selector, mark } = shape.policy(random() % size);
		const hits = i % 2 === 0;
		const flow = new Flow();
		flow.family = shape.family;
		flow.daddr.set(words(hits ? selector.daddr : address(shape.family, random)));
		flow.saddr.set(words(selector.saddr));
		flow.proto = selector.proto === 0 ? 17 : selector.proto;
		flow.sport = selector.sport;
		flow.dport = selector.dport;
		flow.mark = (mark?.v ?? 0) | 0;
		return flow;
	});
}
