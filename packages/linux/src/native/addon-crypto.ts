/**
 * A crypto provider on the addon: ESP's usual algorithms on OpenSSL contexts that are kept from packet to
 * packet, all jobs of a batch in one call. What it has no context for, it leaves to the provider of node:crypto,
 * job by job, so that both know the same algorithms and give the same octets.
 */
import { findAead, findCrypt } from '@xfrm/crypto/algorithms';
import { nodeProvider } from '@xfrm/crypto/node';
import {
	CryptoBatch,
	type CryptoKey,
	type CryptoProvider,
	type EspKeySpec,
	type MacKeySpec,
} from '@xfrm/crypto/provider';
import type { Addon } from './addon.ts';

/** OpenSSL's names, `%` for the bits of the key. */
const AEAD_CIPHERS: ReadonlyMap<string, string> = new Map([
	['rfc4106(gcm(aes))', 'AES-%-GCM'],
	['rfc7539esp(chacha20,poly1305)', 'ChaCha20-Poly1305'],
]);
const CBC_CIPHERS: ReadonlyMap<string, string> = new Map([['cbc(aes)', 'AES-%-CBC']]);
const DIGESTS: ReadonlyMap<string, string> = new Map([
	['hmac(sha1)', 'SHA1'],
	['hmac(sha256)', 'SHA256'],
	['hmac(sha384)', 'SHA384'],
	['hmac(sha512)', 'SHA512'],
]);

/** No key of the addon's: the job is the other provider's. */
const ELSEWHERE = -1;

class AddonKey implements CryptoKey {
	readonly icvOctets: number;
	readonly #addon: Addon;
	#number: number;

	constructor(addon: Addon, number: number, icvOctets: number) {
		this.#addon = addon;
		this.#number = number;
		this.icvOctets = icvOctets;
	}

	/** Of the addon's table. @throws Error after `wipe` */
	get number(): number {
		if (this.#number < 0) {
			throw new Error('a key was used after it was wiped');
		}
		return this.#number;
	}

	wipe(): void {
		if (this.#number >= 0) {
			this.#addon.wipeKey(this.#number);
			this.#number = ELSEWHERE;
		}
	}
}

/** Columns of a batch as the addon reads them: keys and memory by number. */
class JobColumns {
	readonly keys: Int32Array;
	readonly bytes: Float64Array;
	readonly out: Float64Array;
	readonly number: number;

	constructor(addon: Addon, batch: CryptoBatch) {
		this.keys = new Int32Array(batch.capacity);
		this.bytes = new Float64Array(batch.capacity);
		this.out = new Float64Array(batch.capacity);
		const { aadAt, ivAt, textAt, textEnd, outAt, seqHi, status } = batch;
		const columns = [aadAt, ivAt, textAt, textEnd, outAt, seqHi, status];
		this.number = addon.registerJobs(this.keys, this.bytes, this.out, ...columns);
	}
}

class AddonProvider implements CryptoProvider {
	readonly name: string = 'addon';
	readonly #addon: Addon;
	readonly #node: CryptoProvider = nodeProvider();
	/** The addon knows a batch's columns by address: the keys of this map keep them. */
	readonly #columns: Map<CryptoBatch, JobColumns> = new Map();
	/** Addresses of packet memory, which never moves while its array lives. */
	readonly #addresses: WeakMap<Uint8Array, number> = new WeakMap();
	readonly #single: CryptoBatch = new CryptoBatch(1);

	constructor(addon: Addon) {
		this.#addon = addon;
	}

	supports(kind: 'aead' | 'auth' | 'crypt' | 'comp', name: string, icvBits?: number): boolean {
		return this.#node.supports(kind, name, icvBits);
	}

	espKey(spec: EspKeySpec): CryptoKey | undefined {
		return this.#aeadKey(spec) ?? this.#cbcKey(spec) ?? this.#node.espKey(spec);
	}

	macKey(spec: MacKeySpec): CryptoKey | undefined {
		return this.#node.macKey(spec);
	}

	compressor(name: string): CryptoKey | undefined {
		return this.#node.compressor(name);
	}

