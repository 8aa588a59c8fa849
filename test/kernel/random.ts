/**
 * Version of everything that makes cases of a seed. It goes up when a kind of cases changes, so that a seed
 * of another version is told from one that shows the same history: seeds are printed as `VERSION:SEED`.
 */
export const GENERATOR_VERSION = 9;

/** The seed of `SEED` or `VERSION:SEED`; a sentence when it is none, or one of another version. */
export function parseSeed(text: string): number | string {
	const [, version, seed] = /^(?:([0-9]+):)?([0-9]{1,9})$/.exec(text) ?? [];
	if (seed === undefined) {
		return `"${text}" is no seed: a number is expected, or VERSION:NUMBER`;
	}
	if (version !== undefined && Number(version) !== GENERATOR_VERSION) {
		return (
			`seed ${text} is of version ${version} of the generator, this is ${GENERATOR_VERSION}: ` +
			'it would show another history'
		);
	}
	return Number(seed);
}

/** A seeded random source (xorshift128 seeded by splitmix32): one seed, one history. */
export class Random {
	readonly #state: Uint32Array = new Uint32Array(4);

	constructor(seed: number) {
		let z = seed >>> 0;
		for (let i = 0; i < 4; i++) {
			z = (z + 0x9e3779b9) >>> 0;
			let x = z;
			x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
			x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
			this.#state[i] = (x ^ (x >>> 16)) >>> 0;
		}
	}

	/** The next 32 bits. */
	u32(): number {
		const [a = 0, b = 0, c = 0, d = 0] = this.#state;
		let t = d ^ (d << 11);
		t = t ^ (t >>> 8) ^ a ^ (a >>> 19);
		this.#state.set([t >>> 0, a, b, c]);
		return t >>> 0;
	}

	/** A whole number from `min` to `max`, both included. */
	int(min: number, max: number): number {
		return min + (this.u32() % (max - min + 1));
	}

	chance(probability: number): boolean {
		return this.u32() < probability * 4294967296;
	}

	pick<T>(list: readonly T[]): T {
		const value = list[this.u32() % list.length];
		if (value === undefined) {
			throw new RangeError('pick from an empty list');
		}
		return value;
	}

	bytes(length: number): Uint8Array {
		return Uint8Array.from({ length }, () => this.u32() & 255);
	}

	hex(octets: number): string {
		return Buffer.from(this.bytes(octets)).toString('hex');
	}
}
