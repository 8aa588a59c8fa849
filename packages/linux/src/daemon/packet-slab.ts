/** The memory of all packets: one piece that never moves, of which those who carry packets take theirs. */
import type { Native } from '../native/seam.ts';

export class PacketSlab {
	readonly bytes: Uint8Array;
	#taken: number = 0;

	constructor(native: Native, octets: number) {
		this.bytes = new Uint8Array(native.packetMemory(octets), 0, octets);
	}

	/** Offset of so many octets. @throws RangeError when they are not there */
	take(octets: number): number {
		const at = this.#taken;
		this.#taken += octets;
		if (this.#taken > this.bytes.length) {
			throw new RangeError(`a slab of ${this.bytes.length} octets is too small`);
		}
		return at;
	}
}
