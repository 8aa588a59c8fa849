/** What packets that leave together share, and what a packet is when it has left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import type { CryptoProvider } from '@xfrm/crypto/provider';
import { formatHex, PacketBuffer } from '@xfrm/wire';
import { anySelector, type PolicyConfig, UNLIMITED } from '@xfrm/wire/xfrm';
import { Batch } from './batch.ts';
import type { Engine } from './engine.ts';
import {
	address,
	bytes,
	counted,
	ip,
	join,
	NOW_US,
	SPI,
	type StateOptions,
	udp,
} from './input-fixture.test.ts';
import { linux619 } from './kernel-profile.ts';
import {
	addOut,
	addOutPolicy,
	inner,
	makeEngine,
	makeRoute,
	type Routes,
	send,
	sent,
	template,
	tunnelTemplate,
} from './output-fixture.test.ts';
import { PacketAction, Verdict } from './verdict.ts';

const V6_ENDS = { src: '2001:db8::a', dst: '2001:db8::b' };

/** The null provider, with the jobs of each call, and how many of them had a key that was wiped before. */
function countingProvider(): CryptoProvider & { calls: number[]; wiped: number } {
	const nothing = nullProvider();
	const wiped = new Set<unknown>();
	const provider = {
		...nothing,
		calls: [] as number[],
		wiped: 0,
		name: 'counting',
		supports: nothing.supports.bind(nothing),
		macKey: nothing.macKey.bind(nothing),
		compressor: nothing.compressor.bind(nothing),
		open: nothing.open.bind(nothing),
		espKey: () => {
			const key = { icvOctets: 16, wipe: () => wiped.add(key) };
			return key;
		},
		seal: (jobs: Parameters<CryptoProvider['seal']>[0]) => {
			provider.calls.push(jobs.count);
			for (let job = 0; job < jobs.count; job++) {
				provider.wiped += wiped.has(jobs.keys[job]) ? 1 : 0;
			}
			nothing.seal(jobs);
		},
	};
	return provider;
}

function tunnel(
	options: StateOptions = {},
	provider?: CryptoProvider,
): { engine: Engine; routes: Routes } {
	const { engine, routes } = makeEngine(linux619, provider);
	addOut(engine, options);
	addOutPolicy(engine, { templates: [tunnelTemplate()] });
	return { engine, routes };
}

// @spec O-11 L-1 L-3
test('packets of a batch share calls of the provider, unless one may end its state', () => {
	const { Pass, OutStateExpired, OutNoStates } = Verdict;
	const rows: readonly (readonly [string, StateOptions, number, number[], Verdict[]])[] = [
		['no limit', {}, 3, [3], [Pass, Pass, Pass]],
		['64 jobs a call', {}, 70, [64, 6], new Array<Verdict>(70).fill(Pass)],
		[
			'a soft limit is near',
			{ lifetime: { ...UNLIMITED, softPacketLimit: 300 } },
			3,
			[3],
			[Pass, Pass, Pass],
		],
		[
			'a hard limit comes',
			{ lifetime: { ...UNLIMITED, hardPacketLimit: 2 } },
			4,
			[2],
			[Pass, Pass, OutStateExpired, OutNoStates],
		],
	];
	for (const [name, options, count, calls, verdicts] of rows) {
		const provider = countingProvider();
		const { engine } = tunnel(options, provider);
		const packets = Array.from({ length: count }, () => sent(inner(), makeRoute()));
		engine.output(Batch.of(NOW_US, ...packets));
		assert.deepEqual(provider.calls, calls, name);
		assert.equal(provider.wiped, 0, name);
		assert.deepEqual(
			packets.map(({ verdict }) => verdict),
			verdicts,
			name,
		);
	}
});

