import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anySelector, Errno } from '@xfrm/wire/xfrm';
import { Batch } from './batch.ts';
import { Bundle } from './bundle.ts';
import type { Engine } from './engine.ts';
import { address, counted, NOW_US, SPI, type StateOptions, trace } from './input-fixture.test.ts';
import { linux61, linux619 } from './kernel-profile.ts';
import {
	addOut,
	addOutPolicy,
	inner,
	makeEngine,
	makeRoute,
	send,
	sent,
	template,
	tunnelTemplate,
} from './output-fixture.test.ts';
import { PacketAction, Verdict } from './verdict.ts';

/** SPIs of the states that the next packet would go through, innermost first. */
function chosen(engine: Engine, packet: Uint8Array, family = 2): string[] {
	const buffer = sent(packet, makeRoute({ family }));
	engine.lookup(Batch.of(NOW_US, buffer));
	const spis: string[] = [];
	if (buffer.bundle instanceof Bundle) {
		for (let step = buffer.bundle.first; step !== null; step = step.next) {
			spis.push(`${step.state.proto}:${step.state.mode}:${step.state.spi >>> 0}`);
		}
	}
	return spis;
}

// @spec O-4
test('the addresses of a tunnel template are those that the templates behind it see', () => {
	const { engine } = makeEngine();
	addOut(engine);
	addOut(engine, { proto: 51, mode: 0, spi: SPI + 1 });
	addOut(engine, { proto: 51, mode: 0, spi: SPI + 2, src: '10.0.0.1', dst: '10.1.0.1' });
	addOutPolicy(engine, {
		templates: [tunnelTemplate(), template({ proto: 51, mode: 0, reqid: 1 })],
	});
	assert.deepEqual(chosen(engine, inner()), [`50:1:${SPI}`, `51:0:${SPI + 1}`]);
});

// @spec O-4
test('a template without source takes that of the route, or fails without one', () => {
	const { engine, routes } = makeEngine();
	addOut(engine);
	addOutPolicy(engine, {
		templates: [tunnelTemplate({ saddr: new Uint8Array(16) })],
	});
	routes.route = makeRoute({ source: address('192.0.2.1') });
	assert.deepEqual(chosen(engine, inner()), [`50:1:${SPI}`]);
	routes.generation++;
	routes.route = undefined;
	const packet = send(engine, inner());
	assert.equal(packet.action, PacketAction.Drop);
	assert.equal(packet.error, Errno.EHOSTUNREACH);
	assert.deepEqual(counted(engine.net), { XfrmOutPolError: 1 });
});

// @spec O-5
test('an optional template without state is skipped; none at all: in clear', () => {
	const { engine } = makeEngine();
	addOut(engine, { mode: 0, src: '10.0.0.1', dst: '10.1.0.1' });
	addOutPolicy(engine, {
		templates: [
			template({ proto: 51, mode: 0, optional: 1 }),
			template({ mode: 0, optional: 1, reqid: 1 }),
		],
	});
	assert.deepEqual(chosen(engine, inner()), [`50:0:${SPI}`]);
	const other = send(engine, inner(undefined, { dst: '10.1.0.9' }));
	assert.equal(other.action, PacketAction.Pass);
	assert.deepEqual(counted(engine.net), {});
});

// @spec M-22
test('an in-trigger template asks a key manager and never finds a state', () => {
	for (const [optional, action, counters] of [
		[1, PacketAction.Pass, {}],
		[0, PacketAction.Drop, { XfrmOutNoStates: 1 }],
	] as const) {
		const { engine } = makeEngine();
		engine.net.listeners = 1;
		addOutPolicy(engine, {
			selector: anySelector(10),
			templates: [template({ proto: 60, mode: 3, family: 10, optional })],
		});
		const packet = inner(undefined, { src: '2001:db8::a', dst: '2001:db8::b' });
		const buffer = send(engine, packet, { route: makeRoute({ family: 10 }) });
		assert.equal(buffer.action, action);
		assert.deepEqual(counted(engine.net), counters);
		assert.equal(engine.pollEvent()?.kind, 'acquire');
		assert.equal([...engine.states()][0]?.mode, 3);
	}
});

