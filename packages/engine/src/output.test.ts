import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { nullProvider } from '@xfrm/crypto/null';
import type { CryptoProvider } from '@xfrm/crypto/provider';
import { formatHex, type PacketBuffer } from '@xfrm/wire';
import { anySelector, Errno, UNLIMITED } from '@xfrm/wire/xfrm';
import fc from 'fast-check';
import { Batch } from './batch.ts';
import type { Engine } from './engine.ts';
import {
	bytes,
	codes,
	counted,
	ip,
	NOW_US,
	SPI,
	type StateOptions,
	selector,
	trace,
	udp,
} from './input-fixture.test.ts';
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
import { ReplayCounter } from './replay-window.ts';
import { Current, StateCondition } from './state.ts';
import { PacketAction, Verdict } from './verdict.ts';

const GROUP_AEVENTS = 1 << 4;
const LARGE = new Uint8Array(1600);

function tunnel(options: StateOptions = {}, provider?: CryptoProvider) {
	const { engine, routes } = makeEngine(linux619, provider);
	const state = addOut(engine, options);
	addOutPolicy(engine, { templates: [tunnelTemplate()] });
	return { engine, routes, state };
}

// @spec O-11 O-12 O-16 M-4
test('a tunnelled packet leaves with its first sequence number, counted by its inner length', () => {
	const { engine, state } = tunnel();
	const packet = send(engine, inner());
	assert.equal(packet.action, PacketAction.Transformed);
	assert.equal(packet.family, 2);
	const hex = formatHex(packet.copy());
	assert.equal(
		hex.slice(0, 56),
		// version, TOS, length 88, id of a header that may be fragmented
		`45000058${hex.slice(8, 12)}00004032${hex.slice(20, 24)}c0000201c0000202c0de000100000001`,
	);
	assert.equal(hex.slice(72, 136), formatHex(inner()));
	assert.equal(hex.slice(136, 144), '01020204');
	assert.equal(state.lifetime[Current.Bytes], 32);
	assert.equal(state.lifetime[Current.Packets], 1);
	assert.equal(state.lifetime[Current.LastUsed], Math.floor(NOW_US / 1e6));
	assert.equal(state.replay.counters[ReplayCounter.Oseq], 1);
});

test('last use is noted for every packet from 6.2 on only', () => {
	const { engine } = makeEngine(linux61);
	const state = addOut(engine);
	addOutPolicy(engine, { templates: [tunnelTemplate()] });
	send(engine, inner());
	assert.equal(state.lifetime[Current.LastUsed], 0);
});

// @spec O-12
test('transport mode counts what is behind the IP header', () => {
	const { engine } = makeEngine();
	const state = addOut(engine, { mode: 0, src: '10.0.0.1', dst: '10.1.0.1' });
	addOutPolicy(engine, { templates: [template({ mode: 0, reqid: 1 })] });
	send(engine, inner());
	assert.equal(state.lifetime[Current.Bytes], 12);
});

/** A provider that fails to seal. */
function failing(): CryptoProvider {
	const provider = nullProvider();
	provider.seal = (batch) => {
		for (let i = 0; i < batch.count; i++) {
			batch.status[i] = 22;
		}
	};
	return provider;
}

