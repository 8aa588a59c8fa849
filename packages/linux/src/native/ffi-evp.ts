/**
 * OpenSSL's contexts of the running node by koffi, with no compiler: the functions are the node binary's own.
 * A packet costs five calls of a combined mode, four to open it, and seven with an HMAC.
 *
 * Memory that C knows by address lies outside of V8's heap and is kept here as long as it may be used: a
 * typed array of few octets would be moved by the collector.
 *
 * @hotpath
 */

import type { CryptoBatch } from '@xfrm/crypto/provider';
import { CryptoStatus } from '@xfrm/crypto/provider';
import type { EvpCalls } from './evp-crypto.ts';
import { setPointer } from './ffi-message.ts';
import { type Koffi, loadKoffi } from './koffi.ts';

type Call = (...values: readonly (number | bigint)[]) => number | bigint;

/** Pointers are numbers: addresses of a process fit a double. */
const PROTOTYPES = {
	newContext: 'uint64_t EVP_CIPHER_CTX_new()',
	freeContext: 'void EVP_CIPHER_CTX_free(uint64_t context)',
	setPadding: 'int EVP_CIPHER_CTX_set_padding(uint64_t context, int padding)',
	answer: 'int EVP_CIPHER_CTX_get_params(uint64_t context, uint64_t params)',
	fetchCipher: 'uint64_t EVP_CIPHER_fetch(uint64_t library, const char *name, uint64_t properties)',
	freeCipher: 'void EVP_CIPHER_free(uint64_t cipher)',
	sealBegin:
		'int EVP_EncryptInit_ex2(uint64_t context, uint64_t cipher, uint64_t key, uint64_t iv, uint64_t params)',
	sealUpdate:
		'int EVP_EncryptUpdate(uint64_t context, uint64_t out, uint64_t done, uint64_t in, int octets)',
	sealEnd: 'int EVP_EncryptFinal_ex(uint64_t context, uint64_t out, uint64_t done)',
	openBegin:
		'int EVP_DecryptInit_ex2(uint64_t context, uint64_t cipher, uint64_t key, uint64_t iv, uint64_t params)',
	openUpdate:
		'int EVP_DecryptUpdate(uint64_t context, uint64_t out, uint64_t done, uint64_t in, int octets)',
	openEnd: 'int EVP_DecryptFinal_ex(uint64_t context, uint64_t out, uint64_t done)',
	fetchMac: 'uint64_t EVP_MAC_fetch(uint64_t library, const char *name, uint64_t properties)',
	freeMac: 'void EVP_MAC_free(uint64_t mac)',
	newMac: 'uint64_t EVP_MAC_CTX_new(uint64_t mac)',
	freeMacContext: 'void EVP_MAC_CTX_free(uint64_t context)',
	macBegin: 'int EVP_MAC_init(uint64_t context, uint64_t key, size_t octets, uint64_t params)',
	macUpdate: 'int EVP_MAC_update(uint64_t context, uint64_t bytes, size_t octets)',
	macEnd: 'int EVP_MAC_final(uint64_t context, uint64_t out, uint64_t octets, size_t room)',
} as const;

type Functions = { readonly [name in keyof typeof PROTOTYPES]: Call };

const SALT_OCTETS = 4;
const IV_OCTETS = 8;
const MAC_OCTETS_MAX = 64;

/** `struct ossl_param`: key, type, data, octets, octets answered. The last of a list is zeros. */
const PARAM_OCTETS = 40;
const ParamTypeAt = 8;
const ParamDataAt = 16;
const ParamOctetsAt = 24;
const UTF8_STRING = 4;
const OCTET_STRING = 5;

/** Offsets in the scratch memory. */
const AadAt = 0;
const DoneAt = 16;
const TagNameAt = 24;
const MacAt = 32;
/** Where the ICV of a combined mode is to be found, or to go. */
const TagAt: number = MacAt + MAC_OCTETS_MAX;
const SCRATCH_OCTETS: number = TagAt + 2 * PARAM_OCTETS;

interface Key {
	readonly seal: number;
	readonly open: number;
	/** 0 for a combined mode. */
	readonly mac: number;
	/** Of a combined mode: the salt, and the IV of the packet at hand. */
	readonly nonce: Uint8Array;
	readonly nonceAddress: number;
	readonly icvOctets: number;
	readonly esn: boolean;
}

