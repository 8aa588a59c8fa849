/**
 * Message authentication: HMAC (RFC 2104) over every hash of OpenSSL that XFRM knows, AES-XCBC
 * (RFC 3566) and AES-CMAC (RFC 4493) on CBC with a zero IV, and digest_null. Truncation, and
 * thereby the ICV, is the caller's business.
 *
 * A MAC reads `bytes` from `from` to `to` and, with ESN, the four octets of seqHi behind (T-5,
 * T-21).
 */

import {
	createCipheriv,
	createSecretKey,
	hash,
	type KeyObject,
	timingSafeEqual,
} from 'node:crypto';
import type { AuthInfo } from '../algorithms.ts';
import { CbcEncryptor, xorInto } from './cbc-chain.ts';
import { usedAfterWipe } from './job-key.ts';
import { cipherOf, type HashShape, hashOf } from './openssl.ts';
import { type Workspace, writeSeqHi } from './workspace.ts';

/** One key of a MAC; `seqHi` undefined: no ESN. At most MESSAGE_OCTETS_MAX octets. */
export interface MacKey {
	/** The full MAC; valid until the next call. */
	compute(bytes: Uint8Array, from: number, to: number, seqHi: number | undefined): Uint8Array;
	wipe(): void;
}

/** Makes a key of a MAC that OpenSSL can be made to do, or of digest_null. */
export function makeMacKey(info: AuthInfo, key: Uint8Array, workspace: Workspace): MacKey {
	if (info.name === 'digest_null') {
		return new NullMacKey();
	}
	const shape = hashOf(info.name);
	if (shape !== undefined) {
		return new HmacKey(shape, key, workspace);
	}
	return info.name === 'xcbc(aes)' ? xcbcKey(key, workspace) : cmacKey(key, workspace);
}

/** Compares in constant time the first `octets` of a MAC with the ICV at `icvAt`. */
export function icvMatches(
	mac: Uint8Array,
	octets: number,
	icv: Uint8Array,
	icvAt: number,
): boolean {
	return timingSafeEqual(mac.subarray(0, octets), icv.subarray(icvAt, icvAt + octets));
}

class NullMacKey implements MacKey {
	readonly #mac: Uint8Array = new Uint8Array(0);

	compute(): Uint8Array {
		return this.#mac;
	}

	wipe(): void {}
}

/**
 * HMAC by two one-shot hashes of pad | message: about a tenth faster than createHmac, and seqHi is
 * only four more octets.
 */
class HmacKey implements MacKey {
	readonly #shape: HashShape;
	readonly #workspace: Workspace;
	readonly #innerPad: Uint8Array<ArrayBuffer>;
	/** Outer pad, then room for the inner digest. */
	readonly #outer: Uint8Array<ArrayBuffer>;
	#live = true;

	constructor(shape: HashShape, key: Uint8Array, workspace: Workspace) {
		const { name, blockOctets, digestOctets } = shape;
		this.#shape = shape;
		this.#workspace = workspace;
		this.#innerPad = new Uint8Array(blockOctets);
		this.#outer = new Uint8Array(blockOctets + digestOctets);
		const short = key.length > blockOctets ? hash(name, key, 'buffer') : key;
		this.#innerPad.set(short);
		this.#outer.set(short);
		if (short !== key) {
			short.fill(0);
		}
		for (let i = 0; i < blockOctets; i += 1) {
			this.#innerPad[i] = (this.#innerPad[i] as number) ^ 0x36;
			this.#outer[i] = (this.#outer[i] as number) ^ 0x5c;
		}
	}

