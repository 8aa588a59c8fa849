/**
 * The seam between the engine and whatever does the arithmetic: synchronous, batched, caller-owned
 * memory. The engine fills a `CryptoBatch` with one job a packet and layer and makes one call; the
 * provider works in place and answers a status a job. Packets never leave the caller's buffers.
 *
 * A job's octets, all offsets into `bytes[i]`:
 *
 *     aadAt          ivAt      textAt                 textEnd
 *     | SPI | seq    | IV      | payload, padding …   |   ICV
 *     '--- authenticated (kinds below) -------------------'  at out[i][outAt[i]]
 *
 * - ESP, combined mode: AAD is the 8 octets at aadAt; with ESN seqHi stands between SPI and seq
 *   (T-4).
 * - ESP, cipher plus MAC: the MAC covers aadAt … textEnd, with ESN seqHi follows (T-5).
 * - ESP, GMAC (RFC 4543): the AAD is everything from aadAt to textEnd, with ESN seqHi between SPI
 *   and
 *   seq; nothing is encrypted.
 * - AH: the MAC covers aadAt … textEnd, with ESN seqHi follows (T-21); ivAt, textAt unused.
 * - Compression: textAt … textEnd becomes out[i] from outAt[i] to at most outEnd[i], length in
 *   length[i].
 */

/** What was asked of `espKey`; names are canonical ones of algorithms.ts, keys are copied. */
export interface EspKeySpec {
	readonly aead?: { readonly name: string; readonly key: Uint8Array; readonly icvOctets: number };
	readonly crypt?: { readonly name: string; readonly key: Uint8Array };
	readonly auth?: { readonly name: string; readonly key: Uint8Array; readonly icvOctets: number };
	readonly esn: boolean;
}

export interface MacKeySpec {
	readonly name: string;
	readonly key: Uint8Array;
	readonly icvOctets: number;
	readonly esn: boolean;
}

/** A key made ready by a provider; only that provider can use it. */
export interface CryptoKey {
	/** Octets of ICV that a job of this key writes or compares. */
	readonly icvOctets: number;
	/** Overwrites what it can of the key material; using the key afterwards is an error. */
	wipe(): void;
}

/** Result of a job: 0, or a positive errno. */
export const CryptoStatus = {
	Ok: 0,
	/** Malformed input: padding, compressed data. */
	Invalid: 22,
	/** Output would not fit into outEnd. */
	TooLong: 90,
	/** ICV differs. */
	BadIcv: 74,
	/** No implementation. */
	NotSupported: 38,
} as const;
export type CryptoStatus = (typeof CryptoStatus)[keyof typeof CryptoStatus];

/** Jobs as columns, so that a native provider can read them without touching objects. */
export class CryptoBatch {
	readonly capacity: number;
	count: number = 0;
	readonly keys: (CryptoKey | undefined)[];
	readonly bytes: Uint8Array[];
	readonly aadAt: Int32Array;
	readonly ivAt: Int32Array;
	readonly textAt: Int32Array;
	readonly textEnd: Int32Array;
	/**
	 * Where the ICV stands (ESP: the packet itself; AH on input: a copy), or the compressor's output.
	 */
	readonly out: Uint8Array[];
	readonly outAt: Int32Array;
	readonly outEnd: Int32Array;
	/** High half of the sequence number; read only by keys made with `esn`. */
	readonly seqHi: Int32Array;
	readonly status: Int32Array;
	/** Octets a compression job produced. */
	readonly length: Int32Array;

	constructor(capacity: number) {
		const none = new Uint8Array(0);
		this.capacity = capacity;
		this.keys = new Array<CryptoKey | undefined>(capacity).fill(undefined);
		this.bytes = new Array<Uint8Array>(capacity).fill(none);
		this.aadAt = new Int32Array(capacity);
		this.ivAt = new Int32Array(capacity);
		this.textAt = new Int32Array(capacity);
		this.textEnd = new Int32Array(capacity);
		this.out = new Array<Uint8Array>(capacity).fill(none);
		this.outAt = new Int32Array(capacity);
		this.outEnd = new Int32Array(capacity);
		this.seqHi = new Int32Array(capacity);
		this.status = new Int32Array(capacity);
		this.length = new Int32Array(capacity);
	}
}

/** A way to do the arithmetic. All calls are synchronous; none throws on what a packet holds. */
export interface CryptoProvider {
	readonly name: string;
	/** Can it do the algorithm of this canonical name? `icvBits` matters for AEADs only. */
	supports(kind: 'aead' | 'auth' | 'crypt' | 'comp', name: string, icvBits?: number): boolean;
	/**
	 * undefined when an algorithm is not supported. Throws RangeError on a key length the caller let
	 * through.
	 */
	espKey(spec: EspKeySpec): CryptoKey | undefined;
	macKey(spec: MacKeySpec): CryptoKey | undefined;
	/** Raw deflate, window bits 11 (T-34); undefined when not supported. */
	compressor(name: string): CryptoKey | undefined;
	/** Encrypts, computes ICVs, compresses: jobs 0 … count - 1, each status set. */
	seal(batch: CryptoBatch): void;
	/**
	 * Verifies ICVs in constant time and then decrypts; decompresses. A bad ICV leaves the text as it
	 * was or garbled.
	 */
	open(batch: CryptoBatch): void;
}
