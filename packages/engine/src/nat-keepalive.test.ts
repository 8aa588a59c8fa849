/** NAT keepalives: when a state sends them, and what they are. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatHex } from '@xfrm/wire';
import { anyAddress, anySelector } from '@xfrm/wire/xfrm';
import { Batch } from './batch.ts';
import type { Engine } from './engine.ts';
import { address, NOW_US, type StateOptions } from './input-fixture.test.ts';
import { KEEPALIVES_WAITING_MAX } from './limits.ts';
import {
	addOut,
	addOutPolicy,
	inner,
	makeEngine,
	makeRoute,
	sent,
	tunnelTemplate,
} from './output-fixture.test.ts';
import { PacketAction, Verdict } from './verdict.ts';

const SECOND_US = 1_000_000;

function withKeepalive(seconds: number, options: StateOptions = {}): StateOptions {
	return {
		direction: 2,
		natKeepaliveSeconds: seconds,
		encap: { type: 2, sport: 4500, dport: 4501, oa: anyAddress() },
		...options,
	};
}

/** Lets time go by as a punctual driver does; the second and ports of each keepalive. */
function keepalives(engine: Engine, fromSeconds: number, toSeconds: number): string[] {
	const seen: string[] = [];
	const endUs = NOW_US + toSeconds * SECOND_US;
	engine.handleTimeout(NOW_US + fromSeconds * SECOND_US);
	for (;;) {
		for (let packet = engine.pollPacket(); packet !== undefined; packet = engine.pollPacket()) {
			assert.equal(packet.action, PacketAction.Pass);
			const at = packet.end - 9;
			const second = ((engine.net.now[0] ?? 0) - NOW_US) / SECOND_US;
			seen.push(`${second}: ${packet.view.getUint16(at)} → ${packet.view.getUint16(at + 2)}`);
		}
		const next = engine.pollTimeout();
		if (next > endUs) {
			return seen;
		}
		engine.handleTimeout(next);
	}
}

// @spec NT-9
describe('NAT keepalives', () => {
	it('begin at once and come every interval', () => {
		const { engine } = makeEngine();
		addOut(engine, withKeepalive(5));
		assert.deepEqual(
			keepalives(engine, 0, 12),
			[0, 5, 10].map((second) => `${second}: 4500 → 4501`),
		);
	});

	it('are sent only when nothing else was for an interval', () => {
		const { engine } = makeEngine();
		const selector = { ...anySelector(2), daddr: address('10.1.0.0'), prefixlenD: 16 };
		addOutPolicy(engine, { selector, templates: [tunnelTemplate()] });
		addOut(engine, withKeepalive(5));
		assert.deepEqual(keepalives(engine, 0, 3), ['0: 4500 → 4501']);
		const packet = sent(inner(), makeRoute());
		engine.output(Batch.of(NOW_US + 3 * SECOND_US, packet));
		assert.equal(packet.action, PacketAction.Transformed);
		assert.deepEqual(keepalives(engine, 3, 14), ['8: 4500 → 4501', '13: 4500 → 4501']);
	});

	it('are sent at every look once they are due, the newest state first', () => {
		const { engine } = makeEngine();
		addOut(engine, withKeepalive(1));
		const encap = { type: 2, sport: 1, dport: 2, oa: anyAddress() };
		addOut(engine, withKeepalive(3, { spi: 0x1000, encap }));
		assert.deepEqual(keepalives(engine, 0, 1), [
			'0: 1 → 2',
			'0: 4500 → 4501',
			'1: 1 → 2',
			'1: 4500 → 4501',
		]);
	});

	it('end with the state', () => {
		const { engine } = makeEngine();
		addOut(engine, withKeepalive(1));
		assert.equal(keepalives(engine, 0, 1).length, 2);
		assert.equal(engine.flushStates(0, NOW_US + SECOND_US), 1);
		assert.deepEqual(keepalives(engine, 1, 5), []);
		assert.equal(engine.pollTimeout(), Number.POSITIVE_INFINITY);
	});

	it('need a route', () => {
		const { engine, routes } = makeEngine();
		routes.route = undefined;
		addOut(engine, withKeepalive(1));
		assert.deepEqual(keepalives(engine, 0, 3), []);
		routes.route = makeRoute({ kind: 'blackhole' });
		assert.deepEqual(keepalives(engine, 3, 4), []);
	});

	it('are not kept for a caller that comes late by hours', () => {
		const { engine } = makeEngine();
		addOut(engine, withKeepalive(1));
		engine.handleTimeout(NOW_US + 100_000 * SECOND_US);
		let count = 0;
		while (engine.pollPacket() !== undefined) {
			count++;
		}
		assert.equal(count, KEEPALIVES_WAITING_MAX);
	});

	it('meet the OUT policies', () => {
		const { engine } = makeEngine();
		addOutPolicy(engine, { action: 1 });
		addOut(engine, withKeepalive(1));
		assert.deepEqual(keepalives(engine, 0, 1), []);
		assert.equal(engine.net.counters[Verdict.OutPolBlock], 2);
	});
});

const wires = [
	{
		name: 'IPv4: DF, identification and checksum 0, routed by the output mark',
		options: withKeepalive(1, { outputMark: { v: 0x77, m: 0xff } }),
		wire: /^4500001d000040004011b6ccc0000201c00002021194119500090000ff$/,
		mark: 0x77,
	},
	{
		name: 'IPv6: a flow label, a checksum, routed without the output mark',
		options: withKeepalive(1, {
			src: '2001:db8::1',
			dst: '2001:db8::2',
			outputMark: { v: 0x77, m: 0xff },
		}),
		wire: /^600(?!00000)[0-9a-f]{5}00091140(20010db8[0-9a-f]{24}){2}119411950009(?!0000)[0-9a-f]{4}ff$/,
		mark: 0,
	},
];

// @spec NT-9
describe('a keepalive on the wire', () => {
	for (const { name, options, wire, mark } of wires) {
		it(name, () => {
			const { engine, routes } = makeEngine();
			addOut(engine, options);
			engine.handleTimeout(NOW_US);
			const packet = engine.pollPacket();
			assert.ok(packet !== undefined);
			assert.match(formatHex(packet.copy()), wire);
			assert.equal(routes.asked.at(-1)?.mark, mark);
			assert.equal(packet.mark, 0x77);
		});
	}
});
