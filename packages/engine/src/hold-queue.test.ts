import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHex, type PacketBuffer } from '@xfrm/wire';
import { Errno } from '@xfrm/wire/xfrm';
import { Batch } from './batch.ts';
import type { Engine } from './engine.ts';
import { bytes, counted, NOW_US } from './input-fixture.test.ts';
import {
	addOut,
	addOutPolicy,
	inner,
	makeEngine,
	makeRoute,
	outPolicy,
	sent,
	tunnelTemplate,
} from './output-fixture.test.ts';
import { PacketAction, Verdict } from './verdict.ts';

const SECOND = 1_000_000;

/** An engine that holds packets, with a listener, and a policy without its state. */
function holding(): Engine {
	const { engine } = makeEngine();
	engine.net.sysctl.xfrm_larval_drop = 0;
	engine.net.listeners = 1;
	addOutPolicy(engine, { templates: [tunnelTemplate()] });
	return engine;
}

function sendAt(engine: Engine, timeUs: number, packet = inner()): PacketBuffer {
	const buffer = sent(packet, makeRoute());
	engine.output(Batch.of(timeUs, buffer));
	return buffer;
}

function released(engine: Engine): PacketBuffer[] {
	const packets: PacketBuffer[] = [];
	for (let packet = engine.pollPacket(); packet !== undefined; packet = engine.pollPacket()) {
		packets.push(packet);
	}
	return packets;
}

/** Lets time pass; answers when, since the beginning, timers of the hold queue were due. */
function runUntil(engine: Engine, endUs: number): void {
	for (;;) {
		const due = engine.pollTimeout();
		if (due > endUs) {
			return;
		}
		engine.handleTimeout(due);
	}
}

// @spec O-8
test('held packets leave in order once the state is there, at the next try', () => {
	const engine = holding();
	const packets = [1, 2, 3].map((n) => sendAt(engine, NOW_US + n, inner(Uint8Array.of(n))));
	for (const packet of packets) {
		assert.equal(packet.action, PacketAction.Consume);
		assert.equal(packet.error, 0);
		packet.bytes.fill(0);
	}
	assert.deepEqual(counted(engine.net), {});
	addOut(engine);
	runUntil(engine, NOW_US + SECOND / 10);
	assert.deepEqual(released(engine), []);
	runUntil(engine, NOW_US + SECOND / 10 + 1);
	const out = released(engine);
	assert.deepEqual(
		out.map((packet) => [packet.action, packet.route, formatHex(packet.copy()).slice(128, 130)]),
		[1, 2, 3].map((n) => [PacketAction.Transformed, makeRoute(), `0${n}`]),
	);
	assert.deepEqual(counted(engine.net), {});
});

// @spec O-8
test('tries come at 0.1, 0.3, 0.7 … seconds, and after more than a minute all is given up', () => {
	const engine = holding();
	engine.net.sysctl.xfrm_acq_expires = 3600;
	sendAt(engine, NOW_US);
	engine.net.tracer = { note: () => {} };
	const tries: number[] = [];
	engine.net.tracer = {
		note: (event) => {
			if (event.kind === 'policy' && event.table === 'main') {
				tries.push(((engine.net.now[0] ?? 0) - NOW_US) / SECOND);
			}
		},
	};
	runUntil(engine, NOW_US + 300 * SECOND);
	assert.deepEqual(tries, [0.1, 0.3, 0.7, 1.5, 3.1, 6.3, 12.7, 25.5, 51.1, 102.3, 204.7]);
	engine.net.tracer = null;
	addOut(engine);
	runUntil(engine, NOW_US + 900 * SECOND);
	assert.deepEqual(released(engine), []);
});

// @spec O-8
test('101 packets are held, the next one is refused', () => {
	const engine = holding();
	for (let i = 0; i < 101; i++) {
		assert.equal(sendAt(engine, NOW_US).action, PacketAction.Consume, `${i}`);
	}
	const packet = sendAt(engine, NOW_US);
	assert.equal(packet.action, PacketAction.Drop);
	assert.equal(packet.verdict, Verdict.HoldQueueFull);
	assert.equal(packet.error, Errno.EAGAIN);
	assert.deepEqual(counted(engine.net), {});
	addOut(engine);
	runUntil(engine, NOW_US + SECOND);
	assert.equal(released(engine).length, 101);
});

// @spec P-7
test('an updated policy takes the packets over and tries at once', () => {
	const engine = holding();
	sendAt(engine, NOW_US);
	addOut(engine);
	const update = engine.updatePolicy(
		outPolicy({ templates: [tunnelTemplate()], priority: 5 }),
		NOW_US + 5,
	);
	assert.equal(update.refusal, undefined);
	runUntil(engine, NOW_US + 5);
	assert.equal(released(engine).length, 1);
});

// @spec O-8
test('a policy that goes takes its packets along', () => {
	const engine = holding();
	sendAt(engine, NOW_US);
	engine.flushPolicies(0, NOW_US);
	runUntil(engine, NOW_US + SECOND);
	assert.deepEqual(released(engine), []);
});

// @spec O-8
test('packets that meet something else at the next try are treated so', () => {
	const rows: [string, (engine: Engine) => void, number, Record<string, number>][] = [
		['a policy that allows in clear', (engine) => void addOutPolicy(engine, { type: 1 }), 0, {}],
		[
			'a policy that blocks',
			(engine) => void addOutPolicy(engine, { type: 1, action: 1 }),
			0,
			{ XfrmOutPolBlock: 1 },
		],
	];
	for (const [name, change, count, counters] of rows) {
		const engine = holding();
		sendAt(engine, NOW_US);
		change(engine);
		runUntil(engine, NOW_US + SECOND);
		assert.equal(released(engine).length, count, name);
		assert.deepEqual(counted(engine.net), counters, name);
	}
});

test('a packet that leaves by a timer comes with the bundle whose states have numbered it', () => {
	const engine = holding();
	sendAt(engine, NOW_US);
	const state = addOut(engine);
	runUntil(engine, NOW_US + SECOND);
	const numberedBy = (): unknown => engine.polledBundle?.first?.state;
	assert.equal(engine.pollPacket()?.action, PacketAction.Transformed);
	assert.equal(numberedBy(), state);
	assert.equal(engine.pollPacket(), undefined);
	assert.equal(numberedBy(), undefined);
});

test('a held packet is the engine’s own copy', () => {
	const engine = holding();
	const packet = sendAt(engine, NOW_US, inner(bytes('aabbccdd')));
	packet.reset();
	addOut(engine);
	runUntil(engine, NOW_US + SECOND);
	const [out] = released(engine);
	assert.ok(out !== undefined && out !== packet);
	assert.equal(formatHex(out.copy()).slice(128, 136), 'aabbccdd');
});
