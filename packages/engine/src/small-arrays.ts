/**
 * Small typed arrays of things of which there are many. One that has its memory to itself takes some 200 octets
 * more than its content; pieces of a common slab take half of that. A slab lives as long as any piece of it, so
 * slabs are small: one long-lived state keeps no more than the memory of a few dead ones. Not for what is made
 * for a moment only.
 *
 * Whoever looks at such an array's `buffer` sees its neighbours too.
 */

const SLAB_OCTETS = 4096;

let slab: ArrayBuffer = new ArrayBuffer(SLAB_OCTETS);
let used: number = 0;

/** Where a piece of so many octets begins in `slab`; multiples of eight, so that doubles fit everywhere. */
function take(octets: number): number {
	const rounded = (octets + 7) & ~7;
	if (used + rounded > SLAB_OCTETS) {
		slab = new ArrayBuffer(Math.max(SLAB_OCTETS, rounded));
		used = 0;
	}
	const at = used;
	used += rounded;
	return at;
}

/** Zeros. */
export function uint8s(length: number): Uint8Array {
	const at = take(length);
	return new Uint8Array(slab, at, length);
}

/** Zeros. */
export function int32s(length: number): Int32Array {
	const at = take(4 * length);
	return new Int32Array(slab, at, length);
}

/** Zeros. */
export function uint32s(length: number): Uint32Array {
	const at = take(4 * length);
	return new Uint32Array(slab, at, length);
}

/** Zeros. */
export function float64s(length: number): Float64Array {
	const at = take(8 * length);
	return new Float64Array(slab, at, length);
}
