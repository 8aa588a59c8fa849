/**
 * A crypto provider on OpenSSL contexts that are kept from packet to packet, for ESP's usual algorithms; the calls
 * are the addon's, or the FFI's (ffi-evp.ts). What there is no context for is left to the provider of node:crypto,
 * job by job, so that all know the same algorithms and give the same octets.
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

/** The calls. Keys and columns have numbers; memory is told by its address. */
export interface EvpCalls {
	/** OpenSSL's name, key with the salt behind it, octets of the ICV, ESN: a number, or -1. */
	aeadKey(cipher: string, key: Uint8Array, icvOctets: number, esn: number): number;
	/** A number, or -1. */
	cbcKey(
		cipher: string,
		key: Uint8Array,
		digest: string,
		macKey: Uint8Array,
		icvOctets: number,
		esn: number,
	): number;
	wipeKey(key: number): number;
	/**
	 * Columns of a batch: keys, addresses of memory and of where the ICV goes, then aadAt, ivAt, textAt, textEnd,
	 * outAt, seqHi, status. The caller keeps them.
	 */
	registerJobs(...columns: readonly (Int32Array | Float64Array)[]): number;
	addressOf(bytes: Uint8Array): number;
	/** Jobs whose key is -1 are left alone. */
	seal(jobs: number, count: number, batch: CryptoBatch): void;
	openSealed(jobs: number, count: number, batch: CryptoBatch): void;
}

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

/** No key of ours: the job is the other provider's. */
const ELSEWHERE = -1;

const NO_KEY: Uint8Array = new Uint8Array(0);

/** What a key is made of. */
interface Material {
	/** OpenSSL's names; no digest for a combined mode. */
	readonly cipher: string;
	readonly digest: string | undefined;
	readonly key: Uint8Array;
	readonly macKey: Uint8Array;
	readonly icvOctets: number;
	readonly esn: boolean;
}

/**
 * A key whose contexts are made for its first packet: they take kilobytes, and of ten thousand states most carry
 * nothing at a time.
 */
class EvpKey implements CryptoKey {
	readonly icvOctets: number;
	readonly #calls: EvpCalls;
	/** A copy, until contexts are made of it. */
	#material: Material | undefined;
	#number: number = ELSEWHERE;

	constructor(calls: EvpCalls, material: Material) {
		const { key, macKey, icvOctets } = material;
		this.#calls = calls;
		const ownMacKey = macKey.length === 0 ? NO_KEY : macKey.slice();
		this.#material = { ...material, key: key.slice(), macKey: ownMacKey };
		this.icvOctets = icvOctets;
	}

	/** Of the calls' table. @throws Error after `wipe` */
	get number(): number {
		return this.#number < 0 ? this.make() : this.#number;
	}

	/** Makes the contexts; -1 when OpenSSL does not. @throws Error after `wipe` */
	make(): number {
		const material = this.#material;
		if (material === undefined) {
			throw new Error('a key was used after it was wiped');
		}
		const { cipher, digest, key, macKey, icvOctets, esn } = material;
		const wide = esn ? 1 : 0;
		this.#number =
			digest === undefined
				? this.#calls.aeadKey(cipher, key, icvOctets, wide)
				: this.#calls.cbcKey(cipher, key, digest, macKey, icvOctets, wide);
		if (this.#number >= 0) {
			this.#forgetMaterial();
		}
		return this.#number;
	}

	wipe(): void {
		this.#forgetMaterial();
		if (this.#number >= 0) {
			this.#calls.wipeKey(this.#number);
			this.#number = ELSEWHERE;
		}
	}

	#forgetMaterial(): void {
		this.#material?.key.fill(0);
		this.#material?.macKey.fill(0);
		this.#material = undefined;
	}
}

/** Columns of a batch as the calls read them: keys and memory by number. */
class JobColumns {
	readonly keys: Int32Array;
	readonly bytes: Float64Array;
	readonly out: Float64Array;
	readonly number: number;
	/** Whose addresses these are: a packet's place in a batch is mostly the same memory. */
	readonly known: (Uint8Array | undefined)[];
	/** Keys that were there before, and those of them that are ours: mostly the same, too, and `instanceof` is a search. */
	readonly askedKeys: (CryptoKey | undefined)[];
	readonly ownKeys: (EvpKey | undefined)[];

