// The arithmetic on kept contexts: the conformance suite of crypto providers, and the same octets as node:crypto gives.
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type CryptoVectors, cryptoCases } from '@xfrm/crypto/testing';
import { loadAddon } from './addon.ts';
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

for (const [name, make] of [
	['addon', loadAddon],
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
	});
}