/** What is kept of a batch's columns. */
interface Columns {
	readonly keys: Int32Array;
	readonly bytes: Float64Array;
	readonly out: Float64Array;
}

function outside(octets: number): Uint8Array {
	return new Uint8Array(new ArrayBuffer(octets));
}

/** Makes the calls. @throws TransportError without koffi; Error where node's OpenSSL is another library's */
export function ffiEvp(): EvpCalls {
	return new FfiEvp(loadKoffi());
}

class FfiEvp implements EvpCalls {
	readonly #koffi: Koffi;
	readonly #c: Functions;
	readonly #keys: (Key | undefined)[] = [];
	readonly #columns: Columns[] = [];
	readonly #scratch: Uint8Array = outside(SCRATCH_OCTETS);
	readonly #view: DataView = new DataView(this.#scratch.buffer);
	readonly #scratchAddress: number;

	constructor(koffi: Koffi) {
		this.#koffi = koffi;
		const library = koffi.load(null);
		const functions: Record<string, Call> = {};
		for (const [name, prototype] of Object.entries(PROTOTYPES)) {
			functions[name] = library.func(prototype) as Call;
		}
		// A row of PROTOTYPES for each.
		this.#c = functions as Functions;
		this.#scratchAddress = this.addressOf(this.#scratch);
		new TextEncoder().encodeInto('tag', this.#scratch.subarray(TagNameAt));
		setPointer(this.#view, TagAt, this.#scratchAddress + TagNameAt);
		this.#view.setUint32(TagAt + ParamTypeAt, OCTET_STRING, true);
	}

	addressOf(bytes: Uint8Array): number {
		return Number(this.#koffi.address(bytes));
	}

	aeadKey(cipher: string, key: Uint8Array, icvOctets: number, esn: number): number {
		const nonce = outside(SALT_OCTETS + IV_OCTETS);
		nonce.set(key.subarray(key.length - SALT_OCTETS));
		const contexts = this.#contexts(cipher, key);
		if (contexts === undefined) {
			return -1;
		}
		const { seal, open } = contexts;
		const nonceAddress = this.addressOf(nonce);
		return this.#keep({ seal, open, mac: 0, nonce, nonceAddress, icvOctets, esn: esn !== 0 });
	}

	cbcKey(
		cipher: string,
		key: Uint8Array,
		digest: string,
		macKey: Uint8Array,
		icvOctets: number,
		esn: number,
	): number {
		const contexts = this.#contexts(cipher, key);
		if (contexts === undefined) {
			return -1;
		}
		const { seal, open } = contexts;
		const mac = this.#macContext(digest, macKey);
		if (mac === 0) {
			this.#free(seal, open, 0);
			return -1;
		}
		const nonce = outside(0);
		return this.#keep({ seal, open, mac, nonce, nonceAddress: 0, icvOctets, esn: esn !== 0 });
	}

	wipeKey(number: number): number {
		const key = this.#keys[number];
		if (key !== undefined) {
			this.#free(key.seal, key.open, key.mac);
			key.nonce.fill(0);
			this.#keys[number] = undefined;
		}
		return 0;
	}

	registerJobs(...columns: readonly (Int32Array | Float64Array)[]): number {
		const [keys, bytes, out] = columns as [Int32Array, Float64Array, Float64Array];
		return this.#columns.push({ keys, bytes, out }) - 1;
	}

	seal(jobs: number, count: number, batch: CryptoBatch): void {
		this.#run(jobs, count, batch, true);
	}
	openSealed(jobs: number, count: number, batch: CryptoBatch): void {
		this.#run(jobs, count, batch, false);
	}

	#run(jobs: number, count: number, batch: CryptoBatch, seals: boolean): void {
		const { keys, bytes, out } = this.#columns[jobs] as Columns;
		for (let i = 0; i < count; i++) {
			const key = this.#keys[keys[i] ?? -1];
			if (key === undefined) {
				continue;
			}
			const at = bytes[i] ?? 0;
			const icv = (out[i] ?? 0) + (batch.outAt[i] ?? 0);
			if (key.mac === 0) {
				batch.status[i] = seals
					? this.#sealAead(key, batch, i, at, icv)
					: this.#openAead(key, batch, i, at, icv);
			} else {
				batch.status[i] = seals
					? this.#sealCbc(key, batch, i, at)
					: this.#openCbc(key, batch, i, at);
			}
		}
	}

	/**
	 * Nonce, and where the ICV is; answers where what is authenticated besides begins: SPI and number, with ESN the
	 * high half between them (RFC 4106 5).
	 */
	#prepareAead(key: Key, batch: CryptoBatch, i: number, at: number, icv: number): number {
		const { nonce } = key;
		const bytes = batch.bytes[i] as Uint8Array;
		const ivAt = batch.ivAt[i] ?? 0;
		for (let k = 0; k < IV_OCTETS; k++) {
			nonce[SALT_OCTETS + k] = bytes[ivAt + k] ?? 0;
		}
		setPointer(this.#view, TagAt + ParamDataAt, icv);
		this.#view.setUint32(TagAt + ParamOctetsAt, key.icvOctets, true);
		const aadAt = batch.aadAt[i] ?? 0;
		if (!key.esn) {
			return at + aadAt;
		}
		const scratch = this.#scratch;
		for (let k = 0; k < 4; k++) {
			scratch[AadAt + k] = bytes[aadAt + k] ?? 0;
			scratch[AadAt + 8 + k] = bytes[aadAt + 4 + k] ?? 0;
		}
		this.#view.setInt32(AadAt + 4, batch.seqHi[i] ?? 0);
		return this.#scratchAddress + AadAt;
	}

	#sealAead(key: Key, batch: CryptoBatch, i: number, at: number, icv: number): number {
		const { sealBegin, sealUpdate, sealEnd, answer } = this.#c;
		const { seal } = key;
		const base = this.#scratchAddress;
		const done = base + DoneAt;
		const aad = this.#prepareAead(key, batch, i, at, icv);
		const textAt = batch.textAt[i] ?? 0;
		const textEnd = batch.textEnd[i] ?? 0;
		const text = at + textAt;
		const good =
			sealBegin(seal, 0, 0, key.nonceAddress, 0) === 1 &&
			sealUpdate(seal, 0, done, aad, key.esn ? 12 : 8) === 1 &&
			sealUpdate(seal, text, done, text, textEnd - textAt) === 1 &&
			sealEnd(seal, base + MacAt, done) === 1 &&
			answer(seal, base + TagAt) === 1;
		return good ? CryptoStatus.Ok : CryptoStatus.Invalid;
	}

	#openAead(key: Key, batch: CryptoBatch, i: number, at: number, icv: number): number {
		const { openBegin, openUpdate, openEnd } = this.#c;
		const { open } = key;
		const base = this.#scratchAddress;
		const done = base + DoneAt;
		const aad = this.#prepareAead(key, batch, i, at, icv);
		const textAt = batch.textAt[i] ?? 0;
		const textEnd = batch.textEnd[i] ?? 0;
		const text = at + textAt;
		const ready =
			openBegin(open, 0, 0, key.nonceAddress, base + TagAt) === 1 &&
			openUpdate(open, 0, done, aad, key.esn ? 12 : 8) === 1 &&
			openUpdate(open, text, done, text, textEnd - textAt) === 1;
		if (!ready) {
			return CryptoStatus.Invalid;
		}
		return openEnd(open, base + MacAt, done) === 1 ? CryptoStatus.Ok : CryptoStatus.BadIcv;
	}

