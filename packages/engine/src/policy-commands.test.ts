import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PolicyConfig, type Selector, UNLIMITED } from '@xfrm/wire/xfrm';
import type { PolicyQuery } from './engine.ts';
import { makeNamespace, NOW_US, selector, template } from './input-fixture.test.ts';
import type { Namespace } from './namespace.ts';
import {
	addPolicy,
	deletePolicy,
	expirePolicy,
	findPolicy,
	flushPolicies,
	setDefault,
	setSocketPolicy,
	setThreshold,
	spdInfo,
	updatePolicy,
} from './policy-commands.ts';
import { snapshotPolicy } from './snapshot.ts';

const EEXIST = 17;
const ENOENT = 2;
const EINVAL = 22;

const tens: Selector = selector({ src: '10.1.0.0/16', dst: '10.2.0.0/16' });

function config(options: Partial<PolicyConfig> = {}): PolicyConfig {
	return {
		selector: tens,
		lifetime: UNLIMITED,
		priority: 5,
		index: 0,
		direction: 1,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		templates: [],
		...options,
	};
}

function query(options: Partial<PolicyQuery> = {}): PolicyQuery {
	const mark = { v: 0, m: 0 };
	return { direction: 1, type: 0, ifId: 0, mark, index: 0, selector: tens, ...options };
}

function errnoOf(answer: { refusal?: { errno: number } | undefined }): number {
	return answer.refusal?.errno ?? 0;
}

function indexes(net: Namespace): number[] {
	return [...net.spd.policies()].map((policy) => policy.index);
}

// @spec P-5 P-6
test('identity is direction, type, if_id, mark and every octet of the selector, nothing else', () => {
	const rows: readonly [Partial<PolicyConfig>, number][] = [
		[{}, EEXIST],
		[{ priority: 9 }, EEXIST],
		[{ action: 1, flags: 1, templates: [template()] }, EEXIST],
		[{ mark: { v: 0, m: 0 } }, EEXIST],
		[{ mark: { v: 1, m: 0 } }, EEXIST],
		[{ direction: 0 }, 0],
		[{ type: 1 }, 0],
		[{ ifId: 1 }, 0],
		[{ mark: { v: 0, m: 1 } }, 0],
		[{ selector: { ...tens, user: 5 } }, 0],
		[{ selector: { ...tens, ifindex: 5 } }, 0],
		[{ selector: { ...tens, dport: 5 } }, 0],
		[{ selector: selector({ src: '10.1.0.9/16', dst: '10.2.0.0/16' }) }, 0],
		[{ selector: { ...tens, proto: 6 } }, 0],
	];
	for (const [options, errno] of rows) {
		const net = makeNamespace();
		addPolicy(net, config());
		const answer = addPolicy(net, config(options));
		assert.equal(errnoOf(answer), errno, JSON.stringify(options));
	}
});

// @spec P-7
test('an update replaces, keeps the index, and begins anew', () => {
	const net = makeNamespace();
	const { value: old } = addPolicy(net, config({ index: 0x101 }));
	addPolicy(net, config({ direction: 0 }));
	assert.ok(old !== undefined);
	old.useTime = 99;
	net.now[0] = NOW_US + 7_000_000;
	const { value: policy } = updatePolicy(net, config({ priority: 7, index: 0x999 }));
	assert.deepEqual([policy?.index, policy?.priority, old.dead], [0x101, 7, true]);
	assert.deepEqual([policy?.addTime, policy?.useTime], [NOW_US / 1e6 + 7, 0]);
	assert.deepEqual(indexes(net), [0x101, 8], 'at the head of the list');
	assert.equal(old.lifetimeTimer.isSet, false);
	assert.deepEqual([...net.spd.counts], [1, 1, 0, 0, 0, 0]);
	assert.equal(findPolicy(net, query({ index: 0x101 })), policy);
	assert.equal(errnoOf(updatePolicy(net, config({ direction: 2 }))), 0, 'without a match it adds');
});

// @spec P-9
test('what is stored: mark masked, no share, templates of family 0 in the policy’s family', () => {
	const net = makeNamespace();
	const { value: policy } = addPolicy(
		net,
		config({ mark: { v: 0x1ff, m: 0xff }, share: 3, templates: [template({ family: 0 })] }),
	);
	assert.ok(policy !== undefined);
	assert.deepEqual(snapshotPolicy(policy), {
		...config({ mark: { v: 0xff, m: 0xff }, templates: [template({ family: 2 })] }),
		index: 1,
		lifetimeCurrent: { bytes: 0, packets: 0, addTime: NOW_US / 1e6, useTime: 0 },
	});
});

