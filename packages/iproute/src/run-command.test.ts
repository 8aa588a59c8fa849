import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
	attribute,
	encodeDone,
	encodeError,
	encodeMessage,
	MessageFlag,
	splitMessages,
	type XfrmMessage,
} from '@xfrm/netlink';
import { anyAddress, anySelector, UNLIMITED, UNUSED } from '@xfrm/wire/xfrm';
import type { Command, CommandResult } from './command.ts';
import { parseCommand } from './parse-command.ts';
import { runCommand } from './run-command.ts';

function command(text: string): Command {
	const { command: parsed } = parseCommand(text);
	assert.ok(parsed);
	return parsed;
}

/** Runs a command against answers that are ready, and notes the types of what was sent. */
function run(
	text: string,
	...answers: readonly (readonly Uint8Array[])[]
): { result: CommandResult; sent: number[][] } {
	const sent: number[][] = [];
	const waiting = [...answers];
	const result = runCommand(command(text), (datagram) => {
		sent.push(splitMessages(datagram).map(({ type }) => type));
		return waiting.shift() ?? [];
	});
	return { result, sent };
}

function refusal(text: string, errno: number, message?: string): Uint8Array {
	const [raw] = command(text).requests.flatMap(splitMessages);
	assert.ok(raw);
	const options = { pid: 1, capAck: false };
	return encodeError(
		raw,
		errno,
		message === undefined ? options : { ...options, extended: { message } },
	);
}

function state(spi: number, mark: number): Uint8Array {
	const message: XfrmMessage = {
		name: 'newsa',
		flags: MessageFlag.Multi,
		seq: 1,
		pid: 1,
		body: {
			selector: anySelector(2),
			id: { daddr: anyAddress(), spi, proto: 50 },
			saddr: anyAddress(),
			lifetime: UNLIMITED,
			lifetimeCurrent: { ...UNUSED, addTime: 951_782_400 },
			stats: { replayWindow: 0, replay: 0, integrityFailed: 0 },
			seq: 0,
			reqid: spi,
			family: 2,
			mode: 1,
			replayWindow: 0,
			flags: 0,
		},
		attributes: [
			attribute('mark', { v: mark, m: 0xff }),
			attribute('replayVal', { oseq: 0, seq: 0, bitmap: 0 }),
		],
	};
	return encodeMessage(message);
}

const DONE = encodeDone({ seq: 1, pid: 1 }, 0);
const ADD = 'policy add dir in';

// @spec C-11
test('what the kernel says is worded as ip words it', () => {
	const rows: [answers: Uint8Array[], status: number, stderr: string][] = [
		[[refusal(ADD, 0)], 0, ''],
		[[refusal(ADD, 0, 'careful')], 0, 'Warning: careful.\n'],
		[[refusal(ADD, 17)], 2, 'RTNETLINK answers: File exists\n'],
		[[refusal(ADD, 22, 'Invalid policy share')], 2, 'Error: Invalid policy share.\n'],
		[[refusal(ADD, 22, 'Ends with a dot.')], 2, 'Error: Ends with a dot.\n'],
	];
	for (const [answers, status, stderr] of rows) {
		const { result } = run(ADD, answers);
		assert.deepEqual([result.status, result.stderr, result.stdout], [status, stderr, '']);
	}
});

// @spec C-7
test('a list is filtered here, too', () => {
	const answers = [state(1, 0), state(2, 7), DONE];
	const text = (filter: string): string[] =>
		run(`state list ${filter}`, answers).result.stdout.match(/spi \S+/g) ?? [];
	assert.deepEqual(text(''), ['spi 0x00000001', 'spi 0x00000002']);
	assert.deepEqual(text('reqid 2'), ['spi 0x00000002']);
	assert.deepEqual(text('proto ah'), []);
	assert.deepEqual(text('mode tunnel spi 1'), ['spi 0x00000001']);
	assert.match(run('ip -s xfrm state', answers).result.stdout, /add 2000-02-29 00:00:00 use -/);
	const failed = run('state', [encodeDone({ seq: 1, pid: 1 }, 22)]).result;
	assert.deepEqual(
		[failed.status, failed.stderr],
		[1, 'RTNETLINK answers: Invalid argument\nDump terminated\n'],
	);
});

// @spec C-7
test('deleteall dumps and deletes in turn until nothing is left', () => {
	const { result, sent } = run('state deleteall', [state(1, 0), state(2, 7), DONE], [], [DONE]);
	assert.deepEqual(sent, [[0x12], [0x11, 0x11], [0x12]]);
	assert.equal(result.status, 0);
	const refused = run('state deleteall', [state(1, 0), DONE], [refusal(ADD, 3)]).result;
	assert.deepEqual(
		[refused.status, refused.stderr],
		[1, 'Failed to send delete-all request\n: No such process\n'],
	);
});

test('help and monitor send nothing', () => {
	assert.deepEqual(run('state help').sent, []);
	assert.equal(run('state help').result.status, 255);
	assert.deepEqual(command('monitor acquire expire').plan, {
		kind: 'monitor',
		groups: 3,
		allNsid: false,
		nokeys: false,
	});
});
