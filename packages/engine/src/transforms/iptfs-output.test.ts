/** IPTFS outward: what a queue makes of packets, and what it refuses. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import type { CryptoProvider } from '@xfrm/crypto/provider';
import { formatHex, type PacketBuffer } from '@xfrm/wire';
import type { IptfsConfig, StateConfig } from '@xfrm/wire/xfrm';
import fc from 'fast-check';
import { Batch } from '../batch.ts';
import type { Engine } from '../engine.ts';
import { arrived, bytes, counted, NOW_US, type StateOptions } from '../input-fixture.test.ts';
import { linux619 } from '../kernel-profile.ts';
import {
	addOut,
	addOutPolicy,
	inner,
	makeEngine,
	makeRoute,
	type Routes,
	sent,
	tunnelTemplate,
} from '../output-fixture.test.ts';
import { Current, type XfrmState } from '../state.ts';
import { PacketAction, Verdict } from '../verdict.ts';

/** Outer IPv4 header, ESP header, IV; padding, trailer and ICV behind. */
const HEADER_OCTETS = 36;

interface Bench {
	readonly engine: Engine;
	readonly routes: Routes;
	readonly state: XfrmState;
}

function makeOutput(
	iptfs: IptfsConfig = {},
	options: StateOptions = {},
	provider: CryptoProvider = nullProvider(),
): Bench {
	const { engine, routes } = makeEngine(linux619, provider);
	addOutPolicy(engine, { templates: [tunnelTemplate({ mode: 5 })] });
	const defaults = { initDelayUs: 0, maxQueueOctets: 10_485_760, packetOctets: 0 };
	const iptfsConfig: StateConfig['iptfs'] = { ...defaults, ...iptfs };
	const state = addOut(engine, { mode: 5, direction: 2, iptfs: iptfsConfig, ...options });
	return { engine, routes, state };
}

function send(
	{ engine }: Bench,
	packet: Uint8Array,
	options: Parameters<typeof sent>[2] = {},
): PacketBuffer {
	const buffer = sent(packet, makeRoute(), options);
	engine.output(Batch.of(NOW_US, buffer));
	return buffer;
}

/** The outer packets that have left. */
function outer({ engine }: Bench, nowUs: number = NOW_US): PacketBuffer[] {
	engine.handleTimeout(nowUs);
	const found: PacketBuffer[] = [];
	for (let packet = engine.pollPacket(); packet !== undefined; packet = engine.pollPacket()) {
		assert.equal(packet.action, PacketAction.Transformed);
		found.push(packet);
	}
	return found;
}

/** Their payloads, without padding, as hex: `offset: octets`. */
function payloads(bench: Bench, nowUs: number = NOW_US): string[] {
	return outer(bench, nowUs).map((packet) => {
		const { bytes: octets, view, start, end } = packet;
		const pad = view.getUint8(end - 18);
		assert.equal(view.getUint8(end - 17), 144);
		const at = start + HEADER_OCTETS;
		assert.equal(view.getUint16(at), 0);
		return `${view.getUint16(at + 2)}: ${formatHex(octets.slice(at + 4, end - 18 - pad))}`;
	});
}

const sized = (octets: number, fill = 7): Uint8Array =>
	inner(new Uint8Array(octets - 28).fill(fill));
const hex = (...packets: Uint8Array[]): string => packets.map(formatHex).join('');