// @spec O-11
test('each step has its verdict, and only those behind it have consequences', () => {
	const rows: {
		name: string;
		state?: StateOptions;
		provider?: CryptoProvider;
		prepare?: (engine: Engine) => void;
		packet?: Uint8Array;
		verdict: number;
		error: number;
		code: string;
		oseq: number;
		packets: number;
	}[] = [
		{
			name: 'mode: too big with DF',
			packet: inner(LARGE, { fragment: 0x4000 }),
			verdict: Verdict.OutStateModeError,
			error: Errno.EMSGSIZE,
			code: 'out.mtu.ipv4',
			oseq: 0,
			packets: 0,
		},
		{
			name: 'hard limit',
			state: { lifetime: { ...UNLIMITED, hardPacketLimit: 0 } },
			verdict: Verdict.OutStateExpired,
			error: Errno.EINVAL,
			code: 'out.state.expired',
			oseq: 0,
			packets: 0,
		},
		{
			name: 'sequence number',
			state: { replay: { oseq: 0xffffffff, seq: 0, bitmap: 0 } },
			verdict: Verdict.OutStateSeqError,
			error: Errno.EOVERFLOW,
			code: 'out.sequence.overflow',
			oseq: 0xffffffff,
			packets: 0,
		},
		{
			name: 'provider fails',
			provider: failing(),
			verdict: Verdict.OutStateProtoError,
			error: Errno.EINVAL,
			code: 'out.transform.crypto',
			oseq: 1,
			packets: 1,
		},
		{
			name: 'provider lacks the algorithm',
			state: {},
			prepare: (engine) => {
				for (const state of engine.states()) {
					state.key = undefined;
				}
			},
			verdict: Verdict.OutStateProtoError,
			error: Errno.ENOSYS,
			code: 'out.transform.algorithm',
			oseq: 1,
			packets: 1,
		},
	];
	for (const traced of [false, true]) {
		for (const row of rows) {
			const { engine, state } = tunnel(row.state, row.provider);
			row.prepare?.(engine);
			const events = traced ? trace(engine.net) : [];
			const packet = send(engine, row.packet ?? inner(), { dontFragment: true });
			assert.equal(packet.action, PacketAction.Drop, row.name);
			assert.equal(packet.verdict, row.verdict, row.name);
			assert.equal(packet.error, row.error, row.name);
			assert.equal(Object.values(counted(engine.net)).join(), '1', row.name);
			assert.equal((state.replay.counters[0] ?? 0) >>> 0, row.oseq, row.name);
			assert.equal(state.lifetime[Current.Packets], row.packets, row.name);
			assert.deepEqual(codes(events), traced ? [row.code] : [], row.name);
		}
	}
});

// @spec O-11
test('a state that died between lookup and transform is not used', () => {
	const { engine, state } = tunnel();
	const packet = sent(inner(), makeRoute());
	const batch = Batch.of(NOW_US, packet);
	engine.lookup(batch);
	state.condition = StateCondition.Dead;
	engine.transform(batch);
	assert.equal(packet.verdict, Verdict.OutStateInvalid);
	assert.deepEqual(counted(engine.net), { XfrmOutStateInvalid: 1 });
});

// @spec R-9
test('extended sequence numbers go on into the high half', () => {
	const { engine, state } = tunnel({
		flags: 128,
		replayWindow: 0,
		replayEsn: {
			bmpLen: 1,
			oseq: 0xffffffff,
			seq: 0,
			oseqHi: 0,
			seqHi: 0,
			replayWindow: 32,
			bmp: new Uint32Array(1),
		},
	});
	const packet = send(engine, inner());
	assert.equal(formatHex(packet.copy()).slice(48, 56), '00000000');
	assert.deepEqual([...state.replay.counters.subarray(0, 2)], [0, 1]);
});

// @spec U-4
test('an IPv4 packet too big for the tunnel: refused with DF, else encapsulated whole', () => {
	const rows = [
		['DF, local', 0x4000, { dontFragment: true }, PacketAction.Drop],
		['DF, local, may be fragmented all the same', 0x4000, {}, PacketAction.Transformed],
		['DF, forwarded', 0x4000, { forwarded: true }, PacketAction.Drop],
		['no DF, forwarded', 0, { forwarded: true }, PacketAction.Transformed],
	] as const;
	for (const [name, fragment, options, want] of rows) {
		const { engine } = tunnel();
		const whole = inner(new Uint8Array(1446 - 28 + 1), { fragment });
		const packet = send(engine, whole, options);
		assert.equal(packet.action, want, name);
		if (want === PacketAction.Drop) {
			assert.equal(packet.mtu, 1446, name);
			assert.equal(formatHex(packet.copy()), formatHex(whole), `${name}: the host quotes it`);
			assert.deepEqual(counted(engine.net), { XfrmOutStateModeError: 1 }, name);
		}
		const fitting = send(engine, inner(new Uint8Array(1446 - 28), { fragment }), options);
		assert.equal(fitting.action, PacketAction.Transformed, name);
		assert.equal(fitting.length, 1500, name);
	}
});

