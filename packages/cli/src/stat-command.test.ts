import assert from 'node:assert/strict';
import { test } from 'node:test';
import { movedSince, movements, readCounters, table } from './stat-command.ts';

const before = new Map([
	['XfrmInNoStates', 3],
	['XfrmInNoPols', 0],
	['XfrmNew', 0],
]);
const now = new Map([
	['XfrmInNoStates', 5],
	['XfrmInNoPols', 0],
	['XfrmNew', 1],
]);

test('behind a counter that is not zero stands what it counts', () => {
	assert.equal(
		table(now),
		'XfrmInNoStates          \t5\t# no state takes packets that arrive protected\n' +
			'XfrmInNoPols            \t0\n' +
			'XfrmNew                 \t1\n',
	);
});

test('what moved is told with what to do', () => {
	const moved = movedSince(before, now);
	assert.deepEqual(
		[...moved],
		[
			['XfrmInNoStates', 2],
			['XfrmNew', 1],
		],
	);
	const lines = movements(now, moved).split('\n');
	assert.equal(lines[0], '+2 XfrmInNoStates (now 5): no state takes packets that arrive protected');
	assert.match(lines[1] ?? '', /^ {4}usually wrong SPI/);
	assert.match(lines[2] ?? '', /^ {4}Capture one packet/);
	assert.equal(lines[3], '+1 XfrmNew (now 1)');
});

test('a kernel without them is named', () => {
	assert.throws(() => readCounters('/nonexistent'), /CONFIG_XFRM_STATISTICS/);
});
