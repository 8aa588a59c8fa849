import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type StateConfig, UNLIMITED } from '@xfrm/wire/xfrm';
import type { MigrateStateRequest } from './engine.ts';
import {
	address,
	addState,
	familyOf,
	makeNamespace,
	SPI,
	type StateOptions,
	selector,
	stateConfig,
} from './input-fixture.test.ts';
import { linux72 } from './kernel-profile.ts';
import { migrateState } from './migrate-state.ts';
import type { Namespace } from './namespace.ts';
import { StateCondition, type XfrmState } from './state.ts';
import { updateAevent } from './state-commands.ts';

const ESRCH = 3;
const EEXIST = 17;
const EINVAL = 22;

const udp = { type: 2, sport: 4500, dport: 4501, oa: address('0.0.0.0') };
const hosts = selector({ src: '192.0.2.1/32', dst: '192.0.2.2/32' });
const nets = selector({ src: '10.1.0.0/16', dst: '10.2.0.0/16' });

function request(
	options: Partial<MigrateStateRequest> & { readonly src?: string; readonly dst?: string } = {},
): MigrateStateRequest {
	const { src = '198.51.100.1', dst = '198.51.100.2', ...rest } = options;
	return {
		id: { daddr: address('192.0.2.2'), spi: SPI, proto: 50 },
		family: 2,
		oldMark: { v: 0, m: 0 },
		to: { daddr: address(dst), saddr: address(src), family: familyOf(dst) },
		reqid: 1,
		selector: nets,
		...rest,
	};
}

/** The same, with the selector that follows the hosts. */
function following(options: Parameters<typeof request>[0] = {}): MigrateStateRequest {
	const { selector: _, ...rest } = request(options);
	return rest;
}

function prepared(options: StateOptions = {}): { net: Namespace; old: XfrmState } {
	const net = makeNamespace(linux72);
	return { net, old: addState(net, options) };
}

/** Moves and answers the state in the table, the only one. */
function moved(net: Namespace, asked: MigrateStateRequest): XfrmState {
	const answer = migrateState(net, asked);
	assert.equal(answer.refusal, undefined, answer.refusal?.message);
	assert.ok(answer.value !== undefined);
	assert.deepEqual([...net.sad.states()], [answer.value]);
	return answer.value;
}

// @spec G-9
test('a state moves with all that it has become; what is not named is inherited', () => {
	const options: StateOptions = {
		aead: {
			name: 'rfc4106(gcm(aes))',
			key: new Uint8Array(20).fill(5),
			keyBits: 160,
			icvBits: 128,
		},
		mark: { v: 1, m: 0xf },
		outputMark: { v: 7, m: 7 },
		encap: udp,
		direction: 2,
		natKeepaliveSeconds: 20,
		replayWindow: 0,
		ifId: 4,
		tfcpad: 100,
		seq: 9,
		flags: 1,
		extraFlags: 2,
		lifetime: { ...UNLIMITED, hardAddExpiresSeconds: 100 },
	};
	const { net, old } = prepared(options);
	old.lifetime.set([100, 3, 5, 6, 7]);
	old.replay.counters.set([-8, 0, 9, 0]);
	old.replay.bitmap[0] = 0xf;
	const state = moved(net, request({ oldMark: { v: 1, m: 0xf }, reqid: 77 }));
	assert.equal(old.condition, StateCondition.Dead);
	const { mappingThresholdSeconds, ...config } = state.config;
	const want: StateConfig = {
		...stateConfig(options),
		id: { daddr: address('198.51.100.2'), spi: SPI, proto: 50 },
		saddr: address('198.51.100.1'),
		reqid: 77,
		selector: nets,
	};
	assert.deepEqual(config, want);
	assert.equal(mappingThresholdSeconds, 0);
	assert.deepEqual([...state.lifetime], [100, 3, 5, 6, 7]);
	assert.deepEqual([...state.replay.counters, ...state.replay.bitmap], [-8, 0, 9, 0, 0xf]);
	assert.deepEqual(
		[state.condition, state.seq, state.ifId, state.direction, state.reqid],
		[StateCondition.Valid, 9, 4, 2, 77],
	);
	assert.equal(state.lifetimeTimer.isSet, true, 'its limit in time goes on');
});

