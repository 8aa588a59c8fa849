/**
 * IPComp's deflate (RFC 2394): raw, window bits 11, memory level 8, default level (T-34).
 *
 * Inflating allows the full window: the kernel inflates in one go into one buffer, where zlib finds
 * whatever distance a peer with a larger window used. It also feeds one zero octet behind a stream that
 * has not ended (crypto/deflate.c, from USAGI), so that one cut short within its last octet is taken.
 */

import { deflateRawSync, inflateRawSync, type ZlibOptions } from 'node:zlib';
import { type CryptoBatch, CryptoStatus } from '../provider.ts';
import { at, JobKey } from './job-key.ts';

/** The kernel's scratch buffer (IPCOMP_SCRATCH_SIZE): no result is longer. */
const RESULT_OCTETS_MAX = 65400;

/** Most results fit into one piece of this size; zlib takes memory for it at each call. */
const CHUNK_OCTETS = 4096;

const DEFLATE_OPTIONS = { windowBits: 11, memLevel: 8, level: -1, chunkSize: CHUNK_OCTETS };

/** @spec T-33 T-34 */
export class DeflateKey extends JobKey {
	readonly icvOctets: number = 0;
	readonly #inflateOptions = { windowBits: 15, chunkSize: CHUNK_OCTETS, maxOutputLength: 1 };

	seal(batch: CryptoBatch, index: number): CryptoStatus {
		return deliver(batch, index, deflateRawSync(textOf(batch, index), DEFLATE_OPTIONS));
	}

	open(batch: CryptoBatch, index: number): CryptoStatus {
		const room = roomFor(batch, index);
		if (room < 1) {
			return CryptoStatus.TooLong;
		}
		this.#inflateOptions.maxOutputLength = room;
		const text = textOf(batch, index);
		let result = inflate(text, this.#inflateOptions);
		if (result === undefined && text.length > 0) {
			result = inflate(withZeroOctet(text), this.#inflateOptions);
		}
		if (result === undefined) {
			return CryptoStatus.Invalid;
		}
		return typeof result === 'number' ? result : deliver(batch, index, result);
	}

	wipe(): void {}
}

/** The text, or what was wrong; undefined when the stream does not end. */
function inflate(text: Uint8Array, options: ZlibOptions): Uint8Array | CryptoStatus | undefined {
	try {
		return inflateRawSync(text, options);
	} catch (error) {
		return statusOf(error);
	}
}

function withZeroOctet(text: Uint8Array): Uint8Array {
	const longer = new Uint8Array(text.length + 1);
	longer.set(text);
	return longer;
}

function textOf(batch: CryptoBatch, index: number): Uint8Array {
	return at(batch.bytes, index).subarray(at(batch.textAt, index), at(batch.textEnd, index));
}

function roomFor(batch: CryptoBatch, index: number): number {
	return Math.min(at(batch.outEnd, index) - at(batch.outAt, index), RESULT_OCTETS_MAX);
}

function deliver(batch: CryptoBatch, index: number, result: Uint8Array): CryptoStatus {
	if (result.length > roomFor(batch, index)) {
		return CryptoStatus.TooLong;
	}
	at(batch.out, index).set(result, at(batch.outAt, index));
	batch.length[index] = result.length;
	return CryptoStatus.Ok;
}

/** What zlib found wrong with a peer's octets; anything else is our mistake and goes on. */
function statusOf(error: unknown): CryptoStatus | undefined {
	const code = error instanceof Error && 'code' in error ? error.code : undefined;
	switch (code) {
		case 'ERR_BUFFER_TOO_LARGE':
			return CryptoStatus.TooLong;
		case 'Z_BUF_ERROR':
			return undefined;
		case 'Z_DATA_ERROR':
		case 'Z_NEED_DICT':
			return CryptoStatus.Invalid;
		default:
			throw error;
	}
}
