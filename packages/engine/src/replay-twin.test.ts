/**
 * The replay window against a twin that counts with whole numbers and remembers a set: every mode and size,
 * from every kind of beginning, with numbers beside all borders (0, 2^31, 2^32, the window's ends).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AeventFlag, Errno, Group } from '@xfrm/wire/xfrm';
import fc from 'fast-check';
import { addState, makeNamespace, NOW_US, type StateOptions } from './input-fixture.test.ts';
import { TICKS_PER_SECOND } from './limits.ts';
import type { Namespace } from './namespace.ts';
import {
	replayAdvance,
	replayCheck,
	replayNext,
	replayRecheck,
	replaySeqHi,
	replayTimeout,
} from './replay.ts';
import { ReplayCounter, ReplayMode } from './replay-window.ts';
import { StateStat, type XfrmState } from './state.ts';

const ESN = 128;
const TWO_32 = 0x1_0000_0000;

type Kind = 'legacy' | 'bitmap' | 'esn';

/** Numbers as they are, 64 bits wide where there are high halves. */
class Twin {
	readonly seen: Set<number> = new Set();
	readonly stats: [tooOld: number, replayed: number] = [0, 0];
	top: number;
	readonly #kind: Kind;
	readonly #size: number;

	constructor(kind: Kind, size: number, top: number) {
		this.#kind = kind;
		this.#size = size;
		this.top = top;
	}

	/** The number that a low half stands for: the only one from the window's bottom to 2^32 above it. */
	fullOf(low: number): number {
		if (this.#kind !== 'esn') {
			return low;
		}
		const bottom = this.top - this.#size + 1;
		return low + Math.ceil((bottom - low) / TWO_32) * TWO_32;
	}

	check(low: number): number {
		const full = this.fullOf(low);
		const young = this.#kind !== 'esn' || (this.top < TWO_32 && this.top < this.#size - 1);
		if (low === 0 && young) {
			return Errno.EINVAL;
		}
		if (full > this.top) {
			return 0;
		}
		if (full <= this.top - this.#size) {
			this.stats[0]++;
			return Errno.EINVAL;
		}
		if (this.seen.has(full)) {
			this.stats[1]++;
			return Errno.EINVAL;
		}
		return 0;
	}

	advance(low: number): void {
		const full = this.fullOf(low);
		this.seen.add(full);
		this.top = Math.max(this.top, full);
	}
}

function optionsOf(kind: Kind, size: number, top: number): StateOptions {
	const [seq, seqHi] = [top % TWO_32, Math.floor(top / TWO_32)];
	if (kind === 'legacy') {
		return { replayWindow: size, replay: { oseq: 0, seq, bitmap: 0 } };
	}
	const replayEsn = {
		bmpLen: Math.ceil(size / 32),
		oseq: 0,
		seq,
		oseqHi: 0,
		seqHi,
		bmp: new Uint32Array(0),
		replayWindow: size,
	};
	return { replayWindow: 0, replayEsn, flags: kind === 'esn' ? ESN : 0 };
}

/** Sizes; 2^32 is no multiple of some, whose circular windows are only right while it is not passed. */
const SIZES: Readonly<Record<Kind, readonly number[]>> = {
	legacy: [1, 7, 32],
	bitmap: [32, 64, 128],
	esn: [32, 64, 128],
};

/** Tops to begin with: around the borders. */
function topsOf(kind: Kind, size: number): number[] {
	const low = [0, 1, size - 2, size - 1, size, size + 1, 1000, 0x7fff_fff0, TWO_32 - 200];
	const whole = low.map((top) => Math.max(top, 0));
	return kind === 'esn'
		? [0, 3, 200].flatMap((high) => whole.map((top) => top + high * TWO_32))
		: whole;
}

/** Steps of `lowsNear` that are borders; larger ones are small advances. */
const BORDER_STEPS = 17;

function lowsNear(top: number, size: number, steps: readonly number[]): number[] {
	const borders = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];
	const near = [-size - 1, -size, 1 - size, -2, -1, 0, 1, 2, size - 1, size, size + 1];
	return steps.map((step) => {
		const full =
			step < near.length ? top + (near[step] ?? 0) : (borders[step - near.length] ?? top + step);
		return ((full % TWO_32) + TWO_32) % TWO_32;
	});
}

