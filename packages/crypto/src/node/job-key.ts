/** What every key of the node provider is: the one thing that knows how to do a job with itself. */

import type { CryptoBatch, CryptoKey, CryptoStatus } from '../provider.ts';

export abstract class JobKey implements CryptoKey {
	abstract readonly icvOctets: number;
	/** Encrypts and computes the ICV, or compresses: job `index` of the batch. */
	abstract seal(batch: CryptoBatch, index: number): CryptoStatus;
	/** Verifies and decrypts, or decompresses: job `index` of the batch. */
	abstract open(batch: CryptoBatch, index: number): CryptoStatus;
	abstract wipe(): void;
}

/** For a key that was wiped and is used all the same, which is our own mistake. */
export function usedAfterWipe(): never {
	throw new Error('expected a live key, got one that was wiped');
}

/** A column's entry; `index` is below `count`, which the batch's capacity bounds. */
export function at<T>(column: ArrayLike<T>, index: number): T {
	return column[index] as T;
}
