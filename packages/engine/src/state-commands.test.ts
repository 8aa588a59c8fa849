import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mode, type StateConfig, UNLIMITED } from '@xfrm/wire/xfrm';
import type { AllocSpiRequest, StateQuery } from './engine.ts';
import {
	address,
	makeNamespace,
	NOW_US,
	SPI,
	type StateOptions,
	selector,
	stateConfig,
} from './input-fixture.test.ts';
import { linux61, linux619 } from './kernel-profile.ts';
import { allocSpi } from './larval.ts';
import type { Namespace } from './namespace.ts';
import { Current, StateCondition } from './state.ts';
import {
	addState,
	deleteStateByQuery,
	expireState,
	findState,
	flushStates,
	sadInfo,
	updateAevent,
	updateState,
} from './state-commands.ts';
import { handleTimeout } from './timeouts.ts';

function query(options: StateOptions = {}, mark = 0): StateQuery {
	const { id, family, saddr } = stateConfig(options);
	return { id, family, saddr, mark };
}

function errnoOf(answer: { refusal?: { errno: number } | undefined }): number {
	return answer.refusal?.errno ?? 0;
}

/** SPIs of all states, newest first. */
function spis(net: Namespace): number[] {
	return [...net.sad.states()].map((state) => state.spi >>> 0);
}

function events(net: Namespace): string[] {
	const kinds: string[] = [];
	for (let event = net.takeEvent(); event !== undefined; event = net.takeEvent()) {
		kinds.push(event.kind === 'expire' ? `expire ${event.hard ? 'hard' : 'soft'}` : event.kind);
	}
	return kinds;
}

const EEXIST = 17;
const ESRCH = 3;
const EINVAL = 22;
const ENOENT = 2;
const EPERM = 1;

// @spec S-3 S-4
test('whether two states can stand side by side depends on marks and on the order', () => {
	const mark = (v: number, m: number): StateOptions => ({ mark: { v, m } });
	const rows: readonly [StateOptions, StateOptions, number][] = [
		[{}, {}, EEXIST],
		[{}, { ifId: 5 }, EEXIST],
		[{}, { src: '192.0.2.9', reqid: 7 }, EEXIST],
		[{}, { spi: SPI + 1 }, 0],
		[{}, { dst: '192.0.2.3' }, 0],
		[{}, { proto: 51 }, 0],
		[{}, mark(5, 0xff), EEXIST],
		[mark(5, 0xff), {}, 0],
		[mark(5, 0xff), mark(6, 0xff), 0],
		[mark(5, 0xff), mark(0x105, 0xff), EEXIST],
	];
	for (const [first, second, errno] of rows) {
		const net = makeNamespace();
		assert.equal(errnoOf(addState(net, stateConfig(first))), 0);
		const answer = addState(net, stateConfig(second));
		assert.equal(errnoOf(answer), errno, JSON.stringify([first, second]));
	}
});

// @spec S-2
test('a mark is masked when a state is added, not when it is allocated', () => {
	const net = makeNamespace();
	const added = addState(net, stateConfig({ mark: { v: 0x1ff, m: 0xf } })).value;
	assert.deepEqual([added?.markValue, added?.config.mark], [0xf, { v: 0xf, m: 0xf }]);
	const larval = allocSpi(net, request({ mark: { v: 0x1ff, m: 0xf } })).value;
	assert.deepEqual([larval?.markValue, larval?.config.mark], [0x1ff, { v: 0x1ff, m: 0xf }]);
	assert.equal(findState(net, query({ spi: 0x100 }, 0xf)), undefined, 'it is never found');
});

