/** The rest of the provider's contract: what it refuses, wiping, compression. */

import { AEAD_ALGORITHMS, AUTH_ALGORITHMS, CRYPT_ALGORITHMS } from '../algorithms.ts';
import { CryptoBatch, type CryptoProvider, CryptoStatus } from '../provider.ts';
import { type Case, expectRangeError, expectSame, seededOctets } from './case.ts';
import { EspJob, messageBatch, openOne, sealOne } from './esp-job.ts';
import { aeadRows, authRows, cryptRows } from './key-table.ts';
import { need } from './vector-cases.ts';

const NONE = new Uint8Array(0);

function job(icvOctets: number): EspJob {
	return new EspJob({
		header: seededOctets(8, 0),
		iv: seededOctets(16, 1),
		text: seededOctets(32, 2),
		icv: new Uint8Array(icvOctets),
		seqHi: 0,
	});
}

/** A key comes back exactly for what `supports` says yes to; an unknown name is no error. */
function keysAgreeWithSupports(provider: CryptoProvider): void {
	for (const { name, icvBits, keyOctets } of AEAD_ALGORITHMS) {
		const key = new Uint8Array(keyOctets[0] as number);
		const made = provider.espKey({ aead: { name, key, icvOctets: icvBits / 8 }, esn: false });
		expectSame(made !== undefined, provider.supports('aead', name, icvBits), `${name} ${icvBits}`);
	}
	for (const { name, keyOctets } of AUTH_ALGORITHMS) {
		const key = new Uint8Array(keyOctets?.[0] ?? 16);
		const made = provider.macKey({ name, key, icvOctets: 0, esn: false });
		expectSame(made !== undefined, provider.supports('auth', name), name);
	}
	for (const { name, keyOctetsMax } of CRYPT_ALGORITHMS) {
		const key = new Uint8Array(keyOctetsMax);
		const made = provider.espKey({ crypt: { name, key }, esn: false });
		expectSame(made !== undefined, provider.supports('crypt', name), name);
	}
	for (const name of ['deflate', 'lzs', 'lzjh']) {
		expectSame(provider.compressor(name) !== undefined, provider.supports('comp', name), name);
	}
	expectSame(provider.supports('aead', 'rfc4106(gcm(aes))', 104), false, 'an ICV of 104 bits');
	expectSame(provider.supports('crypt', 'hmac(sha1)'), false, 'a MAC as a cipher');
	expectSame(provider.supports('auth', 'cbc(aes)'), false, 'a cipher as a MAC');
}

function refusesWrongKeys(provider: CryptoProvider): void {
	const key = new Uint8Array(17);
	const aead = { name: 'rfc4106(gcm(aes))', key, icvOctets: 16 };
	const crypt = { name: 'cbc(aes)', key };
	const auth = { name: 'hmac(sha1)', key, icvOctets: 12 };
	const good = { name: 'cbc(aes)', key: new Uint8Array(16) };
	const cases: readonly (readonly [string, () => unknown])[] = [
		['AEAD key of 17 octets', () => provider.espKey({ aead, esn: false })],
		['cipher key of 17 octets', () => provider.espKey({ crypt, esn: false })],
		[
			'XCBC key of 17 octets',
			() => provider.macKey({ name: 'xcbc(aes)', key, icvOctets: 12, esn: false }),
		],
		['ICV longer than the MAC', () => provider.macKey({ ...auth, icvOctets: 21, esn: false })],
		['AEAD and cipher', () => provider.espKey({ aead, crypt: good, esn: false })],
		['MAC alone in ESP', () => provider.espKey({ auth, esn: false })],
		['nothing', () => provider.espKey({ esn: false })],
	];
	for (const [what, run] of cases) {
		expectRangeError(run, what);
	}
}

/** The provider keeps a copy: what the caller does to its own afterwards does not matter. */
function copiesKeys(provider: CryptoProvider): void {
	for (const row of [...aeadRows(provider), ...cryptRows(provider), ...authRows(provider)]) {
		const copyOf = <T extends { key: Uint8Array }>(part: T | undefined): T | undefined =>
			part && { ...part, key: part.key.slice() };
		const { aead, auth, crypt, esn } = row.spec;
		const parts = { aead: copyOf(aead), auth: copyOf(auth), crypt: copyOf(crypt) };
		const key = provider.espKey({
			...(parts.aead && { aead: parts.aead }),
			...(parts.auth && { auth: parts.auth }),
			...(parts.crypt && { crypt: parts.crypt }),
			esn,
		});
		parts.aead?.key.fill(0xff);
		parts.auth?.key.fill(0xff);
		parts.crypt?.key.fill(0xff);
		const mine = job(row.icvOctets);
		const theirs = job(row.icvOctets);
		sealOne(provider, key, mine);
		sealOne(provider, provider.espKey(row.spec), theirs);
		expectSame(mine.bytes, theirs.bytes, row.name);
	}
}

/** A wiped key is not usable any more, used before or not, and its twin is not harmed. */
function wipes(provider: CryptoProvider): void {
	for (const row of [...aeadRows(provider), ...cryptRows(provider), ...authRows(provider)]) {
		const { aead, auth, crypt } = row.spec;
		const cipherIsNull = crypt?.name === 'ecb(cipher_null)';
		if (aead === undefined && cipherIsNull && (auth?.name ?? 'digest_null') === 'digest_null') {
			continue;
		}
		const twin = need(provider.espKey(row.spec));
		const before = job(row.icvOctets);
		sealOne(provider, twin, before);
		for (const used of [false, true]) {
			const key = need(provider.espKey(row.spec));
			if (used) {
				sealOne(provider, key, job(row.icvOctets));
				openOne(provider, key, before.copy());
			}
			key.wipe();
			key.wipe();
			let thrown = false;
			try {
				sealOne(provider, key, job(row.icvOctets));
			} catch {
				thrown = true;
			}
			expectSame(thrown, true, `${row.name}: use after wipe throws`);
		}
		const after = job(row.icvOctets);
		sealOne(provider, twin, after);
		expectSame(after.bytes, before.bytes, `${row.name}: the twin`);
	}
}

