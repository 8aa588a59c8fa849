/**
 * Known answers: packages/crypto/vectors (sources in its README). Each is sealed twice and opened
 * twice with one key, since a provider may keep a context from packet to packet.
 */

import { findCrypt } from '../algorithms.ts';
import { type CryptoKey, type CryptoProvider, CryptoStatus, type EspKeySpec } from '../provider.ts';
import { type Case, expectSame, fromHex } from './case.ts';
import { EspJob, messageBatch, openOne, sealOne } from './esp-job.ts';

/** All octets are hex. `valid` false: the ICV is wrong on purpose. */
export interface AeadVector {
	readonly id: string;
	readonly algorithm: string;
	/** Salt at the end. */
	readonly key: string;
	readonly iv: string;
	/** 8 octets, or 12 with seqHi in the middle: then the key is one with ESN. */
	readonly aad: string;
	readonly text: string;
	readonly sealed: string;
	readonly icv: string;
	readonly valid?: boolean;
}

/** `message` is all that GMAC authenticates, IV and payload included where there are any. */
export interface GmacVector {
	readonly id: string;
	readonly key: string;
	readonly iv: string;
	readonly message: string;
	readonly icv: string;
	readonly valid?: boolean;
}

export interface CipherVector {
	readonly id: string;
	readonly algorithm: string;
	readonly key: string;
	readonly iv: string;
	readonly text: string;
	readonly sealed: string;
}

export interface MacVector {
	readonly id: string;
	readonly algorithm: string;
	readonly key: string;
	readonly message: string;
	readonly icv: string;
	readonly valid?: boolean;
}

/** An ESP packet that a kernel sent, from SPI to ICV. */
export interface KernelEspVector {
	readonly id: string;
	readonly esn: boolean;
	readonly seqHi?: number;
	readonly aead?: { readonly name: string; readonly key: string; readonly icvBits: number };
	readonly crypt?: { readonly name: string; readonly key: string };
	readonly auth?: { readonly name: string; readonly key: string; readonly icvBits: number };
	readonly packet: string;
}

/** A kernel's deflate output, behind the IPComp header, and what it was. */
export interface KernelIpcompVector {
	readonly id: string;
	readonly text: string;
	readonly packed: string;
}

/** The parsed files of packages/crypto/vectors. */
export interface CryptoVectors {
	readonly aead: readonly AeadVector[];
	readonly gmac: readonly GmacVector[];
	readonly cipher: readonly CipherVector[];
	readonly mac: readonly MacVector[];
	readonly kernelEsp: readonly KernelEspVector[];
	readonly kernelIpcomp: readonly KernelIpcompVector[];
}

const NONE = new Uint8Array(0);
const HEADER = fromHex('0102030400000005');

/** Fails when the provider can't make the key after all. */
export function need(key: CryptoKey | undefined): CryptoKey {
	if (key === undefined) {
		throw new Error('expected a key, got undefined from a provider that claims support');
	}
	return key;
}

/** Seals and opens until both were done twice; `plain` becomes `sealed` and back. */
function expectBothWays(
	provider: CryptoProvider,
	key: CryptoKey,
	plain: EspJob,
	sealed: EspJob,
): void {
	for (const round of ['first', 'second']) {
		const out = plain.copy();
		expectSame(sealOne(provider, key, out), CryptoStatus.Ok, `${round} seal`);
		expectSame(out.bytes, sealed.bytes, `${round} sealed packet`);
		const back = sealed.copy();
		expectSame(openOne(provider, key, back), CryptoStatus.Ok, `${round} open`);
		expectSame(back.text, plain.text, `${round} opened text`);
		back.expectUntouched(plain);
	}
}

function runAead(provider: CryptoProvider, vector: AeadVector): void {
	const aad = fromHex(vector.aad);
	const esn = aad.length === 12;
	const header = esn ? Uint8Array.of(...aad.subarray(0, 4), ...aad.subarray(8)) : aad;
	const seqHi = esn ? new DataView(aad.buffer).getInt32(4) : 0;
	const icv = fromHex(vector.icv);
	const key = need(
		provider.espKey({
			aead: { name: vector.algorithm, key: fromHex(vector.key), icvOctets: icv.length },
			esn,
		}),
	);
	expectSame(key.icvOctets, icv.length, 'ICV octets');
	const common = { header, iv: fromHex(vector.iv), seqHi };
	const sealed = new EspJob({ ...common, text: fromHex(vector.sealed), icv });
	if (vector.valid === false) {
		expectSame(openOne(provider, key, sealed), CryptoStatus.BadIcv, 'open');
		return;
	}
	const blank = new Uint8Array(icv.length);
	const plain = new EspJob({ ...common, text: fromHex(vector.text), icv: blank });
	expectBothWays(provider, key, plain, sealed);
}

