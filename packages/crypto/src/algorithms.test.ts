import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
	AEAD_ALGORITHMS,
	AUTH_ALGORITHMS,
	COMP_ALGORITHMS,
	CRYPT_ALGORITHMS,
	findAead,
	findAuth,
	findComp,
	findCrypt,
	keyFits,
} from './algorithms.ts';

// Sizes and numbers as in the tables of spec section 4, written down a second time by hand.
describe('algorithm tables', () => {
	it('AEADs: ICV bits, salt, key octets, PF_KEY number', () => {
		const rows = AEAD_ALGORITHMS.map((i) => [
			i.name,
			i.icvBits,
			i.saltOctets,
			i.keyOctets.map((n) => n * 8).join(' '),
			i.pfkeyId,
		]);
		assert.deepEqual(rows, [
			['rfc4106(gcm(aes))', 64, 4, '160 224 288', 18],
			['rfc4106(gcm(aes))', 96, 4, '160 224 288', 19],
			['rfc4106(gcm(aes))', 128, 4, '160 224 288', 20],
			['rfc4309(ccm(aes))', 64, 3, '152 216 280', 14],
			['rfc4309(ccm(aes))', 96, 3, '152 216 280', 15],
			['rfc4309(ccm(aes))', 128, 3, '152 216 280', 16],
			['rfc4543(gcm(aes))', 128, 4, '160 224 288', 23],
			['rfc7539esp(chacha20,poly1305)', 128, 4, '288', 0],
		]);
		assert.ok(AEAD_ALGORITHMS.every((i) => i.ivOctets === 8 && i.blockOctets === 1));
	});

	it('MACs: alias, default and full ICV bits, PF_KEY number', () => {
		const rows = AUTH_ALGORITHMS.map((i) => [
			i.name,
			i.alias,
			i.icvDefaultBits,
			i.icvFullBits,
			i.pfkeyId,
		]);
		assert.deepEqual(rows, [
			['digest_null', undefined, 0, 0, 251],
			['hmac(md5)', 'md5', 96, 128, 2],
			['hmac(sha1)', 'sha1', 96, 160, 3],
			['hmac(sha256)', 'sha256', 96, 256, 5],
			['hmac(sha384)', undefined, 192, 384, 6],
			['hmac(sha512)', undefined, 256, 512, 7],
			['hmac(rmd160)', 'rmd160', 96, 160, 8],
			['xcbc(aes)', undefined, 96, 128, 9],
			['cmac(aes)', undefined, 96, 128, 0],
			['hmac(sm3)', 'sm3', 256, 256, 10],
		]);
	});

	it('ciphers: alias, block and IV octets, PF_KEY number', () => {
		const rows = CRYPT_ALGORITHMS.map((i) => [
			i.name,
			i.alias,
			i.blockOctets,
			i.ivOctets,
			i.pfkeyId,
		]);
		assert.deepEqual(rows, [
			['ecb(cipher_null)', 'cipher_null', 1, 0, 11],
			['cbc(des)', 'des', 8, 8, 2],
			['cbc(des3_ede)', 'des3_ede', 8, 8, 3],
			['cbc(cast5)', 'cast5', 8, 8, 6],
			['cbc(blowfish)', 'blowfish', 8, 8, 7],
			['cbc(aes)', 'aes', 16, 16, 12],
			['cbc(serpent)', 'serpent', 16, 16, 252],
			['cbc(camellia)', 'camellia', 16, 16, 22],
			['cbc(twofish)', 'twofish', 16, 16, 253],
			['rfc3686(ctr(aes))', undefined, 1, 8, 13],
			['cbc(sm4)', 'sm4', 16, 16, 24],
		]);
	});

	it('compression: threshold and PF_KEY number', () => {
		assert.deepEqual(
			COMP_ALGORITHMS.map((i) => [i.name, i.thresholdOctets, i.pfkeyId]),
			[
				['deflate', 90, 2],
				['lzs', 90, 3],
				['lzjh', 50, 4],
			],
		);
	});
});

// @spec T-8
describe('keyFits', () => {
	const legal = (info: Parameters<typeof keyFits>[0]): string => {
		const octets: number[] = [];
		for (let n = 0; n <= 300; n += 1) {
			if (keyFits(info, n)) {
				octets.push(n);
			}
		}
		return octets.length > 100 ? 'any' : octets.join(' ');
	};
	const range = (from: number, to: number): string =>
		Array.from({ length: to - from + 1 }, (_, i) => from + i).join(' ');
	const expected: readonly (readonly [string, string])[] = [
		['ecb(cipher_null)', '0'],
		['cbc(des)', '8'],
		['cbc(des3_ede)', '24'],
		['cbc(cast5)', range(5, 16)],
		['cbc(blowfish)', range(4, 56)],
		['cbc(aes)', '16 24 32'],
		['cbc(serpent)', range(0, 32)],
		['cbc(camellia)', '16 24 32'],
		['cbc(twofish)', '16 24 32'],
		['rfc3686(ctr(aes))', '20 28 36'],
		['cbc(sm4)', '16'],
		['digest_null', 'any'],
		['hmac(md5)', 'any'],
		['hmac(sm3)', 'any'],
		['xcbc(aes)', '16 24 32'],
		['cmac(aes)', '16 24 32'],
	];
	for (const [name, octets] of expected) {
		it(name, () => {
			const info = findCrypt(name) ?? findAuth(name);
			assert.ok(info);
			assert.equal(legal(info), octets);
		});
	}
});

describe('finding by name', () => {
	it('names and aliases compare exactly', () => {
		assert.equal(findAuth('sha256')?.name, 'hmac(sha256)');
		assert.equal(findAuth('hmac(sha256)')?.name, 'hmac(sha256)');
		assert.equal(findAuth('sha384'), undefined);
		assert.equal(findAuth('SHA256'), undefined);
		assert.equal(findCrypt('aes')?.name, 'cbc(aes)');
		assert.equal(findCrypt('cipher_null')?.name, 'ecb(cipher_null)');
		assert.equal(findCrypt(''), undefined);
		assert.equal(findComp('deflate')?.name, 'deflate');
		assert.equal(findComp('zlib'), undefined);
	});

	it('an AEAD needs a listed ICV length', () => {
		assert.equal(findAead('rfc4106(gcm(aes))', 96)?.pfkeyId, 19);
		assert.equal(findAead('rfc4106(gcm(aes))', 104), undefined);
		assert.equal(findAead('rfc4543(gcm(aes))', 96), undefined);
		assert.equal(findAead('gcm(aes)', 128), undefined);
	});
});
