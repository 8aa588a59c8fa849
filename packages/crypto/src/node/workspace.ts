/**
 * Memory that a provider's keys share, so that a job allocates only what node:crypto itself insists
 * on. Jobs are synchronous and one at a time, so nothing here outlives a job.
 */

/** The longest message a job may have: an IPv6 packet of full payload length with its header. */
export const MESSAGE_OCTETS_MAX: number = 65535 + 40;

const BLOCK = 16;

/** Blocks of keystream for the longest message. */
const COUNTER_BLOCKS = Math.ceil(MESSAGE_OCTETS_MAX / BLOCK);

/**
 * In front of the message stands an HMAC's pad (at most 128 octets), behind it seqHi and padding.
 */
const MESSAGE_AREA_OCTETS = 128 + COUNTER_BLOCKS * BLOCK + 2 * BLOCK;

export class Workspace {
	/** The message of a MAC or the text of a counter mode, and the same memory as words. */
	readonly area: Uint8Array<ArrayBuffer> = new Uint8Array(MESSAGE_AREA_OCTETS);
	readonly areaWords: Int32Array<ArrayBuffer> = new Int32Array(this.area.buffer);
	/** AAD of a combined mode with ESN: SPI, seqHi, seq. */
	readonly aad: Uint8Array<ArrayBuffer> = new Uint8Array(12);
	/**
	 * Counter blocks of RFC 3686: the fourth word of block i is i + 1 in network order and never
	 * changes; a job writes the nonce into the first three.
	 */
	readonly counters: Uint8Array<ArrayBuffer> = new Uint8Array(COUNTER_BLOCKS * BLOCK);
	readonly counterWords: Int32Array<ArrayBuffer> = new Int32Array(this.counters.buffer);

	constructor() {
		const view = new DataView(this.counters.buffer);
		for (let block = 0; block < COUNTER_BLOCKS; block += 1) {
			view.setUint32(block * BLOCK + 12, block + 1);
		}
	}

	/** Forgets what jobs left behind: an HMAC's pad, from which its key follows, and plaintext. */
	wipe(): void {
		this.area.fill(0);
		this.aad.fill(0);
	}
}

/** Writes seqHi in network order. */
export function writeSeqHi(bytes: Uint8Array, at: number, seqHi: number): void {
	bytes[at] = seqHi >>> 24;
	bytes[at + 1] = seqHi >>> 16;
	bytes[at + 2] = seqHi >>> 8;
	bytes[at + 3] = seqHi;
}
