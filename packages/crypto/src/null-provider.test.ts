import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nullProvider } from './null-provider.ts';
import { CryptoBatch, CryptoStatus } from './provider.ts';

describe('null provider', () => {
	const provider = nullProvider();
	const key = new Uint8Array(20);

	it('has keys with the right ICV lengths', () => {
		const aead = { name: 'rfc4106(gcm(aes))', key, icvOctets: 12 };
		const crypt = { name: 'cbc(aes)', key };
		const auth = { name: 'hmac(sha512)', key, icvOctets: 32 };
		assert.equal(provider.espKey({ aead, esn: true })?.icvOctets, 12);
		assert.equal(provider.espKey({ crypt, auth, esn: false })?.icvOctets, 32);
		assert.equal(provider.espKey({ crypt, esn: false })?.icvOctets, 0);
		assert.equal(provider.macKey({ ...auth, esn: false })?.icvOctets, 32);
		assert.equal(provider.compressor('deflate'), undefined);
	});

	it('answers Ok for count jobs and changes no octet', () => {
		const batch = new CryptoBatch(3);
		const bytes = Uint8Array.of(1, 2, 3, 4);
		batch.count = 2;
		batch.bytes[0] = bytes;
		batch.out[0] = bytes;
		batch.textEnd[0] = 4;
		batch.status.fill(-1);
		provider.seal(batch);
		assert.deepEqual(batch.status, Int32Array.of(CryptoStatus.Ok, CryptoStatus.Ok, -1));
		provider.open(batch);
		assert.deepEqual(bytes, Uint8Array.of(1, 2, 3, 4));
	});
});
