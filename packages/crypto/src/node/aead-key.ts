/**
 * Combined modes of ESP: AES-GCM (RFC 4106), AES-CCM (RFC 4309), ChaCha20-Poly1305 (RFC 7634) and
 * AES-GMAC (RFC 4543). The nonce is salt | IV: 4 + 8 octets, CCM 3 + 8 (hence L = 4).
 *
 * AAD is SPI | seq, with ESN SPI | seqHi | seq (T-4); GMAC's is followed by IV and payload. A
 * cipher context is made for each packet: node:crypto has no other way to set a nonce.
 */

import {
	type CipherGCMTypes,
	createCipheriv,
	createDecipheriv,
	createSecretKey,
	type KeyObject,
} from 'node:crypto';
import type { AeadInfo } from '../algorithms.ts';
import { type CryptoBatch, CryptoStatus } from '../provider.ts';
import { at, JobKey, usedAfterWipe } from './job-key.ts';
import { icvMatches } from './mac.ts';
import { cipherOf } from './openssl.ts';
import { MESSAGE_OCTETS_MAX, type Workspace, writeSeqHi } from './workspace.ts';

const IV_OCTETS = 8;

/** A key whose job begins with making a nonce and AAD. */
abstract class NonceKey extends JobKey {
	readonly icvOctets: number;
	readonly esn: boolean;
	/**
	 * The type is GCM's for CCM and ChaCha20-Poly1305 too: node:crypto runs them the same way, only
	 * the types are apart.
	 */
	protected readonly cipherName: CipherGCMTypes;
	protected readonly workspace: Workspace;
	readonly #nonce: Uint8Array<ArrayBuffer>;
	readonly #saltOctets: number;
	#key: KeyObject | undefined;

	constructor(info: AeadInfo, key: Uint8Array, esn: boolean, workspace: Workspace) {
		super();
		const keyOctets = key.length - info.saltOctets;
		this.icvOctets = info.icvBits / 8;
		this.esn = esn;
		this.cipherName = cipherOf(info.name, keyOctets) as CipherGCMTypes;
		this.workspace = workspace;
		this.#saltOctets = info.saltOctets;
		this.#nonce = new Uint8Array(info.saltOctets + IV_OCTETS);
		this.#nonce.set(key.subarray(keyOctets));
		this.#key = createSecretKey(key.subarray(0, keyOctets));
	}

	wipe(): void {
		this.#key = undefined;
		this.#nonce.fill(0);
		this.workspace.wipe();
	}

	protected key(): KeyObject {
		return this.#key ?? usedAfterWipe();
	}

	protected nonce(bytes: Uint8Array, ivAt: number): Uint8Array {
		const nonce = this.#nonce;
		const salt = this.#saltOctets;
		for (let i = 0; i < IV_OCTETS; i += 1) {
			nonce[salt + i] = bytes[ivAt + i] as number;
		}
		return nonce;
	}
}

/** SPI, seqHi and seq in the place of SPI and seq. */
function writeExtendedHeader(
	to: Uint8Array,
	bytes: Uint8Array,
	aadAt: number,
	seqHi: number,
): void {
	for (let i = 0; i < 4; i += 1) {
		to[i] = bytes[aadAt + i] as number;
		to[i + 8] = bytes[aadAt + 4 + i] as number;
	}
	writeSeqHi(to, 4, seqHi);
}

/** AES-GCM, AES-CCM, ChaCha20-Poly1305. */
export class AeadKey extends NonceKey {
	readonly #options: { readonly authTagLength: number };
	/** CCM wants to know the length beforehand; the others do not mind. */
	readonly #length: { plaintextLength: number } = { plaintextLength: 0 };

	constructor(info: AeadInfo, key: Uint8Array, esn: boolean, workspace: Workspace) {
		super(info, key, esn, workspace);
		this.#options = { authTagLength: this.icvOctets };
	}