// @spec S-5 S-6
test('protocols without SPI are known by their addresses; SPI 0 is in no index', () => {
	const net = makeNamespace();
	const coaddr = address('2001:db8::9');
	const ro: StateOptions = {
		proto: 60,
		spi: 0,
		mode: Mode.RouteOptimization,
		src: '2001:db8::1',
		dst: '2001:db8::2',
		replayWindow: 0,
		coaddr,
	};
	const added = addState(net, stateConfig(ro)).value;
	assert.ok(added !== undefined);
	assert.equal(errnoOf(addState(net, stateConfig(ro))), EEXIST);
	assert.equal(errnoOf(addState(net, stateConfig({ ...ro, src: '2001:db8::3' }))), 0);
	assert.equal(findState(net, query(ro)), added);
	const { id, family } = stateConfig(ro);
	assert.equal(errnoOf(deleteStateByQuery(net, { id, family, mark: 0 })), EINVAL);
	assert.equal(errnoOf(updateAevent(net, query(ro), { replayThreshold: 1 })), ESRCH);
	assert.equal(errnoOf(addState(net, stateConfig({ spi: 0 }))), 0);
	assert.equal(errnoOf(addState(net, stateConfig({ spi: 0 }))), 0, 'twice');
	assert.equal(findState(net, query({ spi: 0 })), undefined);
});

function request(options: Partial<AllocSpiRequest> = {}): AllocSpiRequest {
	const { id, saddr, family } = stateConfig({ spi: 0 });
	return {
		id,
		saddr,
		family,
		mode: 1,
		reqid: 1,
		seq: 0,
		min: 0x100,
		max: 0x100,
		...options,
	};
}

// @spec S-2 S-7 A-3
test('a larval state is answered by sequence number or by tuple, silently', () => {
	const net = makeNamespace();
	const first = allocSpi(net, request()).value;
	assert.equal(errnoOf(addState(net, stateConfig({ spi: 0x100 }))), EEXIST, 'its SPI is taken');
	assert.equal(first?.condition, StateCondition.Acq);
	assert.equal(errnoOf(allocSpi(net, request({ min: 0x100, max: 0x100 }))), ENOENT);
	assert.deepEqual(spis(net), [0, 0x100], 'the larval state stays behind without SPI');
	assert.equal(errnoOf(addState(net, stateConfig({ spi: 0x200, reqid: 2 }))), 0);
	assert.deepEqual(spis(net), [0x200, 0, 0x100], 'another reqid answers nothing');
	assert.equal(errnoOf(addState(net, stateConfig({ spi: 0x201 }))), 0);
	assert.deepEqual(spis(net), [0x201, 0x200, 0x100]);
	assert.deepEqual(events(net), []);
});

// @spec S-10
test('an update of a larval state replaces it, with the direction of the new one', () => {
	const rows: readonly [number | undefined, number | undefined, number][] = [
		[undefined, undefined, 0],
		[2, undefined, 0],
		[2, 2, 0],
		[2, 1, ESRCH],
		[undefined, 1, ESRCH],
	];
	for (const [old, update, errno] of rows) {
		const net = makeNamespace();
		allocSpi(net, request(old === undefined ? {} : { direction: old }));
		const config = stateConfig({
			spi: 0x100,
			...(update === undefined ? {} : { direction: update }),
		});
		assert.equal(errnoOf(updateState(net, config)), errno, `${old} ${update}`);
		if (errno === 0) {
			const [state] = net.sad.states();
			assert.deepEqual(
				[state?.condition, state?.direction, net.sad.count],
				[StateCondition.Valid, update ?? 0, 1],
			);
		}
	}
});