// @spec G-9
test('windows of any size go along, and the values that were reported', () => {
	const replayEsn = {
		bmpLen: 4,
		oseq: 1,
		seq: 5,
		oseqHi: 2,
		seqHi: 3,
		replayWindow: 100,
		bmp: Uint32Array.of(1, 2, 3, 4),
	};
	const { net, old } = prepared({ flags: 128, replayWindow: 0, replayEsn });
	old.replay.setCounters(11, 2, 55, 3);
	old.replay.bitmap[2] = 9;
	const state = moved(net, request());
	assert.deepEqual([...state.replay.counters], [11, 2, 55, 3]);
	assert.deepEqual([...state.replay.bitmap], [1, 2, 9, 4]);
	assert.deepEqual([...state.replay.reportedCounters], [1, 2, 5, 3]);
});

// @spec G-9
test('what is named replaces, and none is a word too', () => {
	const rows: readonly [
		name: string,
		StateOptions,
		Partial<MigrateStateRequest>,
		(state: XfrmState) => unknown,
		unknown,
	][] = [
		['another mark', {}, { mark: { v: 5, m: 7 } }, (s) => s.config.mark, { v: 5, m: 7 }],
		[
			'no mark',
			{ mark: { v: 1, m: 1 } },
			{ oldMark: { v: 1, m: 1 }, mark: { v: 0, m: 0 } },
			(s) => [s.markValue, s.markMask],
			[0, 0],
		],
		['a mark is masked', {}, { mark: { v: 0xff, m: 0xf } }, (s) => s.markValue, 0xf],
		[
			'the mark that it was found by',
			{ mark: { v: 1, m: 1 } },
			{ oldMark: { v: 3, m: 3 } },
			(s) => s.config.mark,
			{ v: 3, m: 3 },
		],
		[
			'output mark',
			{ outputMark: { v: 1, m: 1 } },
			{ outputMark: { v: 0, m: 0 } },
			(s) => [s.outputMarkValue, s.outputMarkMask],
			[0, 0],
		],
		['encapsulation', {}, { encap: udp }, (s) => s.encap, udp],
		[
			'no encapsulation, and what hangs on it',
			{ encap: udp, direction: 1, mappingThresholdSeconds: 9 },
			{ encap: null },
			(s) => [s.encap, s.mappingThresholdSeconds, s.config.mappingThresholdSeconds],
			[undefined, 0, undefined],
		],
		[
			'the threshold stays',
			{ encap: udp, mappingThresholdSeconds: 9 },
			{},
			(s) => s.mappingThresholdSeconds,
			9,
		],
		[
			'another threshold',
			{ encap: udp, mappingThresholdSeconds: 9 },
			{ mappingThresholdSeconds: 0 },
			(s) => s.mappingThresholdSeconds,
			0,
		],
		[
			'keepalives with new encapsulation',
			{ direction: 2, replayWindow: 0 },
			{ encap: udp, natKeepaliveSeconds: 30 },
			(s) => s.config.natKeepaliveSeconds,
			30,
		],
		[
			'a selector without family',
			{},
			{ selector: { ...nets, family: 0, prefixlenD: 0, prefixlenS: 0 } },
			(s) => [s.config.selector.family, s.selector.family],
			[0, 0],
		],
	];
	for (const [name, options, asked, look, want] of rows) {
		const { net } = prepared(options);
		assert.deepEqual(look(moved(net, request(asked))), want, name);
	}
});

test('a threshold that NEWAE set stays too', () => {
	const { net } = prepared({ encap: udp });
	const query = { id: request().id, family: 2, mark: 0 };
	updateAevent(net, query, { mappingThresholdSeconds: 12 });
	assert.equal(moved(net, request()).mappingThresholdSeconds, 12);
});

// @spec G-9
test('a selector of two hosts follows them, also to the other family', () => {
	const { net } = prepared({ selector: { ...hosts, dport: 80, proto: 6 } });
	const state = moved(net, following({ src: '2001:db8::1', dst: '2001:db8::2' }));
	assert.deepEqual(state.config.selector, {
		...selector({ src: '2001:db8::1/128', dst: '2001:db8::2/128' }),
		dport: 80,
		proto: 6,
	});
	const { net: other } = prepared({ selector: nets });
	assert.deepEqual(migrateState(other, following()).refusal, {
		errno: EINVAL,
		message: 'SA selector is not a single-host match for SA addresses',
	});
});

