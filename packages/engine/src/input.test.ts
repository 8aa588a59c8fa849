import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import type { CryptoBatch, CryptoProvider } from '@xfrm/crypto/provider';
import { formatHex, type PacketBuffer } from '@xfrm/wire';
import { UNLIMITED } from '@xfrm/wire/xfrm';
import { input } from './input.ts';
import {
	addState,
	ah,
	arrived,
	batchOf,
	bytes,
	codes,
	counted,
	esp,
	ip,
	join,
	makeNamespace,
	NOW_US,
	SPI,
	type StateOptions,
	selector,
	trace,
	udp,
} from './input-fixture.test.ts';
import { linux61, linux619 } from './kernel-profile.ts';
import type { Namespace } from './namespace.ts';
import { ReplayCounter } from './replay-window.ts';
import { Current, StateCondition, StateStat, type XfrmState } from './state.ts';
import { PacketAction, Verdict } from './verdict.ts';

const INNER = ip(17, udp(), { src: '10.0.0.1', dst: '10.1.0.1', ttl: 33 });

function receive(net: Namespace, packet: Uint8Array): PacketBuffer {
	const buffer = arrived(packet);
	input(net, batchOf(buffer));
	return buffer;
}

function seqOf(state: XfrmState): number {
	return (state.replay.counters[ReplayCounter.Seq] ?? 0) >>> 0;
}

// @spec I-4 I-5 I-6 I-8 M-6 S-18
test('a tunnel packet comes out as it went in, and is counted by its inner length', () => {
	const net = makeNamespace();
	const state = addState(net);
	const packet = receive(net, ip(50, esp(INNER, { seq: 0x80000001 })));
	assert.equal(packet.action, PacketAction.Reinject);
	assert.equal(formatHex(packet.copy()), formatHex(INNER));
	assert.equal(packet.family, 2);
	assert.deepEqual(packet.path.slice(0, 2), [state, null]);
	assert.equal(packet.pathCount, 1);
	assert.deepEqual(counted(net), {});
	assert.equal(seqOf(state), 0x80000001);
	assert.equal(state.lifetime[Current.Bytes], INNER.length);
	assert.equal(state.lifetime[Current.Packets], 1);
	assert.equal(state.lifetime[Current.LastUsed], Math.floor(NOW_US / 1e6));
});

// @spec S-18
test('before 6.2 input does not note the last use', () => {
	const net = makeNamespace(linux61);
	const state = addState(net);
	receive(net, ip(50, esp(INNER)));
	assert.equal(state.lifetime[Current.LastUsed], 0);
	assert.equal(state.lifetime[Current.Packets], 1);
});

// @spec I-8 M-3 T-10
test('a transport packet keeps its IP header, with lengths, protocol and checksum made right', () => {
	for (const [src, dst] of [
		['192.0.2.1', '192.0.2.2'],
		['2001:db8::1', '2001:db8::2'],
	] as const) {
		const net = makeNamespace();
		const state = addState(net, { src, dst, mode: 0 });
		const packet = receive(net, ip(50, esp(udp(), { next: 17 }), { src, dst, tos: 0xb9 }));
		assert.equal(packet.action, PacketAction.Continue);
		assert.equal(formatHex(packet.copy()), formatHex(ip(17, udp(), { src, dst, tos: 0xb9 })));
		assert.equal(packet.proto, 17);
		assert.equal(packet.transportAt, packet.end - udp().length);
		assert.equal(packet.bytes[packet.nextHeaderAt], 17);
		assert.equal(state.lifetime[Current.Bytes], udp().length);
	}
});

// @spec I-8 T-26
test('an AH behind ESP is verified with the protocol of ESP, of which its sender did not know', () => {
	for (const [src, dst] of [
		['192.0.2.1', '192.0.2.2'],
		['2001:db8::1', '2001:db8::2'],
	] as const) {
		const protocols: number[] = [];
		const provider: CryptoProvider = nullProvider();
		const open = provider.open.bind(provider);
		provider.open = (jobs) => {
			const at = (jobs.textAt[0] ?? 0) + (src.includes(':') ? 6 : 9);
			protocols.push(jobs.bytes[0]?.[at] ?? 0);
			open(jobs);
		};
		const net = makeNamespace(linux619, provider);
		addState(net, { src, dst, mode: 0 });
		addState(net, { src, dst, mode: 0, proto: 51 });
		const inside = ah(udp(), { next: 17 });
		const packet = receive(net, ip(50, esp(inside, { next: 51 }), { src, dst }));
		assert.equal(packet.action, PacketAction.Continue);
		assert.equal(protocols[1], 50);
		assert.equal(formatHex(packet.copy()), formatHex(ip(17, udp(), { src, dst })));
	}
});