// @spec O-11
test('the provider is not called for a state that seals nothing', () => {
	const provider = countingProvider();
	const { engine } = makeEngine(linux619, provider);
	const coaddr = address('2001:db8::c');
	addOut(engine, { ...V6_ENDS, proto: 60, spi: 0, mode: 2, coaddr, replayWindow: 0 });
	addOutPolicy(engine, {
		selector: anySelector(10),
		templates: [template({ proto: 60, mode: 2, family: 10, reqid: 1 })],
	});
	const packet = send(engine, ip(17, udp(), V6_ENDS), { route: makeRoute({ family: 10 }) });
	assert.equal(packet.action, PacketAction.Transformed);
	assert.deepEqual(provider.calls, []);
});

// @spec O-11
test('a packet leaves by the route of its bundle, and forgets how it came', () => {
	const { engine, routes } = tunnel();
	const behind = makeRoute({ ifindex: 9 });
	routes.route = behind;
	const packet = sent(inner(), makeRoute());
	packet.path[0] = {};
	packet.pathCount = 1;
	packet.verifiedCount = 1;
	engine.output(Batch.of(NOW_US, packet));
	assert.equal(packet.route, behind);
	assert.deepEqual([packet.path[0], packet.pathCount, packet.verifiedCount], [null, 0, 0]);
	assert.equal(packet.bundle, null);
});

// @spec O-11 O-13
test('AH in transport mode in an ESP tunnel: both are done, in one packet', () => {
	const { engine } = makeEngine();
	addOut(engine, { proto: 51, mode: 0, src: '10.0.0.1', dst: '10.1.0.1', spi: SPI + 1 });
	addOut(engine, { reqid: 2 });
	addOutPolicy(engine, {
		templates: [template({ proto: 51, mode: 0, reqid: 1 }), tunnelTemplate({ reqid: 2 })],
	});
	const packet = send(engine, inner(undefined, { fragment: 0x4000 }));
	assert.equal(packet.action, PacketAction.Transformed);
	const hex = formatHex(packet.copy());
	// 20 + 16, then the packet of 32 + 24 octets with its own length and checksum, and ESP's end.
	assert.equal(hex.slice(0, 20), '45000070000040004032');
	assert.equal(hex.slice(72, 92), '45000038000040004033');
	assert.equal(hex.slice(112, 128), `110400${'00'}${'c0de0002'}`);
	assert.deepEqual(counted(engine.net), {});
});

/** An IPv6 packet of 1400 octets or more whose first header behind IP is this. */
function longPacket(proto: number, first: number): Uint8Array {
	const payload = new Uint8Array(1400);
	payload[0] = first;
	return ip(proto, payload, { src: '2001:db8:a::1', dst: '2001:db8:b::1' });
}

// @spec U-6
test('a fragment of a sealed packet is not cut once more, whatever its length', () => {
	const rows: readonly (readonly [string, Uint8Array, number, boolean])[] = [
		['a fragment of ESP', longPacket(44, 50), 1500, true],
		['a fragment of AH', longPacket(44, 51), 1500, true],
		['a fragment of UDP', longPacket(44, 17), 1500, false],
		['UDP from a port that looks like ESP', longPacket(17, 50), 1500, false],
		['a fragment header that is not there', longPacket(44, 50).subarray(0, 40), 100, false],
	];
	for (const [name, whole, mtu, leaves] of rows) {
		const { engine, routes } = makeEngine();
		routes.route = makeRoute({ family: 10, mtu });
		addOut(engine, V6_ENDS);
		addOutPolicy(engine, {
			selector: anySelector(10),
			templates: [
				template({
					family: 10,
					reqid: 1,
					saddr: address(V6_ENDS.src),
					id: { daddr: address(V6_ENDS.dst), spi: 0, proto: 50 },
				}),
			],
		});
		const packet = sent(whole, makeRoute({ family: 10 }));
		// What stands behind the packet is not of it.
		packet.bytes[packet.end] = 50;
		engine.output(Batch.of(NOW_US, packet));
		assert.equal(packet.action, leaves ? PacketAction.Transformed : PacketAction.Fragment, name);
	}
});

