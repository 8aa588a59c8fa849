/**
 * What OpenSSL calls the algorithms of algorithms.ts, and which of them this build of Node has.
 *
 * Absent from every OpenSSL 3 without its legacy provider, hence from here: cbc(des), cbc(cast5),
 * cbc(blowfish). Never in OpenSSL: cbc(serpent), cbc(twofish), lzs, lzjh.
 */

import { getCiphers, getHashes } from 'node:crypto';

/** How a hash is named and how many octets its block and its digest have. */
export interface HashShape {
	readonly name: string;
	readonly blockOctets: number;
	readonly digestOctets: number;
}

const HMAC_HASHES: ReadonlyMap<string, HashShape> = new Map([
	['hmac(md5)', { name: 'md5', blockOctets: 64, digestOctets: 16 }],
	['hmac(sha1)', { name: 'sha1', blockOctets: 64, digestOctets: 20 }],
	['hmac(sha256)', { name: 'sha256', blockOctets: 64, digestOctets: 32 }],
	['hmac(sha384)', { name: 'sha384', blockOctets: 128, digestOctets: 48 }],
	['hmac(sha512)', { name: 'sha512', blockOctets: 128, digestOctets: 64 }],
	['hmac(rmd160)', { name: 'ripemd160', blockOctets: 64, digestOctets: 20 }],
	['hmac(sm3)', { name: 'sm3', blockOctets: 64, digestOctets: 32 }],
]);

/** `%` stands for the bits of the key, salt not counted. */
const CIPHER_NAMES: ReadonlyMap<string, string> = new Map([
	['rfc4106(gcm(aes))', 'aes-%-gcm'],
	['rfc4309(ccm(aes))', 'aes-%-ccm'],
	['rfc4543(gcm(aes))', 'aes-%-gcm'],
	['rfc7539esp(chacha20,poly1305)', 'chacha20-poly1305'],
	['cbc(aes)', 'aes-%-cbc'],
	['cbc(des3_ede)', 'des-ede3-cbc'],
	['cbc(camellia)', 'camellia-%-cbc'],
	['cbc(sm4)', 'sm4-cbc'],
	['rfc3686(ctr(aes))', 'aes-%-ecb'],
	['xcbc(aes)', 'aes-%-cbc'],
	['cmac(aes)', 'aes-%-cbc'],
]);

/** The hash behind an `hmac(…)` of XFRM; undefined when it is not one. */
export function hashOf(name: string): HashShape | undefined {
	return HMAC_HASHES.get(name);
}

/** The cipher of OpenSSL that XFRM's algorithm `name` runs on with so many octets of key. */
export function cipherOf(name: string, keyOctets: number): string {
	const pattern = CIPHER_NAMES.get(name);
	if (pattern === undefined) {
		throw new RangeError(`expected an algorithm on an OpenSSL cipher, got ${name}`);
	}
	return pattern.replace('%', String(keyOctets * 8));
}

/** Answers which algorithms the running Node can do; asks OpenSSL once. */
export class OpensslSupport {
	readonly #ciphers: ReadonlySet<string> = new Set(getCiphers());
	readonly #hashes: ReadonlySet<string> = new Set(getHashes());

	/** Any key size stands for all of them: no build has one and lacks another. */
	hasCipher(name: string): boolean {
		return CIPHER_NAMES.has(name) && this.#ciphers.has(cipherOf(name, 16));
	}

	hasHash(name: string): boolean {
		const hash = HMAC_HASHES.get(name);
		return hash !== undefined && this.#hashes.has(hash.name);
	}
}