// @spec I-7 I-8
test('transforms one behind the other are taken off in one call', () => {
	const net = makeNamespace();
	const outer = addState(net, { proto: 51, mode: 0, spi: 0xc0000051 });
	const inner = addState(net);
	const packet = receive(net, ip(51, ah(esp(INNER), { spi: 0xc0000051, next: 50 })));
	assert.equal(packet.action, PacketAction.Reinject);
	assert.equal(formatHex(packet.copy()), formatHex(INNER));
	assert.deepEqual(packet.path.slice(0, 3), [outer, inner, null]);
	assert.equal(outer.lifetime[Current.Bytes], esp(INNER).length);
});

interface Refusal {
	readonly name: string;
	readonly state?: StateOptions;
	readonly packet?: Uint8Array;
	readonly before?: (packet: PacketBuffer) => void;
	readonly counter: string;
	readonly code: string;
	readonly item: string;
}

const refusals: readonly Refusal[] = [
	{
		name: 'ESP of seven octets',
		packet: ip(50, bytes('c0de0001000000')),
		counter: 'XfrmInHdrError',
		code: 'in.header.short',
		item: 'I-3',
	},
	{
		name: 'AH of eleven octets',
		packet: ip(51, bytes('3204000000000001000000')),
		counter: 'XfrmInHdrError',
		code: 'in.header.short',
		item: 'I-3',
	},
	{
		name: 'IPComp of three octets',
		packet: ip(108, bytes('110001')),
		counter: 'XfrmInHdrError',
		code: 'in.header.short',
		item: 'I-3',
	},
	{
		name: 'IP in IPv6 from a source without helper state',
		packet: ip(41, new Uint8Array(40), { src: '2001:db8::1', dst: '2001:db8::2' }),
		counter: 'XfrmInHdrError',
		code: 'in.header.short',
		item: 'T-32',
	},
	{
		name: 'IP in IPv4 from a source without helper state',
		packet: ip(4, INNER),
		counter: 'XfrmInNoStates',
		code: 'in.state.none',
		item: 'T-32',
	},
	{
		name: 'unknown SPI',
		packet: ip(50, esp(INNER, { spi: 0xc0000002 })),
		counter: 'XfrmInNoStates',
		code: 'in.state.none',
		item: 'I-4',
	},
	{
		name: 'SPI 0',
		state: { spi: 0 },
		packet: ip(50, esp(INNER, { spi: 0 })),
		counter: 'XfrmInNoStates',
		code: 'in.state.none',
		item: 'S-6',
	},
	{
		name: 'another mark',
		state: { mark: { v: 5, m: 0xff } },
		counter: 'XfrmInNoStates',
		code: 'in.state.none',
		item: 'S-3',
	},
	{
		name: 'six states on the path already',
		before: (packet) => {
			packet.pathCount = 6;
		},
		counter: 'XfrmInBufferError',
		code: 'in.depth',
		item: 'I-4',
	},
	{
		name: 'a state for output',
		state: { direction: 2, replayWindow: 0 },
		counter: 'XfrmInStateDirError',
		code: 'in.state.direction',
		item: 'S-35',
	},
	{
		name: 'a larval state',
		state: { condition: StateCondition.Acq },
		counter: 'XfrmAcquireError',
		code: 'in.state.larval',
		item: 'I-4',
	},
	{
		name: 'a state in error',
		state: { condition: StateCondition.Error },
		counter: 'XfrmInStateInvalid',
		code: 'in.state.invalid',
		item: 'I-4',
	},
	{
		name: 'a state that wants UDP',
		state: { encap: { type: 2, sport: 4500, dport: 4500, oa: new Uint8Array(16) } },
		counter: 'XfrmInStateMismatch',
		code: 'in.state.encap',
		item: 'I-4',
	},
	{
		name: 'UDP that the state does not want',
		before: (packet) => {
			packet.encapType = 2;
		},
		counter: 'XfrmInStateMismatch',
		code: 'in.state.encap',
		item: 'I-7',
	},
	{
		name: 'sequence number 0',
		packet: ip(50, esp(INNER, { seq: 0 })),
		counter: 'XfrmInStateSeqError',
		code: 'in.replay.zero',
		item: 'R-3',
	},
	{
		name: 'hard packet limit 0',
		state: { lifetime: { ...UNLIMITED, hardPacketLimit: 0 } },
		counter: 'XfrmInStateExpired',
		code: 'in.state.expired',
		item: 'L-1',
	},
	{
		name: 'no room for IV and ICV',
		packet: ip(50, esp(INNER).subarray(0, 30)),
		counter: 'XfrmInStateProtoError',
		code: 'in.esp.short',
		item: 'T-9',
	},
	{
		name: 'payload of no octets',
		packet: ip(50, esp(new Uint8Array(0), { next: 4 })),
		counter: 'XfrmInStateProtoError',
		code: 'in.esp.padding',
		item: 'T-9',
	},
	{
		name: 'dummy packet',
		packet: ip(50, esp(INNER, { next: 59 })),
		counter: 'XfrmInStateProtoError',
		code: 'in.esp.dummy',
		item: 'T-9',
	},
	{
		name: 'AH of another length',
		state: { proto: 51 },
		packet: ip(51, join(bytes('04030000c0de00010000000100000000 00000000'), INNER)),
		counter: 'XfrmInStateProtoError',
		code: 'in.ah.length',
		item: 'T-24',
	},
	{
		name: 'IPComp without a compressor',
		state: { proto: 108, spi: 0x1234, replayWindow: 0 },
		packet: ip(108, bytes('11001234 0102030405060708')),
		counter: 'XfrmInStateProtoError',
		code: 'in.algorithm.missing',
		item: 'T-33',
	},
	{
		name: 'no IP packet in the tunnel',
		packet: ip(50, esp(udp(), { next: 17 })),
		counter: 'XfrmInStateModeError',
		code: 'in.mode',
		item: 'M-6',
	},
	{
		name: 'IPv4 header cut short in the tunnel',
		packet: ip(50, esp(INNER.subarray(0, 19))),
		counter: 'XfrmInStateModeError',
		code: 'in.mode',
		item: 'M-6',
	},
	{
		name: 'transform behind a transport mode cut short',
		state: { mode: 0 },
		packet: ip(50, esp(bytes('00000001'), { next: 50 })),
		counter: 'XfrmInHdrError',
		code: 'in.header.short',
		item: 'I-8',
	},
];