function answersEachJob(provider: CryptoProvider): void {
	const batch = new CryptoBatch(3);
	batch.count = 2;
	const name = 'ecb(cipher_null)';
	job(0).put(batch, 0, undefined);
	job(0).put(batch, 1, provider.espKey({ crypt: { name, key: NONE }, esn: false }));
	job(0).put(batch, 2, undefined);
	provider.seal(batch);
	expectSame(batch.status, Int32Array.of(CryptoStatus.NotSupported, CryptoStatus.Ok, -1), 'seal');
	batch.status.fill(-1);
	provider.open(batch);
	expectSame(batch.status, Int32Array.of(CryptoStatus.NotSupported, CryptoStatus.Ok, -1), 'open');
}

/** @spec T-33 T-34 */
function packsAndUnpacks(provider: CryptoProvider): void {
	const key = need(provider.compressor('deflate'));
	expectSame(key.icvOctets, 0, 'ICV octets');
	const texts = [1, 90, 600, 1400, 9000, 65400].map((n) => seededOctets(n, n).map((x) => x & 15));
	for (const text of [NONE, ...texts]) {
		const packed = new Uint8Array(text.length + 64);
		const packing = messageBatch(key, text, NONE, packed);
		provider.seal(packing);
		expectSame(packing.status[0], CryptoStatus.Ok, `packing ${text.length} octets`);
		const packedOctets = packing.length[0] as number;
		const back = new Uint8Array(text.length + 1);
		const unpacking = messageBatch(key, packed.slice(0, packedOctets), NONE, back);
		provider.open(unpacking);
		expectSame(unpacking.status[0], CryptoStatus.Ok, `unpacking ${text.length} octets`);
		expectSame(unpacking.length[0], text.length, 'length');
		expectSame(back.slice(0, text.length), text, 'text');
	}
}

function boundsResults(provider: CryptoProvider): void {
	const key = need(provider.compressor('deflate'));
	const text = new Uint8Array(60000);
	const packed = new Uint8Array(200);
	const packing = messageBatch(key, text, NONE, packed);
	provider.seal(packing);
	const bomb = packed.slice(0, packing.length[0]);
	const small = new Uint8Array(100).fill(0xa5);
	const unpacking = messageBatch(key, bomb, NONE, small);
	unpacking.outEnd[0] = 99;
	provider.open(unpacking);
	expectSame(unpacking.status[0], CryptoStatus.TooLong, 'unpacking into 99 octets');
	expectSame(small, new Uint8Array(100).fill(0xa5), 'what lies there');
	unpacking.outEnd[0] = 0;
	provider.open(unpacking);
	expectSame(unpacking.status[0], CryptoStatus.TooLong, 'unpacking into nothing');
	const noise = messageBatch(key, seededOctets(500, 1), NONE, new Uint8Array(400));
	provider.seal(noise);
	expectSame(noise.status[0], CryptoStatus.TooLong, 'packing 500 random octets into 400');
}

function survivesDamage(provider: CryptoProvider): void {
	const key = need(provider.compressor('deflate'));
	const text = seededOctets(700, 5).map((x) => x & 7);
	const packed = new Uint8Array(700);
	const packing = messageBatch(key, text, NONE, packed);
	provider.seal(packing);
	const whole = packed.slice(0, packing.length[0]);
	const allowed: readonly number[] = [CryptoStatus.Ok, CryptoStatus.Invalid, CryptoStatus.TooLong];
	for (let at = 0; at < whole.length; at += 1) {
		const cut = messageBatch(key, whole.slice(0, at), NONE, new Uint8Array(1000));
		provider.open(cut);
		// The zero octet that is added may happen to end the stream.
		expectSame(allowed.includes(cut.status[0] as number), true, `a known status, cut at ${at}`);
		const damaged = whole.slice();
		damaged[at] = (damaged[at] as number) ^ 0x55;
		const batch = messageBatch(key, damaged, NONE, new Uint8Array(1000));
		provider.open(batch);
		expectSame(
			allowed.includes(batch.status[0] as number),
			true,
			`a known status, damage at ${at}`,
		);
	}
	for (let seed = 0; seed < 300; seed += 1) {
		const batch = messageBatch(key, seededOctets(60, seed), NONE, new Uint8Array(1000));
		provider.open(batch);
		expectSame(allowed.includes(batch.status[0] as number), true, `a known status, noise ${seed}`);
	}
}

/** What a provider refuses, how it forgets, and its compressor if it has one. */
export function contractCases(provider: CryptoProvider): readonly Case[] {
	const cases: Case[] = [
		{ name: 'keys agree with supports()', run: () => keysAgreeWithSupports(provider) },
		{ name: 'wrong key lengths are RangeErrors', run: () => refusesWrongKeys(provider) },
		{ name: 'keys are copied', run: () => copiesKeys(provider) },
		{ name: 'wiped keys are unusable', run: () => wipes(provider) },
		{ name: 'jobs 0 … count - 1 get a status', run: () => answersEachJob(provider) },
	];
	if (provider.supports('comp', 'deflate')) {
		cases.push(
			{ name: 'deflate: what is packed can be unpacked', run: () => packsAndUnpacks(provider) },
			{ name: 'deflate: results stay in their bounds', run: () => boundsResults(provider) },
			{ name: 'deflate: damage gives a status', run: () => survivesDamage(provider) },
		);
	}
	return cases;
}
