import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AeventFlag, type StateConfig } from '@xfrm/wire/xfrm';
import fc from 'fast-check';
import { addState, makeNamespace, NOW_US, type StateOptions } from './input-fixture.test.ts';
import type { Namespace } from './namespace.ts';
import {
	isAboveWindow,
	replayAdvance,
	replayCheck,
	replayNext,
	replayRecheck,
	replaySeqHi,
} from './replay.ts';
import { ReplayCounter, ReplayMode } from './replay-window.ts';
import type { XfrmState } from './state.ts';
import { handleTimeout } from './timeouts.ts';

const ESN = 128;

function esnConfig(
	replayWindow: number,
	start: { seq?: number; seqHi?: number; oseq?: number; oseqHi?: number } = {},
): Pick<StateConfig, 'replayEsn' | 'replayWindow'> {
	return {
		replayWindow: 0,
		replayEsn: {
			bmpLen: Math.ceil(replayWindow / 32),
			oseq: 0,
			seq: 0,
			oseqHi: 0,
			seqHi: 0,
			bmp: new Uint32Array(0),
			replayWindow,
			...start,
		},
	};
}

function made(options: StateOptions): { net: Namespace; state: XfrmState } {
	const net = makeNamespace();
	return { net, state: addState(net, options) };
}

/** One packet through the window, as input does; true when it was accepted. */
function receive(net: Namespace, state: XfrmState, seq: number): boolean {
	if (replayCheck(state, seq) !== 0) {
		return false;
	}
	const seqHi = replaySeqHi(state.replay, seq);
	if (replayRecheck(state, seq, seqHi) !== 0) {
		return false;
	}
	replayAdvance(net, state, seq);
	return true;
}

/** What a window of `size` has to say, by a set of all numbers seen. */
class PlainWindow {
	private readonly seen: Set<number> = new Set();
	private top: number;
	private readonly size: number;

	constructor(size: number, top: number) {
		this.size = size;
		this.top = top;
	}

	receive(seq: number): boolean {
		if (seq === 0 || seq <= this.top - this.size || this.seen.has(seq)) {
			return false;
		}
		this.seen.add(seq);
		this.top = Math.max(this.top, seq);
		return true;
	}
}

const windows: readonly (readonly [name: string, size: number, options: StateOptions])[] = [
	['legacy 32', 32, { replayWindow: 32 }],
	['legacy 7', 7, { replayWindow: 7 }],
	['bitmap 32', 32, esnConfig(32)],
	['bitmap 128', 128, esnConfig(128)],
	['ESN 64', 64, { ...esnConfig(64), flags: ESN }],
];

// @spec R-2 R-3 R-4 R-5 R-7 R-8
test('every window accepts what a plain set accepts', () => {
	for (const [name, size, options] of windows) {
		fc.assert(
			fc.property(fc.array(fc.oneof(fc.nat(300), fc.nat(40)), { maxLength: 200 }), (sequence) => {
				const { net, state } = made(options);
				const plain = new PlainWindow(size, 0);
				for (const seq of sequence) {
					// ESN takes what is below the window for a number of another subspace: not here.
					const top = state.replay.counters[ReplayCounter.Seq] ?? 0;
					if (state.replay.mode === ReplayMode.Esn && seq <= Math.max(0, top - size)) {
						continue;
					}
					assert.equal(receive(net, state, seq), plain.receive(seq), `${name}: ${seq}`);
				}
			}),
			{ numRuns: 60 },
		);
	}
});

// @spec R-6 R-7 R-8
test('ESN windows follow 64-bit numbers over the wrap of the low half', () => {
	const step = fc.integer({ min: -70, max: 90 });
	fc.assert(
		fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
			const base = 0x1_ffff_ff80;
			const start = { seq: base % 0x1_0000_0000, seqHi: Math.floor(base / 0x1_0000_0000) };
			const { net, state } = made({ ...esnConfig(64, start), flags: ESN });
			const plain = new PlainWindow(64, base);
			let top = base;
			for (const ahead of steps) {
				const full = top + ahead;
				// Older than the window reads as a number of the next subspace, which the ICV would refuse.
				if (full <= top - 64) {
					continue;
				}
				const low = (full % 0x1_0000_0000) | 0;
				const high = Math.floor(full / 0x1_0000_0000);
				assert.equal(replaySeqHi(state.replay, low) >>> 0, high, `high half of ${full}`);
				assert.equal(receive(net, state, low), plain.receive(full), `${full}`);
				top = Math.max(top, full);
				const { counters } = state.replay;
				assert.equal((counters[ReplayCounter.Seq] ?? 0) >>> 0, top % 0x1_0000_0000);
				assert.equal(counters[ReplayCounter.SeqHi], Math.floor(top / 0x1_0000_0000));
			}
		}),
	);
});