// @spec P-5
test('a request finds by index or by selector, and everything else has to be equal', () => {
	const net = makeNamespace();
	const mark = { v: 1, m: 3 };
	const { value: policy } = addPolicy(net, config({ mark, ifId: 4 }));
	const rows: readonly [Partial<PolicyQuery>, boolean][] = [
		[{ mark, ifId: 4 }, true],
		[{ mark, ifId: 4, index: 1, selector: selector({ dst: '0.0.0.0/0' }) }, true],
		[{ mark, ifId: 4, index: 9 }, false],
		[{ mark, ifId: 4, index: 1, direction: 0 }, false],
		[{ mark, ifId: 4, index: 1, type: 1 }, false],
		[{ mark, ifId: 4, type: 1 }, false],
		[{ mark, ifId: 4, direction: 0 }, false],
		[{ mark, ifId: 0 }, false],
		[{ ifId: 4 }, false],
		[{ mark: { v: 5, m: 3 }, ifId: 4 }, false],
		[{ mark: { v: 5, m: 3 }, ifId: 4, index: 1 }, false],
		[{ mark, ifId: 4, selector: { ...tens, prefixlenD: 17 } }, false],
		[{ mark, ifId: 4, direction: 3 }, false],
		[{ mark, ifId: 4, type: 2 }, false],
	];
	for (const [options, found] of rows) {
		const wanted = found ? policy : undefined;
		assert.equal(findPolicy(net, query(options)), wanted, JSON.stringify(options));
	}
	assert.equal(errnoOf(deletePolicy(net, query())), ENOENT);
	const before = net.generation;
	assert.equal(deletePolicy(net, query({ mark, ifId: 4 })).value?.index, 1);
	assert.deepEqual([indexes(net), net.timers.count], [[], 0]);
	assert.ok(net.generation > before);
});

test('what no table has a place for is refused', () => {
	const net = makeNamespace();
	const rows: readonly [Partial<PolicyConfig>, string][] = [
		[{ direction: 3 }, 'Invalid policy direction'],
		[{ type: 2 }, 'Invalid policy type'],
		[{ selector: { ...tens, family: 0 } }, 'Invalid selector family'],
	];
	for (const [options, message] of rows) {
		assert.deepEqual(addPolicy(net, config(options)).refusal, { errno: EINVAL, message });
	}
});

// @spec P-19
test('a flush takes one type, and never a socket’s policy', () => {
	const net = makeNamespace();
	addPolicy(net, config());
	addPolicy(net, config({ direction: 2 }));
	addPolicy(net, config({ type: 1 }));
	assert.equal(setSocketPolicy(net, 7, 1, config()), undefined);
	assert.equal(flushPolicies(net, 0), 2);
	assert.deepEqual(spdInfo(net).counts, [0, 1, 0, 0, 1, 0]);
	assert.equal(flushPolicies(net, 1), 1);
	assert.equal(flushPolicies(net, 1), 0);
});

// @spec P-19 P-8
test('a socket’s policy shows 3 + direction and always is of type main', () => {
	const net = makeNamespace();
	assert.deepEqual(setSocketPolicy(net, 7, 2, config())?.errno, EINVAL);
	setSocketPolicy(net, 7, 1, config({ type: 1, direction: 0 }));
	setSocketPolicy(net, 7, 0, config());
	const shown = [...net.spd.policies()].map(snapshotPolicy);
	assert.deepEqual(
		shown.map(({ direction, type, index }) => [direction, type, index & 7]),
		[
			[3, 0, 3],
			[4, 0, 4],
		],
	);
	setSocketPolicy(net, 7, 1, undefined);
	setSocketPolicy(net, 7, 0, config({ priority: 1 }));
	assert.deepEqual(spdInfo(net).counts, [0, 0, 0, 1, 0, 0]);
});

test('a user may say that a policy expires', () => {
	const net = makeNamespace();
	assert.equal(errnoOf(expirePolicy(net, query(), true)), ENOENT);
	addPolicy(net, config());
	assert.equal(expirePolicy(net, query(), false).value?.index, 1);
	assert.deepEqual(indexes(net), [1]);
	assert.equal(expirePolicy(net, query(), true).value?.index, 1);
	assert.deepEqual([indexes(net), net.events], [[], []]);
});

// @spec D-1 D-2
test('defaults: block and accept only, each direction by itself', () => {
	const net = makeNamespace();
	assert.deepEqual(net.defaults, [2, 2, 2]);
	const before = net.generation;
	setDefault(net, 1, 1);
	setDefault(net, 0, 7);
	setDefault(net, 2, 0);
	setDefault(net, 3, 1);
	assert.deepEqual(net.defaults, [2, 1, 2]);
	assert.equal(net.generation, before + 1);
});

// @spec P-11
test('thresholds are told and kept in bounds', () => {
	const net = makeNamespace();
	assert.equal(setThreshold(net, 2, 16, 24), undefined);
	assert.equal(setThreshold(net, 10, 64, 129)?.errno, EINVAL);
	assert.deepEqual(spdInfo(net), {
		counts: [0, 0, 0, 0, 0, 0],
		bucketMask: 7,
		bucketCountMax: 1048576,
		threshold4: [16, 24],
		threshold6: [128, 128],
	});
});
