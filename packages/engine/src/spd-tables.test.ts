/** Which table a policy stands in, and the sizes that the kernel's own tables would have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flow } from '@xfrm/wire';
import { anyAddress, anySelector, type Selector } from '@xfrm/wire/xfrm';
import { selector } from './input-fixture.test.ts';
import { linux61, linux619 } from './kernel-profile.ts';
import { outPolicy } from './output-fixture.test.ts';
import { PolicyList, XfrmPolicy } from './policy.ts';
import { Spd, selectorsEqual } from './spd.ts';

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
	for (const direction of [0, 1, 2]) {
		const spd = new Spd(linux619);
		const masks: number[] = [];
		for (let count = 1; count <= 17; count++) {
			insertMany(spd, 1, direction);
			masks.push(spd.indexMask);
		}
		const expected = [7, 7, 7, 7, 7, 7, 7, 15, 15, 15, 15, 15, 15, 15, 15, 31, 31];
		assert.deepEqual(masks, expected, `direction ${direction}`);
	}
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
test('as many policies as places are not too many', () => {
	const spd = new Spd(linux619);
	insertMany(spd, 8);
	const { newest } = spd;
	assert.ok(newest !== null);
	spd.remove(newest);
	insertMany(spd, 8, 0);
	assert.deepEqual([...spd.counts], [8, 7, 0, 0, 0, 0]);
	assert.equal(spd.indexMask, 15);
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

// @spec P-8
test('the generator of indexes goes on above 2^31, and begins again behind 2^32', () => {
	const spd = new Spd(linux619);
	for (const [last, expected] of [
		[0x7ffffff8, [0x7ffffff9, 0x80000001, 0x80000009]],
		[0xfffffff0 | 0, [0xfffffff1, 0xfffffff9, 1]],
	] as const) {
		Reflect.set(spd, 'indexLast', last);
		assert.deepEqual(
			expected.map(() => spd.freeIndex(1, 0)),
			expected,
		);
	}
});

// @spec P-8
test('the index of a policy that is gone is free', () => {
	const spd = new Spd(linux619);
	const policy = new XfrmPolicy(outPolicy(), 0x4001);
	spd.insert(policy, null);
	spd.remove(policy);
	assert.equal(spd.byPolicyIndex(0x4001), null);
	assert.equal(spd.freeIndex(1, 0x4001), 0x4001);
});

// @spec P-11
test('a threshold may be as long as an address', () => {
	for (const [family, bits] of [
		[2, 32],
		[10, 128],
	] as const) {
		const spd = new Spd(linux619);
		assert.equal(spd.setThreshold(family, bits, bits), undefined);
		for (const [local, remote] of [
			[bits + 1, 0],
			[0, bits + 1],
		] as const) {
			assert.equal(spd.setThreshold(family, local, remote)?.errno, 22);
		}
		assert.deepEqual(family === 2 ? spd.threshold4 : spd.threshold6, [bits, bits]);
	}
});

// @spec P-11
test('what is local is the source outward, and the destination inward and forwarded', () => {
	const rows: readonly (readonly [number, string, string, boolean])[] = [
		[1, '10.0.0.0/24', '10.0.0.0/8', true],
		[1, '10.0.0.0/8', '10.0.0.0/24', false],
		[0, '10.0.0.0/24', '10.0.0.0/8', false],
		[0, '10.0.0.0/8', '10.0.0.0/24', true],
		[2, '10.0.0.0/24', '10.0.0.0/8', false],
		[2, '10.0.0.0/8', '10.0.0.0/24', true],
	];
	for (const [direction, src, dst, isExact] of rows) {
		const spd = new Spd(linux619);
		assert.equal(spd.setThreshold(2, 24, 8), undefined);
		const policy = new XfrmPolicy(outPolicy({ direction, selector: selector({ src, dst }) }), 8);
		spd.insert(policy, null);
		assert.equal(policy.list === PolicyList.Exact, isExact, `${direction} ${src} ${dst}`);
	}
});

// @spec P-4 P-4b
test('an inexact policy stands in a list by which of its addresses are narrow', () => {
	const { Exact, Both, Source, Destination, Any } = PolicyList;
	const rows: readonly (readonly [string, string, PolicyList])[] = [
		['10.1.1.1/32', '10.1.1.1/32', Exact],
		['0.0.0.0/32', '0.0.0.0/32', Exact],
		['10.1.1.1/31', '10.1.1.1/32', Both],
		['10.1.0.0/16', '10.2.0.0/16', Both],
		['10.1.0.0/16', '10.2.0.0/15', Source],
		['10.1.0.0/15', '10.2.0.0/16', Destination],
		['10.1.0.0/15', '10.2.0.0/15', Any],
		['10.1.0.0/16', '0.0.0.0/16', Source],
		['0.0.0.0/16', '10.2.0.0/16', Destination],
		['0.0.0.0/32', '0.0.0.0/0', Any],
		['2001:db8:1::/48', '2001:db8:2::/48', Both],
		['2001:db8:1::/48', '2001:db8:2::/47', Source],
		['2001:db8:1::/47', '2001:db8:2::/48', Destination],
		['2001:db8:1::/47', '2001:db8:2::/47', Any],
		['2001:db8:1::/48', '::/64', Source],
		['::/64', '2001:db8:2::/48', Destination],
		['::/128', '::/127', Any],
		['0:1::/64', '0:0:1::/64', Both],
		['0:0:0:1::/64', '::1/127', Both],
		['::1:0:0/96', '::1:0/112', Both],
	];
	for (const [src, dst, list] of rows) {
		const spd = new Spd(linux619);
		const policy = new XfrmPolicy(outPolicy({ selector: selector({ src, dst }) }), 9);
		spd.insert(policy, null);
		assert.equal(policy.list, list, `${src} ${dst}`);
	}
});

// @spec P-4
test('before 6.12 an exact policy loses a tie to the first of all inexact ones, which is found anew', () => {
	const spd = new Spd(linux61);
	const insert = (dst: string, src: string, priority: number): XfrmPolicy => {
		const config = outPolicy({ selector: selector({ src, dst }), priority });
		const policy = new XfrmPolicy(config, spd.freeIndex(1, 0));
		spd.insert(policy, null);
		return policy;
	};
	const gone = insert('10.0.0.0/8', '0.0.0.0/0', 3);
	const second = insert('10.2.0.0/15', '0.0.0.0/0', 3);
	const exact = insert('10.2.0.1/32', '10.1.0.1/32', 3);
	// Neither a socket's policy nor one of another direction is among them.
	const ofSocket = new XfrmPolicy(outPolicy({ priority: 1 }), 12);
	ofSocket.socketId = 77;
	spd.setSocketPolicy(77, 1, ofSocket);
	spd.insert(new XfrmPolicy(outPolicy({ direction: 0, priority: 1 }), 8), null);
	const flow = new Flow();
	flow.family = 2;
	flow.saddr[0] = 0x0a010001;
	flow.daddr[0] = 0x0a020001;
	assert.equal(spd.best(flow, 1, 0, 0), gone);
	spd.remove(gone);
	assert.equal(spd.best(flow, 1, 0, 0), exact, 'as of the last one inserted');
	insert('192.0.2.0/24', '0.0.0.0/0', 5);
	assert.equal(spd.best(flow, 1, 0, 0), second);
});

// @spec P-4
test('of an IPv4 address the first four octets are looked at', () => {
	const spd = new Spd(linux619);
	const saddr = anyAddress();
	saddr[15] = 1;
	const narrow = { ...selector({ src: '0.0.0.0/16', dst: '10.0.0.0/16' }), saddr };
	const policy = new XfrmPolicy(outPolicy({ selector: narrow }), 9);
	spd.insert(policy, null);
	assert.equal(policy.list, PolicyList.Destination);
});

test('selectors are equal when all their octets are', () => {
	const one: Selector = {
		...selector({ src: '10.1.0.0/16', dst: '10.2.0.0/16' }),
		...{ proto: 6, sport: 1, sportMask: 2, dport: 3, dportMask: 4, ifindex: 5, user: 6 },
	};
	const same = { ...one, saddr: one.saddr.slice(), daddr: one.daddr.slice() };
	assert.equal(selectorsEqual(one, same), true);
	for (const name of Object.keys(one) as (keyof Selector)[]) {
		const value = one[name];
		if (typeof value === 'number') {
			assert.equal(selectorsEqual(one, { ...one, [name]: value + 1 }), false, name);
			continue;
		}
		for (let i = 0; i < 16; i++) {
			const other: Uint8Array = value.slice();
			other[i] = 99;
			assert.equal(selectorsEqual(one, { ...one, [name]: other }), false, `${name} ${i}`);
		}
	}
});