// @spec U-4
test('only the first tunnel of a bundle looks at the size', () => {
	const { engine } = makeEngine();
	addOut(engine);
	addOut(engine, { src: '203.0.113.1', dst: '203.0.113.2', spi: SPI + 1 });
	addOutPolicy(engine, {
		templates: [
			tunnelTemplate(),
			tunnelTemplate({
				saddr: bytes('cb007101000000000000000000000000'),
				id: { daddr: bytes('cb007102000000000000000000000000'), spi: 0, proto: 50 },
			}),
		],
	});
	// Fits the path behind the second tunnel, not the bundle as a whole.
	const packet = send(engine, inner(new Uint8Array(1400), { fragment: 0x4000 }), {
		forwarded: true,
	});
	assert.equal(packet.action, PacketAction.Drop);
	assert.equal(packet.mtu, 1390);
	const second = send(engine, inner(new Uint8Array(1390 - 28), { fragment: 0x4000 }));
	assert.equal(second.action, PacketAction.Transformed);
});

// @spec U-5 U-6
test('an IPv6 packet too big for the tunnel: fragmented first, or refused', () => {
	const rows = [
		['local', 1400, {}, PacketAction.Fragment, 0],
		['local, says no', 1400, { dontFragment: true }, PacketAction.Drop, Verdict.OutTooBig],
		['forwarded', 1400, { forwarded: true }, PacketAction.Drop, Verdict.OutTooBig],
		['fits', 1378, { forwarded: true }, PacketAction.Transformed, 0],
	] as const;
	for (const [name, octets, options, want, verdict] of rows) {
		const { engine } = makeEngine();
		addOut(engine, { src: '2001:db8::1', dst: '2001:db8::2' });
		addOutPolicy(engine, {
			selector: anySelector(10),
			templates: [
				template({
					family: 10,
					reqid: 1,
					saddr: bytes('20010db8000000000000000000000001'),
					id: { daddr: bytes('20010db8000000000000000000000002'), spi: 0, proto: 50 },
				}),
			],
		});
		const whole = ip(17, udp(new Uint8Array(octets)), {
			src: '2001:db8:a::1',
			dst: '2001:db8:b::1',
		});
		const packet = send(engine, whole, options);
		assert.equal(packet.action, want, name);
		assert.equal(packet.verdict, verdict, name);
		assert.deepEqual(counted(engine.net), {}, name);
		if (want !== PacketAction.Transformed) {
			assert.equal(packet.mtu, 1426, name);
			assert.equal(formatHex(packet.copy()), formatHex(whole), name);
		}
		if (want === PacketAction.Fragment) {
			// The host hands every fragment over with the same bundle.
			const fragment = sent(whole.subarray(0, 1000), makeRoute({ family: 10 }));
			fragment.bundle = packet.bundle;
			engine.transform(Batch.of(NOW_US, fragment));
			assert.equal(fragment.action, PacketAction.Transformed);
		}
	}
});

// @spec U-5
test('IPv6 in BEET mode is refused by the state, at 1280 octets or more', () => {
	const { engine, routes } = makeEngine();
	routes.route = makeRoute({ family: 10, mtu: 1280 });
	addOut(engine, { src: '2001:db8::1', dst: '2001:db8::2', mode: 4 });
	addOutPolicy(engine, {
		selector: anySelector(10),
		templates: [
			template({
				family: 10,
				reqid: 1,
				mode: 4,
				saddr: bytes('20010db8000000000000000000000001'),
				id: { daddr: bytes('20010db8000000000000000000000002'), spi: 0, proto: 50 },
			}),
		],
	});
	for (const [octets, want] of [
		[1281, PacketAction.Drop],
		[1280, PacketAction.Transformed],
	] as const) {
		const whole = ip(17, udp(new Uint8Array(octets - 48)), {
			src: '2001:db8:a::1',
			dst: '2001:db8:b::1',
		});
		const packet = send(engine, whole, { forwarded: true });
		assert.equal(packet.action, want, `${octets}`);
		if (want === PacketAction.Drop) {
			assert.equal(packet.mtu, 1280);
		}
	}
	assert.deepEqual(counted(engine.net), { XfrmOutStateModeError: 1 });
});