// @spec S-11
test('an update of a valid state changes a few fields and no other', () => {
	const net = makeNamespace();
	const encap = { type: 2, sport: 4500, dport: 4500, oa: address('0.0.0.0') };
	addState(net, stateConfig({ encap }));
	const [old] = net.sad.states();
	assert.ok(old !== undefined);
	old.dying = true;
	old.lifetime[Current.Packets] = 7;
	old.packetsToSpare = 1000;
	const lifetime = { ...UNLIMITED, hardPacketLimit: 100 };
	const answer = updateState(
		net,
		stateConfig({
			encap: { ...encap, sport: 4501 },
			lifetime,
			outputMark: { v: 5, m: 0xff },
			ifId: 9,
			reqid: 99,
			mode: 0,
			flags: 2,
			tfcpad: 100,
			replayWindow: 4,
			selector: selector({ dst: '10.0.0.0/8' }),
			aead: {
				name: 'rfc4106(gcm(aes))',
				key: new Uint8Array(20).fill(3),
				keyBits: 160,
				icvBits: 64,
			},
		}),
	);
	assert.equal(errnoOf(answer), 0);
	assert.deepEqual([...net.sad.states()], [old]);
	assert.equal(answer.value?.reqid, 99, 'the answer tells what was asked for (N-17)');
	assert.deepEqual(
		[old.encap?.sport, old.outputMarkValue, old.outputMarkMask, old.ifId, old.dying],
		[4501, 5, 0xff, 9, false],
	);
	assert.deepEqual([old.config.lifetime, old.packetsToSpare], [lifetime, 0]);
	assert.deepEqual([old.reqid, old.mode, old.flags, old.tfcpad], [1, 1, 0, 0]);
	assert.deepEqual([old.replay.windowPackets, old.icvOctets], [32, 16]);
	assert.deepEqual([old.lifetime[Current.Packets], old.config.selector.prefixlenD], [7, 0]);
});

// @spec S-11 S-19
test('updates that do not fit are refused', () => {
	const encap = (type: number): StateOptions => ({
		encap: { type, sport: 1, dport: 2, oa: address('0.0.0.0') },
	});
	const rows: readonly [StateOptions, StateOptions, number][] = [
		[{}, { spi: 5 }, ESRCH],
		[{}, encap(2), EINVAL],
		[encap(2), {}, EINVAL],
		[encap(1), encap(2), EINVAL],
		[{ direction: 2 }, {}, ESRCH],
		[{ direction: 1 }, { direction: 2, replayWindow: 0 }, ESRCH],
	];
	for (const [old, update, errno] of rows) {
		const net = makeNamespace(old.direction === undefined ? linux61 : linux619);
		assert.equal(errnoOf(addState(net, stateConfig(old))), 0);
		const answer = updateState(net, stateConfig(update));
		assert.equal(errnoOf(answer), errno, JSON.stringify([old, update]));
	}
});

// @spec S-11 L-1
test('an update with a limit that is passed already expires the state', () => {
	const net = makeNamespace();
	addState(net, stateConfig());
	const [state] = net.sad.states();
	assert.ok(state !== undefined);
	state.lifetime[Current.Packets] = 5;
	state.lifetime[Current.UseTime] = 1;
	const lifetime = { ...UNLIMITED, hardPacketLimit: 5 };
	assert.equal(errnoOf(updateState(net, stateConfig({ lifetime }))), 0);
	assert.deepEqual([spis(net), events(net)], [[], ['expire hard']]);
});

// @spec S-12
test('the answer to a deletion has the keys, the deleted state has none', () => {
	const net = makeNamespace();
	const key = Uint8Array.from({ length: 20 }, (_, i) => i + 1);
	const aead = { name: 'rfc4106(gcm(aes))', key, keyBits: 160, icvBits: 128 };
	const { value: state } = addState(net, stateConfig({ aead }));
	const before = net.generation;
	const { value: snapshot } = deleteStateByQuery(net, query());
	assert.deepEqual(snapshot?.aead, aead);
	assert.deepEqual([...(state?.config.aead?.key ?? [])], new Array(20).fill(0));
	assert.deepEqual([state?.key, state?.condition], [undefined, StateCondition.Dead]);
	assert.ok(net.generation > before);
	assert.equal(net.timers.count, 0);
	assert.equal(errnoOf(deleteStateByQuery(net, query())), ESRCH);
});

const comp: StateOptions = { proto: 108, spi: 0x100, replayWindow: 0 };

