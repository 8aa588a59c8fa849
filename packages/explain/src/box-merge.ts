/**
 * Puts parts of a set together again: the cutting makes more of them than a reader needs. Two parts that are
 * alike but for one dimension become one. What is left are the same flows in fewer words.
 */
import { type Cubes, DIMENSIONS, Dimension, type Region } from './box.ts';
import type { ProtoClass } from './box-diagram.ts';

/** Dimensions in the order in which differences are forgotten: the protocol first. */
const ORDER: readonly number[] = [
	Dimension.Proto,
	...Array.from({ length: DIMENSIONS }, (_, i) => DIMENSIONS - 1 - i),
];

interface Mergeable {
	readonly region: Region;
}

/** Names for sets of cubes, so that equal ones are told by a number. */
class CubeNames {
	readonly #byArray: Map<Cubes, number> = new Map();
	readonly #byText: Map<string, number> = new Map();

	of(cubes: Cubes | null): number {
		if (cubes === null) {
			return 0;
		}
		let name = this.#byArray.get(cubes);
		if (name === undefined) {
			const text = cubes.join();
			name = this.#byText.get(text) ?? this.#byText.size + 1;
			this.#byText.set(text, name);
			this.#byArray.set(cubes, name);
		}
		return name;
	}
}

/**
 * Fewer parts of the same flows.
 *
 * @param kind parts of different kinds are never put together
 */
export function mergeParts<Part extends Mergeable>(
	parts: readonly Part[],
	protos: readonly ProtoClass[],
	kind: (part: Part) => string,
): readonly Part[] {
	const names = new CubeNames();
	let merged: readonly Part[] = parts.map((part) => ({
		...part,
		region: withoutPorts(part.region, protos),
	}));
	for (const dimension of ORDER) {
		const groups = new Map<string, Part[]>();
		for (const part of merged) {
			const others = part.region.map((cubes, i) => (i === dimension ? '' : names.of(cubes)));
			const key = `${kind(part)} ${others.join()}`;
			const group = groups.get(key);
			if (group === undefined) {
				groups.set(key, [part]);
			} else {
				group.push(part);
			}
		}
		merged = [...groups.values()].flatMap((group) => joined(group, dimension));
	}
	return merged;
}

/** Parts that are alike but for one dimension, as one. */
function joined<Part extends Mergeable>(
	group: readonly Part[],
	dimension: number,
): readonly Part[] {
	const [first] = group;
	if (first === undefined || group.length === 1) {
		return group;
	}
	const all = group.map(({ region }) => region[dimension] ?? null);
	const cubes = all.includes(null)
		? null
		: union(
				all.flatMap((one) => one ?? []),
				dimension,
			);
	return [{ ...first, region: first.region.map((old, i) => (i === dimension ? cubes : old)) }];
}

function union(all: readonly number[], dimension: number): Cubes | null {
	if (dimension === Dimension.Proto) {
		return new Set(all.filter((_, i) => i % 2 === 0)).size === 256 ? null : all;
	}
	return shortened(all);
}

/** Cubes that differ in one fixed bit only become one with that bit open; null when nothing stays fixed. */
function shortened(cubes: readonly number[]): Cubes | null {
	const left = new Map<string, readonly [value: number, mask: number]>();
	const queue: (readonly [number, number])[] = [];
	for (let i = 0; i < cubes.length; i += 2) {
		queue.push([cubes[i] ?? 0, cubes[i + 1] ?? 0]);
	}
	for (let one = queue.pop(); one !== undefined; one = queue.pop()) {
		const [value, mask] = one;
		if (mask === 0) {
			return null;
		}
		const bit = mask & -mask; // The lowest fixed bit: prefixes grow from their ends.
		const twin = `${value ^ bit} ${mask}`;
		if (left.delete(twin)) {
			queue.push([value & ~bit, mask & ~bit]);
		} else {
			left.set(`${value} ${mask}`, one);
		}
	}
	return [...left.values()].flat();
}

/** Takes it as any port where all ports that the protocols can have are meant. */
function withoutPorts(region: Region, protos: readonly ProtoClass[]): Region {
	const cubes = region[Dimension.Proto] ?? null;
	if (cubes === null) {
		return region;
	}
	const classOf = (proto: number): ProtoClass | undefined =>
		protos.find((one) => one.protos.includes(proto));
	const mine = new Set(cubes.filter((_, i) => i % 2 === 0).map(classOf));
	const isAll = (dimension: number, bits: 'sportBits' | 'dportBits'): boolean => {
		const [value, mask, ...more] = region[dimension] ?? [0, 0];
		return (
			value === 0 &&
			more.length === 0 &&
			[...mine].every((one) => (one?.[bits] ?? 0) === (0xffff & ~(mask ?? 0)))
		);
	};
	return region.map((one, i) => {
		const all =
			(i === Dimension.Sport && isAll(i, 'sportBits')) ||
			(i === Dimension.Dport && isAll(i, 'dportBits'));
		return all ? null : one;
	});
}
