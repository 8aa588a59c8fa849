import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LifetimeConfig, UNLIMITED } from '@xfrm/wire/xfrm';
import { makeNamespace, NOW_US, selector, stateConfig } from './input-fixture.test.ts';
import { checkExpire, stateTimeout } from './lifetime.ts';
import { TIMEOUT_STEPS_MAX } from './limits.ts';
import type { Namespace } from './namespace.ts';
import { addPolicy } from './policy-commands.ts';
import { Current, StateCondition, type XfrmState } from './state.ts';
import { addState, updateState } from './state-commands.ts';
import { handleTimeout } from './timeouts.ts';

const SECOND = 1_000_000;
const EINVAL = 22;
const START_SECONDS = Math.floor(NOW_US / SECOND);

function added(limits: Partial<LifetimeConfig>): { net: Namespace; state: XfrmState } {
	const net = makeNamespace();
	const { value: state } = addState(net, stateConfig({ lifetime: { ...UNLIMITED, ...limits } }));
	assert.ok(state !== undefined);
	return { net, state };
}

/** Events as `seconds kind hard`, seconds since the start, while time goes on second by second. */
function run(net: Namespace, seconds: number, each?: (second: number) => void): string[] {
	const told: string[] = [];
	for (let second = 1; second <= seconds; second++) {
		handleTimeout(net, NOW_US + second * SECOND);
		for (let event = net.takeEvent(); event !== undefined; event = net.takeEvent()) {
			if (event.kind === 'expire' || event.kind === 'policy-expire') {
				told.push(`${second} ${event.hard ? 'hard' : 'soft'}`);
			}
		}
		each?.(second);
	}
	return told;
}

/** Sends packets, of 100 octets unless told otherwise; how many went. */
function send(net: Namespace, state: XfrmState, count: number, octets: number = 100): number {
	let sent = 0;
	for (; sent < count && state.condition === StateCondition.Valid; sent++) {
		if (checkExpire(net, state) !== 0) {
			break;
		}
		state.lifetime[Current.Bytes] = (state.lifetime[Current.Bytes] ?? 0) + octets;
		state.lifetime[Current.Packets] = (state.lifetime[Current.Packets] ?? 0) + 1;
	}
	return sent;
}

// @spec L-1 L-2 L-3
test('N packets pass a limit of N; the packet that crosses a limit of octets passes', () => {
	const rows: readonly [Partial<LifetimeConfig>, number, string[]][] = [
		[{}, 9, []],
		[{ hardPacketLimit: 3 }, 3, ['hard']],
		[{ hardPacketLimit: 0 }, 0, ['hard']],
		[{ hardByteLimit: 250 }, 3, ['hard']],
		[{ hardByteLimit: 200 }, 2, ['hard']],
		[{ softPacketLimit: 2 }, 9, ['soft']],
		[{ softByteLimit: 101, hardPacketLimit: 4 }, 4, ['soft', 'hard']],
	];
	for (const [limits, count, events] of rows) {
		const { net, state } = added(limits);
		assert.equal(send(net, state, 9), count, JSON.stringify(limits));
		const told = net.events.map((event) =>
			event.kind === 'expire' ? (event.hard ? 'hard' : 'soft') : event.kind,
		);
		assert.deepEqual(told, events, JSON.stringify(limits));
		const gone = events.includes('hard');
		assert.equal(net.sad.count, gone ? 0 : 1);
		assert.equal(state.dying, events.includes('soft'));
	}
});

// @spec L-1 L-3
test('limits that were far away when they were looked at are met at their packet', () => {
	const longest = 65_575;
	const rows: readonly [Partial<LifetimeConfig>, number, number][] = [
		[{ softPacketLimit: 5000, hardPacketLimit: 7000 }, 5000, 7000],
		[{ softByteLimit: 5000 * longest, hardByteLimit: 7000 * longest }, 5000, 7000],
		[{ softByteLimit: 5000 * longest, hardPacketLimit: 5001 }, 5000, 5001],
		[{ softPacketLimit: 5000, hardByteLimit: 20_000 * longest - 1 }, 5000, 20_000],
	];
	for (const [limits, soft, hard] of rows) {
		const { net, state } = added(limits);
		assert.equal(send(net, state, soft, longest), soft);
		assert.deepEqual([state.dying, net.events.length], [false, 0], JSON.stringify(limits));
		assert.equal(send(net, state, 1, longest), 1);
		assert.deepEqual([state.dying, net.events.length], [true, 1], JSON.stringify(limits));
		assert.equal(send(net, state, hard - soft, longest), hard - soft - 1, JSON.stringify(limits));
	}
});

// @spec L-2
test('the packet that meets a hard limit is refused, and the state is gone before the next', () => {
	const { net, state } = added({ hardPacketLimit: 1 });
	assert.equal(checkExpire(net, state), 0);
	state.lifetime[Current.Packets] = 1;
	assert.equal(checkExpire(net, state), EINVAL);
	assert.deepEqual([net.sad.count, state.condition], [0, StateCondition.Dead]);
	const [event] = net.events;
	assert.ok(event?.kind === 'expire');
	assert.equal(event.state.lifetimeCurrent.packets, 1);
});

