/**
 * Ciphers without integrity of their own, in place: CBC modes, the counter mode of RFC 3686, and
 * the null cipher. Contexts of OpenSSL are made when a direction is used first, since a state has
 * one.
 */

import { type Cipher, createCipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import type { CryptInfo } from '../algorithms.ts';
import { CryptoStatus } from '../provider.ts';
import { CbcDecryptor, CbcEncryptor, xorInto } from './cbc-chain.ts';
import { usedAfterWipe } from './job-key.ts';
import { cipherOf } from './openssl.ts';
import { MESSAGE_OCTETS_MAX, type Workspace } from './workspace.ts';

/** One key of a cipher. Both directions work on `bytes` from `textAt` to `textEnd`. */
export interface CipherKey {
	encrypt(bytes: Uint8Array, ivAt: number, textAt: number, textEnd: number): CryptoStatus;
	decrypt(bytes: Uint8Array, ivAt: number, textAt: number, textEnd: number): CryptoStatus;
	wipe(): void;
}

/** Makes a key of a cipher that OpenSSL has, or of the null cipher. */
export function makeCipherKey(info: CryptInfo, key: Uint8Array, workspace: Workspace): CipherKey {
	if (info.name === 'ecb(cipher_null)') {
		return new NullCipherKey();
	}
	if (info.name === 'rfc3686(ctr(aes))') {
		return new CounterKey(key, workspace);
	}
	return new CbcKey(cipherOf(info.name, key.length), key, info.blockOctets);
}

class NullCipherKey implements CipherKey {
	encrypt(): CryptoStatus {
		return CryptoStatus.Ok;
	}

	decrypt(): CryptoStatus {
		return CryptoStatus.Ok;
	}

	wipe(): void {}
}

class CbcKey implements CipherKey {
	readonly #name: string;
	readonly #blockOctets: number;
	#key: KeyObject | undefined;
	#encryptor: CbcEncryptor | undefined;
	#decryptor: CbcDecryptor | undefined;

	constructor(name: string, key: Uint8Array, blockOctets: number) {
		this.#name = name;
		this.#blockOctets = blockOctets;
		this.#key = createSecretKey(key);
	}

	encrypt(bytes: Uint8Array, ivAt: number, textAt: number, textEnd: number): CryptoStatus {
		const block = this.#blockOctets;
		if ((textEnd - textAt) % block !== 0) {
			return CryptoStatus.Invalid;
		}
		if (textEnd === textAt) {
			return CryptoStatus.Ok;
		}
		xorInto(bytes, textAt, bytes, ivAt, block);
		bytes.set(this.#encrypting().encrypt(bytes.subarray(textAt, textEnd)), textAt);
		return CryptoStatus.Ok;
	}

	decrypt(bytes: Uint8Array, ivAt: number, textAt: number, textEnd: number): CryptoStatus {
		const block = this.#blockOctets;
		if ((textEnd - textAt) % block !== 0) {
			return CryptoStatus.Invalid;
		}
		if (textEnd === textAt) {
			return CryptoStatus.Ok;
		}
		bytes.set(this.#decrypting().decrypt(bytes.subarray(textAt, textEnd)), textAt);
		xorInto(bytes, textAt, bytes, ivAt, block);
		return CryptoStatus.Ok;
	}

	wipe(): void {
		this.#encryptor?.wipe();
		this.#decryptor?.wipe();
		this.#encryptor = undefined;
		this.#decryptor = undefined;
		this.#key = undefined;
	}

	#encrypting(): CbcEncryptor {
		this.#encryptor ??= new CbcEncryptor(
			this.#name,
			this.#key ?? usedAfterWipe(),
			this.#blockOctets,
		);
		return this.#encryptor;
	}

	#decrypting(): CbcDecryptor {
		this.#decryptor ??= new CbcDecryptor(
			this.#name,
			this.#key ?? usedAfterWipe(),
			this.#blockOctets,
		);
		return this.#decryptor;
	}
}

const SALT_OCTETS = 4;
const IV_OCTETS = 8;
const BLOCK_OCTETS = 16;

/**
 * Counter block: nonce (4) | IV (8) | counter (4) from 1 (RFC 3686 section 4). The blocks are made
 * here and encrypted in ECB on one context, for the reason told in cbc-chain.ts; then the text is
 * XORed.
 */
class CounterKey implements CipherKey {
	readonly #name: string;
	readonly #workspace: Workspace;
	/** Nonce and IV as octets and as three words of the machine's order. */
	readonly #prefix: Uint8Array<ArrayBuffer> = new Uint8Array(SALT_OCTETS + IV_OCTETS);
	readonly #prefixWords: Int32Array<ArrayBuffer> = new Int32Array(this.#prefix.buffer);
	#key: KeyObject | undefined;
	#blockCipher: Cipher | undefined;

	constructor(key: Uint8Array, workspace: Workspace) {
		const keyOctets = key.length - SALT_OCTETS;
		this.#name = cipherOf('rfc3686(ctr(aes))', keyOctets);
		this.#workspace = workspace;
		this.#key = createSecretKey(key.subarray(0, keyOctets));
		this.#prefix.set(key.subarray(keyOctets));
	}

	encrypt(bytes: Uint8Array, ivAt: number, textAt: number, textEnd: number): CryptoStatus {
		const octets = textEnd - textAt;
		if (octets > MESSAGE_OCTETS_MAX) {
			return CryptoStatus.TooLong;
		}
		const { area, areaWords } = this.#workspace;
		const keystream = this.#keystream(bytes, ivAt, (octets + BLOCK_OCTETS - 1) >> 4);
		// Through aligned memory and by words: by octets it takes half as long again.
		area.set(bytes.subarray(textAt, textEnd));
		for (let i = 0; i < keystream.length; i += 1) {
			areaWords[i] = (areaWords[i] as number) ^ (keystream[i] as number);
		}
		bytes.set(area.subarray(0, octets), textAt);
		return CryptoStatus.Ok;
	}

	decrypt(bytes: Uint8Array, ivAt: number, textAt: number, textEnd: number): CryptoStatus {
		return this.encrypt(bytes, ivAt, textAt, textEnd);
	}

	wipe(): void {
		this.#prefix.fill(0);
		this.#blockCipher?.final();
		this.#blockCipher = undefined;
		this.#key = undefined;
		this.#workspace.wipe();
	}

	#keystream(bytes: Uint8Array, ivAt: number, blocks: number): Int32Array {
		const { counters, counterWords } = this.#workspace;
		const prefix = this.#prefix;
		for (let i = 0; i < IV_OCTETS; i += 1) {
			prefix[SALT_OCTETS + i] = bytes[ivAt + i] as number;
		}
		const word0 = this.#prefixWords[0] as number;
		const word1 = this.#prefixWords[1] as number;
		const word2 = this.#prefixWords[2] as number;
		for (let i = 0; i < blocks * 4; i += 4) {
			counterWords[i] = word0;
			counterWords[i + 1] = word1;
			counterWords[i + 2] = word2;
		}
		const out = this.#encrypting().update(counters.subarray(0, blocks * BLOCK_OCTETS));
		return new Int32Array(out.buffer, out.byteOffset, out.length >> 2);
	}

	#encrypting(): Cipher {
		if (this.#blockCipher === undefined) {
			this.#blockCipher = createCipheriv(this.#name, this.#key ?? usedAfterWipe(), null);
			this.#blockCipher.setAutoPadding(false);
		}
		return this.#blockCipher;
	}
}
