import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flow } from '@xfrm/wire';
import { anySelector } from '@xfrm/wire/xfrm';
import { Batch } from './batch.ts';
import { Bundle, makeBundle, stateMtu } from './bundle.ts';
import { address, NOW_US, type StateOptions } from './input-fixture.test.ts';
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
import { PacketAction } from './verdict.ts';

const CBC = {
	crypt: { name: 'cbc(aes)', key: new Uint8Array(16), keyBits: 128 },
	auth: { name: 'hmac(sha1)', key: new Uint8Array(20), keyBits: 160, truncBits: 96 },
};

// @spec U-1 U-2
test('what fits into a state follows from its mode, cipher and encapsulation', () => {
	const rows: [string, StateOptions, number, number][] = [
		['GCM tunnel: 1500 - (20+8+8) - 16, to 4, less 2', {}, 1500, 1446],
		['the same over a path of 1280 (design 7)', {}, 1280, 1226],
		[
			'in UDP over 1280',
			{ encap: { type: 2, sport: 4500, dport: 4500, oa: address('0.0.0.0') } },
			1280,
			1218,
		],
		['CBC tunnel: to 16', CBC, 1500, 1438],
		['CBC transport gives the IP header back', { ...CBC, mode: 0 }, 1500, 1458],
		['BEET has room for options in reserve', { ...CBC, mode: 4 }, 1500, 1442],
		['IPv6 tunnel', { src: '2001:db8::1', dst: '2001:db8::2' }, 1500, 1426],
		['AH tunnel: 20 + 24', { proto: 51 }, 1500, 1456],
		['nothing left', {}, 52, 1],
		['two octets are not enough', {}, 52 + 3, 1],
	];
	for (const [name, options, mtu, want] of rows) {
		const { engine } = makeEngine();
		assert.equal(stateMtu(addOut(engine, options), mtu), want, name);
	}
});

// @spec U-1
test('what is no valid ESP state takes its header only, and leaves at least one octet', () => {
	const { engine } = makeEngine();
	const state = addOut(engine, { proto: 108, spi: 0x100 });
	assert.equal(stateMtu(state, 1500), 1480);
	assert.equal(stateMtu(state, 20), 1);
	assert.equal(stateMtu(state, 0), 1);
});

// @spec U-3 O-9
test('the MTU of a bundle is the least over its states and routes', () => {
	const { engine, routes } = makeEngine();
	const states = [addOut(engine, { mode: 0, src: '10.0.0.1', dst: '10.1.0.1' }), addOut(engine)];
	const policy = addOutPolicy(engine, { templates: [template({ mode: 0 }), template()] });
	const flow = new Flow();
	flow.family = 2;
	routes.route = makeRoute({ mtu: 1400, hopLimit: 9 });
	const bundle = makeBundle(engine.net, policy, states, 2, flow, makeRoute({ mtu: 1390 }));
	assert.ok(bundle instanceof Bundle && bundle.first !== null && bundle.first.next !== null);
	// Behind the tunnel 1400, in front of it 1346; transport ESP of that: 1346 - 52 to 4 + 18.
	assert.equal(bundle.first.next.mtu, 1346);
	assert.equal(bundle.first.childMtu, 1346);
	assert.equal(bundle.first.mtu, 1310);
	assert.equal(bundle.mtu, 1310);
	assert.equal(bundle.route, routes.route);
	assert.equal(bundle.first.checksSize, false);
	assert.equal(bundle.first.next.checksSize, true);
	assert.equal(bundle.first.endsGroup, true);
	assert.equal(bundle.first.next.route.hopLimit, 9);
	const narrow = makeBundle(engine.net, policy, states, 2, flow, makeRoute({ mtu: 1000 }));
	// The first route bounds both steps, and the transport state still needs its room of that.
	assert.ok(narrow instanceof Bundle);
	assert.equal(narrow.first?.next?.mtu, 1000);
	assert.equal(narrow.mtu, 966);
});

// @spec O-9
test('the outer route is asked for by the state, with the mark of its output mark rule', () => {
	const { engine, routes } = makeEngine();
	addOut(engine, { outputMark: { v: 0x12, m: 0xff } });
	addOutPolicy(engine, { templates: [tunnelTemplate()] });
	const packet = send(engine, inner(), { mark: 0x3400 });
	assert.equal(packet.mark, 0x3412);
	assert.deepEqual(routes.asked, [
		{ family: 2, daddr: address('192.0.2.2'), saddr: address('192.0.2.1'), mark: 0x3412, oif: 0 },
	]);
});

// @spec O-9 T-53
test('a home address option is routed from the care-of address, a routing header to it', () => {
	const home = '2001:db8::a';
	const peer = '2001:db8::b';
	const careOf = address('2001:db8:1::c');
	for (const [proto, saddr, daddr] of [
		[60, careOf, address(peer)],
		[43, address(home), careOf],
	] as const) {
		const { engine, routes } = makeEngine();
		addOut(engine, {
			proto,
			spi: 0,
			mode: 2,
			src: home,
			dst: peer,
			coaddr: careOf,
			replayWindow: 0,
		});
		addOutPolicy(engine, {
			selector: anySelector(10),
			templates: [template({ proto, mode: 2, family: 10, reqid: 1 })],
		});
		send(engine, inner(undefined, { src: home, dst: peer }), { route: makeRoute({ family: 10 }) });
		assert.deepEqual(
			routes.asked.map((one) => [one.saddr, one.daddr]),
			[[saddr, daddr]],
			`proto ${proto}`,
		);
	}
});

// @spec O-10 S-8 S-9
test('another flow of the policy uses the same bundle, until routes or states change', () => {
	const { engine, routes } = makeEngine();
	addOut(engine);
	addOutPolicy(engine, { templates: [tunnelTemplate()] });
	const lookup = (dst: string): object | null => {
		const packet = sent(inner(undefined, { dst }), makeRoute());
		engine.lookup(Batch.of(NOW_US, packet));
		return packet.bundle;
	};
	const first = lookup('10.1.0.1');
	assert.ok(first instanceof Bundle);
	assert.equal(lookup('10.1.0.2'), first);
	routes.generation++;
	const second = lookup('10.1.0.1');
	assert.notEqual(second, first);
	addOut(engine, { spi: 0xc0de0002 });
	const third = lookup('10.1.0.1');
	assert.ok(third instanceof Bundle && third !== second);
	assert.equal(third.first?.state.spi, 0xc0de0002 | 0);
});

// @spec P-10 D-2
test('what policies and defaults change holds for the next packet of a known flow', () => {
	const { engine } = makeEngine();
	addOut(engine);
	const action = (): number => {
		const packet = sent(inner(), makeRoute());
		engine.lookup(Batch.of(NOW_US, packet));
		return packet.action;
	};
	assert.equal(action(), PacketAction.Pass);
	addOutPolicy(engine, { priority: 5, templates: [tunnelTemplate()] });
	assert.equal(action(), PacketAction.Transformed);
	const block = addOutPolicy(engine, { priority: 4, action: 1, mark: { v: 0, m: 1 } });
	assert.equal(action(), PacketAction.Drop);
	const { selector, index, direction, type } = block.config;
	const query = { selector, index, direction, type, ifId: 0, mark: { v: 0, m: 1 } };
	assert.equal(engine.deletePolicy(query, NOW_US).refusal, undefined);
	assert.equal(action(), PacketAction.Transformed);
	engine.flushPolicies(0, NOW_US);
	assert.equal(action(), PacketAction.Pass);
	engine.setDefault(1, 1);
	assert.equal(action(), PacketAction.Drop);
});