// @spec O-13
test('two tunnels make two whole packets, one in the other', () => {
	const { engine, routes } = makeEngine();
	routes.route = makeRoute({ hopLimit: 30 });
	addOut(engine);
	addOut(engine, { proto: 51, mode: 1, src: '203.0.113.1', dst: '203.0.113.2', spi: SPI + 1 });
	addOutPolicy(engine, {
		templates: [
			tunnelTemplate(),
			tunnelTemplate({
				saddr: bytes('cb007101000000000000000000000000'),
				id: { daddr: bytes('cb007102000000000000000000000000'), spi: 0, proto: 51 },
			}),
		],
	});
	const packet = send(engine, inner(undefined, { fragment: 0x4000 }));
	const hex = formatHex(packet.copy());
	// AH tunnel: 20 + 24, then the inner ESP packet of 88 octets with its own length and checksum.
	assert.equal(hex.slice(0, 24), `45000084000040001e33${hex.slice(20, 24)}`);
	assert.equal(hex.slice(88, 128), `45000058000040001e32${hex.slice(108, 112)}c0000201c0000202`);
});

// @spec O-11
test('the mark of each state stays on the packet', () => {
	const { engine } = tunnel({ outputMark: { v: 0x80000001 | 0, m: 0x8000000f | 0 } });
	const packet = send(engine, inner(), { mark: 0x70 });
	assert.equal(packet.mark, 0x80000071 | 0);
});

test('a packet without bundle stays as it is', () => {
	const { engine } = tunnel();
	const plain = sent(inner(), makeRoute());
	engine.transform(Batch.of(NOW_US, plain));
	assert.equal(formatHex(plain.copy()), formatHex(inner()));
});

test('a packet that would become longer than IP can tell is refused', () => {
	for (const options of [{}, { proto: 51 }]) {
		const { engine } = makeEngine();
		addOut(engine, options);
		const proto = options.proto ?? 50;
		addOutPolicy(engine, {
			templates: [tunnelTemplate({ id: { ...tunnelTemplate().id, proto } })],
		});
		const packet = send(engine, inner(new Uint8Array(65507)));
		assert.equal(packet.verdict, Verdict.OutStateProtoError);
		assert.equal(packet.error, Errno.EMSGSIZE);
		assert.equal(engine.net.jobs.count, 0);
	}
});

test('a flow of a packet that is none is refused before any state is used', () => {
	const { engine, state } = tunnel();
	const packet = sent(inner(), makeRoute());
	packet.bytes[packet.start] = 0x4f;
	engine.output(Batch.of(NOW_US, packet));
	assert.equal(packet.verdict, Verdict.OutError);
	assert.equal(state.replay.counters[0], 0);
});

/** Everything a caller can see of a packet. */
function seen(packet: PacketBuffer): unknown[] {
	return [
		formatHex(packet.copy()),
		packet.action,
		packet.verdict,
		packet.error,
		packet.mtu,
		packet.mark,
		packet.family,
		packet.bundle === null,
	];
}

/** An engine with a state of every kind that a batch may meet. */
function mixedEngine(): Engine {
	const { engine } = makeEngine(linux619, nodeProvider());
	engine.net.listeners = GROUP_AEVENTS | 3;
	const cbc = {
		crypt: { name: 'cbc(aes)', key: new Uint8Array(16), keyBits: 128 },
		auth: { name: 'hmac(sha1)', key: new Uint8Array(20), keyBits: 160, truncBits: 96 },
	};
	const limited = { ...UNLIMITED, hardPacketLimit: 3, softPacketLimit: 2 };
	const states: [number, StateOptions][] = [
		[1, {}],
		[2, cbc],
		[3, { proto: 51 }],
		[4, { lifetime: limited }],
		[5, { proto: 108, spi: 0x500 }],
		[6, { replay: { oseq: 0xfffffffd, seq: 0, bitmap: 0 } }],
	];
	for (const [reqid, options] of states) {
		addOut(engine, { spi: SPI + reqid, reqid, replayThreshold: 3, ...options });
		const proto = options.proto ?? 50;
		addOutPolicy(engine, {
			selector: selector({ dst: `10.${reqid}.0.0/16` }),
			templates: [
				tunnelTemplate({ reqid, id: { ...tunnelTemplate().id, proto } }),
				...(reqid === 5 ? [template({ reqid: 1, mode: 0, optional: 1 })] : []),
			],
		});
	}
	addOutPolicy(engine, { selector: selector({ dst: '10.7.0.0/16' }), action: 1 });
	addOutPolicy(engine, {
		selector: selector({ dst: '10.8.0.0/16' }),
		templates: [tunnelTemplate({ reqid: 99 })],
	});
	return engine;
}

