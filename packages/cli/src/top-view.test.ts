import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attribute, type NamedMessage } from '@xfrm/netlink';
import { anySelector, parseAddress, UNLIMITED } from '@xfrm/wire/xfrm';
import { scaled, type TopReading, topFrame, topText } from './top-view.ts';

function address(text: string): Uint8Array {
	return parseAddress(text)?.address ?? new Uint8Array(16);
}

function state(spi: number, packets: number, mark?: number): NamedMessage<'newsa'> {
	return {
		name: 'newsa',
		flags: 0,
		seq: 0,
		pid: 0,
		attributes: mark === undefined ? [] : [attribute('mark', { v: mark, m: 0xff })],
		body: {
			selector: anySelector(2),
			id: { daddr: address('192.0.2.2'), spi, proto: 50 },
			saddr: address('192.0.2.1'),
			lifetime: UNLIMITED,
			lifetimeCurrent: { bytes: 1000 * packets, packets, addTime: 7, useTime: 8 },
			stats: { replayWindow: 1, replay: 2, integrityFailed: 3 },
			seq: 0,
			reqid: 9,
			family: 2,
			mode: 1,
			replayWindow: 32,
			flags: 0,
		},
	};
}

const cause = {
	counter: 'XfrmInStateSeqError',
	code: 'in.replay.old',
	policy: null,
	state: { proto: 50, spi: 0x100, src: '192.0.2.1', dst: '192.0.2.2', reqid: 9, mark: '' },
};

function reading(time: number, packets: number, dropped: number): TopReading {
	return {
		time,
		target: 'daemon',
		states: [state(0x100, packets), state(0x200, 3 * packets)],
		policies: 4,
		counters: new Map([
			['XfrmInError', 0],
			['XfrmInStateSeqError', dropped],
		]),
		drops: [{ ...cause, packets: dropped }],
		own: new Map([['sent', 5]]),
	};
}

test('rates are those since the reading before, states by traffic', () => {
	const first = topFrame(reading(100, 10, 1), undefined);
	assert.deepEqual(
		first.states.map((one) => [one.spi, one.packets_per_second]),
		[
			['0x00000200', null],
			['0x00000100', null],
		],
	);
	const { states, drops, counters, own } = topFrame(reading(102, 30, 7), reading(100, 10, 1));
	assert.deepEqual(states[1], {
		proto: 'esp',
		spi: '0x00000100',
		src: '192.0.2.1',
		dst: '192.0.2.2',
		reqid: 9,
		mark: null,
		packets: 30,
		octets: 30_000,
		packets_per_second: 10,
		bits_per_second: 80_000,
		refused: 6,
	});
	assert.deepEqual(drops, [
		{
			counter: 'XfrmInStateSeqError',
			policy: null,
			state: 'esp 0x00000100',
			code: 'in.replay.old',
			reason: drops[0]?.reason,
			packets: 7,
			packets_per_second: 3,
		},
	]);
	assert.deepEqual(counters, { XfrmInStateSeqError: 7 });
	assert.deepEqual(own, { sent: 5 });
});

test('what differs in its mark alone is told apart, and has its own rate', () => {
	const marked = (time: number, ...packets: readonly number[]): TopReading => ({
		...reading(time, 0, 0),
		states: packets.map((count, i) => state(0x100, count, i + 1)),
		drops: [1, 2].map((mark) => ({
			...cause,
			policy: { index: 8 * mark, direction: 1, ptype: 0, mark: `0x${mark}/0xff` },
			state: { ...cause.state, mark: `0x${mark}/0xff` },
			packets: mark,
		})),
	});
	const { states, drops } = topFrame(marked(102, 30, 50), marked(100, 10, 48));
	assert.deepEqual(
		states.map((one) => [one.mark, one.packets_per_second]),
		[
			['0x1/0xff', 10],
			['0x2/0xff', 1],
		],
	);
	assert.deepEqual(
		drops.map(({ policy, state: by, packets }) => [policy, by, packets]),
		[
			['out 8 mark 0x1/0xff', 'esp 0x00000100 mark 0x1/0xff', 1],
			['out 16 mark 0x2/0xff', 'esp 0x00000100 mark 0x2/0xff', 2],
		],
	);
});