// @spec P-21 T-61
test('states of two IPv6 policies stand in the order of their classes', () => {
	const { engine } = makeEngine();
	const ends = { src: '2001:db8::a', dst: '2001:db8::b' };
	const rows: StateOptions[] = [
		{ proto: 51, mode: 0, spi: 1, ...ends },
		{ proto: 60, mode: 2, spi: 0, coaddr: address('2001:db8::c'), replayWindow: 0, ...ends },
		{ proto: 50, mode: 0, spi: 2, ...ends },
	];
	for (const row of rows) {
		addOut(engine, row);
	}
	const wanted = (proto: number, mode: number) => template({ proto, mode, family: 10, reqid: 1 });
	addOutPolicy(engine, {
		selector: anySelector(10),
		type: 1,
		templates: [wanted(60, 2), wanted(51, 0)],
	});
	addOutPolicy(engine, { selector: anySelector(10), templates: [wanted(50, 0)] });
	assert.deepEqual(chosen(engine, inner(undefined, ends), 10), ['50:0:2', '60:2:0', '51:0:1']);
});

// @spec P-21
test('states of two IPv4 policies stay in the order of the policies, sub first', () => {
	const { engine } = makeEngine();
	addOut(engine, { proto: 51, mode: 0, spi: 1, src: '10.0.0.1', dst: '10.1.0.1' });
	addOut(engine, { proto: 50, mode: 0, spi: 2, src: '10.0.0.1', dst: '10.1.0.1' });
	addOutPolicy(engine, { type: 1, templates: [template({ proto: 51, mode: 0, reqid: 1 })] });
	addOutPolicy(engine, { templates: [template({ mode: 0, reqid: 1 })] });
	assert.deepEqual(chosen(engine, inner()), ['51:0:1', '50:0:2']);
});

// @spec P-24
test('five templates work, six do not, also when two policies have them together', () => {
	const optional = template({ mode: 0, optional: 1 });
	for (const [sub, main, action] of [
		[0, 5, PacketAction.Pass],
		[0, 6, PacketAction.Drop],
		[6, 0, PacketAction.Drop],
	] as const) {
		const { engine } = makeEngine();
		if (sub > 0) {
			addOutPolicy(engine, { type: 1, templates: new Array(sub).fill(optional) });
		}
		addOutPolicy(engine, { templates: new Array(main).fill(optional) });
		const packet = send(engine, inner());
		assert.equal(packet.action, action, `${sub} + ${main}`);
		if (action === PacketAction.Drop) {
			assert.equal(packet.error, Errno.ENOBUFS);
			assert.deepEqual(counted(engine.net), { XfrmOutPolError: 1 });
		}
	}
});

// @spec S-34
test('a state for input is chosen like any other, and then the packet goes nowhere', () => {
	for (const [profile, action, counters] of [
		[linux619, PacketAction.Drop, { XfrmOutPolError: 1, XfrmOutStateDirError: 1 }],
		[linux61, PacketAction.Transformed, {}],
	] as const) {
		const { engine } = makeEngine(profile);
		addOut(engine, { direction: 1 });
		addOutPolicy(engine, { templates: [tunnelTemplate()] });
		const packet = send(engine, inner());
		assert.equal(packet.action, action);
		assert.equal(packet.verdict, action === PacketAction.Drop ? Verdict.OutPolError : 0);
		assert.equal(packet.error, action === PacketAction.Drop ? Errno.EINVAL : 0);
		assert.deepEqual(counted(engine.net), counters);
	}
});

// @spec O-4
test('a tracer hears of each template with the addresses that its state must have', () => {
	const { engine } = makeEngine();
	addOut(engine);
	addOutPolicy(engine, { templates: [tunnelTemplate()] });
	const events = trace(engine.net);
	send(engine, inner());
	const [event] = events.filter((one) => one.kind === 'template');
	assert.deepEqual(
		event?.kind === 'template' && [event.position, event.count, event.saddr, event.daddr],
		[0, 1, address('192.0.2.1'), address('192.0.2.2')],
	);
});