// @spec M-33
describe('the IPTFS queue', () => {
	it('keeps packets for the delay of the first, and sends them in one', () => {
		const bench = makeOutput({ initDelayUs: 5000 });
		const [a, b] = [sized(40, 1), sized(50, 2)];
		assert.equal(send(bench, a).action, PacketAction.Consume);
		assert.equal(send(bench, b).action, PacketAction.Consume);
		assert.equal(bench.engine.pollTimeout(), NOW_US + 5000);
		assert.deepEqual(payloads(bench, NOW_US + 4999), []);
		assert.deepEqual(payloads(bench, NOW_US + 5000), [`0: ${hex(a, b)}`]);
		assert.deepEqual(counted(bench.engine.net), {});
	});

	it('is emptied at once without a delay', () => {
		const bench = makeOutput();
		const packet = sized(40);
		send(bench, packet);
		assert.equal(bench.engine.pollTimeout(), NOW_US);
		assert.deepEqual(payloads(bench), [`0: ${hex(packet)}`]);
	});

	it('names the bundle whose states have numbered what it sends', () => {
		const bench = makeOutput();
		send(bench, sized(40));
		bench.engine.handleTimeout(NOW_US);
		assert.ok(bench.engine.pollPacket() !== undefined);
		assert.equal(bench.engine.polledBundle?.first?.state, bench.state);
	});

	it('has its own copy', () => {
		const bench = makeOutput();
		const packet = sized(40);
		send(bench, packet).bytes.fill(0xee);
		assert.deepEqual(payloads(bench), [`0: ${hex(packet)}`]);
	});

	it('refuses what does not fit, and takes smaller ones after it', () => {
		const bench = makeOutput({ maxQueueOctets: 100 });
		assert.equal(send(bench, sized(60)).action, PacketAction.Consume);
		const refused = send(bench, sized(41));
		assert.deepEqual(
			[refused.action, refused.verdict, refused.error],
			[PacketAction.Drop, Verdict.OutNoQueueSpace, 0],
		);
		assert.equal(send(bench, sized(40)).action, PacketAction.Consume);
		assert.deepEqual(counted(bench.engine.net), { XfrmOutNoQueueSpace: 1 });
		assert.equal(outer(bench).length, 1);
		assert.equal(send(bench, sized(100)).action, PacketAction.Consume);
	});

	it('sends nothing on a path that takes no more than the headers', () => {
		const bench = makeOutput();
		bench.routes.route = makeRoute({ mtu: HEADER_OCTETS });
		assert.equal(send(bench, sized(40)).action, PacketAction.Consume);
		assert.deepEqual(payloads(bench), []);
		assert.deepEqual(counted(bench.engine.net), { XfrmOutError: 1 });
	});

	it('marks congestion on what is capable of it, once it is fuller than 95 %', () => {
		const bench = makeOutput({ maxQueueOctets: 200 });
		const withTos = (tos: number): Uint8Array => inner(new Uint8Array(8), { tos });
		for (const tos of [2, 2, 2, 2]) {
			send(bench, inner(new Uint8Array(20), { tos }));
		}
		assert.equal(outer(bench).length, 1);
		const full = makeOutput({ maxQueueOctets: 150 });
		send(full, sized(107));
		send(full, withTos(0xb9)); // 143 octets, of which 142 are no congestion
		assert.deepEqual(payloads(full), [`0: ${hex(sized(107), withTos(0xbb))}`]);
		const plain = makeOutput({ maxQueueOctets: 36 });
		send(plain, withTos(0xb8));
		assert.deepEqual(payloads(plain), [`0: ${hex(withTos(0xb8))}`]);
	});

	it('hands out nothing that could not be sealed', () => {
		const provider = nullProvider();
		provider.seal = (jobs) => {
			jobs.status.fill(22, 0, jobs.count);
		};
		const bench = makeOutput({}, {}, provider);
		send(bench, sized(40));
		assert.deepEqual(outer(bench), []);
		assert.deepEqual(counted(bench.engine.net), { XfrmOutStateProtoError: 1 });
	});

	it('goes on to its end when the state was deleted: nothing leaves', () => {
		const bench = makeOutput({ initDelayUs: 1000 });
		send(bench, sized(40));
		bench.engine.flushStates(0, NOW_US);
		assert.deepEqual(outer(bench, NOW_US + 1000), []);
		assert.deepEqual(counted(bench.engine.net), { XfrmOutStateInvalid: 1 });
	});
});

