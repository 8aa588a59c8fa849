/**
 * ESP with a cipher and a MAC, encrypt-then-MAC (the kernel's authenc), and the MAC alone, for AH.
 */

import { type CryptoBatch, CryptoStatus } from '../provider.ts';
import type { CipherKey } from './cipher.ts';
import { at, JobKey } from './job-key.ts';
import { icvMatches, type MacKey } from './mac.ts';
import { MESSAGE_OCTETS_MAX } from './workspace.ts';

/** What guards a job: the MAC, how much of it is the ICV, and whether seqHi is part of it. */
export interface Integrity {
	readonly mac: MacKey;
	readonly icvOctets: number;
	readonly esn: boolean;
}

/** The MAC from aadAt to textEnd; undefined when that is too long to be an IP packet's. */
function compute(integrity: Integrity, batch: CryptoBatch, index: number): Uint8Array | undefined {
	const from = at(batch.aadAt, index);
	const to = at(batch.textEnd, index);
	if (to - from > MESSAGE_OCTETS_MAX) {
		return undefined;
	}
	const seqHi = integrity.esn ? at(batch.seqHi, index) : undefined;
	return integrity.mac.compute(at(batch.bytes, index), from, to, seqHi);
}

function writeIcv(integrity: Integrity, batch: CryptoBatch, index: number): CryptoStatus {
	const mac = compute(integrity, batch, index);
	if (mac === undefined) {
		return CryptoStatus.TooLong;
	}
	at(batch.out, index).set(mac.subarray(0, integrity.icvOctets), at(batch.outAt, index));
	return CryptoStatus.Ok;
}

function checkIcv(integrity: Integrity, batch: CryptoBatch, index: number): CryptoStatus {
	const mac = compute(integrity, batch, index);
	if (mac === undefined) {
		return CryptoStatus.TooLong;
	}
	return icvMatches(mac, integrity.icvOctets, at(batch.out, index), at(batch.outAt, index))
		? CryptoStatus.Ok
		: CryptoStatus.BadIcv;
}

/**
 * A MAC without a cipher.
 *
 * @spec T-21
 */
export class IntegrityKey extends JobKey {
	readonly icvOctets: number;
	readonly #integrity: Integrity;

	constructor(integrity: Integrity) {
		super();
		this.icvOctets = integrity.icvOctets;
		this.#integrity = integrity;
	}

	seal(batch: CryptoBatch, index: number): CryptoStatus {
		return writeIcv(this.#integrity, batch, index);
	}

	open(batch: CryptoBatch, index: number): CryptoStatus {
		return checkIcv(this.#integrity, batch, index);
	}

	wipe(): void {
		this.#integrity.mac.wipe();
	}
}

/**
 * A cipher with or without a MAC.
 *
 * @spec T-5 T-7
 */
export class ComposedKey extends JobKey {
	readonly icvOctets: number;
	readonly #cipher: CipherKey;
	readonly #integrity: Integrity | undefined;

	constructor(cipher: CipherKey, integrity: Integrity | undefined) {
		super();
		this.icvOctets = integrity?.icvOctets ?? 0;
		this.#cipher = cipher;
		this.#integrity = integrity;
	}

	seal(batch: CryptoBatch, index: number): CryptoStatus {
		const status = this.#cipher.encrypt(
			at(batch.bytes, index),
			at(batch.ivAt, index),
			at(batch.textAt, index),
			at(batch.textEnd, index),
		);
		if (status !== CryptoStatus.Ok || this.#integrity === undefined) {
			return status;
		}
		return writeIcv(this.#integrity, batch, index);
	}

	open(batch: CryptoBatch, index: number): CryptoStatus {
		if (this.#integrity !== undefined) {
			const status = checkIcv(this.#integrity, batch, index);
			if (status !== CryptoStatus.Ok) {
				return status;
			}
		}
		return this.#cipher.decrypt(
			at(batch.bytes, index),
			at(batch.ivAt, index),
			at(batch.textAt, index),
			at(batch.textEnd, index),
		);
	}

	wipe(): void {
		this.#cipher.wipe();
		this.#integrity?.mac.wipe();
	}
}