/** A MAC's job: the message is authenticated, the IV (GMAC) stands apart behind it. */
function runMessage(
	provider: CryptoProvider,
	key: CryptoKey,
	vector: { readonly message: string; readonly icv: string; readonly valid?: boolean },
	iv: Uint8Array,
): void {
	const message = fromHex(vector.message);
	const icv = fromHex(vector.icv);
	expectSame(key.icvOctets, icv.length, 'ICV octets');
	const batch = messageBatch(key, message, iv, icv.slice());
	provider.open(batch);
	const expected = vector.valid === false ? CryptoStatus.BadIcv : CryptoStatus.Ok;
	expectSame(batch.status[0], expected, 'open');
	const out = new Uint8Array(icv.length);
	const sealing = messageBatch(key, message, iv, out);
	provider.seal(sealing);
	expectSame(sealing.status[0], CryptoStatus.Ok, 'seal');
	if (vector.valid !== false) {
		expectSame(out, icv, 'ICV');
	}
	expectSame(sealing.bytes[0]?.slice(0, message.length), message, 'message');
}

function runGmac(provider: CryptoProvider, vector: GmacVector): void {
	const aead = {
		name: 'rfc4543(gcm(aes))',
		key: fromHex(vector.key),
		icvOctets: vector.icv.length / 2,
	};
	runMessage(provider, need(provider.espKey({ aead, esn: false })), vector, fromHex(vector.iv));
}

function runMac(provider: CryptoProvider, vector: MacVector): void {
	const spec = {
		name: vector.algorithm,
		key: fromHex(vector.key),
		icvOctets: vector.icv.length / 2,
		esn: false,
	};
	const key = need(provider.macKey(spec));
	runMessage(provider, key, vector, NONE);
	// With ESN the last four octets of the message are seqHi (T-21).
	const message = fromHex(vector.message);
	if (message.length < 4 || vector.valid === false) {
		return;
	}
	const split = message.length - 4;
	const icv = new Uint8Array(spec.icvOctets);
	const esnKey = need(provider.macKey({ ...spec, esn: true }));
	const batch = messageBatch(esnKey, message.subarray(0, split), NONE, icv);
	batch.seqHi[0] = new DataView(message.buffer).getInt32(split);
	provider.seal(batch);
	expectSame(icv, fromHex(vector.icv), 'ICV with the tail as seqHi');
}

function runCipher(provider: CryptoProvider, vector: CipherVector): void {
	const key = need(
		provider.espKey({
			crypt: { name: vector.algorithm, key: fromHex(vector.key) },
			esn: false,
		}),
	);
	expectSame(key.icvOctets, 0, 'ICV octets');
	const common = { header: HEADER, iv: fromHex(vector.iv), icv: NONE, seqHi: 0 };
	expectBothWays(
		provider,
		key,
		new EspJob({ ...common, text: fromHex(vector.text) }),
		new EspJob({ ...common, text: fromHex(vector.sealed) }),
	);
}

/** @spec T-4 T-5 T-6 T-8 */
function runKernelEsp(provider: CryptoProvider, vector: KernelEspVector): void {
	const { ivOctets, icvOctets, spec } = kernelSpec(vector);
	const key = need(provider.espKey(spec));
	expectSame(key.icvOctets, icvOctets, 'ICV octets');
	const packet = fromHex(vector.packet);
	const textAt = 8 + ivOctets;
	const icvAt = packet.length - icvOctets;
	const sealed = new EspJob({
		header: packet.subarray(0, 8),
		iv: packet.subarray(8, textAt),
		text: packet.subarray(textAt, icvAt),
		icv: packet.subarray(icvAt),
		seqHi: vector.seqHi ?? 0,
	});
	const plain = sealed.copy();
	expectSame(openOne(provider, key, plain), CryptoStatus.Ok, 'open');
	expectTrailer(plain.text);
	plain.bytes.fill(0, plain.textEnd, plain.icvEnd);
	expectBothWays(provider, key, plain, sealed);
}

