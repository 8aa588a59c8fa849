import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
	type AckOptions,
	type ExtendedAck,
	encodeDone,
	encodeError,
	PolicyKind,
	parseAck,
} from './ack.ts';
import { MessageFlag, type RawMessage, splitMessages } from './message.ts';
import { MessageWriter } from './message-writer.ts';

function request(): RawMessage {
	const writer = new MessageWriter({ type: 0x10, flags: MessageFlag.Request, seq: 5, pid: 0 });
	writer.appendBytes(Uint8Array.from([1, 2, 3, 4, 5]));
	const [message] = splitMessages(writer.finish(true));
	assert.ok(message);
	return message;
}

function parse(bytes: Uint8Array): ReturnType<typeof parseAck> {
	const [message] = splitMessages(bytes);
	return message && parseAck(message);
}

const HEADER = { type: 0x10, flags: 1, seq: 5, pid: 0 };

// @spec N-8 N-10
test('acknowledgements and refusals come back as they were written', () => {
	const extended: ExtendedAck = {
		message: 'invalid attribute length',
		offset: 240,
		policy: { kind: PolicyKind.U32, min: 0, max: 0xffff_ffff },
		missingType: 5,
		missingNest: 24,
	};
	const rows: [name: string, errno: number, options: AckOptions, octets: number][] = [
		['success quotes the header', 0, { pid: 1, capAck: false }, 36],
		['a refusal quotes the request', 22, { pid: 1, capAck: false }, 44],
		['unless it is capped', 22, { pid: 1, capAck: true }, 36],
		['a warning', 0, { pid: 1, capAck: false, extended: { message: 'careful' } }, 48],
		['everything told', 34, { pid: 1, capAck: false, extended }, 44 + 32 + 8 + 36 + 8 + 8],
	];
	for (const [name, errno, options, octets] of rows) {
		const bytes = encodeError(request(), errno, options);
		assert.equal(bytes.length, octets, name);
		const told = { errno, extended: options.extended ?? {}, request: HEADER };
		assert.deepEqual(parse(bytes), told, name);
	}
});

test('the largest u64 of a policy is Infinity, flags have no limits', () => {
	for (const policy of [
		{ kind: PolicyKind.U64, min: 0, max: Number.POSITIVE_INFINITY },
		{ kind: PolicyKind.Flag },
	]) {
		const bytes = encodeError(request(), 34, { pid: 1, capAck: true, extended: { policy } });
		assert.deepEqual(parse(bytes)?.extended, { policy });
	}
});

// @spec N-12
test('the end of a dump carries its error', () => {
	const bytes = encodeDone({ seq: 3, pid: 4 }, 34, { message: 'no', offset: 16 });
	assert.deepEqual(parse(bytes), { errno: 34, extended: { message: 'no', offset: 16 } });
	assert.deepEqual(
		[...encodeDone({ seq: 3, pid: 4 }, 0)],
		[20, 0, 0, 0, 3, 0, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0],
	);
});

test('no truncation of an acknowledgement throws', () => {
	const bytes = encodeError(request(), 34, { pid: 1, capAck: false, extended: { message: 'no' } });
	for (let length = 16; length <= bytes.length; length++) {
		const cut = bytes.slice(0, length);
		new DataView(cut.buffer).setUint32(0, length, true);
		parse(cut);
	}
});
