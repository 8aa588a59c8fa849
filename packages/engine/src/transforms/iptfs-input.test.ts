/** IPTFS inward: what comes out of payloads, whatever is wrong with them, and in which order. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatHex } from '@xfrm/wire';
import fc from 'fast-check';
import { Batch } from '../batch.ts';
import type { Engine } from '../engine.ts';
import { arrived, bytes, counted, esp, ip, join, NOW_US, udp } from '../input-fixture.test.ts';
import { IPTFS_WINDOW_OCTETS_MAX } from '../limits.ts';
import { addOut, inner, makeEngine } from '../output-fixture.test.ts';
import { PacketAction } from '../verdict.ts';
import { IptfsReceiver } from './iptfs-receiver.ts';

const A = inner(bytes('aaaa'));
const B = inner(bytes('bbbbbbbb'), { ttl: 9, tos: 0xb8 });
const SIX = ip(17, udp(), { src: '2001:db8::1', dst: '2001:db8::2' });

/** A payload: its header, then the parts. */
function payload(blockOffset: number, ...parts: Uint8Array[]): Uint8Array {
	const header = new Uint8Array(4);
	new DataView(header.buffer).setUint16(2, blockOffset);
	return join(header, ...parts);
}

function makeInput(
	iptfs: { reorderWindow?: number; dropTimeUs?: number } = {},
	replayWindow = 32,
): Engine {
	const { engine } = makeEngine();
	addOut(engine, {
		mode: 5,
		direction: 1,
		replayWindow,
		iptfs: { reorderWindow: 0, dropTimeUs: 1_000_000, ...iptfs },
	});
	return engine;
}

/** Takes payloads under these sequence numbers; the inner packets, as hex. */
function feed(
	engine: Engine,
	payloads: readonly (readonly [seq: number, payload: Uint8Array])[],
	nowUs: number = NOW_US,
): string[] {
	for (const [seq, octets] of payloads) {
		const packet = arrived(ip(50, esp(octets, { seq, next: 144 })));
		packet.iif = 7;
		engine.input(Batch.of(nowUs, packet));
		assert.equal(packet.action, PacketAction.Consume);
	}
	return poll(engine);
}

function poll(engine: Engine): string[] {
	const found: string[] = [];
	for (let packet = engine.pollPacket(); packet !== undefined; packet = engine.pollPacket()) {
		assert.equal(packet.action, PacketAction.Reinject);
		assert.equal(packet.pathCount, 1);
		assert.equal(packet.iif, 7);
		found.push(formatHex(packet.copy()));
	}
	return found;
}

interface Row {
	readonly name: string;
	/** Payloads by sequence numbers from 1 on. */
	readonly payloads: readonly Uint8Array[];
	readonly out: readonly Uint8Array[];
	readonly counters?: Readonly<Record<string, number>>;
}

const cut = (packet: Uint8Array, at: number): [Uint8Array, Uint8Array] => [
	packet.subarray(0, at),
	packet.subarray(at),
];
const [A3, A3rest] = cut(A, 3);
const [A24, A24rest] = cut(A, 24);
const [SIX5, SIX5rest] = cut(SIX, 5);
const lengthOf = (octets: number): Uint8Array => {
	const packet = A.slice();
	new DataView(packet.buffer).setUint16(2, octets);
	return packet;
};

// @spec M-30
const headers: readonly Row[] = [
	{ name: 'a payload of nothing', payloads: [payload(0)], out: [] },
	{
		name: 'a congestion control header',
		payloads: [join(bytes('01'), new Uint8Array(23), A)],
		out: [A],
	},
	{
		name: 'another sub-type',
		payloads: [join(bytes('02000000'), A)],
		out: [],
		counters: { XfrmInHdrError: 1 },
	},
	{
		name: 'a reserved bit',
		payloads: [join(bytes('00010000'), A)],
		out: [],
		counters: { XfrmInHdrError: 1 },
	},
	{
		name: 'a header cut short',
		payloads: [bytes('000000')],
		out: [],
		counters: { XfrmInBufferError: 1 },
	},
	{
		name: 'a congestion control header cut short',
		payloads: [join(bytes('01'), new Uint8Array(22))],
		out: [],
		counters: { XfrmInBufferError: 1 },
	},
];