function assertAlike(state: XfrmState, twin: Twin, kind: Kind): void {
	const { counters } = state.replay;
	assert.equal((counters[ReplayCounter.Seq] ?? 0) >>> 0, twin.top % TWO_32);
	assert.equal(counters[ReplayCounter.SeqHi], kind === 'esn' ? Math.floor(twin.top / TWO_32) : 0);
	const { ReplayWindow, Replay } = StateStat;
	assert.deepEqual([state.stats[ReplayWindow], state.stats[Replay]], twin.stats);
}

/** A state and its twin, from the same beginning. */
class Pair {
	readonly net: Namespace = makeNamespace();
	readonly state: XfrmState;
	readonly twin: Twin;
	readonly #kind: Kind;
	readonly #size: number;

	constructor(kind: Kind, size: number, top: number) {
		this.state = addState(this.net, optionsOf(kind, size, top));
		this.twin = new Twin(kind, size, top);
		this.#kind = kind;
		this.#size = size;
	}

	step(step: number): void {
		for (const low of lowsNear(this.twin.top, this.#size, [step])) {
			follow(this.net, this.state, this.twin, low);
			assertAlike(this.state, this.twin, this.#kind);
		}
	}
}

// @spec R-2 R-3 R-4 R-5 R-6 R-7 R-8 S-17
for (const kind of ['legacy', 'bitmap', 'esn'] as const) {
	const cases = SIZES[kind].flatMap((size) =>
		topsOf(kind, size).map((top) => [kind, size, top] as const),
	);

	test(`${kind}: each border, before and after a window full of numbers`, () => {
		for (const [, size, top] of cases) {
			for (let step = 0; step < BORDER_STEPS; step++) {
				new Pair(kind, size, top).step(step);
			}
			const full = new Pair(kind, size, top);
			for (let i = 0; i <= size; i++) {
				full.step(6); // the next number
			}
			for (const behind of Array.from({ length: size }, (_, i) => size - 1 - i)) {
				const low = (((full.twin.top - behind) % TWO_32) + TWO_32) % TWO_32;
				follow(full.net, full.state, full.twin, low);
				assertAlike(full.state, full.twin, kind);
			}
		}
	});

	test(`${kind}: what a window says is what its twin says`, () => {
		for (const [, size, top] of cases) {
			fc.assert(
				fc.property(fc.array(fc.nat(40), { maxLength: 40 }), (steps) => {
					const pair = new Pair(kind, size, top);
					for (const step of steps) {
						pair.step(step);
					}
				}),
				{ numRuns: 5 },
			);
		}
	});
}

/** One number through both. */
function follow(net: Namespace, state: XfrmState, twin: Twin, low: number): void {
	const seq = low | 0;
	const verdict = twin.check(low);
	assert.equal(replayCheck(state, seq), verdict, `${low} after ${twin.top}`);
	const high = Math.floor(twin.fullOf(low) / TWO_32);
	assert.equal(
		replaySeqHi(state.replay, seq) | 0,
		high | 0,
		`high half of ${low} after ${twin.top}`,
	);
	if (verdict === 0 && high >= 0) {
		assert.equal(replayRecheck(state, seq, high | 0), 0);
		replayAdvance(net, state, seq);
		twin.advance(low);
	}
}

// @spec R-5
test('a jump of a window or more forgets all of its words, and no others', () => {
	for (const ahead of [63, 64, 65, 1000]) {
		const net = makeNamespace();
		const state = addState(net, optionsOf('bitmap', 64, 0));
		for (let seq = 1; seq <= 64; seq++) {
			replayAdvance(net, state, seq);
		}
		replayAdvance(net, state, 64 + ahead);
		const bits = [...state.replay.bitmap].flatMap((word) =>
			Array.from({ length: 32 }, (_, bit) => (word >>> bit) & 1),
		);
		const marked = bits.flatMap((bit, place) => (bit === 1 ? [place] : []));
		const top = (63 + ahead) % 64;
		assert.deepEqual(marked, ahead < 64 ? [top, 63] : [top], `${ahead} ahead`);
	}
});

// @spec R-5
test('words of the bitmap that no window covers stay as they are', () => {
	const net = makeNamespace();
	const { replayEsn, ...others } = optionsOf('bitmap', 64, 64);
	assert.ok(replayEsn !== undefined);
	const bmp = new Uint32Array([0xffffffff, 0xffffffff, 7, 9]);
	const state = addState(net, { ...others, replayEsn: { ...replayEsn, bmpLen: 4, bmp } });
	replayAdvance(net, state, 200);
	assert.deepEqual([...state.replay.bitmap], [0x80, 0, 7, 9]);
});

// @spec R-8
test('a wrong guess of the high half is EINVAL, and counted as too old', () => {
	const state = addState(makeNamespace(), optionsOf('esn', 32, 3 * TWO_32 + 100));
	state.stats.set([5, 7, 9]);
	assert.equal(replayRecheck(state, 101, 4), Errno.EINVAL);
	assert.deepEqual([...state.stats], [6, 7, 9]);
});

// @spec R-9
test('another extra flag does not let numbers wrap', () => {
	for (const [extraFlags, result] of [
		[1, Errno.EOVERFLOW],
		[2, 0],
		[3, 0],
	] as const) {
		const net = makeNamespace();
		const replay = { oseq: 0xffffffff, seq: 0, bitmap: 0 };
		const state = addState(net, { replay, extraFlags });
		assert.equal(replayNext(net, state), result, `${extraFlags}`);
	}
});

/** Events since the last call. */
function aevents(net: Namespace): number[] {
	const flags: number[] = [];
	for (let event = net.takeEvent(); event !== undefined; event = net.takeEvent()) {
		flags.push(event.kind === 'aevent' ? event.flags : -1);
	}
	return flags;
}

const LISTENING = 1 << (Group.Aevents - 1);
const { CausedByReplay, CausedByTimer } = AeventFlag;

// @spec R-11
test('reports by number: at the threshold, of numbers in or out, from the last report on', () => {
	for (const way of ['in', 'out'] as const) {
		const net = makeNamespace();
		net.listeners = LISTENING;
		const state = addState(net, { replayWindow: 32, replayThreshold: 3, expiryTimer: 0 });
		const pass = (seq: number): number[] => {
			if (way === 'in') {
				replayAdvance(net, state, seq);
			} else {
				replayNext(net, state);
			}
			return aevents(net);
		};
		const told = [1, 2, 3, 4, 5, 6, 7].map(pass);
		const { length } = told;
		const expected = Array.from({ length }, (_, i) => (i === 2 || i === 5 ? [CausedByReplay] : []));
		assert.deepEqual(told, expected, way);
	}
});

// @spec R-11
test('a leap of more than 2^31 numbers is far enough for a report', () => {
	for (const counter of [ReplayCounter.Seq, ReplayCounter.Oseq]) {
		const net = makeNamespace();
		net.listeners = LISTENING;
		const state = addState(net, { replayWindow: 32, replayThreshold: 3, expiryTimer: 0 });
		state.replay.counters[counter] = 0x9000_0000;
		replayNext(net, state);
		assert.deepEqual(aevents(net), [CausedByReplay]);
	}
});

// @spec R-11
test('reports reach nobody who listens for something else', () => {
	for (const listeners of [LISTENING << 1, LISTENING >> 1, 0]) {
		const net = makeNamespace();
		net.listeners = listeners;
		const state = addState(net, { replayWindow: 32, replayThreshold: 1, expiryTimer: 0 });
		replayAdvance(net, state, 1);
		replayNext(net, state);
		assert.deepEqual(aevents(net), [], `${listeners}`);
	}
});

// @spec R-11 R-12
test('the timer runs for its ticks, also for one, and is not started for none', () => {
	for (const expiryTimer of [0, 1, 7]) {
		const net = makeNamespace();
		net.listeners = LISTENING;
		const state = addState(net, { replayWindow: 32, replayThreshold: 1, expiryTimer });
		net.timers.stop(state.replayTimer);
		net.now[0] = NOW_US;
		replayNext(net, state);
		assert.deepEqual(aevents(net), [CausedByReplay]);
		assert.equal(state.replayTimer.isSet, expiryTimer > 0);
		const waitUs = (expiryTimer * 1_000_000) / TICKS_PER_SECOND;
		assert.equal(expiryTimer > 0 ? state.replayTimer.deadlineUs : NOW_US, NOW_US + waitUs);
	}
});

// @spec R-12
test('a timer that nobody listens to defers its report to the next packet', () => {
	const net = makeNamespace();
	const state = addState(net, { replayWindow: 32, replayThreshold: 100, expiryTimer: 5 });
	replayNext(net, state);
	replayTimeout(net, state);
	assert.equal(state.replay.deferred, true);
	net.listeners = LISTENING;
	replayNext(net, state);
	assert.deepEqual(aevents(net), [CausedByTimer]);
	assert.equal(state.replay.mode, ReplayMode.Legacy);
});