	#sealCbc(key: Key, batch: CryptoBatch, i: number, at: number): number {
		const { sealBegin, sealUpdate } = this.#c;
		const textAt = batch.textAt[i] ?? 0;
		const text = at + textAt;
		const octets = (batch.textEnd[i] ?? 0) - textAt;
		const iv = at + (batch.ivAt[i] ?? 0);
		const good =
			sealBegin(key.seal, 0, 0, iv, 0) === 1 &&
			sealUpdate(key.seal, text, this.#scratchAddress + DoneAt, text, octets) === 1 &&
			this.#computeMac(key, batch, i, at);
		if (!good) {
			return CryptoStatus.Invalid;
		}
		const out = batch.out[i] as Uint8Array;
		const outAt = batch.outAt[i] ?? 0;
		for (let k = 0; k < key.icvOctets; k++) {
			out[outAt + k] = this.#scratch[MacAt + k] ?? 0;
		}
		return CryptoStatus.Ok;
	}

	#openCbc(key: Key, batch: CryptoBatch, i: number, at: number): number {
		const { openBegin, openUpdate } = this.#c;
		if (!this.#computeMac(key, batch, i, at)) {
			return CryptoStatus.Invalid;
		}
		const out = batch.out[i] as Uint8Array;
		const outAt = batch.outAt[i] ?? 0;
		// All octets are looked at, wherever they differ.
		let differs = 0;
		for (let k = 0; k < key.icvOctets; k++) {
			differs |= (out[outAt + k] ?? 0) ^ (this.#scratch[MacAt + k] ?? 0);
		}
		if (differs !== 0) {
			return CryptoStatus.BadIcv;
		}
		const textAt = batch.textAt[i] ?? 0;
		const text = at + textAt;
		const octets = (batch.textEnd[i] ?? 0) - textAt;
		const good =
			openBegin(key.open, 0, 0, at + (batch.ivAt[i] ?? 0), 0) === 1 &&
			openUpdate(key.open, text, this.#scratchAddress + DoneAt, text, octets) === 1;
		return good ? CryptoStatus.Ok : CryptoStatus.Invalid;
	}

	/** Over SPI to the end of the text; with ESN the high half follows (RFC 4303 2.2.1). */
	#computeMac(key: Key, batch: CryptoBatch, i: number, at: number): boolean {
		const { macBegin, macUpdate, macEnd } = this.#c;
		const base = this.#scratchAddress;
		const aadAt = batch.aadAt[i] ?? 0;
		if (key.esn) {
			this.#view.setInt32(AadAt, batch.seqHi[i] ?? 0);
		}
		return (
			macBegin(key.mac, 0, 0, 0) === 1 &&
			macUpdate(key.mac, at + aadAt, (batch.textEnd[i] ?? 0) - aadAt) === 1 &&
			(!key.esn || macUpdate(key.mac, base + AadAt, 4) === 1) &&
			macEnd(key.mac, base + MacAt, base + DoneAt, MAC_OCTETS_MAX) === 1
		);
	}