// @spec G-9
test('refusals leave everything as it was', () => {
	const rows: readonly [name: string, StateOptions, MigrateStateRequest, number, string?][] = [
		['other SPI', {}, request({ id: { ...request().id, spi: 5 } }), ESRCH, 'Can not find state'],
		['other mark', { mark: { v: 1, m: 1 } }, request(), ESRCH],
		['other family', {}, request({ family: 10 }), ESRCH],
		['transport across families', { mode: 0 }, request({ dst: '2001:db8::2' }), EINVAL],
		[
			'non-IKE encapsulation',
			{},
			request({ encap: { ...udp, type: 1 } }),
			EINVAL,
			'Unsupported encapsulation type',
		],
		[
			'threshold without encapsulation',
			{},
			request({ mappingThresholdSeconds: 0 }),
			EINVAL,
			'MTIMER_THRESH requires encapsulation',
		],
		[
			'threshold outward',
			{ encap: udp, direction: 2, replayWindow: 0 },
			request({ mappingThresholdSeconds: 5 }),
			EINVAL,
			'MTIMER_THRESH should not be set on output SA',
		],
		[
			'keepalive without encapsulation',
			{ encap: udp, direction: 2, replayWindow: 0 },
			request({ encap: null, natKeepaliveSeconds: 5 }),
			EINVAL,
			'NAT_KEEPALIVE_INTERVAL requires encapsulation',
		],
		[
			'keepalive inward',
			{ encap: udp, direction: 1 },
			request({ natKeepaliveSeconds: 5 }),
			EINVAL,
			'NAT keepalive is only supported for outbound SAs',
		],
		['not VALID', { condition: StateCondition.Expired }, request(), ESRCH, 'State already deleted'],
	];
	for (const [name, options, asked, errno, message] of rows) {
		const { net, old } = prepared(options);
		const { refusal } = migrateState(net, asked);
		assert.equal(refusal?.errno, errno, name);
		assert.equal(message === undefined || refusal?.message === message, true, refusal?.message);
		assert.deepEqual([...net.sad.states()], [old], name);
		assert.notEqual(old.key, undefined, name);
	}
});

// @spec G-9
test('an identity that is taken is refused before anything changes', () => {
	const taken: StateOptions = { src: '203.0.113.1', dst: '198.51.100.2' };
	const rows: readonly [string, StateOptions, MigrateStateRequest, number | undefined][] = [
		['another one there', taken, request(), EEXIST],
		['there with another mark', { ...taken, mark: { v: 1, m: 1 } }, request(), undefined],
		[
			'a mark that leads to it',
			{ mark: { v: 1, m: 1 } },
			request({
				dst: '192.0.2.2',
				mark: { v: 1, m: 1 },
			}),
			EEXIST,
		],
	];
	for (const [name, other, asked, errno] of rows) {
		const net = makeNamespace(linux72);
		const second = addState(net, other);
		const old = addState(net, {});
		assert.equal(migrateState(net, asked).refusal?.errno, errno, name);
		if (errno !== undefined) {
			assert.deepEqual([...net.sad.states()], [old, second], name);
			assert.equal(old.condition, StateCondition.Valid, name);
		}
	}
	const { net } = prepared({ mark: { v: 0, m: 0 } });
	const mark = { v: 1, m: 1 };
	const state = moved(net, request({ dst: '192.0.2.2', mark }));
	assert.deepEqual(state.config.mark, mark, 'its own wide mask is no collision');
});

test('the new state answers a larval one at its new place', () => {
	const { net } = prepared();
	addState(net, {
		src: '198.51.100.1',
		dst: '198.51.100.2',
		spi: 0,
		condition: StateCondition.Acq,
	});
	moved(net, request());
});

// @spec S-19 G-9
test('an IPComp tunnel that moves takes its helper’s place', () => {
	const { net } = prepared({ proto: 108, spi: 0x100, replayWindow: 0 });
	const id = { ...request().id, spi: 0x100, proto: 108 };
	assert.equal(migrateState(net, request({ id })).refusal, undefined);
	assert.deepEqual(
		[...net.sad.states()].map((state) => [state.proto, state.helperUsers, state.config.saddr]),
		[
			[108, 0, address('198.51.100.1')],
			[4, 1, address('198.51.100.1')],
		],
	);
});
