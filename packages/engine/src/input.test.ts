import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { nodeProvider } from '@xfrm/crypto/node';
import { nullProvider } from '@xfrm/crypto/null';
import { type CryptoProvider, CryptoStatus } from '@xfrm/crypto/provider';
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
	pickyProvider,
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
import { PacketAction, Verdict, verdictName } from './verdict.ts';

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
		name: 'transport mode where only a tunnel will do',
		state: { mode: 0 },
		packet: ip(50, esp(udp(), { next: 17 })),
		before: (packet) => {
			packet.tunnelOnly = true;
		},
		counter: 'XfrmInStateModeError',
		code: 'in.mode',
		item: 'X-21',
	},
	{
		name: 'a mode that ESP does not come in by',
		state: { src: '2001:db8::1', dst: '2001:db8::2', mode: 2 },
		packet: ip(50, esp(INNER), { src: '2001:db8::1', dst: '2001:db8::2' }),
		counter: 'XfrmInStateModeError',
		code: 'in.mode',
		item: 'I-8',
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
	// @spec I-3 I-4 I-7 I-8 S-3 S-6 S-35 X-21 L-1 R-3 T-9 T-24 T-32 T-36 M-6
	test(`${item}: ${name} is ${counter}, ${code}`, () => {
		for (const traced of [false, true]) {
			const net = makeNamespace(linux619);
			addState(net, state);
			const events = traced ? trace(net) : [];
			const buffer = arrived(packet ?? ip(50, esp(INNER)));
			before?.(buffer);
			input(net, batchOf(buffer));
			assert.equal(buffer.action, PacketAction.Drop);
			assert.equal(verdictName(buffer.verdict), counter);
			assert.deepEqual(counted(net), { [counter]: 1 });
			assert.deepEqual(codes(events), traced ? [code] : []);
		}
	});
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
	for (const failed of [1, 2]) {
		const packet = receive(net, forged(ip(50, esp(INNER, { seq: 9 }))));
		assert.equal(packet.verdict, Verdict.InStateProtoError);
		assert.equal(state.stats[StateStat.IntegrityFailed], failed);
	}
	assert.equal(seqOf(state), 0);
	assert.equal(state.lifetime[Current.Packets], 0);
	assert.equal(state.lifetime[Current.LastUsed], 0);
	assert.equal(state.lifetime[Current.UseTime], Math.floor(NOW_US / 1e6));
});

// @spec I-8 S-17
test('a wrong ICV behind a transport mode is that of the inner state', () => {
	const net = makeNamespace(linux619, pickyProvider());
	const outer = addState(net, { mode: 0, spi: 0xc0000051 });
	const state = addState(net);
	const inside = forged(esp(INNER));
	const packet = receive(net, ip(50, esp(inside, { spi: 0xc0000051, next: 50 })));
	assert.deepEqual([packet.action, packet.verdict], [PacketAction.Drop, Verdict.InStateProtoError]);
	assert.equal(outer.stats[StateStat.IntegrityFailed], 0);
	assert.equal(state.stats[StateStat.IntegrityFailed], 1);
});

/** The null provider, but it opens nothing, with this status, and has a compressor. */
function refusingProvider(status: number): CryptoProvider {
	const provider = nullProvider();
	provider.compressor = () => ({ icvOctets: 0, wipe: () => undefined });
	provider.open = (jobs) => {
		jobs.status.fill(status, 0, jobs.count);
	};
	return provider;
}

// @spec I-5 S-17
test('what the provider answers is told apart by transform', () => {
	const packets = new Map([
		[50, ip(50, esp(INNER))],
		[51, ip(51, ah(INNER, { spi: 0x1234 }))],
		[108, ip(108, bytes('04001234 0102030405060708'))],
	]);
	const rows: readonly (readonly [proto: number, status: number, code: string, failed: number])[] =
		[
			[50, CryptoStatus.BadIcv, 'in.icv', 1],
			[50, CryptoStatus.NotSupported, 'in.algorithm.missing', 0],
			[50, CryptoStatus.Invalid, 'in.esp.blocks', 0],
			[51, CryptoStatus.BadIcv, 'in.icv', 1],
			[51, CryptoStatus.NotSupported, 'in.algorithm.missing', 0],
			[51, CryptoStatus.Invalid, 'in.icv', 1],
			[108, CryptoStatus.Invalid, 'in.comp.inflate', 0],
			[108, CryptoStatus.TooLong, 'in.comp.inflate', 0],
			[108, CryptoStatus.NotSupported, 'in.algorithm.missing', 0],
		];
	for (const [proto, status, code, failed] of rows) {
		const net = makeNamespace(linux619, refusingProvider(status));
		const spi = proto === 50 ? SPI : 0x1234;
		const state = addState(net, { proto, spi, replayWindow: 0 });
		const events = trace(net);
		receive(net, packets.get(proto) ?? bytes(''));
		assert.deepEqual(codes(events), [code], `${proto} ${status}`);
		assert.deepEqual(counted(net), { XfrmInStateProtoError: 1 });
		assert.equal(state.stats[StateStat.IntegrityFailed], failed, `${proto} ${status}`);
	}
});

// @spec I-1 T-30 I-6
test('an IPComp packet is inflated, and counted by its inflated length', () => {
	const net = makeNamespace(linux619, nodeProvider());
	const state = addState(net, { proto: 108, spi: 0x1234, replayWindow: 0 });
	const inner = ip(17, udp(new Uint8Array(300)), { src: '10.0.0.1', dst: '10.1.0.1' });
	const packet = receive(net, ip(108, join(bytes('04001234'), deflateRawSync(inner))));
	assert.equal(packet.action, PacketAction.Reinject);
	assert.equal(formatHex(packet.copy()), formatHex(inner));
	assert.equal(state.lifetime[Current.Bytes], inner.length);
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
