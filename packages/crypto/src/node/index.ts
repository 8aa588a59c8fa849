/**
 * The provider on node:crypto and node:zlib: works wherever Node does, with nothing to build. It is
 * the slowest of the native ones, since node:crypto allocates several objects a packet.
 *
 * Files in reading order: openssl (names), workspace, job-key, aead-key, composed-key, cipher,
 * cbc-chain, mac, deflate-key.
 */

import {
	type AuthInfo,
	type CryptInfo,
	findAead,
	findAuth,
	findCrypt,
	keyFits,
} from '../algorithms.ts';
import {
	type CryptoBatch,
	type CryptoKey,
	type CryptoProvider,
	CryptoStatus,
	type EspKeySpec,
	type MacKeySpec,
} from '../provider.ts';
import { AeadKey, GmacKey } from './aead-key.ts';
import { makeCipherKey } from './cipher.ts';
import { ComposedKey, type Integrity, IntegrityKey } from './composed-key.ts';
import { DeflateKey } from './deflate-key.ts';
import { JobKey } from './job-key.ts';
import { makeMacKey } from './mac.ts';
import { OpensslSupport } from './openssl.ts';
import { Workspace } from './workspace.ts';

/** Makes a provider. Its keys share memory, so one thread's jobs at a time; make one a worker. */
export function nodeProvider(): CryptoProvider {
	return new NodeProvider();
}

type AeadSpec = NonNullable<EspKeySpec['aead']>;
type AuthSpec = NonNullable<EspKeySpec['auth']>;
type CryptSpec = NonNullable<EspKeySpec['crypt']>;

class NodeProvider implements CryptoProvider {
	readonly name: string = 'node';
	readonly #support: OpensslSupport = new OpensslSupport();
	readonly #workspace: Workspace = new Workspace();

	supports(kind: 'aead' | 'auth' | 'crypt' | 'comp', name: string, icvBits?: number): boolean {
		switch (kind) {
			case 'aead':
				return this.#support.hasCipher(name) && findAead(name, icvBits ?? 128) !== undefined;
			case 'auth':
				return this.#authInfo(name) !== undefined;
			case 'crypt':
				return this.#cryptInfo(name) !== undefined;
			case 'comp':
				return name === 'deflate';
		}
	}

	espKey(spec: EspKeySpec): CryptoKey | undefined {
		const { aead, auth, crypt, esn } = spec;
		if (aead !== undefined) {
			if (auth !== undefined || crypt !== undefined) {
				throw new RangeError('expected an AEAD or a cipher, got both');
			}
			return this.#aeadKey(aead, esn);
		}
		if (crypt === undefined) {
			throw new RangeError('expected an AEAD or a cipher, got neither');
		}
		return this.#composedKey(crypt, auth, esn);
	}

	macKey(spec: MacKeySpec): CryptoKey | undefined {
		const info = this.#authInfo(spec.name);
		return info === undefined ? undefined : new IntegrityKey(this.#integrity(info, spec, spec.esn));
	}

	compressor(name: string): CryptoKey | undefined {
		return name === 'deflate' ? new DeflateKey() : undefined;
	}

	seal(batch: CryptoBatch): void {
		for (let index = 0; index < batch.count; index += 1) {
			const key = batch.keys[index];
			batch.status[index] =
				key instanceof JobKey ? key.seal(batch, index) : CryptoStatus.NotSupported;
		}
	}

	open(batch: CryptoBatch): void {
		for (let index = 0; index < batch.count; index += 1) {
			const key = batch.keys[index];
			batch.status[index] =
				key instanceof JobKey ? key.open(batch, index) : CryptoStatus.NotSupported;
		}
	}

	#aeadKey(spec: AeadSpec, esn: boolean): CryptoKey | undefined {
		const info = findAead(spec.name, spec.icvOctets * 8);
		if (info === undefined || !this.#support.hasCipher(spec.name)) {
			return undefined;
		}
		if (!keyFits(info, spec.key.length)) {
			throw wrongLength(spec.name, spec.key);
		}
		return info.name === 'rfc4543(gcm(aes))'
			? new GmacKey(info, spec.key, esn, this.#workspace)
			: new AeadKey(info, spec.key, esn, this.#workspace);
	}

	#composedKey(crypt: CryptSpec, auth: AuthSpec | undefined, esn: boolean): CryptoKey | undefined {
		const info = this.#cryptInfo(crypt.name);
		const authInfo = auth === undefined ? undefined : this.#authInfo(auth.name);
		if (info === undefined || (auth !== undefined && authInfo === undefined)) {
			return undefined;
		}
		if (!keyFits(info, crypt.key.length)) {
			throw wrongLength(crypt.name, crypt.key);
		}
		const integrity =
			auth !== undefined && authInfo !== undefined
				? this.#integrity(authInfo, auth, esn)
				: undefined;
		return new ComposedKey(makeCipherKey(info, crypt.key, this.#workspace), integrity);
	}

	#integrity(info: AuthInfo, spec: AuthSpec, esn: boolean): Integrity {
		if (!keyFits(info, spec.key.length)) {
			throw wrongLength(spec.name, spec.key);
		}
		if (spec.icvOctets < 0 || spec.icvOctets * 8 > info.icvFullBits) {
			throw new RangeError(
				`expected an ICV of at most ${info.icvFullBits / 8} octets, got ${spec.icvOctets}`,
			);
		}
		const mac = makeMacKey(info, spec.key, this.#workspace);
		return { mac, icvOctets: spec.icvOctets, esn };
	}

	#authInfo(name: string): AuthInfo | undefined {
		const info = findAuth(name);
		const has =
			name === 'digest_null' || this.#support.hasHash(name) || this.#support.hasCipher(name);
		return has ? info : undefined;
	}

	#cryptInfo(name: string): CryptInfo | undefined {
		const has = name === 'ecb(cipher_null)' || this.#support.hasCipher(name);
		return has ? findCrypt(name) : undefined;
	}
}

function wrongLength(name: string, key: Uint8Array): RangeError {
	return new RangeError(`expected a key length of ${name}, got ${key.length} octets`);
}