// @spec S-19 T-32 T-40
test('an IPComp tunnel brings a helper that cannot be touched and goes with its last user', () => {
	for (const [src, dst, proto, spi] of [
		['192.0.2.1', '192.0.2.2', 4, 0xc0000201],
		['2001:db8::1', '2001:db8::2', 41, 1],
	] as const) {
		const net = makeNamespace(linux61);
		const made = { ...comp, src, dst };
		addState(net, stateConfig(made));
		addState(net, stateConfig({ ...made, spi: 0x101 }));
		const all = [...net.sad.states()];
		assert.deepEqual(
			all.map((state) => [state.proto, state.spi >>> 0, state.kernelOwned]),
			[
				[108, 0x101, false],
				[108, 0x100, false],
				[proto, spi, true],
			],
		);
		const helper = { ...query({ src, dst }), id: { ...query({ dst }).id, proto, spi } };
		assert.equal(findState(net, helper), all[2]);
		assert.equal(errnoOf(deleteStateByQuery(net, helper)), EPERM);
		assert.equal(errnoOf(addState(net, stateConfig(made))), EEXIST);
		assert.equal(all[2]?.helperUsers, 2, 'a refused state gives its use back');
		deleteStateByQuery(net, query(made));
		assert.equal(net.sad.count, 2);
		assert.equal(flushStates(net, 108), 1);
		assert.deepEqual(
			[net.sad.count, net.helperSpis.spiOf(all[2]?.saddr ?? new Int32Array(4))],
			[0, 0],
		);
	}
});

// @spec S-19
test('in newer kernels a refused state, or one that changed another, keeps the helper alive', () => {
	for (const again of [addState, updateState]) {
		const net = makeNamespace(linux619);
		const made = { ...comp, src: '192.0.2.1', dst: '192.0.2.2' };
		addState(net, stateConfig(made));
		again(net, stateConfig(made));
		deleteStateByQuery(net, query(made));
		assert.deepEqual(
			[...net.sad.states()].map(({ proto, helperUsers }) => [proto, helperUsers]),
			[[4, 1]],
		);
	}
});

// @spec S-19
test('a flush takes a protocol, all of them, or ESP, AH and IPComp', () => {
	for (const [proto, left] of [
		[0, 0],
		[255, 1],
		[50, 4],
		[99, 5],
	] as const) {
		const net = makeNamespace();
		addState(net, stateConfig());
		addState(net, stateConfig({ proto: 51 }));
		addState(net, stateConfig({ ...comp }));
		const ro = { proto: 43, spi: 0, mode: 2, replayWindow: 0, coaddr: address('2001:db8::9') };
		addState(net, stateConfig({ ...ro, src: '2001:db8::1', dst: '2001:db8::2' }));
		const count = flushStates(net, proto);
		assert.equal(net.sad.count, left, `proto ${proto}`);
		assert.equal(count, proto === 0 ? 4 : proto === 255 ? 3 : proto === 50 ? 1 : 0);
	}
});

// @spec A-3 L-8
test('an SPI is drawn from its range, kept when there is one, and refused when none is free', () => {
	const net = makeNamespace();
	const first = allocSpi(net, request({ seq: 0, min: 0x100, max: 0x1ff })).value;
	// The fixture's random octets are all 7: 7/256 of the range.
	assert.equal(first?.spi, 0x107);
	assert.equal(first?.config.selector.family, 0);
	assert.equal(first?.config.lifetime.hardAddExpiresSeconds, 30);
	const taken = allocSpi(net, request({ reqid: 2, min: 0x107, max: 0x107 }));
	assert.deepEqual(taken.refusal, {
		errno: ENOENT,
		message: 'No SPI available in the requested range',
	});
	const ah = { ...request().id, proto: 51 };
	assert.equal(errnoOf(allocSpi(net, request({ id: ah, min: 0x107, max: 0x107 }))), 0);
	for (const [bad, message] of [
		[{ min: 2, max: 1 }, 'Invalid SPI range: min > max'],
		[{ id: { ...ah, proto: 108 }, max: 0x10000 }, 'IPCOMP SPI must be <= 65535'],
		[{ id: { ...ah, proto: 4 } }, 'Invalid protocol, must be one of AH, ESP, IPCOMP'],
	] as const) {
		assert.deepEqual(allocSpi(net, request(bad)).refusal, { errno: EINVAL, message });
	}
	handleTimeout(net, NOW_US + 30_000_000);
	assert.deepEqual([spis(net), events(net)], [[], ['expire hard', 'expire hard', 'expire hard']]);
});

