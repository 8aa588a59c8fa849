import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UNLIMITED, UNUSED } from '@xfrm/wire/xfrm';
import { addPolicy, addState, makeNamespace, NOW_US, stateConfig } from './input-fixture.test.ts';
import { restoreLarval, restorePolicyUse, restoreStateUse } from './restore.ts';
import { snapshotPolicy, snapshotState } from './snapshot.ts';
import { StateCondition } from './state.ts';
import { handleTimeout } from './timeouts.ts';

const NOW = NOW_US / 1_000_000;

test('a larval state is back as it was, and goes when its time after adding has come', () => {
	const net = makeNamespace();
	const { aead: _, auth: __, crypt: ___, ...config } = stateConfig();
	const state = restoreLarval(
		net,
		{
			...config,
			lifetime: { ...UNLIMITED, hardAddExpiresSeconds: 30 },
			lifetimeCurrent: { ...UNUSED, addTime: NOW - 20 },
		},
		NOW_US,
	);
	assert.equal(state.condition, StateCondition.Acq);
	assert.equal(snapshotState(state).lifetimeCurrent.addTime, NOW - 20);
	const at = (seconds: number): number => {
		handleTimeout(net, NOW_US + seconds * 1_000_000);
		return net.sad.count;
	};
	assert.deepEqual([at(9), at(11)], [1, 0]);
});

test('statistics and times of use are what was told', () => {
	const net = makeNamespace();
	const state = addState(net);
	const stats = { replayWindow: 3, replay: 2, integrityFailed: 1 };
	restoreStateUse(state, stats, NOW - 5);
	assert.deepEqual(snapshotState(state).stats, stats);
	assert.equal(snapshotState(state).lastUsed, NOW - 5);
	const policy = addPolicy(net);
	restorePolicyUse(policy, { ...UNUSED, addTime: NOW - 9, useTime: NOW - 1 });
	const { addTime, useTime } = snapshotPolicy(policy).lifetimeCurrent;
	assert.deepEqual([addTime, useTime], [NOW - 9, NOW - 1]);
});
