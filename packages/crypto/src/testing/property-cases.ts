/** What must hold for every algorithm, key size and length, beside the known answers. */

import { CryptoBatch, type CryptoKey, type CryptoProvider, CryptoStatus } from '../provider.ts';
import { type Case, expectSame, seededOctets } from './case.ts';
import { EspJob, openOne, sealOne } from './esp-job.ts';
import { aeadRows, authRows, cryptRows, type KeyRow } from './key-table.ts';
import { need } from './vector-cases.ts';

/** Lengths where blocks, padding and stack buffers have their edges, and full-size packets. */
const LONG_LENGTHS: readonly number[] = [255, 256, 257, 1023, 1024, 1392, 1400, 1408, 1500];

function jobOf(row: KeyRow, textOctets: number, seed: number): EspJob {
	return new EspJob({
		header: seededOctets(8, seed),
		iv: seededOctets(row.ivOctets, seed + 1),
		text: seededOctets(textOctets, seed + 2),
		icv: new Uint8Array(row.icvOctets),
		seqHi: (seed * 0x01010101) | 0,
	});
}

function* lengths(row: KeyRow, lengthMax: number): Generator<number> {
	for (let length = 0; length <= lengthMax; length += row.blockOctets) {
		yield length;
	}
	for (const length of LONG_LENGTHS) {
		if (length % row.blockOctets === 0) {
			yield length;
		}
	}
}

/** @spec T-4 T-5 T-8 */
function sealsAndOpens(provider: CryptoProvider, row: KeyRow, lengthMax: number): void {
	const sealing = need(provider.espKey(row.spec));
	// Another key object, so that nothing can pass from sealing to opening but the packet.
	const opening = need(provider.espKey(row.spec));
	expectSame(sealing.icvOctets, row.icvOctets, 'ICV octets');
	const changes = row.spec.aead?.name !== 'rfc4543(gcm(aes))' && row.ivOctets > 0;
	for (const length of lengths(row, lengthMax)) {
		const plain = jobOf(row, length, length);
		const job = plain.copy();
		expectSame(sealOne(provider, sealing, job), CryptoStatus.Ok, `seal of ${length} octets`);
		job.expectUntouched(plain);
		if (length >= 16) {
			expectSame(String(job.text) !== String(plain.text), changes, 'the text is encrypted');
		}
		expectSame(openOne(provider, opening, job), CryptoStatus.Ok, `open of ${length} octets`);
		job.expectUntouched(plain);
		expectSame(job.text, plain.text, `text of ${length} octets`);
	}
}

/** Every bit of header, IV, text and ICV, and with ESN of seqHi. */
function refusesFlippedBits(provider: CryptoProvider, row: KeyRow): void {
	const key = need(provider.espKey(row.spec));
	const sealed = jobOf(row, 32, 3);
	sealOne(provider, key, sealed);
	for (let bit = sealed.aadAt * 8; bit < sealed.icvEnd * 8; bit += 1) {
		const job = sealed.copy();
		job.bytes[bit >> 3] = (job.bytes[bit >> 3] as number) ^ (1 << (bit & 7));
		expectSame(openOne(provider, key, job), CryptoStatus.BadIcv, `status with bit ${bit} flipped`);
	}
	const job = sealed.copy();
	for (let bit = 0; bit < 32; bit += 1) {
		job.seqHi = sealed.seqHi ^ (1 << bit);
		const expected = row.spec.esn ? CryptoStatus.BadIcv : CryptoStatus.Ok;
		expectSame(
			openOne(provider, key, job.copy()),
			expected,
			`status with bit ${bit} of seqHi flipped`,
		);
	}
	expectSame(openOne(provider, key, sealed), CryptoStatus.Ok, 'status of the packet as it was');
}

/** A batch of all keys in turn gives the same octets and statuses as its jobs one by one. */
function batchEqualsSingles(provider: CryptoProvider, rows: readonly KeyRow[]): void {
	const count = rows.length * 2;
	const batch = new CryptoBatch(count);
	batch.count = count;
	const keys: CryptoKey[] = rows.map((row) => need(provider.espKey(row.spec)));
	const together: EspJob[] = [];
	const alone: EspJob[] = [];
	for (let i = 0; i < count; i += 1) {
		const row = rows[i % rows.length] as KeyRow;
		const job = jobOf(row, row.blockOctets * (1 + (i % 7)), i);
		together.push(job);
		alone.push(job.copy());
		job.put(batch, i, keys[i % rows.length]);
	}
	provider.seal(batch);
	for (let i = 0; i < count; i += 1) {
		const job = alone[i] as EspJob;
		const status = sealOne(provider, keys[i % rows.length], job);
		expectSame(batch.status[i], status, `status of seal ${i}`);
		expectSame(together[i]?.bytes, job.bytes, `octets of seal ${i}`);
	}
	for (let i = 0; i < count; i += 3) {
		const job = together[i] as EspJob;
		job.bytes[job.aadAt] = (job.bytes[job.aadAt] as number) ^ 1;
		(alone[i] as EspJob).bytes.set(job.bytes);
	}
	provider.open(batch);
	for (let i = 0; i < count; i += 1) {
		const job = alone[i] as EspJob;
		const status = openOne(provider, keys[i % rows.length], job);
		expectSame(batch.status[i], status, `status of open ${i}`);
		if (status === CryptoStatus.Ok) {
			expectSame(together[i]?.bytes, job.bytes, `octets of open ${i}`);
		}
	}
}