test('a family that is none makes a larval state without addresses', () => {
	const net = makeNamespace();
	const { value: state } = allocSpi(net, request({ family: 0 }));
	assert.deepEqual([state?.family, ...(state?.daddr ?? [])], [0, 0, 0, 0, 0]);
});

// @spec R-10 R-11
test('NEWAE sets what it names and nothing else', () => {
	const net = makeNamespace();
	const { value: state } = addState(net, stateConfig());
	assert.ok(state !== undefined);
	const update = {
		replay: { oseq: 0xfffffff0, seq: 7, bitmap: 0xff },
		lifetimeCurrent: { bytes: 11, packets: 22, addTime: 33, useTime: 44 },
		replayThreshold: 8,
		expiryTimer: 50,
		mappingThresholdSeconds: 9,
	};
	state.packetsToSpare = 1000;
	assert.equal(errnoOf(updateAevent(net, query(), update)), 0);
	assert.equal(state.packetsToSpare, 0, 'the limits are looked at again');
	assert.deepEqual([...state.replay.counters], [0xfffffff0 | 0, 0, 7, 0]);
	assert.deepEqual([...state.replay.bitmap], [0xff]);
	assert.equal(state.replay.hasNews(), false);
	assert.deepEqual([...state.lifetime], [11, 22, 33, 44, 0]);
	assert.deepEqual([state.replay.maxDiff, state.replay.maxAgeTicks], [8, 50]);
	assert.equal(state.mappingThresholdSeconds, 9);
	assert.equal(errnoOf(updateAevent(net, query(), {})), 0);
	assert.equal(state.replay.maxDiff, 8);
});

test('NEWAE refuses an ESN window that is not the state’s', () => {
	const esn: NonNullable<StateConfig['replayEsn']> = {
		bmpLen: 2,
		oseq: 1,
		seq: 2,
		oseqHi: 3,
		seqHi: 4,
		replayWindow: 64,
		bmp: Uint32Array.of(5, 6),
	};
	const net = makeNamespace();
	addState(net, stateConfig({ flags: 128, replayWindow: 0, replayEsn: esn }));
	const rows: readonly [Partial<typeof esn>, string | undefined][] = [
		[{ bmp: Uint32Array.of(1) }, 'ESN attribute is too short'],
		[
			{ bmpLen: 1, bmp: Uint32Array.of(1) },
			"New ESN size doesn't match the existing SA's ESN size",
		],
		[{ replayWindow: 65 }, 'ESN replay window is longer than the bitmap'],
		[{ replayWindow: 5 }, undefined],
	];
	for (const [change, message] of rows) {
		const answer = updateAevent(net, query(), { replayEsn: { ...esn, ...change } });
		assert.equal(answer.refusal?.message, message);
	}
	const larval = allocSpi(net, request({ reqid: 2 })).value;
	assert.equal(larval?.spi, 0x100);
	const answer = updateAevent(net, query({ spi: 0x100 }), { replayThreshold: 1 });
	assert.deepEqual(answer.refusal, { errno: EINVAL, message: 'SA must be in VALID state' });
});

// @spec L-9
test('a user may say that a state expires', () => {
	const net = makeNamespace();
	assert.equal(errnoOf(expireState(net, query(), true)), ENOENT);
	addState(net, stateConfig());
	assert.equal(expireState(net, query(), false).value?.id.spi, SPI);
	assert.equal(net.sad.count, 1);
	assert.equal(expireState(net, query(), true).value?.id.spi, SPI);
	assert.deepEqual([net.sad.count, events(net)], [0, []]);
});

// @spec S-20
test('the number of buckets is told as the kernel’s would be', () => {
	const net = makeNamespace();
	assert.deepEqual(sadInfo(net), { stateCount: 0, bucketCount: 8, bucketCountMax: 1048576 });
	for (let spi = 1; spi <= 9; spi++) {
		addState(net, stateConfig({ spi }));
	}
	assert.deepEqual(sadInfo(net), { stateCount: 9, bucketCount: 16, bucketCountMax: 1048576 });
});