// @spec M-33 M-34 U-1
describe('IPTFS payloads', () => {
	// MTU 1500: 20 IP, 8 ESP, 8 IV, 4 IPTFS, 16 ICV, 2 trailer; the rest is a multiple of 4 less 2.
	const ROOM = 1442;

	it('cut only what is larger than a whole one, and go on behind its end', () => {
		const bench = makeOutput({ initDelayUs: 1000 });
		const [a, big, b] = [sized(600, 1), sized(1500, 2), sized(1300, 3)];
		const c = sized(100, 4);
		for (const packet of [a, big, b, c]) {
			send(bench, packet);
		}
		assert.deepEqual(payloads(bench, NOW_US + 1000), [
			`0: ${hex(a)}`,
			`0: ${hex(big.subarray(0, ROOM))}`,
			`${1500 - ROOM}: ${hex(big.subarray(ROOM), b)}`,
			`0: ${hex(c)}`,
		]);
		assert.equal(bench.state.lifetime[Current.Packets], 4);
		assert.equal(bench.state.lifetime[Current.Bytes], 600 + 1500 + 1300 + 100 + 4 * 4);
	});

	it('tell in each piece how much is to come', () => {
		const bench = makeOutput({ packetOctets: 140 });
		const packet = sized(250);
		send(bench, packet);
		const room = 140 - HEADER_OCTETS - 4;
		assert.deepEqual(payloads(bench), [
			`0: ${hex(packet.subarray(0, room))}`,
			`${250 - room}: ${hex(packet.subarray(room, 2 * room))}`,
			`${250 - 2 * room}: ${hex(packet.subarray(2 * room))}`,
		]);
	});

	it('have as much room as the path, whatever larger size was asked for', () => {
		const bench = makeOutput({ packetOctets: 9000 });
		send(bench, sized(ROOM + 1));
		const [first, second, ...others] = outer(bench);
		assert.equal(first?.length, 1500);
		assert.equal(second?.length, 60);
		assert.deepEqual(others, []);
	});

	it('show nothing of what is inside', () => {
		const bench = makeOutput({}, { flags: 4 }); // NOPMTUDISC
		send(bench, inner(bytes('01'), { tos: 0xff, ttl: 3 }));
		const [packet] = outer(bench);
		assert.ok(packet !== undefined);
		assert.match(formatHex(packet.copy()), /^45000058000040004032[0-9a-f]{4}c0000201c0000202/);
	});

	it('with blocks of 16 octets come out too long for the path, and the rest of the packet is not sent', () => {
		const bench = makeOutput(
			{},
			{
				crypt: { name: 'cbc(aes)', key: new Uint8Array(16), keyBits: 128 },
				auth: { name: 'hmac(sha1)', key: new Uint8Array(20), keyBits: 160, truncBits: 96 },
			},
		);
		send(bench, sized(1500));
		const [packet, ...others] = outer(bench);
		assert.equal(packet?.length, 1512);
		assert.deepEqual(others, []);
	});

	it('end with the lifetime of the state, which is looked at when they are sent', () => {
		const bench = makeOutput(
			{ packetOctets: 140 },
			{ lifetime: { ...makeOutput().state.config.lifetime, hardPacketLimit: 2 } },
		);
		assert.equal(send(bench, sized(250)).action, PacketAction.Consume);
		assert.equal(outer(bench).length, 2);
		assert.deepEqual(counted(bench.engine.net), { XfrmOutStateExpired: 1 });
	});
});

// @spec M-33 U-4
describe('an IPTFS state that does not cut', () => {
	it('tells the source of a forwarded packet what fits', () => {
		const bench = makeOutput({ dontFragment: true });
		const packet = send(bench, sized(1443), { forwarded: true });
		assert.deepEqual(
			[packet.action, packet.verdict, packet.error, packet.mtu],
			[PacketAction.Drop, Verdict.OutError, 90, 1442],
		);
		assert.deepEqual(counted(bench.engine.net), { XfrmOutError: 1 });
		assert.equal(send(bench, sized(1442), { forwarded: true }).action, PacketAction.Consume);
	});

	it('drops a local one without a word', () => {
		const bench = makeOutput({ dontFragment: true });
		const packet = send(bench, sized(1443));
		assert.deepEqual(
			[packet.action, packet.verdict, packet.error],
			[PacketAction.Drop, Verdict.OutTooBig, 0],
		);
		assert.deepEqual(counted(bench.engine.net), {});
	});
});

// @spec M-33
describe('IPTFS behind another state of a bundle', () => {
	it('makes a payload of each packet, and keeps none', () => {
		const { engine } = makeEngine();
		const reqid = 2;
		addOutPolicy(engine, {
			templates: [tunnelTemplate({ mode: 1 }), tunnelTemplate({ mode: 5, reqid })],
		});
		addOut(engine, { mode: 1 });
		addOut(engine, { mode: 5, direction: 2, spi: 0x1000, reqid, iptfs: { packetOctets: 0 } });
		const packet = sent(sized(40), makeRoute());
		engine.output(Batch.of(NOW_US, packet));
		assert.equal(packet.action, PacketAction.Transformed);
		const at = packet.start + HEADER_OCTETS;
		assert.equal(packet.view.getUint32(at), 0);
		assert.equal(packet.view.getUint8(at + 4), 0x45);
	});
});

// @spec M-32 M-33
describe('both ends of IPTFS', () => {
	const octets = fc.integer({ min: 28, max: 3000 });
	it('what goes in comes out, in order', () => {
		fc.assert(
			fc.property(
				fc.array(octets, { minLength: 1, maxLength: 20 }),
				fc.integer({ min: 60, max: 1600 }),
				(lengths, packetOctets) => {
					const bench = makeOutput({ packetOctets, initDelayUs: 10 });
					const packets = lengths.map((length, i) => sized(length, i));
					for (const packet of packets) {
						send(bench, packet);
					}
					const { engine } = makeEngine();
					addOut(engine, { mode: 5, direction: 1, iptfs: { reorderWindow: 3 } });
					const found: string[] = [];
					for (const packet of outer(bench, NOW_US + 10)) {
						engine.input(Batch.of(NOW_US + 11, arrived(packet.copy())));
						for (let one = engine.pollPacket(); one !== undefined; one = engine.pollPacket()) {
							found.push(formatHex(one.copy()));
						}
					}
					assert.deepEqual(found, packets.map(formatHex));
				},
			),
		);
	});
});