function kernelSpec(vector: KernelEspVector): {
	ivOctets: number;
	icvOctets: number;
	spec: EspKeySpec;
} {
	const { aead, auth, crypt, esn } = vector;
	if (aead !== undefined) {
		const icvOctets = aead.icvBits / 8;
		const spec = { aead: { name: aead.name, key: fromHex(aead.key), icvOctets }, esn };
		return { ivOctets: 8, icvOctets, spec };
	}
	const info = findCrypt(crypt?.name ?? '');
	if (crypt === undefined || info === undefined) {
		throw new Error(`${vector.id}: expected an AEAD or a cipher`);
	}
	const cryptSpec = { name: crypt.name, key: fromHex(crypt.key) };
	if (auth === undefined) {
		return { ivOctets: info.ivOctets, icvOctets: 0, spec: { crypt: cryptSpec, esn } };
	}
	// Bits of a truncation are rounded down to whole octets.
	const icvOctets = auth.icvBits >> 3;
	const authSpec = { name: auth.name, key: fromHex(auth.key), icvOctets };
	return {
		ivOctets: info.ivOctets,
		icvOctets,
		spec: { crypt: cryptSpec, auth: authSpec, esn },
	};
}

/** Padding 1, 2, 3 …, its length and a next header: garbage would hardly have that (T-1). */
function expectTrailer(text: Uint8Array): void {
	const padding = text[text.length - 2] as number;
	const found = text.slice(text.length - 2 - padding, text.length - 2);
	expectSame(
		found,
		new Uint8Array(padding).map((_, i) => i + 1),
		'padding',
	);
}

function runKernelIpcomp(provider: CryptoProvider, vector: KernelIpcompVector): void {
	const text = fromHex(vector.text);
	const out = new Uint8Array(text.length);
	const batch = messageBatch(
		need(provider.compressor('deflate')),
		fromHex(vector.packed),
		NONE,
		out,
	);
	provider.open(batch);
	expectSame(batch.status[0], CryptoStatus.Ok, 'open');
	expectSame(batch.length[0], text.length, 'length');
	expectSame(out, text, 'text');
}

/** Known answers of every algorithm that the provider says it can do. */
export function vectorCases(provider: CryptoProvider, vectors: CryptoVectors): readonly Case[] {
	const cases: Case[] = [];
	for (const vector of vectors.aead) {
		if (provider.supports('aead', vector.algorithm, vector.icv.length * 4)) {
			const run = (): void => runAead(provider, vector);
			cases.push({ name: `${vector.algorithm}: ${vector.id}`, run });
		}
	}
	if (provider.supports('aead', 'rfc4543(gcm(aes))', 128)) {
		for (const vector of vectors.gmac) {
			const run = (): void => runGmac(provider, vector);
			cases.push({ name: `rfc4543(gcm(aes)): ${vector.id}`, run });
		}
	}
	for (const vector of vectors.cipher) {
		if (provider.supports('crypt', vector.algorithm)) {
			const run = (): void => runCipher(provider, vector);
			cases.push({ name: `${vector.algorithm}: ${vector.id}`, run });
		}
	}
	for (const vector of vectors.mac) {
		if (provider.supports('auth', vector.algorithm)) {
			const run = (): void => runMac(provider, vector);
			cases.push({ name: `${vector.algorithm}: ${vector.id}`, run });
		}
	}
	for (const vector of vectors.kernelEsp) {
		const { aead, auth, crypt } = vector;
		if (
			(aead === undefined || provider.supports('aead', aead.name, aead.icvBits)) &&
			(auth === undefined || provider.supports('auth', auth.name)) &&
			(crypt === undefined || provider.supports('crypt', crypt.name))
		) {
			cases.push({ name: `kernel: ${vector.id}`, run: () => runKernelEsp(provider, vector) });
		}
	}
	if (provider.supports('comp', 'deflate')) {
		for (const vector of vectors.kernelIpcomp) {
			cases.push({ name: `kernel: ${vector.id}`, run: () => runKernelIpcomp(provider, vector) });
		}
	}
	return cases;
}
