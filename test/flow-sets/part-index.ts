/** Finds the parts that a flow is in, fast: by the parts that each of its words is in, a bit each. */
import { DIMENSIONS, type Region } from '../../packages/explain/src/box.ts';
import type { FlowLine } from '../../packages/explain/src/lookup-line.ts';
import { wordAt } from './random-flows.ts';

/** Words whose parts are remembered. */
const KNOWN_MAX = 2000;

export class PartIndex<Part extends { readonly region: Region }> {
	readonly #parts: readonly Part[];
	readonly #dimensions: readonly number[];
	readonly #known: ReadonlyMap<number, Map<number, Uint32Array>>;
	readonly #common: Uint32Array;

	constructor(parts: readonly Part[]) {
		this.#parts = parts;
		this.#dimensions = Array.from({ length: DIMENSIONS }, (_, i) => i).filter((dimension) =>
			parts.some(({ region }) => (region[dimension] ?? null) !== null),
		);
		this.#known = new Map(this.#dimensions.map((dimension) => [dimension, new Map()]));
		this.#common = new Uint32Array(Math.ceil(parts.length / 32));
	}

	/** All parts that a flow is in; there should be one at most. */
	find(line: FlowLine): Part[] {
		const common = this.#common.fill(0xffffffff);
		for (const dimension of this.#dimensions) {
			const own = this.#partsAt(dimension, wordAt(line, dimension));
			for (let i = 0; i < common.length; i++) {
				common[i] = (common[i] ?? 0) & (own[i] ?? 0);
			}
		}
		const found: Part[] = [];
		for (const [i, bits] of common.entries()) {
			for (let rest = bits; rest !== 0; rest = (rest & (rest - 1)) >>> 0) {
				const part = this.#parts[32 * i + 31 - Math.clz32(rest & -rest)];
				if (part !== undefined) {
					found.push(part);
				}
			}
		}
		return found;
	}

	#partsAt(dimension: number, word: number): Uint32Array {
		const known = this.#known.get(dimension);
		let bits = known?.get(word);
		if (bits === undefined) {
			bits = new Uint32Array(this.#common.length);
			for (const [i, { region }] of this.#parts.entries()) {
				const cubes = region[dimension] ?? null;
				if (
					cubes === null ||
					cubes.some((value, j) => j % 2 === 0 && ((value ^ word) & (cubes[j + 1] ?? 0)) === 0)
				) {
					bits[i >> 5] = (bits[i >> 5] ?? 0) | (1 << (i & 31));
				}
			}
			if (known !== undefined && known.size < KNOWN_MAX) {
				known.set(word, bits);
			}
		}
		return bits;
	}
}