	seal(batch: CryptoBatch, index: number): CryptoStatus {
		const bytes = at(batch.bytes, index);
		const textAt = at(batch.textAt, index);
		const textEnd = at(batch.textEnd, index);
		const nonce = this.nonce(bytes, at(batch.ivAt, index));
		const cipher = createCipheriv(this.cipherName, this.key(), nonce, this.#options);
		this.#length.plaintextLength = textEnd - textAt;
		cipher.setAAD(this.#aad(batch, index), this.#length);
		bytes.set(cipher.update(bytes.subarray(textAt, textEnd)), textAt);
		cipher.final();
		at(batch.out, index).set(cipher.getAuthTag(), at(batch.outAt, index));
		return CryptoStatus.Ok;
	}

	open(batch: CryptoBatch, index: number): CryptoStatus {
		const bytes = at(batch.bytes, index);
		const textAt = at(batch.textAt, index);
		const textEnd = at(batch.textEnd, index);
		const icvAt = at(batch.outAt, index);
		const nonce = this.nonce(bytes, at(batch.ivAt, index));
		const decipher = createDecipheriv(this.cipherName, this.key(), nonce, this.#options);
		decipher.setAuthTag(at(batch.out, index).subarray(icvAt, icvAt + this.icvOctets));
		this.#length.plaintextLength = textEnd - textAt;
		decipher.setAAD(this.#aad(batch, index), this.#length);
		const text = decipher.update(bytes.subarray(textAt, textEnd));
		try {
			decipher.final();
		} catch {
			// A wrong ICV is the only thing that final() can find with all lengths set above.
			return CryptoStatus.BadIcv;
		}
		bytes.set(text, textAt);
		return CryptoStatus.Ok;
	}

	/** @spec T-4 */
	#aad(batch: CryptoBatch, index: number): Uint8Array {
		const bytes = at(batch.bytes, index);
		const aadAt = at(batch.aadAt, index);
		if (!this.esn) {
			return bytes.subarray(aadAt, aadAt + 8);
		}
		writeExtendedHeader(this.workspace.aad, bytes, aadAt, at(batch.seqHi, index));
		return this.workspace.aad;
	}
}

/** AES-GMAC: all is AAD, the text stays readable. */
export class GmacKey extends NonceKey {
	readonly #options: { readonly authTagLength: number };

	constructor(info: AeadInfo, key: Uint8Array, esn: boolean, workspace: Workspace) {
		super(info, key, esn, workspace);
		this.#options = { authTagLength: this.icvOctets };
	}

	seal(batch: CryptoBatch, index: number): CryptoStatus {
		const mac = this.#compute(batch, index);
		if (mac === undefined) {
			return CryptoStatus.TooLong;
		}
		at(batch.out, index).set(mac, at(batch.outAt, index));
		return CryptoStatus.Ok;
	}

	open(batch: CryptoBatch, index: number): CryptoStatus {
		const mac = this.#compute(batch, index);
		if (mac === undefined) {
			return CryptoStatus.TooLong;
		}
		return icvMatches(mac, this.icvOctets, at(batch.out, index), at(batch.outAt, index))
			? CryptoStatus.Ok
			: CryptoStatus.BadIcv;
	}

	#compute(batch: CryptoBatch, index: number): Uint8Array | undefined {
		const bytes = at(batch.bytes, index);
		const aadAt = at(batch.aadAt, index);
		const textEnd = at(batch.textEnd, index);
		if (textEnd - aadAt > MESSAGE_OCTETS_MAX) {
			return undefined;
		}
		let aad = bytes.subarray(aadAt, textEnd);
		if (this.esn) {
			const area = this.workspace.area;
			writeExtendedHeader(area, bytes, aadAt, at(batch.seqHi, index));
			area.set(bytes.subarray(aadAt + 8, textEnd), 12);
			aad = area.subarray(0, textEnd - aadAt + 4);
		}
		const nonce = this.nonce(bytes, at(batch.ivAt, index));
		const cipher = createCipheriv(this.cipherName, this.key(), nonce, this.#options);
		cipher.setAAD(aad);
		cipher.final();
		return cipher.getAuthTag();
	}
}