// @spec M-31
const blocks: readonly Row[] = [
	{ name: 'several packets of both families', payloads: [payload(0, A, SIX, B)], out: [A, SIX, B] },
	{
		name: 'padding ends a payload, whatever stands behind it',
		payloads: [payload(0, A, bytes('0f'), B)],
		out: [A],
	},
	{
		name: 'a block that is nothing known costs the whole payload',
		payloads: [payload(0, A, bytes('70'), B)],
		out: [],
		counters: { XfrmInBufferError: 1 },
	},
	{
		name: 'total length 0 costs the whole payload, and no time',
		payloads: [payload(0, A, lengthOf(0)), payload(0, B)],
		out: [B],
		counters: { XfrmInBufferError: 1 },
	},
	{
		name: 'a length below the header is no packet, the next block is where it says',
		payloads: [payload(0, lengthOf(20).subarray(0, 20), lengthOf(19).subarray(0, 19), B)],
		out: [lengthOf(20).subarray(0, 20), B],
	},
	{
		name: 'a beginning that claims less than a header is none',
		payloads: [payload(0, lengthOf(19).subarray(0, 8)), payload(11, A.subarray(8, 19), B)],
		out: [B],
	},
	{
		name: 'a block offset that nobody waits for is skipped, also beyond the end',
		payloads: [payload(3, bytes('ffffff'), A), payload(999, bytes('ffffff'))],
		out: [A],
	},
];

// @spec M-32 M-32b
const reassembly: readonly Row[] = [
	{
		name: 'a packet in two payloads',
		payloads: [payload(0, B, A24), payload(A24rest.length, A24rest, SIX)],
		out: [B, A, SIX],
	},
	{
		name: 'a packet in three payloads, the offset counts to its end',
		payloads: [
			payload(0, A24),
			payload(A24rest.length, A24rest.subarray(0, 3)),
			payload(A24rest.length - 3, A24rest.subarray(3), B),
		],
		out: [A, B],
	},
	{
		name: 'a beginning without its length field',
		payloads: [payload(0, A3), payload(A3rest.length, A3rest, B)],
		out: [A, B],
	},
	{
		name: 'the same of IPv6',
		payloads: [payload(0, SIX5), payload(SIX5rest.length, SIX5rest, B)],
		out: [SIX, B],
	},
	{
		name: 'a beginning without length, and too little more of it',
		payloads: [payload(0, A3), payload(2, A3rest.subarray(0, 2)), payload(0, B)],
		out: [B],
		counters: { XfrmInIptfsError: 1 },
	},
	{
		name: 'a beginning that turns out to claim less than a header',
		payloads: [payload(0, A3), payload(A3rest.length, bytes('13'), A3rest.subarray(1), B)],
		out: [B],
		counters: { XfrmInIptfsError: 1 },
	},
	{
		name: 'a payload of padding in between',
		payloads: [payload(0, A24), payload(0, bytes('00')), payload(A24rest.length, A24rest)],
		out: [A],
	},
	{
		name: 'a payload without offset in between is swallowed with its blocks',
		payloads: [payload(0, A24), payload(0, B), payload(A24rest.length, A24rest)],
		out: [A],
	},
	{
		name: 'an offset too small gives the packet up, and the blocks behind are used',
		payloads: [payload(0, A24), payload(2, A24rest.subarray(0, 2), B)],
		out: [B],
		counters: { XfrmInIptfsError: 1 },
	},
	{
		name: 'an offset too large completes the packet, the surplus is skipped',
		payloads: [payload(0, A24), payload(A24rest.length + 2, A24rest, bytes('ffff'), B)],
		out: [A, B],
	},
];