// @spec T-50
test('an IPv6 packet that has become longer than its header can tell says 0', () => {
	const HOME_ADDRESS_OCTETS = 24;
	for (const [octets, length] of [
		[65535 - HOME_ADDRESS_OCTETS, 65535],
		[65535 - HOME_ADDRESS_OCTETS + 8, 0],
	] as const) {
		const { engine } = makeEngine();
		const coaddr = address('2001:db8::c');
		addOut(engine, { ...V6_ENDS, proto: 60, spi: 0, mode: 2, coaddr, replayWindow: 0 });
		addOutPolicy(engine, {
			selector: anySelector(10),
			templates: [template({ proto: 60, mode: 2, family: 10, reqid: 1 })],
		});
		const packet = send(engine, ip(17, udp(new Uint8Array(octets - 8)), V6_ENDS), {
			route: makeRoute({ family: 10, mtu: 70000 }),
		});
		assert.equal(packet.action, PacketAction.Transformed);
		assert.equal(packet.length, 40 + octets + HOME_ADDRESS_OCTETS);
		assert.equal(packet.view.getUint16(packet.start + 4), length);
	}
});

/** Sends a packet that has so much room in its buffer. */
function sendFrom(make: () => Engine, whole: Uint8Array, head: number, tail: number): string {
	const engine = make();
	const model = sent(whole, makeRoute());
	const packet = new PacketBuffer(head + whole.length + tail);
	packet.bytes.set(whole, head);
	packet.start = head;
	packet.end = head + whole.length;
	packet.family = model.family;
	packet.route = model.route;
	packet.flow.copyFrom(model.flow);
	engine.output(Batch.of(NOW_US, packet));
	assert.equal(packet.action, PacketAction.Transformed);
	return formatHex(packet.copy());
}

// @spec O-11 M-9
test('however little room its buffer has, a packet comes out the same', () => {
	const through = (states: StateOptions[], policy: Partial<PolicyConfig>) => (): Engine => {
		const { engine } = makeEngine();
		for (const [i, options] of states.entries()) {
			addOut(engine, { spi: SPI + i, reqid: i + 1, ...options });
		}
		addOutPolicy(engine, policy);
		return engine;
	};
	const plain = inner();
	const options = bytes('9404000001010100');
	const withOptions = join(bytes('47'), plain.subarray(1, 20), options, plain.subarray(20));
	const v6Template = template({
		family: 10,
		mode: 4,
		reqid: 1,
		saddr: address(V6_ENDS.src),
		id: { daddr: address(V6_ENDS.dst), spi: 0, proto: 50 },
	});
	const cases: readonly (readonly [string, () => Engine, Uint8Array])[] = [
		[
			'BEET with IPv4 options, in IPv6',
			through([{ ...V6_ENDS, mode: 4, flags: 32, selector: anySelector(0) }], {
				templates: [v6Template],
			}),
			withOptions,
		],
		[
			'a tunnel with TFC padding',
			through([{ tfcpad: 300 }], { templates: [tunnelTemplate()] }),
			plain,
		],
		[
			'IPTFS behind BEET with IPv4 options',
			through([{ mode: 4 }, { mode: 5, direction: 2, iptfs: { packetOctets: 0 } }], {
				templates: [tunnelTemplate({ mode: 4 }), tunnelTemplate({ mode: 5, reqid: 2 })],
			}),
			withOptions,
		],
	];
	for (const [name, make, whole] of cases) {
		const expected = sendFrom(make, whole, 640, 640);
		for (let head = 0; head <= 100; head += 4) {
			assert.equal(sendFrom(make, whole, head, 640), expected, `${name}: ${head} in front`);
		}
		for (let tail = 0; tail <= 340; tail += 4) {
			assert.equal(sendFrom(make, whole, 640, tail), expected, `${name}: ${tail} behind`);
		}
	}
});