/** A truncated ICV is the beginning of the full one, for each key. */
function truncatesFromTheEnd(provider: CryptoProvider, rows: readonly KeyRow[]): void {
	for (const row of rows) {
		const auth = row.spec.auth;
		if (auth === undefined) {
			continue;
		}
		const icvOctets = row.icvOctetsMax;
		const part = jobOf(row, 50, 9);
		const whole = jobOf({ ...row, icvOctets }, 50, 9);
		sealOne(provider, provider.espKey(row.spec), part);
		sealOne(provider, provider.espKey({ ...row.spec, auth: { ...auth, icvOctets } }), whole);
		expectSame(part.icv, whole.icv.slice(0, row.icvOctets), row.name);
	}
}

function wholeBlocksOnly(provider: CryptoProvider, row: KeyRow): void {
	const key = need(provider.espKey(row.spec));
	const job = jobOf(row, row.blockOctets + 1, 0);
	expectSame(sealOne(provider, key, job), CryptoStatus.Invalid, 'seal');
	expectSame(openOne(provider, key, job), CryptoStatus.Invalid, 'open');
	const whole = jobOf(row, row.blockOctets, 0);
	const back = whole.copy();
	sealOne(provider, key, back);
	openOne(provider, key, back);
	expectSame(back.text, whole.text, 'the key still works');
}

/** The longest IP packet, and one octet more than any. */
function takesLongestPackets(provider: CryptoProvider, row: KeyRow): void {
	const key = need(provider.espKey(row.spec));
	const overhead = 8 + row.ivOctets;
	const most = 65535 - overhead - row.icvOctets;
	const plain = jobOf(row, most - (most % row.blockOctets), 1);
	const job = plain.copy();
	expectSame(sealOne(provider, key, job), CryptoStatus.Ok, 'seal');
	expectSame(openOne(provider, key, job), CryptoStatus.Ok, 'open');
	expectSame(job.text, plain.text, 'text');
}

function authNames(rows: readonly KeyRow[]): readonly string[] {
	return [...new Set(rows.map((row) => row.spec.auth?.name ?? ''))];
}

function oneOfEach(rows: readonly KeyRow[]): readonly KeyRow[] {
	const byName = new Map<string, KeyRow>();
	for (const row of rows) {
		const { aead, auth, crypt, esn } = row.spec;
		if (row.icvOctets >= 8) {
			byName.set(`${aead?.name} ${crypt?.name} ${auth?.name} ${esn}`, row);
		}
	}
	return [...byName.values()];
}

/** Round trips, tampering, batches and limits for all that the provider says it can do. */
export function propertyCases(provider: CryptoProvider): readonly Case[] {
	const aeads = aeadRows(provider);
	const crypts = cryptRows(provider);
	const auths = authRows(provider);
	const samples = oneOfEach([...aeads, ...crypts, ...auths]);
	const roundTrip = (row: KeyRow, lengthMax: number): Case => ({
		name: `round trip: ${row.name}`,
		run: () => sealsAndOpens(provider, row, lengthMax),
	});
	return [
		...[...aeads, ...crypts].map((row) => roundTrip(row, 200)),
		...authNames(auths).map((name) => ({
			name: `round trip: ${name}, every key size and truncation`,
			run: (): void => {
				for (const row of auths.filter((other) => other.spec.auth?.name === name)) {
					sealsAndOpens(provider, row, row.icvOctets === row.icvOctetsMax ? 200 : 10);
				}
			},
		})),
		...samples.map((row) => ({
			name: `any flipped bit: ${row.name}`,
			run: (): void => refusesFlippedBits(provider, row),
		})),
		...samples.map((row) => ({
			name: `longest packet: ${row.name}`,
			run: (): void => takesLongestPackets(provider, row),
		})),
		...crypts
			.filter((row) => row.blockOctets > 1 && row.icvOctets === 0)
			.map((row) => ({
				name: `whole blocks only: ${row.name}`,
				run: (): void => wholeBlocksOnly(provider, row),
			})),
		{
			name: 'a batch of mixed keys equals its jobs one by one',
			run: (): void => batchEqualsSingles(provider, [...aeads, ...crypts, ...samples]),
		},
		{
			name: 'a truncated ICV is the beginning of the full one',
			run: (): void => truncatesFromTheEnd(provider, auths),
		},
	];
}