describe('payloads in order', () => {
	for (const { name, payloads, out, counters = {} } of [...headers, ...blocks, ...reassembly]) {
		it(name, () => {
			const engine = makeInput();
			const numbered = payloads.map((one, i) => [i + 1, one] as const);
			assert.deepEqual(feed(engine, numbered), out.map(formatHex));
			assert.deepEqual(counted(engine.net), counters);
		});
	}

	// @spec M-32
	it('a gap gives the packet up once, and later blocks are used', () => {
		const engine = makeInput();
		assert.deepEqual(
			feed(engine, [
				[1, payload(0, A24)],
				[3, payload(A24rest.length, A24rest, B)],
			]),
			[formatHex(B)],
		);
		assert.deepEqual(counted(engine.net), { XfrmInIptfsError: 1 });
	});

	// @spec M-32
	it('without a window an old payload neither continues nor begins anything while one is waited for', () => {
		const engine = makeInput();
		const late = [3, payload(0, B)] as const;
		assert.deepEqual(feed(engine, [[5, payload(0, A24)], late]), []);
		assert.deepEqual(feed(engine, [[6, payload(A24rest.length, A24rest)]]), [formatHex(A)]);
		assert.deepEqual(feed(engine, [[4, payload(0, B)]]), [formatHex(B)]);
	});

	// @spec M-34
	it('DECAP_DSCP: the first packet of a payload keeps its DSCP, all others lose it; CE outside is not heard', () => {
		const engine = makeEngine().engine;
		addOut(engine, { mode: 5, direction: 1, flags: 2, iptfs: { reorderWindow: 0 } });
		const packet = arrived(ip(50, esp(payload(0, B, B), { next: 144 }), { tos: 3 }));
		packet.mark = 5;
		engine.input(Batch.of(NOW_US, packet));
		const [first, second] = [engine.pollPacket(), engine.pollPacket()];
		const plain = inner(bytes('bbbbbbbb'), { ttl: 9 });
		assert.deepEqual(
			[first, second].map((one) => one && [formatHex(one.copy()), one.mark]),
			[
				[formatHex(B), 5],
				[formatHex(plain), 0],
			],
		);
	});
});

// @spec M-32
describe('the reorder window', () => {
	const one = (n: number): Uint8Array => inner(bytes(`0${n}`));
	const at = (...sequence: number[]): (readonly [number, Uint8Array])[] =>
		sequence.map((seq) => [seq, payload(0, one(seq))] as const);
	const hexes = (...sequence: number[]): string[] => sequence.map((seq) => formatHex(one(seq)));

	const rows: readonly [string, number, number[], number[]][] = [
		['what comes early waits', 3, [1, 3, 4, 2, 5], [1, 2, 3, 4, 5]],
		['the first number starts it, older ones are dropped', 3, [4, 2, 3, 5], [4, 5]],
		['one beyond it gives up what is missing', 3, [1, 3, 4, 6], [1, 3, 4]],
		['far beyond it all that waits goes', 3, [1, 3, 5, 9], [1, 3, 5]],
		['what is given up comes too late', 2, [1, 4, 5, 2, 3], [1, 3, 4, 5]],
		['a window of one', 1, [1, 3, 2, 5, 6, 7], [1, 2, 3, 5, 6, 7]],
	];
	for (const [name, reorderWindow, sequence, out] of rows) {
		it(name, () => {
			const engine = makeInput({ reorderWindow });
			assert.deepEqual(feed(engine, at(...sequence)), hexes(...out));
			assert.deepEqual(counted(engine.net), {});
		});
	}

	it('the drop time lets go what is old enough, gap by gap', () => {
		const engine = makeInput({ reorderWindow: 8, dropTimeUs: 1000 });
		assert.deepEqual(feed(engine, at(1, 3, 4)), hexes(1));
		assert.deepEqual(feed(engine, at(6), NOW_US + 600), []);
		assert.equal(engine.pollTimeout(), NOW_US + 1000);
		engine.handleTimeout(NOW_US + 1000);
		assert.deepEqual(poll(engine), hexes(3, 4));
		assert.equal(engine.pollTimeout(), NOW_US + 1600);
		engine.handleTimeout(NOW_US + 1600);
		assert.deepEqual(poll(engine), hexes(6));
		assert.deepEqual(feed(engine, at(7), NOW_US + 1700), hexes(7));
	});

	it('the drop time throws a packet under reassembly away, silently', () => {
		const engine = makeInput({ reorderWindow: 3, dropTimeUs: 1000 });
		assert.deepEqual(feed(engine, [[1, payload(0, A24)]]), []);
		engine.handleTimeout(NOW_US + 1000);
		assert.deepEqual(feed(engine, [[2, payload(A24rest.length, A24rest, B)]], NOW_US + 1001), [
			formatHex(B),
		]);
		assert.deepEqual(counted(engine.net), {});
	});

	it('what waits for its turn still goes at its time when a packet was completed meanwhile', () => {
		const engine = makeInput({ reorderWindow: 8, dropTimeUs: 1000 });
		const parts = [
			[1, payload(0, A24)],
			[2, payload(A24rest.length, A24rest)],
		] as const;
		assert.deepEqual(feed(engine, [parts[0], ...at(5), parts[1]]), [formatHex(A)]);
		engine.handleTimeout(NOW_US + 1000);
		assert.deepEqual(poll(engine), hexes(5));
	});

	it('keeps no more octets than its bound', () => {
		const engine = makeInput({ reorderWindow: 60_000 }, 0);
		const big = payload(0, ip(17, new Uint8Array(60_000)));
		feed(engine, [[1, payload(0)]]);
		for (let seq = 3; seq < 400; seq++) {
			feed(engine, [[seq, big]]);
		}
		const [state] = engine.states();
		assert.ok(state?.iptfs instanceof IptfsReceiver);
		assert.ok(state.iptfs.earlyOctets <= IPTFS_WINDOW_OCTETS_MAX);
		assert.ok(state.iptfs.earlyOctets > IPTFS_WINDOW_OCTETS_MAX - big.length);
	});
});