// @spec L-10
test('use_time is set once, by the first packet', () => {
	const { net, state } = added({});
	checkExpire(net, state);
	net.now[0] = NOW_US + 5 * SECOND;
	checkExpire(net, state);
	assert.equal(state.lifetime[Current.UseTime], START_SECONDS);
});

// @spec L-4 L-5 L-6
test('time limits of states', () => {
	const rows: readonly [string, Partial<LifetimeConfig>, number, string[]][] = [
		['hard', { hardAddExpiresSeconds: 4 }, 0, ['4 hard']],
		[
			'soft once, then hard',
			{ softAddExpiresSeconds: 2, hardAddExpiresSeconds: 5 },
			0,
			['2 soft', '5 hard'],
		],
		['soft alone', { softAddExpiresSeconds: 3 }, 0, ['3 soft']],
		[
			'use limits never while unused',
			{ softUseExpiresSeconds: 2, hardUseExpiresSeconds: 3 },
			0,
			[],
		],
		[
			'use limits from the first use',
			{ softUseExpiresSeconds: 2, hardUseExpiresSeconds: 3 },
			2,
			['4 soft', '5 hard'],
		],
	];
	for (const [name, limits, useAt, events] of rows) {
		const { net, state } = added(limits);
		const told = run(net, 10, (second) => {
			if (second === useAt) {
				checkExpire(net, state);
			}
		});
		assert.deepEqual(told, events, name);
		assert.equal(net.sad.count, events.some((event) => event.endsWith('hard')) ? 0 : 1, name);
	}
});

// @spec L-4
test('one late call tells what many punctual ones would have told', () => {
	const { net } = added({ softAddExpiresSeconds: 10, hardAddExpiresSeconds: 20 });
	handleTimeout(net, NOW_US + 100 * SECOND);
	assert.deepEqual(
		net.events.map((event) => event.kind === 'expire' && event.hard),
		[false, true],
	);
	assert.equal(net.now[0], NOW_US + 100 * SECOND);
});

// @spec L-5
test('after an update soft limits count again', () => {
	const { net } = added({ softPacketLimit: 1 });
	const [state] = net.sad.states();
	assert.ok(state !== undefined);
	send(net, state, 3);
	const lifetime = { ...UNLIMITED, softPacketLimit: 5 };
	updateState(net, stateConfig({ lifetime }));
	assert.equal(state.dying, false);
	send(net, state, 3);
	assert.deepEqual(
		net.events.map((event) => event.kind),
		['expire', 'expire'],
	);
});

// @spec L-7
test('a clock that jumps over both limits brings the soft one first', () => {
	const { net, state } = added({ softAddExpiresSeconds: 10, hardAddExpiresSeconds: 20 });
	handleTimeout(net, NOW_US + SECOND);
	assert.deepEqual([state.softAddPending, state.softAddSeconds], [true, 9]);
	net.now[0] = NOW_US + 1000 * SECOND;
	stateTimeout(net, state);
	assert.deepEqual(
		net.events.map((event) => event.kind === 'expire' && event.hard),
		[false],
	);
	// Born as if the nine seconds before the soft limit had just passed.
	assert.equal(state.lifetime[Current.AddTime], START_SECONDS + 1000 - 9 - 1);
	assert.deepEqual([state.dying, net.sad.count], [true, 1]);
});

test('years of a timer that ticks each second are not lived through', () => {
	const { net } = added({ hardUseExpiresSeconds: 1 });
	handleTimeout(net, NOW_US + 10 * TIMEOUT_STEPS_MAX * SECOND);
	assert.ok(net.timers.next() > NOW_US + 10 * TIMEOUT_STEPS_MAX * SECOND);
});

function addedPolicy(limits: Partial<LifetimeConfig>): Namespace {
	const net = makeNamespace();
	addPolicy(net, {
		selector: selector({ dst: '10.0.0.0/8' }),
		lifetime: { ...UNLIMITED, ...limits },
		priority: 0,
		index: 0,
		direction: 1,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		templates: [],
	});
	return net;
}

// @spec P-15 P-16
test('time limits of policies: soft is told every 30 s, use counts from the adding', () => {
	const rows: readonly [string, Partial<LifetimeConfig>, number, string[]][] = [
		['hard', { hardAddExpiresSeconds: 4 }, 5, ['4 hard']],
		[
			'soft again and again',
			{ softAddExpiresSeconds: 1, hardAddExpiresSeconds: 70 },
			80,
			['1 soft', '31 soft', '61 soft', '70 hard'],
		],
		['never used', { hardUseExpiresSeconds: 3 }, 5, ['3 hard']],
		['byte and packet limits are not looked at', { hardByteLimit: 0, hardPacketLimit: 0 }, 5, []],
	];
	for (const [name, limits, seconds, events] of rows) {
		const net = addedPolicy(limits);
		assert.deepEqual(run(net, seconds), events, name);
		const gone = events.some((event) => event.endsWith('hard'));
		assert.deepEqual([...net.spd.policies()].length, gone ? 0 : 1, name);
	}
});
