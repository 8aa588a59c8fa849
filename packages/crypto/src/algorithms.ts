/**
 * The algorithms that XFRM knows by name (spec section 4; net/xfrm/xfrm_algo.c): sizes and numbers,
 * no code. A name is found by exact comparison with the name or its alias; an AEAD by name *and*
 * ICV length. Whether an algorithm can run is the provider's business, whether a kernel would have
 * it is `available`.
 */

/** The four tables. */
export type AlgorithmKind = 'aead' | 'auth' | 'crypt' | 'comp';

/** An AEAD of ESP (spec section 4.1). */
export interface AeadInfo {
	readonly kind: 'aead';
	readonly name: string;
	readonly icvBits: number;
	/** Octets at the key's end that are the nonce's fixed part. */
	readonly saltOctets: number;
	readonly ivOctets: number;
	readonly blockOctets: number;
	readonly pfkeyId: number;
	/** Lengths of the key in octets, salt included. */
	readonly keyOctets: readonly number[];
}

/** A MAC of ESP and AH (spec section 4.2). */
export interface AuthInfo {
	readonly kind: 'auth';
	readonly name: string;
	readonly alias: string | undefined;
	readonly icvDefaultBits: number;
	readonly icvFullBits: number;
	readonly pfkeyId: number;
	/** undefined: any length (HMAC, digest_null). */
	readonly keyOctets: readonly number[] | undefined;
}

/** A cipher of ESP without integrity of its own (spec section 4.3). */
export interface CryptInfo {
	readonly kind: 'crypt';
	readonly name: string;
	readonly alias: string | undefined;
	readonly blockOctets: number;
	readonly ivOctets: number;
	readonly pfkeyId: number;
	readonly keyOctetsMin: number;
	readonly keyOctetsMax: number;
	/**
	 * Step between legal key lengths in octets; the minimum is the kernel's cipher's, PF_KEY's is
	 * higher.
	 */
	readonly keyOctetsStep: number;
	/**
	 * A counter mode takes its IV from a counter (seqiv), a chained one has to be unpredictable
	 * (echainiv).
	 */
	readonly ivCounter: boolean;
}

/** A compression of IPComp (spec section 4.4). */
export interface CompInfo {
	readonly kind: 'comp';
	readonly name: string;
	readonly thresholdOctets: number;
	readonly pfkeyId: number;
}

function aead(
	name: string,
	icvBits: number,
	saltOctets: number,
	pfkeyId: number,
	keyOctets: readonly number[],
): AeadInfo {
	return {
		kind: 'aead',
		name,
		icvBits,
		saltOctets,
		ivOctets: 8,
		blockOctets: 1,
		pfkeyId,
		keyOctets,
	};
}

const GCM_KEYS = [20, 28, 36];
const CCM_KEYS = [19, 27, 35];

/** In the kernel's order; one entry a name and ICV length. */
export const AEAD_ALGORITHMS: readonly AeadInfo[] = [
	aead('rfc4106(gcm(aes))', 64, 4, 18, GCM_KEYS),
	aead('rfc4106(gcm(aes))', 96, 4, 19, GCM_KEYS),
	aead('rfc4106(gcm(aes))', 128, 4, 20, GCM_KEYS),
	aead('rfc4309(ccm(aes))', 64, 3, 14, CCM_KEYS),
	aead('rfc4309(ccm(aes))', 96, 3, 15, CCM_KEYS),
	aead('rfc4309(ccm(aes))', 128, 3, 16, CCM_KEYS),
	aead('rfc4543(gcm(aes))', 128, 4, 23, GCM_KEYS),
	aead('rfc7539esp(chacha20,poly1305)', 128, 4, 0, [36]),
];

function auth(
	name: string,
	alias: string | undefined,
	icvDefaultBits: number,
	icvFullBits: number,
	pfkeyId: number,
	keyOctets?: readonly number[],
): AuthInfo {
	return { kind: 'auth', name, alias, icvDefaultBits, icvFullBits, pfkeyId, keyOctets };
}

