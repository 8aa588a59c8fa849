/**
 * The second look at the window: a transform that comes to light behind another one moves the window of a
 * state for which a later packet of the same batch waits already.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { input } from './input.ts';
import {
	addState,
	arrived,
	batchOf,
	counted,
	esp,
	ip,
	makeNamespace,
	udp,
} from './input-fixture.test.ts';
import { Current } from './state.ts';
import { PacketAction, Verdict } from './verdict.ts';

const OUTER = 0xc0000001;
const INNER = 0xc0000002;

const packet = (seq: number): Uint8Array => ip(50, esp(udp(), { spi: INNER, seq, next: 17 }));
const inside = (seq: number): Uint8Array =>
	ip(50, esp(esp(udp(), { spi: INNER, seq, next: 17 }), { spi: OUTER, next: 50 }));

// @spec R-8 I-8
test('a number that another packet of the batch has used meanwhile is refused', () => {
	const rows = [
		['the same number', 5, { XfrmInStateSeqError: 1 }, PacketAction.Drop],
		['one behind the window', 100, { XfrmInStateSeqError: 1 }, PacketAction.Drop],
		['one below it that is new', 6, {}, PacketAction.Continue],
	] as const;
	for (const [name, first, counters, action] of rows) {
		const net = makeNamespace();
		addState(net, { spi: OUTER, mode: 0 });
		const state = addState(net, { spi: INNER, mode: 0 });
		const [one, other] = [arrived(inside(first)), arrived(packet(5))];
		input(net, batchOf(one, other));
		assert.equal(one.action, PacketAction.Continue, name);
		assert.equal(other.action, action, name);
		assert.deepEqual(counted(net), counters, name);
		const refused = action === PacketAction.Drop;
		assert.equal(other.verdict, refused ? Verdict.InStateSeqError : Verdict.Pass, name);
		assert.equal(state.lifetime[Current.Packets], refused ? 1 : 2, name);
	}
});