test('as text: aligned, cut, and what is not shown is counted', () => {
	const frame = topFrame(reading(102, 30, 7), reading(100, 10, 1));
	const lines = topText(frame, { lines: 100, rows: 1, columns: 60 }, 3600);
	assert.equal(lines[0], 'daemon  01:01:42  states 2, policies 4');
	assert.equal(lines[2], 'counters: XfrmInStateSeqError 7');
	assert.match(lines[5] ?? '', /^esp 0x00000200 {6}9 {3}30 .* 6…$/);
	assert.equal(lines[6], '… 1 more of the states');
	assert.ok(lines.every((line) => line.length <= 60));
});

/** Many states, causes and counters. */
function crowd(): TopReading {
	return {
		...reading(102, 30, 7),
		states: Array.from({ length: 50 }, (_, i) => state(0x100 + i, 50 - i)),
		drops: Array.from({ length: 40 }, (_, i) => ({ ...cause, code: `in.${i}`, packets: 40 - i })),
		counters: new Map(Array.from({ length: 9 }, (_, i) => [`XfrmInStateProtoError${i}`, i + 1])),
		own: new Map(
			['sent', 'delivered', 'failed', 'portless', 'unleased'].map((name) => [name, 123_456]),
		),
	};
}

test('a frame fits its terminal, whatever its size; no counter is cut off', () => {
	for (const [lines, columns] of [
		[23, 80],
		[40, 200],
		[12, 50],
		[5, 40],
		[1, 20],
	] as const) {
		const room = { lines, columns, rows: Number.POSITIVE_INFINITY };
		const text = topText(topFrame(crowd(), undefined), room, 0);
		assert.ok(text.length <= lines, `${text.length} of ${lines} lines`);
		assert.ok(text.every((line) => line.length <= columns));
	}
	const text = topText(
		topFrame(crowd(), undefined),
		{ lines: 23, columns: 80, rows: Number.POSITIVE_INFINITY },
		0,
	);
	const joined = text.join('\n');
	for (let i = 0; i < 9; i++) {
		assert.ok(joined.includes(`XfrmInStateProtoError${i} ${i + 1}`), joined);
	}
	assert.ok(joined.includes('unleased 123456'), joined);
	assert.equal(text.length, 23);
	assert.match(text.at(-1) ?? '', /^… \d+ more of the causes$/);
});

test('a table has the rows that the other has no use for', () => {
	const few = { ...crowd(), drops: crowd().drops.slice(0, 2), counters: new Map() };
	const room = { lines: 30, columns: 100, rows: Number.POSITIVE_INFINITY };
	const text = topText(topFrame(few, undefined), room, 0);
	assert.deepEqual([text.length, text.filter((line) => line.startsWith('esp')).length], [29, 19]);
	const piped = { lines: Number.POSITIVE_INFINITY, columns: Number.POSITIVE_INFINITY, rows: 20 };
	const whole = topText(topFrame(crowd(), undefined), piped, 0);
	assert.deepEqual(
		[
			whole.filter((line) => line.startsWith('esp')).length,
			whole.filter((line) => /XfrmInStateSeqError/.test(line)).length,
		],
		[20, 20],
	);
	assert.ok(!whole.some((line) => line.endsWith('…')));
});

test('numbers are scaled', () => {
	assert.deepEqual([null, 0, 0.4, 12.34, 999, 1000, 1_234_567, 99_960, 5e12].map(scaled), [
		'-',
		'0',
		'0',
		'12',
		'999',
		'1.0k',
		'1.2M',
		'100k',
		'5.0T',
	]);
});
