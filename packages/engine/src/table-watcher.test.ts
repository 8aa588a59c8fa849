import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import { UNLIMITED } from '@xfrm/wire/xfrm';
import { Engine } from './engine.ts';
import { NOW_US, selector, stateConfig } from './input-fixture.test.ts';
import { linux619 } from './kernel-profile.ts';

test('a watcher is told of every change of the tables, by requests and by time', () => {
	const engine = new Engine({
		profile: linux619,
		provider: nullProvider(),
		random: (octets) => octets.fill(0xc1),
		route: () => undefined,
	});
	const told: string[] = [];
	engine.net.watcher = {
		stateChanged: (state) => told.push(`state ${(state.spi >>> 0).toString(16)}`),
		stateGone: (state) => told.push(`gone ${(state.spi >>> 0).toString(16)}`),
		policyChanged: (policy, replaced) =>
			told.push(`policy ${policy.index}${replaced === null ? '' : ` for ${replaced.index}`}`),
		policyGone: (policy) => told.push(`gone policy ${policy.index}`),
	};
	const take = (): string[] => told.splice(0);
	const config = stateConfig({ lifetime: { ...UNLIMITED, hardAddExpiresSeconds: 10 } });
	const { id, family, saddr } = config;
	const spi = (id.spi >>> 0).toString(16);
	const query = { id, family, mark: 0 };

	engine.addState(config, NOW_US);
	assert.deepEqual(take(), [`state ${spi}`]);
	engine.updateState(config, NOW_US);
	assert.deepEqual(take(), [`state ${spi}`]);
	engine.updateAevent(query, { replayThreshold: 3 }, NOW_US);
	assert.deepEqual(take(), [`state ${spi}`]);
	engine.handleTimeout(NOW_US + 20_000_000);
	assert.deepEqual(take(), [`gone ${spi}`]);

	const asked = {
		id: { ...id, spi: 0 },
		saddr,
		family,
		mode: 1,
		reqid: 1,
		seq: 0,
		min: 256,
		max: 256,
	};
	engine.allocSpi(asked, NOW_US);
	assert.deepEqual(take(), ['state 0', 'state 100']);
	engine.flushStates(0, NOW_US);
	assert.deepEqual(take(), ['gone 100']);

	const policy = {
		selector: selector({ src: '10.1.0.0/16', dst: '10.2.0.0/16' }),
		lifetime: UNLIMITED,
		priority: 5,
		index: 0,
		direction: 1,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		templates: [],
	};
	engine.addPolicy(policy, NOW_US);
	engine.updatePolicy({ ...policy, priority: 6 }, NOW_US);
	engine.flushPolicies(0, NOW_US);
	assert.deepEqual(take(), ['policy 1', 'policy 1 for 1', 'gone policy 1']);
});
