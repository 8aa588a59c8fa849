// The arithmetic on kept contexts: the conformance suite of crypto providers, and the same octets as node:crypto gives.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import {
	CryptoBatch,
	type CryptoKey,
	type CryptoProvider,
	CryptoStatus,
} from '@xfrm/crypto/provider';
import { type CryptoVectors, cryptoCases } from '@xfrm/crypto/testing';
import { addonEvp } from './addon.ts';
import { CompileError } from './compiled.ts';
import { type EvpCalls, evpProvider } from './evp-crypto.ts';
import { ffiEvp } from './ffi-evp.ts';

/** The calls, or why they are not to be had here. */
function load(make: () => EvpCalls): EvpCalls | string {
	try {
		return make();
	} catch (error) {
		if (error instanceof CompileError) {
			return error.message;
		}
		throw error;
	}
}

function vectorsIn<T>(file: string): T {
	const folder = new URL('../../../crypto/vectors/', import.meta.url);
	return JSON.parse(readFileSync(new URL(file, folder), 'utf8'));
}

const AAD_OCTETS = 8;
const IV_OCTETS = 8;
const ICV_OCTETS = 16;
const GUARD_OCTETS = 80;
const TEXT_AT: number = AAD_OCTETS + IV_OCTETS;

/** One job in place: text up to `end`, the ICV behind it. */
function jobOf(key: CryptoKey | undefined, bytes: Uint8Array, end: number): CryptoBatch {
	const batch = new CryptoBatch(1);
	batch.count = 1;
	batch.keys[0] = key;
	batch.bytes[0] = bytes;
	batch.out[0] = bytes;
	batch.ivAt[0] = AAD_OCTETS;
	batch.textAt[0] = TEXT_AT;
	batch.textEnd[0] = end;
	batch.outAt[0] = end;
	batch.outEnd[0] = end + ICV_OCTETS;
	return batch;
}

/** AES-GCM by a provider: the whole memory after sealing, and the statuses of opening it whole and changed. */
function gcm(provider: CryptoProvider, keyOctets: number, esn: boolean, octets: number): unknown {
	const keyBytes = Uint8Array.from({ length: keyOctets + 4 }, (_, i) => i * 7 + octets);
	const aead = { name: 'rfc4106(gcm(aes))', key: keyBytes, icvOctets: ICV_OCTETS };
	const key = provider.espKey({ aead, esn });
	const end = TEXT_AT + octets;
	const bytes = Uint8Array.from({ length: end + ICV_OCTETS + GUARD_OCTETS }, (_, i) => i * i);
	const batch = jobOf(key, bytes, end);
	batch.seqHi[0] = 0x8765_4321 | 0;
	const statusOf = (run: (batch: CryptoBatch) => void): number => {
		run(batch);
		return batch.status[0] ?? -1;
	};
	const sealing = statusOf((jobs) => provider.seal(jobs));
	const sealed = bytes.slice();
	const opening = statusOf((jobs) => provider.open(jobs));
	const opened = bytes.slice();
	bytes.set(sealed);
	bytes[end - 1] = (bytes[end - 1] ?? 0) ^ 1;
	const refusal = statusOf((jobs) => provider.open(jobs));
	key?.wipe();
	return { sealing, sealed, opening, opened, refusal };
}

/** Sixteen octets, sealed. */
function sealedBy(provider: CryptoProvider, key: CryptoKey | undefined): Uint8Array {
	const bytes = new Uint8Array(TEXT_AT + 2 * ICV_OCTETS);
	const batch = jobOf(key, bytes, TEXT_AT + ICV_OCTETS);
	provider.seal(batch);
	assert.equal(batch.status[0], CryptoStatus.Ok);
	return bytes;
}

for (const [name, make] of [
	['addon', addonEvp],
	['ffi', ffiEvp],
] as const) {
	const calls = load(make);
	const skip = typeof calls === 'string' ? calls : false;
	describe(`${name} provider: conformance`, { skip }, () => {
		if (typeof calls === 'string') {
			return;
		}
		const vectors: CryptoVectors = {
			aead: vectorsIn('aead.json'),
			gmac: vectorsIn('gmac.json'),
			cipher: vectorsIn('cipher.json'),
			mac: vectorsIn('mac.json'),
			kernelEsp: vectorsIn('kernel-esp.json'),
			kernelIpcomp: vectorsIn('kernel-ipcomp.json'),
		};
		for (const { name: what, run } of cryptoCases(evpProvider(name, calls), vectors)) {
			it(what, run);
		}
		it('contexts are made for the first packet of a key, and of each kind for the first key', () => {
			let made = 0;
			let wiped = 0;
			const counted = new Proxy(calls, {
				get(target, name) {
					made += name === 'aeadKey' || name === 'cbcKey' ? 1 : 0;
					wiped += name === 'wipeKey' ? 1 : 0;
					const member: unknown = Reflect.get(target, name);
					return typeof member === 'function' ? member.bind(target) : member;
				},
			});
			const provider = evpProvider(name, counted);
			const key = new Uint8Array(20).fill(9);
			const aead = { name: 'rfc4106(gcm(aes))', key, icvOctets: ICV_OCTETS };
			const first = provider.espKey({ aead, esn: false });
			assert.equal(made, 1);
			const second = provider.espKey({ aead, esn: false });
			const third = provider.espKey({ aead, esn: false });
			assert.equal(made, 1);
			key.fill(0);
			assert.deepEqual(sealedBy(provider, second), sealedBy(provider, first), 'of a copy');
			assert.deepEqual(sealedBy(provider, second), sealedBy(provider, first));
			assert.equal(made, 2);
			for (const each of [first, second, third]) {
				each?.wipe();
			}
			assert.equal(wiped, 2);
			assert.throws(() => sealedBy(provider, second), /after it was wiped/);
			assert.throws(() => sealedBy(provider, third), /after it was wiped/);
		});
		it('AES-GCM of every length is what node:crypto makes of it', () => {
			const [provider, other] = [evpProvider(name, calls), nodeProvider()];
			for (let octets = 0; octets <= 600; octets++) {
				const keyOctets = 16 + 8 * (octets % 3);
				const esn = octets % 2 === 1;
				const [actual, expected] = [provider, other].map((one) => gcm(one, keyOctets, esn, octets));
				assert.deepEqual(actual, expected, `${octets} octets`);
			}
		});
	});
}
