import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DropRow, ToldDrop } from '@xfrm/linux';
import type { NamedMessage } from '@xfrm/netlink';
import { anySelector, parseAddress, UNLIMITED } from '@xfrm/wire/xfrm';
import { answerOf, guardNote, overruled } from './dropped-packet.ts';

function address(text: string): Uint8Array {
	return parseAddress(text)?.address ?? new Uint8Array(16);
}

function state(spi: number): NamedMessage<'newsa'> {
	const body = {
		selector: anySelector(2),
		id: { daddr: address('192.0.2.2'), spi, proto: 50 },
		saddr: address('192.0.2.1'),
		lifetime: UNLIMITED,
		lifetimeCurrent: { bytes: 0, packets: 0, addTime: 7, useTime: 8 },
		stats: { replayWindow: 0, replay: 0, integrityFailed: 3 },
		seq: 0,
		reqid: 9,
		family: 2,
		mode: 1,
		replayWindow: 32,
		flags: 0,
	};
	return { name: 'newsa', flags: 0, seq: 0, pid: 0, attributes: [], body };
}

function row(counter: string, code: string, packets: number): DropRow {
	return { counter, code, policy: null, state: null, packets };
}

/** One that was opened in a crowd. */
const LOST: ToldDrop = {
	head: {
		time: 100,
		way: 'inward',
		counter: 'XfrmInStateProtoError',
		packet: '00',
		whole: false,
		mark: 0,
		ifindex: 0,
		if_id: 0,
		heard: true,
		code: null,
		via: [0x100],
		wiped: [],
		defaults: [1, 1, 1],
	},
	states: [state(0x100), state(0x200)],
	policies: [],
};

test('of a packet that is not kept as it came its counter tells why, and by which state', () => {
	const other = row('XfrmInNoStates', 'in.state.none', 100);
	const answer = answerOf(LOST, [other, row('XfrmInStateProtoError', 'in.icv', 3)]);
	assert.deepEqual(
		[answer.outcome, answer.counter, answer.code, answer.direction],
		['drop', 'XfrmInStateProtoError', 'in.icv', 'in'],
	);
	assert.match(answer.reason, /^The integrity check failed/);
	assert.deepEqual(answer.states, [
		{
			proto: 'esp',
			spi: '0x00000100',
			src: '192.0.2.1',
			dst: '192.0.2.2',
			mode: 'tunnel',
			reqid: 9,
		},
	]);
	assert.match(answer.assumed.join(), /not kept as it came/);
});

test('where its counter has several causes, all are told, the most frequent first', () => {
	const answer = answerOf(LOST, [
		row('XfrmInStateProtoError', 'in.icv', 3),
		row('XfrmInStateProtoError', 'in.esp.short', 1),
	]);
	assert.equal(answer.code, 'in.icv');
	assert.match(
		answer.reason,
		/^One of 2 causes: The integrity check failed.* Too short for ESP\.$/,
	);
});

test('what the guard has dropped is noted', () => {
	assert.equal(guardNote([row('XfrmInNoStates', 'in.state.none', 1)]), undefined);
	const note = guardNote([
		row('plaintext-in', 'daemon.plaintext', 3),
		row('plaintext-fwd', 'daemon.plaintext', 4),
	]);
	assert.match(
		note ?? '',
		/dropped 7 packets in clear \(plaintext-in 3, plaintext-fwd 4\).*@capture/,
	);
	const leak = guardNote([row('plaintext-out', 'daemon.leak', 1)]);
	assert.match(leak ?? '', /dropped 1 packets in clear \(plaintext-out 1\).*NAT and marks/);
});

test('what the daemon itself has dropped is no packet that leaves, whatever the rules say', () => {
	const answer = {
		...answerOf(LOST, []),
		outcome: 'transform',
		counter: null,
		code: 'out.transformed',
		packets: ['45'],
		steps: [
			{ step: 'SEND', text: 'a packet' },
			{ step: 'EMIT', which: 'eth0', text: 'leaves' },
		],
	} as const;
	const told = overruled(answer, { counter: 'portless', code: 'daemon.port' });
	assert.deepEqual(
		[told.outcome, told.counter, told.code, told.packets, told.steps.map(({ step }) => step)],
		['drop', 'portless', 'daemon.port', [], ['SEND', 'DROP']],
	);
	assert.match(told.reason, /^Nobody has the UDP port .* Start the key manager by `xfrm exec`/);
});
