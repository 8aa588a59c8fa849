/** Hashes of the SAD's indexes: they spread, and states whose hashes are equal are told apart all the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stateConfig } from './input-fixture.test.ts';
import { pairHash, Sad, seqHash, wordsAny, wordsEqual } from './sad.ts';
import { wordsAddress } from './selector-match.ts';
import { XfrmState } from './state.ts';

const words = (...values: number[]): Int32Array =>
	Int32Array.of(...values, ...new Array<number>(4 - values.length).fill(0));

test('a word is spread as by the finalizer of MurmurHash3', () => {
	// Its known answers for numbers below 2^16, which its first shift, left out here, does not change.
	assert.deepEqual(
		[0, 1, 2].map((seq) => seqHash(seq) >>> 0),
		[0, 0x514e28b7, 0x30f4c306],
	);
});

// @spec S-1
test('every word of an IPv6 address counts in a hash, of IPv4 there is one', () => {
	const plain = words(1, 2, 3, 4);
	for (let place = 0; place < 4; place++) {
		const other = plain.slice();
		other[place] = 9;
		for (const family of [2, 10]) {
			const counts = family === 10 || place === 0;
			const name = `family ${family}, word ${place}`;
			assert.equal(pairHash(family, other, plain) !== pairHash(family, plain, plain), counts, name);
			assert.equal(pairHash(family, plain, other) !== pairHash(family, plain, plain), counts, name);
			assert.equal(wordsEqual(plain, other, family), !counts, name);
			const only = words();
			only[place] = 9;
			assert.equal(wordsAny(only, family), !counts, name);
		}
	}
	for (const family of [2, 10]) {
		assert.equal(wordsEqual(plain, plain.slice(), family), true);
		assert.equal(wordsAny(words(), family), true);
	}
});

/** What a state is found by. */
interface Identity {
	readonly family: number;
	readonly daddr: Int32Array;
	readonly saddr: Int32Array;
	readonly spi: number;
	readonly proto: number;
}

function made({ family, daddr, saddr, spi, proto }: Identity): XfrmState {
	const state = new XfrmState({
		...stateConfig({ proto, family }),
		id: { daddr: wordsAddress(daddr), spi: spi >>> 0, proto },
		saddr: wordsAddress(saddr),
	});
	assert.deepEqual([state.spi, state.family], [spi, family]);
	return state;
}

const mixed = (hash: number, word: number): number => seqHash(hash ^ word);

/** Another first and second word with which an IPv6 address has the same hash, if `hash` stands before it. */
function sameHash(hash: number, address: Int32Array): Int32Array {
	const other = address.slice();
	other[0] = (address[0] ?? 0) ^ 0x55;
	other[1] = mixed(hash, address[0] ?? 0) ^ (address[1] ?? 0) ^ mixed(hash, other[0] ?? 0);
	return other;
}

/** An IPv6 address that begins like this IPv4 address and has its hash, if `hash` stands before it. */
function likeIpv4(hash: number, hash4: number, address: Int32Array): Int32Array {
	const first = address[0] ?? 0;
	const third = mixed(mixed(mixed(hash, first), 0), 0);
	return words(first, 0, 0, third ^ hash4 ^ first);
}

const SPI = 0x1234;
const V4: Identity = {
	family: 2,
	daddr: words(0x0a000001),
	saddr: words(0x0a000002),
	spi: SPI,
	proto: 50,
};
const V6: Identity = {
	...V4,
	family: 10,
	daddr: words(0x20010db8, 1, 2, 3),
	saddr: words(0x20010db8, 4, 5, 6),
};

// @spec S-3 S-4 S-5
test('states whose hashes are equal are told apart by each field', () => {
	const spiAndProto = mixed(SPI, 50);
	const bySpi: readonly (readonly [string, Identity, Identity])[] = [
		['SPI and protocol', V4, { ...V4, spi: SPI ^ 1, proto: 51 }],
		['destination', V6, { ...V6, daddr: sameHash(spiAndProto, V6.daddr) }],
		['family', { ...V6, daddr: likeIpv4(spiAndProto, spiAndProto, V4.daddr) }, V4],
	];
	for (const [name, there, wanted] of bySpi) {
		const sad = new Sad();
		sad.insert(made(there));
		const { family, daddr, spi, proto } = wanted;
		assert.equal(sad.bySpi(family, daddr, spi, proto, 0), null, name);
		assert.equal(sad.isTaken(family, daddr, made(wanted), 0), false, name);
		assert.equal(sad.spiInUse(spi, proto), name !== 'SPI and protocol', name);
		const state = made(wanted);
		sad.insert(state);
		assert.equal(sad.bySpi(family, daddr, spi, proto, 0), state, name);
		assert.equal(sad.isTaken(family, daddr, state, 0), false, `${name}: it may stay where it is`);
		assert.equal(sad.isTaken(family, daddr, made(wanted), 0), true, name);
	}
	const behind6 = V6.daddr.reduce(mixed, V6.family);
	const before4 = mixed(V4.family, V4.daddr[0] ?? 0);
	const like4 = words(V4.daddr[0] ?? 0).reduce(mixed, V6.family);
	const byAddress: readonly (readonly [string, Identity, Identity])[] = [
		['protocol', V4, { ...V4, proto: 51 }],
		['destination', V6, { ...V6, daddr: sameHash(V6.family, V6.daddr) }],
		['source', V6, { ...V6, saddr: sameHash(behind6, V6.saddr) }],
		['family', { ...V6, daddr: V4.daddr, saddr: likeIpv4(like4, before4, V4.saddr) }, V4],
	];
	for (const [name, there, wanted] of byAddress) {
		const sad = new Sad();
		const other = made(there);
		sad.insert(other);
		const { family, daddr, saddr, proto } = wanted;
		if (name !== 'protocol') {
			assert.equal(
				pairHash(family, daddr, saddr),
				pairHash(other.family, other.daddr, other.saddr),
				name,
			);
		}
		assert.equal(sad.byAddress(family, daddr, saddr, proto, 0), null, name);
		const state = made(wanted);
		sad.insert(state);
		assert.equal(sad.byAddress(family, daddr, saddr, proto, 0), state, name);
	}
});

// @spec S-4
test('who is taken is told by mark too', () => {
	const sad = new Sad();
	const mark = { v: 5, m: 0xff };
	sad.insert(new XfrmState({ ...made(V4).config, mark }));
	assert.equal(sad.isTaken(2, V4.daddr, made(V4), 5), true);
	assert.equal(sad.isTaken(2, V4.daddr, made(V4), 6), false);
});
