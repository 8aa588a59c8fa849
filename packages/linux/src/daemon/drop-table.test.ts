import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import { Engine, linux619, Verdict, type XfrmState } from '@xfrm/engine';
import { anySelector, Family, parseAddress, UNLIMITED } from '@xfrm/wire/xfrm';
import { DROP_CAUSES_MAX } from '../limits.ts';
import { DropTable } from './drop-table.ts';

function address(text: string): Uint8Array {
	return parseAddress(text)?.address ?? new Uint8Array(16);
}

function states(count: number, marks: readonly number[] = []): XfrmState[] {
	const engine = new Engine({
		profile: linux619,
		provider: nullProvider(),
		random: (octets) => octets.fill(1),
		route: () => undefined,
	});
	const wanted = Array.from({ length: count }, (_, i) => ({
		spi: 0x100 + (marks.length > 0 ? 0 : i),
		v: marks[i],
	}));
	for (const { spi, v } of wanted) {
		const { refusal } = engine.addState(
			{
				id: { daddr: address('192.0.2.2'), spi, proto: 50 },
				saddr: address('192.0.2.1'),
				family: Family.Ipv4,
				selector: anySelector(Family.Ipv4),
				lifetime: UNLIMITED,
				reqid: 7,
				mode: 1,
				replayWindow: 32,
				flags: 0,
				seq: 0,
				...(v === undefined ? {} : { mark: { v, m: 0xff } }),
				aead: { name: 'rfc4106(gcm(aes))', key: new Uint8Array(20), keyBits: 160, icvBits: 128 },
			},
			1_764_000_000_000_000,
		);
		assert.equal(refusal, undefined);
	}
	return [...engine.states()].reverse();
}

test('drops are counted by cause, the most frequent first', () => {
	const [one = null] = states(1);
	const table = new DropTable();
	table.dropped(Verdict.InNoStates, null, null, 'in.state.none');
	for (let i = 0; i < 3; i++) {
		table.dropped(Verdict.InStateSeqError, one, null, 'in.replay.old');
		table.dropped(Verdict.InStateSeqError, one, null, 'in.replay.repeated');
	}
	table.dropped(Verdict.InStateSeqError, one, null, 'in.replay.repeated');
	table.letGo();
	table.dropped(Verdict.InNoStates, null, null, 'in.state.none');
	const state = { proto: 50, spi: 0x100, src: '192.0.2.1', dst: '192.0.2.2', reqid: 7, mark: '' };
	const counter = 'XfrmInStateSeqError';
	assert.deepEqual(table.rows(), [
		{ counter, code: 'in.replay.repeated', policy: null, state, packets: 4 },
		{ counter, code: 'in.replay.old', policy: null, state, packets: 3 },
		{
			counter: 'XfrmInNoStates',
			code: 'in.state.none',
			policy: null,
			state: null,
			packets: 2,
		},
	]);
});

test('states that differ in their mark alone are told apart', () => {
	const table = new DropTable();
	const pair = states(2, [1, 2]);
	for (const state of [...pair, ...pair]) {
		table.dropped(Verdict.InStateProtoError, state, null, 'in.icv');
	}
	assert.deepEqual(
		table.rows().map(({ state, packets }) => [state?.mark, packets]),
		[
			['0x1/0xff', 2],
			['0x2/0xff', 2],
		],
	);
});

test('more causes than there is room for are told without policy and state', () => {
	const table = new DropTable();
	for (const state of states(DROP_CAUSES_MAX + 9)) {
		table.dropped(Verdict.InStateExpired, state, null, 'in.state.expired');
	}
	const rows = table.rows();
	assert.equal(rows.length, DROP_CAUSES_MAX + 1);
	const [most] = rows;
	assert.equal(most?.state, null);
	assert.equal(most?.packets, 9);
});