	compute(bytes: Uint8Array, from: number, to: number, seqHi: number | undefined): Uint8Array {
		if (!this.#live) {
			usedAfterWipe();
		}
		const { name, blockOctets } = this.#shape;
		const area = this.#workspace.area;
		area.set(this.#innerPad);
		area.set(bytes.subarray(from, to), blockOctets);
		let end = blockOctets + to - from;
		if (seqHi !== undefined) {
			writeSeqHi(area, end, seqHi);
			end += 4;
		}
		this.#outer.set(hash(name, area.subarray(0, end), 'buffer'), blockOctets);
		return hash(name, this.#outer, 'buffer');
	}

	wipe(): void {
		this.#live = false;
		this.#innerPad.fill(0);
		this.#outer.fill(0);
		this.#workspace.wipe();
	}
}

const BLOCK_OCTETS = 16;

/** What XCBC and CMAC share: CBC-MAC with a mask XORed into the last block, whole or padded. */
class BlockMacKey implements MacKey {
	readonly #workspace: Workspace;
	readonly #name: string;
	readonly #maskWhole: Uint8Array;
	readonly #maskPadded: Uint8Array;
	#key: KeyObject | undefined;
	#encryptor: CbcEncryptor | undefined;

	constructor(
		workspace: Workspace,
		key: Uint8Array,
		masks: { readonly whole: Uint8Array; readonly padded: Uint8Array },
	) {
		this.#workspace = workspace;
		this.#name = cipherOf('cbc(aes)', key.length);
		this.#key = createSecretKey(key);
		this.#maskWhole = masks.whole;
		this.#maskPadded = masks.padded;
	}

	compute(bytes: Uint8Array, from: number, to: number, seqHi: number | undefined): Uint8Array {
		const area = this.#workspace.area;
		area.set(bytes.subarray(from, to));
		let end = to - from;
		if (seqHi !== undefined) {
			writeSeqHi(area, end, seqHi);
			end += 4;
		}
		const padding = end === 0 ? BLOCK_OCTETS : -end & (BLOCK_OCTETS - 1);
		if (padding > 0) {
			area.fill(0, end, end + padding);
			area[end] = 0x80;
			end += padding;
		}
		const mask = padding > 0 ? this.#maskPadded : this.#maskWhole;
		xorInto(area, end - BLOCK_OCTETS, mask, 0, BLOCK_OCTETS);
		const out = this.#encrypting().encrypt(area.subarray(0, end));
		return out.subarray(end - BLOCK_OCTETS);
	}

	wipe(): void {
		this.#maskWhole.fill(0);
		this.#maskPadded.fill(0);
		this.#encryptor?.wipe();
		this.#encryptor = undefined;
		this.#key = undefined;
		this.#workspace.wipe();
	}

	#encrypting(): CbcEncryptor {
		this.#encryptor ??= new CbcEncryptor(this.#name, this.#key ?? usedAfterWipe(), BLOCK_OCTETS);
		return this.#encryptor;
	}
}

/**
 * RFC 3566: K1 = E(K, 01…), K2 = E(K, 02…), K3 = E(K, 03…); messages are chained under K1. Longer
 * keys (crypto/xcbc.c) make K1 to K3 with AES-192 or AES-256, the chain itself stays AES-128.
 */
function xcbcKey(key: Uint8Array, workspace: Workspace): BlockMacKey {
	const chainKey = encryptBlock(key, new Uint8Array(BLOCK_OCTETS).fill(1));
	const masks = {
		whole: encryptBlock(key, new Uint8Array(BLOCK_OCTETS).fill(2)),
		padded: encryptBlock(key, new Uint8Array(BLOCK_OCTETS).fill(3)),
	};
	const made = new BlockMacKey(workspace, chainKey, masks);
	chainKey.fill(0);
	return made;
}

/** RFC 4493 section 2.3: K1 and K2 are E(K, 0) doubled once and twice in GF(2^128). */
function cmacKey(key: Uint8Array, workspace: Workspace): BlockMacKey {
	const whole = encryptBlock(key, new Uint8Array(BLOCK_OCTETS));
	double(whole);
	const padded = whole.slice();
	double(padded);
	return new BlockMacKey(workspace, key, { whole, padded });
}

function double(block: Uint8Array): void {
	// Without a branch, since the top bit is secret.
	const carryMask = -((block[0] as number) >> 7);
	for (let i = 0; i < BLOCK_OCTETS - 1; i += 1) {
		block[i] = ((block[i] as number) << 1) | ((block[i + 1] as number) >> 7);
	}
	block[BLOCK_OCTETS - 1] = ((block[BLOCK_OCTETS - 1] as number) << 1) ^ (carryMask & 0x87);
}

/** A copy of our own: what OpenSSL hands out may be part of a pool. */
function encryptBlock(key: Uint8Array, block: Uint8Array): Uint8Array {
	const cipher = createCipheriv(`aes-${key.length * 8}-ecb`, key, null).setAutoPadding(false);
	const out = cipher.update(block);
	cipher.final();
	const own = new Uint8Array(out);
	out.fill(0);
	return own;
}
