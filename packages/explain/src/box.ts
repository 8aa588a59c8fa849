/**
 * Sets of flows as boxes: a cube of bits in each dimension of a selector. A cube fixes some bits of a
 * 32-bit word and leaves the others open, so prefixes, masked ports and masked marks are all of one kind,
 * and splitting them is exact.
 *
 *     dimension   0        1 … 3        4        5 … 7        8      9      10     11
 *                 source   (IPv6)       dest.    (IPv6)       proto  sport  dport  mark
 *
 * What stands in the place of ports depends on the protocol, as in Linux (P-26). Family, if_id, direction
 * and device are the same for all flows of a set.
 */
import type { XfrmPolicy } from '@xfrm/engine';
import { type Address, addressOctets } from '@xfrm/wire/xfrm';

/** Dimensions by name; an address has as many words as it needs. */
export const Dimension = {
	Source: 0,
	Destination: 4,
	Proto: 8,
	Sport: 9,
	Dport: 10,
	Mark: 11,
} as const;
export const DIMENSIONS = 12;

/** A pair of value and mask for each dimension; bits of the value outside of the mask are 0. */
export type Box = Int32Array;

export function anyBox(): Box {
	return new Int32Array(2 * DIMENSIONS);
}

/** Narrows a dimension to a cube; false, with the box unchanged, when nothing is left. */
export function narrow(box: Box, dimension: number, value: number, mask: number): boolean {
	const at = 2 * dimension;
	const oldValue = box[at] ?? 0;
	const oldMask = box[at + 1] ?? 0;
	if (((oldValue ^ value) & oldMask & mask) !== 0) {
		return false;
	}
	box[at] = oldValue | (value & mask);
	box[at + 1] = oldMask | mask;
	return true;
}

/** Narrows an address to a prefix; a length beyond the family's leaves nothing. */
export function narrowPrefix(
	box: Box,
	dimension: number,
	words: Int32Array,
	prefix: number,
	family: number,
): boolean {
	if (prefix > 8 * addressOctets(family)) {
		return false;
	}
	for (let i = 0; 32 * i < prefix; i++) {
		const bits = Math.min(32, prefix - 32 * i);
		if (!narrow(box, dimension + i, words[i] ?? 0, bits === 32 ? -1 : -1 << (32 - bits))) {
			return false;
		}
	}
	return true;
}

/** Narrows a box to a selector, seen as one of this family; undefined when no flow by `oif` falls under it. */
export function selectorBox(
	selector: XfrmPolicy['selector'],
	family: number,
	oif: number,
	from: Box = anyBox(),
): Box | undefined {
	const box = from.slice();
	const { sport, sportMask, dport, dportMask, proto } = selector;
	const fits =
		(selector.ifindex === 0 || selector.ifindex === oif) &&
		narrowPrefix(box, Dimension.Source, selector.saddr, selector.prefixlenS, family) &&
		narrowPrefix(box, Dimension.Destination, selector.daddr, selector.prefixlenD, family) &&
		(proto === 0 || narrow(box, Dimension.Proto, proto, 0xff)) &&
		narrow(box, Dimension.Sport, sport, sportMask) &&
		narrow(box, Dimension.Dport, dport, dportMask);
	return fits ? box : undefined;
}

/** The words of an address, as flows have them. */
export function wordsOf(address: Address, family: number): Int32Array {
	const words = new Int32Array(4);
	for (let i = 0; i < addressOctets(family); i++) {
		words[i >> 2] = (words[i >> 2] ?? 0) | ((address[i] ?? 0) << (24 - 8 * (i & 3)));
	}
	return words;
}

/** Cubes of one dimension, value and mask by turns; no two of them overlap. */
export type Cubes = readonly number[];

/** What two sets of cubes have in common; null is everything. */
export function commonCubes(a: Cubes | null, b: Cubes | null): Cubes | null {
	if (a === null || b === null) {
		return a ?? b;
	}
	const common: number[] = [];
	for (let i = 0; i < a.length; i += 2) {
		const value = a[i] ?? 0;
		const mask = a[i + 1] ?? 0;
		for (let j = 0; j < b.length; j += 2) {
			const otherMask = b[j + 1] ?? 0;
			const otherValue = b[j] ?? 0;
			if (((value ^ otherValue) & mask & otherMask) === 0) {
				common.push(value | otherValue, mask | otherMask);
			}
		}
	}
	return common;
}

/** A set of flows: in each dimension cubes, or null for everything. The flows are all combinations. */
export type Region = readonly (Cubes | null)[];

/** Everything. */
export function anyRegion(): (Cubes | null)[] {
	return new Array<Cubes | null>(DIMENSIONS).fill(null);
}

/** The region with one dimension narrowed, undefined when nothing is left. */
export function narrowRegion(
	region: Region,
	dimension: number,
	cubes: Cubes | null,
): Region | undefined {
	const common = commonCubes(region[dimension] ?? null, cubes);
	if (common?.length === 0) {
		return undefined;
	}
	return region.map((old, i) => (i === dimension ? common : old));
}

/** The cubes that cover a range of numbers, both ends in it. */
export function rangeCubes(from: number, to: number, bits: number): number[] {
	const all = bits === 32 ? -1 : (1 << bits) - 1;
	const cubes: number[] = [];
	let at = from;
	while (at <= to) {
		let size = 1;
		while (at % (2 * size) === 0 && at + 2 * size - 1 <= to) {
			size *= 2;
		}
		cubes.push(at | 0, all & ~(size - 1));
		at += size;
	}
	return cubes;
}