/** In the kernel's order. */
export const AUTH_ALGORITHMS: readonly AuthInfo[] = [
	auth('digest_null', undefined, 0, 0, 251),
	auth('hmac(md5)', 'md5', 96, 128, 2),
	auth('hmac(sha1)', 'sha1', 96, 160, 3),
	auth('hmac(sha256)', 'sha256', 96, 256, 5),
	auth('hmac(sha384)', undefined, 192, 384, 6),
	auth('hmac(sha512)', undefined, 256, 512, 7),
	auth('hmac(rmd160)', 'rmd160', 96, 160, 8),
	auth('xcbc(aes)', undefined, 96, 128, 9, [16, 24, 32]),
	auth('cmac(aes)', undefined, 96, 128, 0, [16, 24, 32]),
	auth('hmac(sm3)', 'sm3', 256, 256, 10),
];

function crypt(
	name: string,
	alias: string | undefined,
	blockOctets: number,
	ivOctets: number,
	pfkeyId: number,
	key: readonly [min: number, max: number, step: number],
	ivCounter = false,
): CryptInfo {
	const [keyOctetsMin, keyOctetsMax, keyOctetsStep] = key;
	return {
		kind: 'crypt',
		name,
		alias,
		blockOctets,
		ivOctets,
		pfkeyId,
		keyOctetsMin,
		keyOctetsMax,
		keyOctetsStep,
		ivCounter,
	};
}

/** In the kernel's order. */
export const CRYPT_ALGORITHMS: readonly CryptInfo[] = [
	crypt('ecb(cipher_null)', 'cipher_null', 1, 0, 11, [0, 0, 1]),
	crypt('cbc(des)', 'des', 8, 8, 2, [8, 8, 1]),
	crypt('cbc(des3_ede)', 'des3_ede', 8, 8, 3, [24, 24, 1]),
	crypt('cbc(cast5)', 'cast5', 8, 8, 6, [5, 16, 1]),
	crypt('cbc(blowfish)', 'blowfish', 8, 8, 7, [4, 56, 1]),
	crypt('cbc(aes)', 'aes', 16, 16, 12, [16, 32, 8]),
	crypt('cbc(serpent)', 'serpent', 16, 16, 252, [0, 32, 1]),
	crypt('cbc(camellia)', 'camellia', 16, 16, 22, [16, 32, 8]),
	crypt('cbc(twofish)', 'twofish', 16, 16, 253, [16, 32, 8]),
	crypt('rfc3686(ctr(aes))', undefined, 1, 8, 13, [20, 36, 8], true),
	crypt('cbc(sm4)', 'sm4', 16, 16, 24, [16, 16, 1]),
];

/** In the kernel's order; only deflate was ever implemented. */
export const COMP_ALGORITHMS: readonly CompInfo[] = [
	{ kind: 'comp', name: 'deflate', thresholdOctets: 90, pfkeyId: 2 },
	{ kind: 'comp', name: 'lzs', thresholdOctets: 90, pfkeyId: 3 },
	{ kind: 'comp', name: 'lzjh', thresholdOctets: 50, pfkeyId: 4 },
];

/** By name and exact ICV length; AEADs have no aliases. */
export function findAead(name: string, icvBits: number): AeadInfo | undefined {
	return AEAD_ALGORITHMS.find((info) => info.name === name && info.icvBits === icvBits);
}

/** By name or alias, compared exactly. */
export function findAuth(name: string): AuthInfo | undefined {
	return AUTH_ALGORITHMS.find((info) => info.name === name || info.alias === name);
}

/** By name or alias, compared exactly. */
export function findCrypt(name: string): CryptInfo | undefined {
	return CRYPT_ALGORITHMS.find((info) => info.name === name || info.alias === name);
}

/** By name, compared exactly. */
export function findComp(name: string): CompInfo | undefined {
	return COMP_ALGORITHMS.find((info) => info.name === name);
}

/**
 * Would the kernel's cipher take a key of so many octets? HMAC takes any length, none at all too.
 *
 * @spec T-8
 */
export function keyFits(info: AeadInfo | AuthInfo | CryptInfo, octets: number): boolean {
	if (info.kind === 'crypt') {
		return (
			octets >= info.keyOctetsMin &&
			octets <= info.keyOctetsMax &&
			(octets - info.keyOctetsMin) % info.keyOctetsStep === 0
		);
	}
	return info.keyOctets === undefined || info.keyOctets.includes(octets);
}