// @spec O-11 L-1 R-11
test('a batch of n does what n batches of one do', () => {
	const packets = fc.array(
		fc.record({
			net: fc.integer({ min: 1, max: 9 }),
			octets: fc.integer({ min: 0, max: 1500 }),
			df: fc.boolean(),
			forwarded: fc.boolean(),
			fill: fc.integer({ min: 0, max: 255 }),
		}),
		{ minLength: 1, maxLength: 90 },
	);
	fc.assert(
		fc.property(packets, (list) => {
			const make = () =>
				list.map((one) => {
					const data = new Uint8Array(one.octets).fill(one.fill);
					const packet = inner(data, {
						dst: `10.${one.net}.0.1`,
						fragment: one.df ? 0x4000 : 0,
					});
					return sent(packet, makeRoute(), { forwarded: one.forwarded, dontFragment: true });
				});
			const [together, apart] = [mixedEngine(), mixedEngine()];
			const batch = make();
			together.output(Batch.of(NOW_US, ...batch));
			const singles = make();
			for (const packet of singles) {
				apart.output(Batch.of(NOW_US, packet));
			}
			assert.deepEqual(batch.map(seen), singles.map(seen));
			assert.deepEqual(counted(together.net), counted(apart.net));
			assert.deepEqual(
				together.net.events.map((event) => event.kind),
				apart.net.events.map((event) => event.kind),
			);
			assert.deepEqual(together.net.events, apart.net.events);
		}),
		{ numRuns: 60 },
	);
});

// @spec O-11
test('a tracer changes nothing but that it hears of it', () => {
	const [plain, traced] = [mixedEngine(), mixedEngine()];
	const events = trace(traced.net);
	for (let net = 1; net <= 9; net++) {
		for (const octets of [0, 100, 1450]) {
			const packet = inner(new Uint8Array(octets), { dst: `10.${net}.0.1`, fragment: 0x4000 });
			assert.deepEqual(
				seen(send(traced, packet)),
				seen(send(plain, packet)),
				`10.${net} ${octets}`,
			);
		}
	}
	assert.deepEqual(counted(traced.net), counted(plain.net));
	const kinds = new Set(events.map((one) => (one.kind === 'transform' ? one.operation : one.kind)));
	assert.deepEqual([...kinds].sort(), [
		'default-policy',
		'mode',
		'policy',
		'seal',
		'state-select',
		'template',
		'verdict',
	]);
});

test('a tracer sees the packet before and after each step, whole', () => {
	const { engine } = tunnel();
	const events = trace(engine.net);
	const packet = send(engine, inner(undefined, { fragment: 0x4000 }));
	const transforms = events.filter((one) => one.kind === 'transform');
	assert.deepEqual(
		transforms.map((one) => one.operation),
		['mode', 'seal'],
	);
	const [mode, seal] = transforms;
	assert.equal(
		formatHex(mode?.before ?? bytes('')),
		formatHex(inner(undefined, { fragment: 0x4000 })),
	);
	const ipip = ip(4, inner(undefined, { fragment: 0x4000 }), { fragment: 0x4000 });
	assert.equal(formatHex(mode?.after ?? bytes('')), formatHex(ipip));
	assert.equal(formatHex(seal?.before ?? bytes('')), formatHex(ipip));
	assert.equal(formatHex(seal?.after ?? bytes('')), formatHex(packet.copy()));
	assert.deepEqual(mode?.details, {
		source: '192.0.2.1',
		destination: '192.0.2.2',
		tos: 0,
		ttl: 64,
		df: 1,
		id: 0,
	});
	const { iv, ...rest } = { ...seal?.details };
	assert.equal(String(iv).length, 16);
	assert.deepEqual(rest, { seq: 1, icvOctets: 16, pad: 2, nextHeader: 4 });
});
