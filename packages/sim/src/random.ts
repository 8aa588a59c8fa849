/**
 * The only source of chance in a history: a small generator with a seed (sfc32). Every part of the world
 * draws from a fork of its own, so that one more draw in one part does not change all others.
 */

/** FNV-1a over the code units of a label. */
function hashText(text: string): number {
	let hash = 0x811c9dc5;
	for (let i = 0; i < text.length; i++) {
		hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
	}
	return hash;
}

export class SimRandom {
	private a: number;
	private b: number;
	private c: number;
	private counter: number = 1;
	private readonly seed: number;

	constructor(seed: number, label: string = '') {
		this.seed = seed | 0;
		this.a = this.seed;
		this.b = hashText(label);
		this.c = 0x9e3779b9 | 0;
		for (let i = 0; i < 12; i++) {
			this.word();
		}
	}

	/** A generator of its own for a part of the world. */
	fork(label: string): SimRandom {
		return new SimRandom(this.seed, label);
	}

	/** 32 bits, an int32. */
	word(): number {
		const sum = (((this.a + this.b) | 0) + this.counter) | 0;
		this.counter = (this.counter + 1) | 0;
		this.a = this.b ^ (this.b >>> 9);
		this.b = (this.c + (this.c << 3)) | 0;
		this.c = ((this.c << 21) | (this.c >>> 11)) + sum;
		this.c |= 0;
		return sum;
	}

	/** 0 … n - 1. */
	below(n: number): number {
		return Math.floor(((this.word() >>> 0) / 0x1_0000_0000) * n);
	}

	/** from … to, both included. */
	between(from: number, to: number): number {
		return from + this.below(to - from + 1);
	}

	chance(probability: number): boolean {
		return (this.word() >>> 0) / 0x1_0000_0000 < probability;
	}

	/** One of several; there has to be one. */
	pick<T>(items: readonly T[]): T {
		const item = items[this.below(items.length)];
		if (item === undefined) {
			throw new RangeError('nothing to pick from');
		}
		return item;
	}

	/** Fills octets, as the `random` option of engine and host wants it. */
	fill(bytes: Uint8Array): void {
		for (let i = 0; i < bytes.length; i += 4) {
			const word = this.word();
			for (let j = 0; j < 4 && i + j < bytes.length; j++) {
				bytes[i + j] = word >>> (8 * j);
			}
		}
	}

	octets(count: number): Uint8Array {
		const bytes = new Uint8Array(count);
		this.fill(bytes);
		return bytes;
	}
}