const packet = fc
	.tuple(fc.boolean(), fc.uint8Array({ maxLength: 90 }))
	.map(([six, data]) => (six ? ip(17, data, { src: '::1', dst: '::2' }) : inner(data)));

/** Cuts the packets into payloads of these sizes, as a sender does that fills each one up. */
function packAll(packets: readonly Uint8Array[], sizes: readonly number[]): Uint8Array[] {
	const payloads: Uint8Array[] = [];
	const ends: number[] = [];
	let total = 0;
	for (const one of packets) {
		total += one.length;
		ends.push(total);
	}
	const stream = join(...packets);
	for (let at = 0, i = 0; at < total; i++) {
		const size = sizes[i % sizes.length] ?? 1;
		// What is left of the packet that is going on; 0 where one begins.
		const left = (ends.find((end) => end > at) ?? total) - at;
		const begins = at === 0 || ends.includes(at);
		payloads.push(payload(begins ? 0 : left, stream.subarray(at, at + size)));
		at += size;
	}
	return payloads;
}

// @spec M-31 M-32
describe('random streams', () => {
	const sizes = fc.array(fc.integer({ min: 6, max: 120 }), { minLength: 1, maxLength: 8 });
	const packets = fc.array(packet, { minLength: 1, maxLength: 12 });

	it('come out as they went in, however they were cut', () => {
		fc.assert(
			fc.property(packets, sizes, (all, cuts) => {
				const engine = makeInput();
				const numbered = packAll(all, cuts).map((one, i) => [i + 1, one] as const);
				assert.deepEqual(feed(engine, numbered), all.map(formatHex));
				assert.deepEqual(counted(engine.net), {});
			}),
		);
	});

	it('come out in order when neighbours changed places', () => {
		fc.assert(
			fc.property(packets, sizes, fc.array(fc.boolean()), (all, cuts, swaps) => {
				const engine = makeInput({ reorderWindow: 2 });
				const numbered = packAll(all, cuts).map((one, i) => [i + 1, one] as const);
				for (let i = 2; i < numbered.length; i += 2) {
					const [first, second] = [numbered[i - 1], numbered[i]];
					if (swaps[i % (swaps.length || 1)] && first !== undefined && second !== undefined) {
						numbered[i - 1] = second;
						numbered[i] = first;
					}
				}
				assert.deepEqual(feed(engine, numbered), all.map(formatHex));
			}),
		);
	});

	it('of any octets throw nothing, end, and leave little behind', () => {
		const octet = fc.constantFrom(0, 1, 4, 0x13, 0x40, 0x45, 0x60, 0x70, 0xff);
		const hostile = fc
			.array(octet, { minLength: 1, maxLength: 300 })
			.map((list) => Uint8Array.from(list));
		const arrival = fc.tuple(
			fc.integer({ min: 1, max: 40 }),
			hostile,
			fc.integer({ max: 2000, min: 0 }),
		);
		fc.assert(
			fc.property(
				fc.array(arrival, { maxLength: 30 }),
				fc.integer({ min: 0, max: 5 }),
				(all, window) => {
					const engine = makeInput({ reorderWindow: window, dropTimeUs: 1000 }, 0);
					let nowUs = NOW_US;
					let octets = 0;
					let came = 0;
					for (const [seq, data, laterUs] of all) {
						nowUs += laterUs;
						engine.handleTimeout(nowUs);
						came += data.length;
						octets += join(...poll(engine).map(bytes)).length;
						octets += join(...feed(engine, [[seq, data]], nowUs).map(bytes)).length;
						assert.ok(octets <= came);
					}
					engine.handleTimeout(nowUs + 10_000);
					const [state] = engine.states();
					const receiver = state?.iptfs;
					assert.ok(
						receiver === null || receiver === undefined || receiver instanceof IptfsReceiver,
					);
					assert.equal(receiver?.early.length ?? 0, 0);
				},
			),
		);
	});
});