	#keep(key: Key): number {
		const free = this.#keys.indexOf(undefined);
		const number = free < 0 ? this.#keys.length : free;
		this.#keys[number] = key;
		return number;
	}

	#free(seal: number, open: number, mac: number): void {
		this.#c.freeContext(seal);
		this.#c.freeContext(open);
		this.#c.freeMacContext(mac);
	}

	#contexts(name: string, bytes: Uint8Array): { seal: number; open: number } | undefined {
		const c = this.#c;
		const fetchCipher = c.fetchCipher as unknown as (a: number, b: string, c: number) => number;
		const cipher = Number(fetchCipher(0, name, 0));
		if (cipher === 0) {
			return undefined;
		}
		const key = outside(bytes.length);
		key.set(bytes);
		const iv = this.addressOf(this.#scratch);
		const seal = Number(c.newContext());
		const open = Number(c.newContext());
		const made =
			c.sealBegin(seal, cipher, this.addressOf(key), iv, 0) === 1 &&
			c.openBegin(open, cipher, this.addressOf(key), iv, 0) === 1;
		c.setPadding(seal, 0);
		c.setPadding(open, 0);
		c.freeCipher(cipher);
		key.fill(0);
		if (!made) {
			this.#free(seal, open, 0);
			return undefined;
		}
		return { seal, open };
	}

	/** 0 when there is none. */
	#macContext(digest: string, bytes: Uint8Array): number {
		const c = this.#c;
		const fetchMac = c.fetchMac as unknown as (a: number, b: string, c: number) => number;
		const mac = Number(fetchMac(0, 'HMAC', 0));
		if (mac === 0) {
			return 0;
		}
		const context = Number(c.newMac(mac));
		c.freeMac(mac);
		// At least one octet: an empty key is told by its address.
		const key = outside(Math.max(1, bytes.length));
		key.set(bytes);
		const texts = outside(32);
		new TextEncoder().encodeInto('digest', texts);
		new TextEncoder().encodeInto(digest, texts.subarray(16));
		const params = outside(2 * PARAM_OCTETS);
		const view = new DataView(params.buffer);
		const at = this.addressOf(texts);
		setPointer(view, 0, at);
		view.setUint32(ParamTypeAt, UTF8_STRING, true);
		setPointer(view, ParamDataAt, at + 16);
		setPointer(view, ParamOctetsAt, digest.length);
		const made = c.macBegin(context, this.addressOf(key), bytes.length, this.addressOf(params));
		key.fill(0);
		// The texts are known to C by address only, until here.
		if (made !== 1 || texts.length === 0) {
			c.freeMacContext(context);
			return 0;
		}
		return context;
	}
}