// @spec R-4
test('bit d of the legacy bitmap says that top - d was seen', () => {
	const { net, state } = made({ replayWindow: 32 });
	for (const seq of [1, 3, 2, 8]) {
		assert.equal(receive(net, state, seq), true);
	}
	assert.equal(state.replay.bitmap[0], 0b11100001);
	assert.equal(receive(net, state, 40), true);
	assert.equal(state.replay.bitmap[0], 1, 'a jump of a whole window clears it');
});

// @spec R-5
test('the circular bitmap has its top at (top - 1) mod window', () => {
	const { net, state } = made(esnConfig(64));
	for (const seq of [1, 3, 65]) {
		assert.equal(receive(net, state, seq), true);
	}
	// 65 took the place of 1, and what lay between was cleared.
	assert.deepEqual([...state.replay.bitmap], [0b101, 0]);
	assert.equal(receive(net, state, 4), true);
	assert.deepEqual([...state.replay.bitmap], [0b1101, 0]);
	for (const seq of [104, 99]) {
		assert.equal(receive(net, state, seq), true);
	}
	assert.deepEqual([...state.replay.bitmap], [1, 0b10000100]);
});

// @spec R-4 R-5
test('a number that is marked again changes nothing', () => {
	for (const [name, , options] of windows) {
		const { net, state } = made(options);
		for (const seq of [1, 3, 5]) {
			assert.equal(receive(net, state, seq), true);
		}
		const before = [...state.replay.bitmap];
		for (const seq of [1, 3, 5]) {
			replayAdvance(net, state, seq);
		}
		assert.deepEqual([...state.replay.bitmap], before, name);
		assert.equal(state.replay.counters[ReplayCounter.Seq], 5);
	}
});

// @spec R-6 R-7
test('the bottom of a window that begins in the subspace before is in it', () => {
	const { net, state } = made({ ...esnConfig(32, { seq: 5, seqHi: 1 }), flags: ESN });
	const bottom = (5 - 31) | 0;
	assert.equal(replaySeqHi(state.replay, bottom), 0);
	assert.equal(receive(net, state, bottom), true);
	assert.equal(receive(net, state, bottom), false);
	assert.deepEqual([...state.stats], [0, 1, 0]);
	assert.equal(replaySeqHi(state.replay, bottom - 1), 1);
});

// @spec R-5; the kernel's own slip, which a copy of its bitmap has to share
test('a circular window that does not divide 2^32 marks the first number in the wrong place', () => {
	const { net, state } = made(esnConfig(100));
	assert.equal(receive(net, state, 1), true);
	assert.deepEqual([...state.replay.bitmap], [0, 0, 0, 1]);
	assert.equal(receive(net, state, 1), true, 'so it is taken once more');
	assert.equal(receive(net, state, 1), false);
});

// @spec R-3 S-17
test('too old and seen before are counted apart, sequence number 0 is not counted', () => {
	const { net, state } = made({ replayWindow: 8 });
	assert.equal(receive(net, state, 20), true);
	assert.equal(receive(net, state, 20), false);
	assert.equal(receive(net, state, 12), false);
	assert.equal(receive(net, state, 0), false);
	assert.equal(receive(net, state, 13), true);
	assert.deepEqual([...state.stats], [1, 1, 0]);
});

// @spec R-2
test('without a window everything passes and nothing moves', () => {
	const { net, state } = made({ replayWindow: 0 });
	for (const seq of [0, 5, 5, 1]) {
		assert.equal(receive(net, state, seq), true);
	}
	assert.deepEqual([...state.replay.counters], [0, 0, 0, 0]);
});

// @spec R-3 R-6 R-7
test('a number is above the window in the subspace of its top, where the window lies in one', () => {
	const esn = (seq: number): StateOptions => ({ ...esnConfig(32, { seq }), flags: ESN });
	const legacy = (seq: number): StateOptions => ({ replay: { oseq: 0, seq, bitmap: 0 } });
	const rows: readonly (readonly [string, StateOptions, number, boolean])[] = [
		['the next one', legacy(5), 6, true],
		['the top itself', legacy(5), 5, false],
		['above 2^31', legacy(0x80000005), 0x80000006 | 0, true],
		['ESN, the window begins at 0', esn(31), 32, true],
		['ESN, it begins in the subspace before', esn(30), 31, false],
		['ESN, above 2^31', esn(0x80000005), 0x80000006 | 0, true],
		['ESN, far ahead', esn(31), -1, true],
		['ESN, behind', esn(31), 30, false],
	];
	for (const [name, options, seq, expected] of rows) {
		assert.equal(isAboveWindow(made(options).state.replay, seq), expected, name);
	}
});