	#aeadKey({ aead, esn }: EspKeySpec): CryptoKey | undefined {
		const pattern = aead && AEAD_CIPHERS.get(aead.name);
		const info = aead && findAead(aead.name, aead.icvOctets * 8);
		if (aead === undefined || pattern === undefined || info === undefined) {
			return undefined;
		}
		const { key, icvOctets } = aead;
		if (!info.keyOctets.includes(key.length)) {
			return undefined; // the other provider says what is wrong
		}
		const cipher = pattern.replace('%', String((key.length - info.saltOctets) * 8));
		const number = this.#addon.aeadKey(cipher, key, icvOctets, esn ? 1 : 0);
		return number < 0 ? undefined : new AddonKey(this.#addon, number, icvOctets);
	}

	#cbcKey({ crypt, auth, esn }: EspKeySpec): CryptoKey | undefined {
		const pattern = crypt && CBC_CIPHERS.get(crypt.name);
		const digest = auth && DIGESTS.get(auth.name);
		const info = crypt && findCrypt(crypt.name);
		if (crypt === undefined || auth === undefined || info === undefined) {
			return undefined;
		}
		const { keyOctetsMin: min, keyOctetsMax: max, keyOctetsStep: step } = info;
		const { length } = crypt.key;
		const fits = length >= min && length <= max && (length - min) % step === 0;
		if (pattern === undefined || digest === undefined || !fits) {
			return undefined;
		}
		const cipher = pattern.replace('%', String(length * 8));
		const { key, icvOctets } = auth;
		const number = this.#addon.cbcKey(cipher, crypt.key, digest, key, icvOctets, esn ? 1 : 0);
		return number < 0 ? undefined : new AddonKey(this.#addon, number, icvOctets);
	}

	seal(batch: CryptoBatch): void {
		const columns = this.#prepare(batch);
		this.#addon.seal(columns.number, batch.count);
		this.#finish(batch, columns, true);
	}

	open(batch: CryptoBatch): void {
		const columns = this.#prepare(batch);
		this.#addon.openSealed(columns.number, batch.count);
		this.#finish(batch, columns, false);
	}

	#prepare(batch: CryptoBatch): JobColumns {
		let columns = this.#columns.get(batch);
		if (columns === undefined) {
			columns = new JobColumns(this.#addon, batch);
			this.#columns.set(batch, columns);
		}
		for (let i = 0; i < batch.count; i++) {
			const key = batch.keys[i];
			const bytes = batch.bytes[i];
			const out = batch.out[i];
			if (key instanceof AddonKey && bytes !== undefined && out !== undefined) {
				columns.keys[i] = key.number;
				columns.bytes[i] = this.#addressOf(bytes);
				columns.out[i] = out === bytes ? (columns.bytes[i] ?? 0) : this.#addressOf(out);
			} else {
				columns.keys[i] = ELSEWHERE;
			}
		}
		return columns;
	}

	/** Jobs of other keys, one by one. */
	#finish(batch: CryptoBatch, columns: JobColumns, seals: boolean): void {
		for (let i = 0; i < batch.count; i++) {
			if (columns.keys[i] === ELSEWHERE) {
				this.#elsewhere(batch, i, seals);
			}
		}
	}

	#elsewhere(batch: CryptoBatch, i: number, seals: boolean): void {
		const single = this.#single;
		single.count = 1;
		single.keys[0] = batch.keys[i];
		single.bytes[0] = batch.bytes[i] ?? new Uint8Array(0);
		single.out[0] = batch.out[i] ?? new Uint8Array(0);
		single.aadAt[0] = batch.aadAt[i] ?? 0;
		single.ivAt[0] = batch.ivAt[i] ?? 0;
		single.textAt[0] = batch.textAt[i] ?? 0;
		single.textEnd[0] = batch.textEnd[i] ?? 0;
		single.outAt[0] = batch.outAt[i] ?? 0;
		single.outEnd[0] = batch.outEnd[i] ?? 0;
		single.seqHi[0] = batch.seqHi[i] ?? 0;
		if (seals) {
			this.#node.seal(single);
		} else {
			this.#node.open(single);
		}
		batch.status[i] = single.status[0] ?? 0;
		batch.length[i] = single.length[0] ?? 0;
	}

	#addressOf(bytes: Uint8Array): number {
		let address = this.#addresses.get(bytes);
		if (address === undefined) {
			address = this.#addon.addressOf(bytes);
			this.#addresses.set(bytes, address);
		}
		return address;
	}
}

/** Makes the provider. */
export function addonProvider(addon: Addon): CryptoProvider {
	return new AddonProvider(addon);
}
