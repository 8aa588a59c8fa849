/** What `npm run fuzz` runs: a room of the house that takes bytes or text from strangers. */

export interface Course {
	readonly seed: number;
	/** Is there time left? Asked often. */
	goesOn(): boolean;
	/** Called with each input before it is given in: whoever does not come back in time is told of with it. */
	watch(input: Uint8Array): void;
}

export interface Outcome {
	readonly inputs: number;
	/** What went wrong, with the input that did it; undefined when nothing did. */
	readonly fault: string | undefined;
	/** The input that does it alone, made as short as was possible: a row for the tests. */
	readonly row?: Uint8Array | undefined;
	/** Inputs that did something that none before had done. */
	readonly kept?: readonly Uint8Array[];
}

export interface Target {
	run(course: Course): Outcome;
}

/** Something that may not happen did. */
export class Fault extends Error {}

/** Throws a Fault unless it holds. */
export function check(holds: boolean, what: string): void {
	if (!holds) {
		throw new Fault(what);
	}
}

/** One collection leaves some: what is reached from a finalizer, or is being swept. */
const COLLECTIONS = 4;

/** Octets of the heap in use after the garbage is gone. */
export function heapOctets(): number {
	const { gc } = globalThis;
	if (gc === undefined) {
		throw new RangeError('run with node --expose-gc');
	}
	let least = Number.POSITIVE_INFINITY;
	for (let i = 0; i < COLLECTIONS; i++) {
		gc();
		const { heapUsed, arrayBuffers } = process.memoryUsage();
		least = Math.min(least, heapUsed + arrayBuffers);
	}
	return least;
}