for (const { name, state, packet, before, counter, code, item } of refusals) {
	// @spec I-3 I-4 I-7 I-8 S-3 S-6 S-35 L-1 R-3 T-9 T-24 T-32 T-36 M-6
	test(`${item}: ${name} is ${counter}, ${code}`, () => {
		for (const traced of [false, true]) {
			const net = makeNamespace(linux619);
			addState(net, state);
			const events = traced ? trace(net) : [];
			const buffer = arrived(packet ?? ip(50, esp(INNER)));
			before?.(buffer);
			input(net, batchOf(buffer));
			assert.equal(buffer.action, PacketAction.Drop);
			assert.deepEqual(counted(net), { [counter]: 1 });
			assert.deepEqual(codes(events), traced ? [code] : []);
		}
	});
}

/** The null provider, but packets whose last octet is 0xee have a wrong ICV. */
function pickyProvider(): CryptoProvider & { calls: number[] } {
	const nothing = nullProvider();
	const calls: number[] = [];
	return {
		calls,
		name: 'picky',
		supports: (kind, name, icvBits) => nothing.supports(kind, name, icvBits),
		espKey: (spec) => nothing.espKey(spec),
		macKey: (spec) => nothing.macKey(spec),
		compressor: (name) => nothing.compressor(name),
		seal: (batch) => nothing.seal(batch),
		open: (batch: CryptoBatch) => {
			calls.push(batch.count);
			for (let job = 0; job < batch.count; job++) {
				const last = batch.bytes[job]?.[(batch.outEnd[job] ?? 0) - 1];
				batch.status[job] = last === 0xee ? 74 : 0;
			}
		},
	};
}

function forged(packet: Uint8Array): Uint8Array {
	const copy = packet.slice();
	copy[copy.length - 1] = 0xee;
	return copy;
}

// @spec I-5 S-17 L-10
test('a wrong ICV moves nothing but a statistic and the time of first use', () => {
	const net = makeNamespace(linux619, pickyProvider());
	const state = addState(net);
	const packet = receive(net, forged(ip(50, esp(INNER, { seq: 9 }))));
	assert.equal(packet.verdict, Verdict.InStateProtoError);
	assert.equal(state.stats[StateStat.IntegrityFailed], 1);
	assert.equal(seqOf(state), 0);
	assert.equal(state.lifetime[Current.Packets], 0);
	assert.equal(state.lifetime[Current.LastUsed], 0);
	assert.equal(state.lifetime[Current.UseTime], Math.floor(NOW_US / 1e6));
});

// @spec I-4
test('the output mark of a state becomes the mark of the packet, and the lookup of the next uses the old one', () => {
	const net = makeNamespace();
	addState(net, { proto: 51, mode: 0, spi: 0xc0000051, outputMark: { v: 0x70, m: 0xf0 } });
	addState(net, { mark: { v: 3, m: 0xff } });
	const packet = arrived(ip(51, ah(esp(INNER), { spi: 0xc0000051, next: 50 })));
	packet.mark = 3;
	input(net, batchOf(packet));
	assert.equal(packet.action, PacketAction.Reinject);
	assert.equal(packet.mark, 0x73);
});

