/**
 * A provider that does nothing: every job succeeds and no octet changes. For benches of the
 * engine's own part and for tests that are not about bytes; **it protects nothing**. ICV lengths
 * are right, so that packets have their real sizes. It has no compressor, since one that changes
 * nothing is not one that shortens.
 */

import { findAead, findAuth, findCrypt } from './algorithms.ts';
import {
	type CryptoBatch,
	type CryptoKey,
	type CryptoProvider,
	CryptoStatus,
	type EspKeySpec,
	type MacKeySpec,
} from './provider.ts';

/** Makes a provider for benches and tests that leaves every packet in the clear. */
export function nullProvider(): CryptoProvider {
	return new NullProvider();
}

class NullKey implements CryptoKey {
	readonly icvOctets: number;

	constructor(icvOctets: number) {
		this.icvOctets = icvOctets;
	}

	wipe(): void {}
}

class NullProvider implements CryptoProvider {
	readonly name: string = 'null';

	supports(kind: 'aead' | 'auth' | 'crypt' | 'comp', name: string, icvBits?: number): boolean {
		switch (kind) {
			case 'aead':
				return findAead(name, icvBits ?? 128) !== undefined;
			case 'auth':
				return findAuth(name) !== undefined;
			case 'crypt':
				return findCrypt(name) !== undefined;
			case 'comp':
				return false;
		}
	}

	espKey(spec: EspKeySpec): CryptoKey | undefined {
		return new NullKey(spec.aead?.icvOctets ?? spec.auth?.icvOctets ?? 0);
	}

	macKey(spec: MacKeySpec): CryptoKey | undefined {
		return new NullKey(spec.icvOctets);
	}

	compressor(): CryptoKey | undefined {
		return undefined;
	}

	seal(batch: CryptoBatch): void {
		batch.status.fill(CryptoStatus.Ok, 0, batch.count);
	}

	open(batch: CryptoBatch): void {
		batch.status.fill(CryptoStatus.Ok, 0, batch.count);
	}
}
