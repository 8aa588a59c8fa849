// The addon's arithmetic: the conformance suite of crypto providers, and the same octets as node:crypto gives.
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type CryptoVectors, cryptoCases } from '@xfrm/crypto/testing';
import { type Addon, loadAddon } from './addon.ts';
import { addonProvider } from './addon-crypto.ts';
import { CompileError } from './compiled.ts';

function load(): Addon | string {
	try {
		return loadAddon();
	} catch (error) {
		if (error instanceof CompileError) {
			return error.message;
		}
		throw error;
	}
}

const addon = load();
const skip = typeof addon === 'string' ? addon : false;

function vectorsIn<T>(file: string): T {
	const folder = new URL('../../../crypto/vectors/', import.meta.url);
	return JSON.parse(readFileSync(new URL(file, folder), 'utf8'));
}

describe('addon provider: conformance', { skip }, () => {
	if (typeof addon === 'string') {
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
	for (const { name, run } of cryptoCases(addonProvider(addon), vectors)) {
		it(name, run);
	}
});