// @spec R-8
test('a high half that was guessed from an older window is refused', () => {
	const { state } = made({ ...esnConfig(32, { seq: 100, seqHi: 4 }), flags: ESN });
	assert.equal(replayRecheck(state, 101, 4), 0);
	assert.notEqual(replayRecheck(state, 101, 5), 0);
	assert.deepEqual([...state.stats], [1, 0, 0]);
});

// @spec R-7
test('ESN refuses 0 while its first window is young', () => {
	const { state } = made({ ...esnConfig(32, { seq: 5 }), flags: ESN });
	assert.notEqual(replayCheck(state, 0), 0);
	const older = made({ ...esnConfig(32, { seq: 5, seqHi: 1 }), flags: ESN });
	assert.equal(replayCheck(older.state, 0), 0);
});

// @spec R-9 O-16
test('outgoing numbers start at 1 and end where the mode says', () => {
	const rows: readonly [string, StateOptions, number[], number[]][] = [
		['first', { replayWindow: 32 }, [0], [1, 0]],
		['legacy, last', { replay: { oseq: 0xfffffffe, seq: 0, bitmap: 0 } }, [0, 75], [-1, 0]],
		[
			'legacy that may wrap',
			{ replay: { oseq: 0xffffffff, seq: 0, bitmap: 0 }, extraFlags: 2 },
			[0],
			[0, 0],
		],
		['bitmap, last', esnConfig(32, { oseq: 0xffffffff }), [75], [-1, 0]],
		['ESN, wrap', { ...esnConfig(32, { oseq: 0xffffffff }), flags: ESN }, [0, 0], [1, 1]],
		[
			'ESN, last, and may-wrap has no effect',
			{ ...esnConfig(32, { oseq: 0xffffffff, oseqHi: 0xffffffff }), flags: ESN, extraFlags: 2 },
			[75, 75],
			[-1, -1],
		],
	];
	for (const [name, options, results, [oseq, oseqHi]] of rows) {
		const { net, state } = made(options);
		for (const result of results) {
			assert.equal(replayNext(net, state), result, name);
		}
		const { counters } = state.replay;
		assert.deepEqual([counters[0], counters[1]], [oseq, oseqHi], name);
	}
});

function aevents(net: Namespace): number[] {
	const flags: number[] = [];
	for (let event = net.takeEvent(); event !== undefined; event = net.takeEvent()) {
		assert.equal(event.kind, 'aevent');
		flags.push(event.kind === 'aevent' ? event.flags : 0);
	}
	return flags;
}

const { CausedByReplay, CausedByTimer } = AeventFlag;

// @spec R-11 R-12
test('replay values are told by number of packets and by time, to listeners only', () => {
	const { net, state } = made({ replayWindow: 32 });
	const sysctlUs = 1_000_000;
	replayNext(net, state);
	replayNext(net, state);
	assert.deepEqual(aevents(net), [], 'nobody listens');
	net.listeners = 1 << 4;
	replayNext(net, state);
	assert.deepEqual(aevents(net), [CausedByReplay], 'three since the last report');
	replayNext(net, state);
	assert.deepEqual(aevents(net), [], 'one since');
	handleTimeout(net, NOW_US + sysctlUs);
	assert.deepEqual(aevents(net), [CausedByTimer], 'changed, and time is up');
	handleTimeout(net, NOW_US + 2 * sysctlUs);
	assert.deepEqual(aevents(net), [], 'no news: deferred');
	replayNext(net, state);
	assert.deepEqual(aevents(net), [CausedByTimer], 'the deferred report');
	replayNext(net, state);
	assert.deepEqual(aevents(net), [], 'the deferral is over');
});

// @spec R-11
test('a threshold of 0 switches reports by number off', () => {
	const { net, state } = made({ replayWindow: 32, replayThreshold: 0, expiryTimer: 0 });
	net.listeners = 1 << 4;
	for (let i = 0; i < 5; i++) {
		replayNext(net, state);
	}
	assert.deepEqual(aevents(net), []);
	assert.equal(state.replayTimer.isSet, false);
});
