/** Which table a policy stands in, and the sizes that the kernel's own tables would have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flow } from '@xfrm/wire';
import { anySelector } from '@xfrm/wire/xfrm';
import { linux619 } from './kernel-profile.ts';
import { outPolicy } from './output-fixture.test.ts';
import { XfrmPolicy } from './policy.ts';
import { Spd } from './spd.ts';

interface Place {
	readonly direction: number;
	readonly type: number;
	readonly family: number;
}

const places: readonly Place[] = [0, 1, 2].flatMap((direction) =>
	[0, 1].flatMap((type) => [2, 10].map((family) => ({ direction, type, family }))),
);

/** A policy for everything of a family. */
function made({ direction, type, family }: Place): XfrmPolicy {
	const selector = anySelector(family);
	return new XfrmPolicy(outPolicy({ direction, type, selector }), 8 + direction);
}

// @spec P-2
test('a policy is met in its direction, type and family only', () => {
	for (const there of places) {
		const spd = new Spd(linux619);
		const policy = made(there);
		spd.insert(policy, null);
		for (const asked of places) {
			const flow = new Flow();
			flow.family = asked.family;
			const found = spd.best(flow, asked.direction, asked.type, 0);
			const name = JSON.stringify([there, asked]);
			assert.equal(found, asked === there ? policy : null, name);
			assert.equal(spd.twin(made(asked)), asked === there ? policy : null, name);
		}
	}
});

/** Inserts so many policies, each of an identity of its own. */
function insertMany(spd: Spd, count: number, direction = 1): void {
	for (let i = 0; i < count; i++) {
		const index = spd.freeIndex(direction, 0);
		const selector = { ...anySelector(2), user: index };
		spd.insert(new XfrmPolicy(outPolicy({ direction, selector }), index), null);
	}
}

// @spec N-13
test('the index table doubles when a direction has more policies than places', () => {
	const spd = new Spd(linux619);
	const masks: number[] = [];
	for (let count = 1; count <= 17; count++) {
		insertMany(spd, 1);
		masks.push(spd.indexMask);
	}
	assert.deepEqual(masks, [
		...new Array<number>(7).fill(7),
		...new Array<number>(8).fill(15),
		31,
		31,
	]);
});

// @spec N-13
test('all directions count together, once one of them has too many', () => {
	const spd = new Spd(linux619);
	for (const direction of [0, 1, 2]) {
		insertMany(spd, 7, direction);
	}
	assert.equal(spd.indexMask, 7, 'none has');
	insertMany(spd, 1, 2);
	assert.equal(spd.indexMask, 15, 'one step');
	insertMany(spd, 1, 2);
	assert.equal(spd.indexMask, 15, 'that one has room now');
	insertMany(spd, 1, 0);
	assert.equal(spd.indexMask, 31, 'and 24 are more than 15');
});

// @spec N-13
test('the index table has at most 2^20 places', () => {
	const spd = new Spd(linux619);
	spd.counts[1] = 3_000_000;
	insertMany(spd, 30);
	assert.equal(spd.indexMask, 0xfffff);
});

// @spec P-8
test('an index is a u32, wherever it comes from', () => {
	const spd = new Spd(linux619);
	const index = spd.freeIndex(1, 0x80000001 | 0);
	assert.equal(index, 0x80000001);
	const policy = new XfrmPolicy(outPolicy(), index);
	spd.insert(policy, null);
	assert.equal(spd.byPolicyIndex(0x80000001), policy);
	assert.equal(spd.byPolicyIndex(0x80000001 | 0), policy);
	assert.notEqual(spd.freeIndex(1, 0x80000001 | 0), index, 'taken');
});
