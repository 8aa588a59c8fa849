/**
 * Octets to be copied within a slab, or summed for an Internet checksum (RFC 1071), or both, many pieces a
 * call: what TypeScript does slowly, and every packet of a connection needs. As `PacketBatch`, a native provider
 * reads the columns without touching an object; `moveOctets` is the same for those who have no faster way.
 *
 * @hotpath
 */
import { checksumAddView } from '@xfrm/wire';
import type { SummingMemory } from './summing-memory.ts';

/** In the column `sum`: not to be summed. In the column `to`: not to be copied. */
export const NOT = -1;

export class OctetMoves {
	readonly slab: Uint8Array;
	readonly view: DataView;
	readonly capacity: number;
	/** By which number its native provider knows it, -1 before it does. */
	number: number = -1;
	/** Rows in use. */
	count: number = 0;
	/** Offsets in the slab; a row's two pieces do not overlap. */
	readonly from: Int32Array;
	readonly to: Int32Array;
	readonly octets: Int32Array;
	/** The sum to add to, as `checksumAdd` takes it, and afterwards the sum; `NOT` stays. */
	readonly sum: Int32Array;

	constructor(slab: Uint8Array, capacity: number) {
		this.slab = slab;
		this.view = new DataView(slab.buffer, slab.byteOffset, slab.length);
		this.capacity = capacity;
		this.from = new Int32Array(capacity);
		this.to = new Int32Array(capacity);
		this.octets = new Int32Array(capacity);
		this.sum = new Int32Array(capacity);
	}

	/** Adds a row, whose number it answers; callers keep to the capacity. */
	add(from: number, to: number, octets: number, sum: number): number {
		const row = this.count++;
		this.from[row] = from;
		this.to[row] = to;
		this.octets[row] = octets;
		this.sum[row] = sum;
		return row;
	}
}

/** Does all rows, in order; `memory` is the slab's, if it sums. */
export function moveOctets(moves: OctetMoves, memory?: SummingMemory): void {
	const { slab, view } = moves;
	for (let row = 0; row < moves.count; row++) {
		const from = moves.from[row] ?? 0;
		const to = moves.to[row] ?? NOT;
		const octets = moves.octets[row] ?? 0;
		const sum = moves.sum[row] ?? NOT;
		if (to !== NOT) {
			slab.copyWithin(to, from, from + octets);
		}
		if (sum !== NOT) {
			moves.sum[row] =
				memory === undefined
					? checksumAddView(view, from, octets, sum)
					: memory.add(slab.byteOffset + from, octets, sum);
		}
	}
}