// @spec I-1 T-32 T-40 I-8 S-19
test('a packet that IPComp left alone comes in by the helper state', () => {
	for (const [src, dst, proto] of [
		['192.0.2.1', '192.0.2.2', 4],
		['2001:db8::1', '2001:db8::2', 4],
		['2001:db8::1', '2001:db8::2', 41],
		['192.0.2.1', '192.0.2.2', 41],
	] as const) {
		const net = makeNamespace();
		addState(net, { src, dst, proto: 108, spi: 0x1234 });
		const inner =
			proto === 4 ? INNER : ip(17, udp(), { src: '2001:db8:1::1', dst: '2001:db8:2::1' });
		const packet = receive(net, ip(proto, inner, { src, dst }));
		assert.equal(packet.action, PacketAction.Reinject, `${src} ${proto}`);
		assert.equal(formatHex(packet.copy()), formatHex(inner));
		const [helper] = packet.path as XfrmState[];
		assert.equal(helper?.kernelOwned, true);
		assert.equal(helper?.lifetime[Current.Bytes], inner.length);
	}
});

// @spec S-19
test('the helper of an IPComp tunnel has its selector, of no family with AF_UNSPEC', () => {
	const AF_UNSPEC = 32;
	for (const [src, dst] of [
		['192.0.2.1', '192.0.2.2'],
		['2001:db8::1', '2001:db8::2'],
	] as const) {
		const net = makeNamespace();
		const any = selector({ family: 0 });
		addState(net, { src, dst, proto: 108, spi: 0x1234, flags: AF_UNSPEC, selector: any });
		const families = [...net.sad.states()].map((state) => state.config.selector.family);
		assert.deepEqual(families, [0, 0], src);
	}
});

/** How many jobs each call of the provider had for a batch. */
function jobsOf(state: StateOptions, packets: readonly Uint8Array[]): number[] {
	const provider = pickyProvider();
	const net = makeNamespace(linux619, provider);
	addState(net, state);
	addState(net, { ...state, spi: 0xc0000099 });
	input(net, batchOf(...packets.map(arrived)));
	return provider.calls;
}

function espOf(seq: number, spi: number = SPI): Uint8Array {
	return ip(50, esp(INNER, { seq, spi }));
}

// @spec I-4 R-8
test('packets that do not depend on each other share a call of the provider', () => {
	const rising = [espOf(1), espOf(2), espOf(5), espOf(1, 0xc0000099), espOf(6)];
	const esn = {
		replayEsn: {
			bmpLen: 1,
			oseq: 0,
			seq: 0,
			oseqHi: 0,
			seqHi: 0,
			replayWindow: 32,
			bmp: new Uint32Array(1),
		},
		flags: 128,
		replayWindow: 0,
	};
	const cases: readonly (readonly [string, StateOptions, readonly Uint8Array[], number[]])[] = [
		['rising numbers of two states', {}, rising, [5]],
		['a number not above the last one', {}, [espOf(2), espOf(1), espOf(3)], [1, 2]],
		['the same number twice is opened once', {}, [espOf(2), espOf(2)], [1]],
		['no window, any order', { replayWindow: 0 }, [espOf(2), espOf(1), espOf(2)], [3]],
		['ESN: the next subspace waits', esn, [espOf(9), espOf(0xfffffff0), espOf(10)], [1, 1, 1]],
		[
			'a limit far away changes nothing',
			{ lifetime: { ...UNLIMITED, hardByteLimit: 1e12 } },
			[espOf(1), espOf(2)],
			[2],
		],
		[
			'a limit that is near means one by one',
			{ lifetime: { ...UNLIMITED, softPacketLimit: 300 } },
			[espOf(1), espOf(2)],
			[1, 1],
		],
		['a state that is not there has no job', {}, [espOf(1), espOf(1, 0xc0000002), espOf(2)], [2]],
		['64 jobs a call', {}, Array.from({ length: 65 }, (_, i) => espOf(i + 1)), [64, 1]],
	];
	for (const [name, state, packets, calls] of cases) {
		assert.deepEqual(jobsOf(state, packets), calls, name);
	}
});

// @spec L-1 L-2
test('the packet that reaches a hard limit ends the state for the rest of its batch', () => {
	const net = makeNamespace();
	addState(net, { lifetime: { ...UNLIMITED, hardPacketLimit: 2 } });
	const packets = [1, 2, 3, 4].map((seq) => arrived(espOf(seq)));
	input(net, batchOf(...packets));
	assert.deepEqual(
		packets.map(({ action, verdict }) => [action, verdict]),
		[
			[PacketAction.Reinject, Verdict.Pass],
			[PacketAction.Reinject, Verdict.Pass],
			[PacketAction.Drop, Verdict.InStateExpired],
			[PacketAction.Drop, Verdict.InNoStates],
		],
	);
});
