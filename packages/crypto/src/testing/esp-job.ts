/**
 * A packet for a job, laid out as ESP has it, in the midst of other octets that no job may touch:
 *
 *     guard (7) | SPI seq (8) | IV | text | ICV | guard (5)
 *
 * The odd offset is on purpose: packets are not aligned.
 */

import { CryptoBatch, type CryptoKey, type CryptoProvider } from '../provider.ts';
import { expectSame } from './case.ts';

const GUARD_BEFORE = 7;
const GUARD_AFTER = 5;
const HEADER_OCTETS = 8;

export interface EspParts {
	/** SPI and the low half of the sequence number. */
	readonly header: Uint8Array;
	readonly iv: Uint8Array;
	readonly text: Uint8Array;
	readonly icv: Uint8Array;
	readonly seqHi: number;
}

export class EspJob {
	readonly bytes: Uint8Array;
	readonly ivAt: number;
	readonly textAt: number;
	readonly textEnd: number;
	readonly icvEnd: number;
	seqHi: number;

	constructor(parts: EspParts) {
		this.ivAt = GUARD_BEFORE + HEADER_OCTETS;
		this.textAt = this.ivAt + parts.iv.length;
		this.textEnd = this.textAt + parts.text.length;
		this.icvEnd = this.textEnd + parts.icv.length;
		this.seqHi = parts.seqHi;
		this.bytes = new Uint8Array(this.icvEnd + GUARD_AFTER).fill(0xa5);
		this.bytes.set(parts.header, GUARD_BEFORE);
		this.bytes.set(parts.iv, this.ivAt);
		this.bytes.set(parts.text, this.textAt);
		this.bytes.set(parts.icv, this.textEnd);
	}

	/** Where the authenticated octets begin. */
	get aadAt(): number {
		return GUARD_BEFORE;
	}

	get text(): Uint8Array {
		return this.bytes.slice(this.textAt, this.textEnd);
	}

	get icv(): Uint8Array {
		return this.bytes.slice(this.textEnd, this.icvEnd);
	}

	/** From SPI to ICV. */
	get packet(): Uint8Array {
		return this.bytes.slice(this.aadAt, this.icvEnd);
	}

	copy(): EspJob {
		const bytes = this.bytes;
		return new EspJob({
			header: bytes.subarray(this.aadAt, this.ivAt),
			iv: bytes.subarray(this.ivAt, this.textAt),
			text: bytes.subarray(this.textAt, this.textEnd),
			icv: bytes.subarray(this.textEnd, this.icvEnd),
			seqHi: this.seqHi,
		});
	}

	/** Writes the job into a batch's columns. */
	put(batch: CryptoBatch, index: number, key: CryptoKey | undefined): void {
		batch.keys[index] = key;
		batch.bytes[index] = this.bytes;
		batch.aadAt[index] = this.aadAt;
		batch.ivAt[index] = this.ivAt;
		batch.textAt[index] = this.textAt;
		batch.textEnd[index] = this.textEnd;
		batch.out[index] = this.bytes;
		batch.outAt[index] = this.textEnd;
		batch.outEnd[index] = this.icvEnd;
		batch.seqHi[index] = this.seqHi;
		batch.status[index] = -1;
	}

	/** Fails unless header, IV and what lies around the packet are as in `before`. */
	expectUntouched(before: EspJob): void {
		expectSame(
			this.bytes.slice(0, this.textAt),
			before.bytes.slice(0, before.textAt),
			'octets before the text',
		);
		expectSame(
			this.bytes.slice(this.icvEnd),
			before.bytes.slice(before.icvEnd),
			'octets behind the ICV',
		);
	}
}

/** Seals one job and returns its status. */
export function sealOne(provider: CryptoProvider, key: CryptoKey | undefined, job: EspJob): number {
	const batch = new CryptoBatch(1);
	batch.count = 1;
	job.put(batch, 0, key);
	provider.seal(batch);
	return batch.status[0] as number;
}

/** Opens one job and returns its status. */
export function openOne(provider: CryptoProvider, key: CryptoKey | undefined, job: EspJob): number {
	const batch = new CryptoBatch(1);
	batch.count = 1;
	job.put(batch, 0, key);
	provider.open(batch);
	return batch.status[0] as number;
}

/**
 * A batch of one job whose message is authenticated (or packed) as it stands: `iv` is put behind
 * it, the ICV or result is at the start of `out` and may fill it.
 */
export function messageBatch(
	key: CryptoKey | undefined,
	message: Uint8Array,
	iv: Uint8Array,
	out: Uint8Array,
): CryptoBatch {
	const batch = new CryptoBatch(1);
	const bytes = new Uint8Array(message.length + iv.length);
	bytes.set(message);
	bytes.set(iv, message.length);
	batch.count = 1;
	batch.keys[0] = key;
	batch.bytes[0] = bytes;
	batch.ivAt[0] = message.length;
	batch.textEnd[0] = message.length;
	batch.out[0] = out;
	batch.outEnd[0] = out.length;
	batch.status[0] = -1;
	return batch;
}
