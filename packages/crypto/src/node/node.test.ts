import assert from 'node:assert/strict';
import { createCipheriv, createHmac, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { AEAD_ALGORITHMS, AUTH_ALGORITHMS, CRYPT_ALGORITHMS } from '../algorithms.ts';
import { CryptoBatch, CryptoStatus } from '../provider.ts';
import { type CryptoVectors, cryptoCases } from '../testing/crypto-cases.ts';
import { nodeProvider } from './index.ts';

function vectorsIn<T>(file: string): T {
	return JSON.parse(readFileSync(new URL(`../../vectors/${file}`, import.meta.url), 'utf8'));
}

const vectors: CryptoVectors = {
	aead: vectorsIn('aead.json'),
	gmac: vectorsIn('gmac.json'),
	cipher: vectorsIn('cipher.json'),
	mac: vectorsIn('mac.json'),
	kernelEsp: vectorsIn('kernel-esp.json'),
	kernelIpcomp: vectorsIn('kernel-ipcomp.json'),
};

// @spec T-4 T-5 T-6 T-8 T-21 T-33 T-34
describe('node provider: conformance', () => {
	for (const { name, run } of cryptoCases(nodeProvider(), vectors)) {
		it(name, run);
	}
});

describe('node provider: support', () => {
	const provider = nodeProvider();

	it('has all of the table that OpenSSL 3 has without its legacy provider', () => {
		const absent = [
			...AEAD_ALGORITHMS.filter((i) => !provider.supports('aead', i.name, i.icvBits)),
			...AUTH_ALGORITHMS.filter((i) => !provider.supports('auth', i.name)),
			...CRYPT_ALGORITHMS.filter((i) => !provider.supports('crypt', i.name)),
		].map((info) => info.name);
		assert.deepEqual(absent, [
			'cbc(des)',
			'cbc(cast5)',
			'cbc(blowfish)',
			'cbc(serpent)',
			'cbc(twofish)',
		]);
	});

	it('has known answers for every algorithm but those without any', () => {
		const tested = new Set([
			...vectors.aead.map((v) => v.algorithm),
			...vectors.cipher.map((v) => v.algorithm),
			...vectors.mac.map((v) => v.algorithm),
			...vectors.kernelEsp.flatMap((v) => [v.aead?.name, v.crypt?.name, v.auth?.name]),
		]);
		const untested = [
			...AEAD_ALGORITHMS.filter((i) => provider.supports('aead', i.name, i.icvBits)),
			...AUTH_ALGORITHMS.filter((i) => provider.supports('auth', i.name)),
			...CRYPT_ALGORITHMS.filter((i) => provider.supports('crypt', i.name)),
		].filter((info) => !tested.has(info.name));
		assert.deepEqual(untested, []);
	});
});

// One OpenSSL context per key against a new one per packet (cbc-chain.ts).
describe('node provider: kept contexts against plain twins', () => {
	const provider = nodeProvider();

	function sealed(
		spec: Parameters<typeof provider.espKey>[0],
	): (text: Buffer, iv: Buffer) => Buffer {
		const key = provider.espKey(spec);
		return (text, iv) => {
			const bytes = Buffer.concat([iv, text]);
			const batch = new CryptoBatch(1);
			batch.count = 1;
			batch.keys[0] = key;
			batch.bytes[0] = bytes;
			batch.textAt[0] = iv.length;
			batch.textEnd[0] = bytes.length;
			provider.seal(batch);
			assert.equal(batch.status[0], CryptoStatus.Ok);
			return bytes.subarray(iv.length);
		};
	}

	for (const [name, openssl, keyOctets, ivOctets] of [
		['cbc(aes)', 'aes-192-cbc', 24, 16],
		['cbc(camellia)', 'camellia-256-cbc', 32, 16],
		['cbc(des3_ede)', 'des-ede3-cbc', 24, 8],
		['cbc(sm4)', 'sm4-cbc', 16, 16],
	] as const) {
		it(name, () => {
			const key = randomBytes(keyOctets);
			const seal = sealed({ crypt: { name, key }, esn: false });
			for (let packet = 0; packet < 100; packet += 1) {
				const iv = randomBytes(ivOctets);
				const text = randomBytes(ivOctets * (packet % 9));
				const twin = createCipheriv(openssl, key, iv).setAutoPadding(false);
				assert.deepEqual(seal(text, iv), Buffer.concat([twin.update(text), twin.final()]));
			}
		});
	}

	it('rfc3686(ctr(aes))', () => {
		const key = randomBytes(20);
		const seal = sealed({ crypt: { name: 'rfc3686(ctr(aes))', key }, esn: false });
		for (let packet = 0; packet < 100; packet += 1) {
			const iv = randomBytes(8);
			const text = randomBytes(packet * 37);
			const block = Buffer.concat([key.subarray(16), iv, Buffer.of(0, 0, 0, 1)]);
			const twin = createCipheriv('aes-128-ctr', key.subarray(0, 16), block);
			assert.deepEqual(seal(text, iv), twin.update(text));
		}
	});

	it('3DES with a weak key (K1 = K2 = K3), which kernels take', () => {
		const key = Buffer.alloc(24, 1);
		const iv = randomBytes(8);
		const text = randomBytes(64);
		const seal = sealed({ crypt: { name: 'cbc(des3_ede)', key }, esn: false });
		const twin = createCipheriv('des-ede3-cbc', key, iv).setAutoPadding(false);
		assert.deepEqual(seal(text, iv), twin.update(text));
	});

	it('HMAC by two hashes is HMAC', () => {
		for (const [name, openssl] of [
			['hmac(md5)', 'md5'],
			['hmac(sha384)', 'sha384'],
			['hmac(sm3)', 'sm3'],
		] as const) {
			for (let octets = 0; octets < 260; octets += 1) {
				const key = randomBytes(octets);
				const message = randomBytes(octets * 5);
				const mac = createHmac(openssl, key).update(message).digest();
				const batch = new CryptoBatch(1);
				batch.count = 1;
				const made = provider.macKey({ name, key, icvOctets: mac.length, esn: false });
				batch.keys[0] = made;
				batch.bytes[0] = message;
				batch.textEnd[0] = message.length;
				batch.out[0] = mac;
				provider.open(batch);
				assert.equal(batch.status[0], CryptoStatus.Ok, `${name}, key of ${octets} octets`);
			}
		}
	});
});

// @spec T-33 T-34
describe('node provider: deflate', () => {
	const provider = nodeProvider();

	function unpack(packed: Uint8Array, room: number): { status: number; text: Buffer } {
		const batch = new CryptoBatch(1);
		const out = Buffer.alloc(room);
		batch.count = 1;
		batch.keys[0] = provider.compressor('deflate');
		batch.bytes[0] = packed;
		batch.textEnd[0] = packed.length;
		batch.out[0] = out;
		batch.outEnd[0] = room;
		provider.open(batch);
		return { status: batch.status[0] as number, text: out.subarray(0, batch.length[0]) };
	}

	const far = randomBytes(3000);
	const text = Buffer.concat([far, randomBytes(9000), far]);

	it('never refers further back than 2048 octets', () => {
		const batch = new CryptoBatch(1);
		const out = Buffer.alloc(text.length + 100);
		batch.count = 1;
		batch.keys[0] = provider.compressor('deflate');
		batch.bytes[0] = text;
		batch.textEnd[0] = text.length;
		batch.out[0] = out;
		batch.outEnd[0] = out.length;
		provider.seal(batch);
		const packed = out.subarray(0, batch.length[0]);
		assert.deepEqual(inflateRawSync(packed, { windowBits: 11, chunkSize: 64 }), text);
		assert.deepEqual(packed, deflateRawSync(text, { windowBits: 11 }));
	});

	it('takes what a peer with a larger window sends, as a kernel does', () => {
		const packed = deflateRawSync(text, { windowBits: 15 });
		assert.ok(packed.length < text.length - 2900, 'the far repetition was used');
		assert.deepEqual(unpack(packed, text.length), { status: CryptoStatus.Ok, text });
	});

	it('stops at 65400 octets however much room there is', () => {
		const fits = deflateRawSync(Buffer.alloc(65400));
		assert.equal(unpack(fits, 70000).status, CryptoStatus.Ok);
		const tooMuch = deflateRawSync(Buffer.alloc(65401));
		assert.equal(unpack(tooMuch, 70000).status, CryptoStatus.TooLong);
	});

	it('ignores octets behind the end of the stream', () => {
		const packed = Buffer.concat([deflateRawSync(text), Buffer.from('trailing')]);
		assert.deepEqual(unpack(packed, text.length), { status: CryptoStatus.Ok, text });
	});

	it('takes a stream whose end is missing when a zero octet completes it, as a kernel does', () => {
		const packed = deflateRawSync(Buffer.alloc(300));
		assert.equal(packed.at(-1), 0);
		const status = CryptoStatus.Ok;
		assert.deepEqual(unpack(packed.subarray(0, -1), 300), { status, text: Buffer.alloc(300) });
		assert.equal(unpack(packed.subarray(0, -2), 300).status, CryptoStatus.Invalid);
		assert.equal(unpack(Buffer.alloc(0), 300).status, CryptoStatus.Invalid);
	});

	it('refuses a stream that does not end', () => {
		const packed = deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH });
		assert.equal(unpack(packed, text.length + 10).status, CryptoStatus.Invalid);
	});
});
