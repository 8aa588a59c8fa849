/**
 * Every kind of key a provider can make: algorithm × key size × ICV × ESN, for the property cases.
 */

import { AEAD_ALGORITHMS, AUTH_ALGORITHMS, CRYPT_ALGORITHMS, keyFits } from '../algorithms.ts';
import type { CryptoProvider, EspKeySpec } from '../provider.ts';
import { seededOctets } from './case.ts';

export interface KeyRow {
	readonly name: string;
	readonly spec: EspKeySpec;
	readonly ivOctets: number;
	readonly blockOctets: number;
	readonly icvOctets: number;
	/** What the algorithm could give at most. */
	readonly icvOctetsMax: number;
}

const CIPHER_KEY_OCTETS_MAX = 64;

/** HMAC takes any length: none, odd ones, one below, at and above the block of each hash. */
const HMAC_KEY_OCTETS: readonly number[] = [0, 1, 16, 20, 63, 64, 65, 127, 128, 129, 200];

/** Combined modes with and without ESN. */
export function aeadRows(provider: CryptoProvider): readonly KeyRow[] {
	const rows: KeyRow[] = [];
	for (const info of AEAD_ALGORITHMS) {
		const { name, icvBits, ivOctets, blockOctets } = info;
		if (!provider.supports('aead', name, icvBits)) {
			continue;
		}
		for (const keyOctets of info.keyOctets) {
			for (const esn of [false, true]) {
				const icvOctets = icvBits / 8;
				const key = seededOctets(keyOctets, keyOctets + icvBits);
				rows.push({
					name: `${name} ${icvBits}, key ${keyOctets * 8}${esn ? ', ESN' : ''}`,
					spec: { aead: { name, key, icvOctets }, esn },
					ivOctets,
					blockOctets,
					icvOctets,
					icvOctetsMax: icvOctets,
				});
			}
		}
	}
	return rows;
}

/** Ciphers, each alone and under one MAC. */
export function cryptRows(provider: CryptoProvider): readonly KeyRow[] {
	const rows: KeyRow[] = [];
	for (const info of CRYPT_ALGORITHMS) {
		const { name, ivOctets, blockOctets } = info;
		if (!provider.supports('crypt', name)) {
			continue;
		}
		for (let keyOctets = 0; keyOctets <= CIPHER_KEY_OCTETS_MAX; keyOctets += 1) {
			if (!keyFits(info, keyOctets)) {
				continue;
			}
			const crypt = { name, key: seededOctets(keyOctets, keyOctets) };
			const auth = { name: 'hmac(sha256)', key: seededOctets(32, 1), icvOctets: 16 };
			const title = `${name}, key ${keyOctets * 8}`;
			const shape = { ivOctets, blockOctets, icvOctetsMax: 32 };
			rows.push({ name: title, spec: { crypt, esn: false }, ...shape, icvOctets: 0 });
			rows.push({
				name: `${title}, ESN, ${auth.name} 128`,
				spec: { crypt, auth, esn: true },
				...shape,
				icvOctets: auth.icvOctets,
			});
		}
	}
	return rows;
}

/** MACs over the null cipher: every key size × every truncation to whole octets. */
export function authRows(provider: CryptoProvider): readonly KeyRow[] {
	const rows: KeyRow[] = [];
	for (const info of AUTH_ALGORITHMS) {
		const { name } = info;
		if (!provider.supports('auth', name)) {
			continue;
		}
		for (const keyOctets of info.keyOctets ?? HMAC_KEY_OCTETS) {
			for (let icvOctets = 0; icvOctets <= info.icvFullBits / 8; icvOctets += 1) {
				const esn = icvOctets % 2 === 1;
				const auth = { name, key: seededOctets(keyOctets, keyOctets), icvOctets };
				const crypt = { name: 'ecb(cipher_null)', key: new Uint8Array(0) };
				rows.push({
					name: `${name} ${icvOctets * 8}, key ${keyOctets * 8}${esn ? ', ESN' : ''}`,
					spec: { crypt, auth, esn },
					ivOctets: 0,
					blockOctets: 1,
					icvOctets,
					icvOctetsMax: info.icvFullBits / 8,
				});
			}
		}
	}
	return rows;
}