	constructor(calls: EvpCalls, batch: CryptoBatch) {
		this.keys = new Int32Array(batch.capacity);
		this.bytes = new Float64Array(batch.capacity);
		this.out = new Float64Array(batch.capacity);
		this.known = new Array<Uint8Array | undefined>(batch.capacity).fill(undefined);
		this.askedKeys = new Array<CryptoKey | undefined>(batch.capacity).fill(undefined);
		this.ownKeys = new Array<EvpKey | undefined>(batch.capacity).fill(undefined);
		const { aadAt, ivAt, textAt, textEnd, outAt, seqHi, status } = batch;
		const columns = [aadAt, ivAt, textAt, textEnd, outAt, seqHi, status];
		this.number = calls.registerJobs(this.keys, this.bytes, this.out, ...columns);
	}
}

class EvpProvider implements CryptoProvider {
	readonly name: string;
	readonly #calls: EvpCalls;
	readonly #node: CryptoProvider = nodeProvider();
	/** A batch's columns are known by address: the keys of this map keep them. */
	readonly #columns: Map<CryptoBatch, JobColumns> = new Map();
	/** Addresses of packet memory, which never moves while its array lives. */
	readonly #addresses: WeakMap<Uint8Array, number> = new WeakMap();
	readonly #single: CryptoBatch = new CryptoBatch(1);
	/** Ciphers and digests that OpenSSL has made contexts of. */
	readonly #proven: Set<string> = new Set();

	constructor(name: string, calls: EvpCalls) {
		this.name = name;
		this.#calls = calls;
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
		const macKey = NO_KEY;
		return this.#prove({ cipher, digest: undefined, key, macKey, icvOctets, esn });
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
		const { key: macKey, icvOctets } = auth;
		return this.#prove({ cipher, digest, key: crypt.key, macKey, icvOctets, esn });
	}

	/** The key, undefined where OpenSSL makes none of this kind: the first of each is made at once. */
	#prove(material: Material): CryptoKey | undefined {
		const { cipher, digest = '' } = material;
		const key = new EvpKey(this.#calls, material);
		const kind = `${cipher} ${digest}`;
		if (!this.#proven.has(kind)) {
			if (key.make() < 0) {
				key.wipe();
				return undefined;
			}
			this.#proven.add(kind);
		}
		return key;
	}

	seal(batch: CryptoBatch): void {
		const columns = this.#prepare(batch);
		this.#calls.seal(columns.number, batch.count, batch);
		this.#finish(batch, columns, true);
	}

	open(batch: CryptoBatch): void {
		const columns = this.#prepare(batch);
		this.#calls.openSealed(columns.number, batch.count, batch);
		this.#finish(batch, columns, false);
	}

	#prepare(batch: CryptoBatch): JobColumns {
		let columns = this.#columns.get(batch);
		if (columns === undefined) {
			columns = new JobColumns(this.#calls, batch);
			this.#columns.set(batch, columns);
		}
		for (let i = 0; i < batch.count; i++) {
			const key = batch.keys[i];
			const bytes = batch.bytes[i];
			const out = batch.out[i];
			if (columns.askedKeys[i] !== key) {
				columns.askedKeys[i] = key;
				columns.ownKeys[i] = key instanceof EvpKey ? key : undefined;
			}
			const own = columns.ownKeys[i];
			if (own !== undefined && bytes !== undefined && out !== undefined) {
				columns.keys[i] = own.number;
				if (columns.known[i] !== bytes) {
					columns.known[i] = bytes;
					columns.bytes[i] = this.#addressOf(bytes);
				}
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
			address = this.#calls.addressOf(bytes);
			this.#addresses.set(bytes, address);
		}
		return address;
	}
}

/** Makes the provider; `name` is of the calls. */
export function evpProvider(name: string, calls: EvpCalls): CryptoProvider {
	return new EvpProvider(name, calls);
}
