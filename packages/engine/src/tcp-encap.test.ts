/** ESP in TCP: what a message of a stream is, and what becomes of a packet that leaves by one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatHex } from '@xfrm/wire';
import { anyAddress, Errno } from '@xfrm/wire/xfrm';
import { Batch } from './batch.ts';
import type { Engine } from './engine.ts';
import {
	arrived,
	bytes,
	codes,
	counted,
	esp,
	ip,
	NOW_US,
	SPI,
	trace,
} from './input-fixture.test.ts';
import {
	addOut,
	addOutPolicy,
	inner,
	makeEngine,
	makeRoute,
	sent,
	tunnelTemplate,
} from './output-fixture.test.ts';
import type { XfrmState } from './state.ts';
import { PacketAction, Verdict } from './verdict.ts';

const ENCAP = { type: 7, sport: 4500, dport: 1234, oa: anyAddress() };
const INNER = inner();

function receiver(): { engine: Engine; state: XfrmState } {
	const { engine } = makeEngine();
	return { engine, state: addOut(engine, { encap: { ...ENCAP, sport: 1234, dport: 4500 } }) };
}

function message(octets: Uint8Array, port: number = 1234): ReturnType<typeof arrived> {
	const packet = arrived(ip(50, octets));
	packet.encapSport = port;
	return packet;
}

const kinds: readonly [string, string, number, number][] = [
	['nothing', '', PacketAction.Drop, Verdict.InHdrError],
	['a keepalive', 'ff', PacketAction.Consume, Verdict.Pass],
	['another single octet', 'fe', PacketAction.Drop, Verdict.InHdrError],
	['three octets', '000000', PacketAction.Drop, Verdict.InHdrError],
	['a marker alone', '00000000', PacketAction.ToSocket, Verdict.Pass],
	['IKE', '00000000 01', PacketAction.ToSocket, Verdict.Pass],
	['an SPI alone', 'c0de0001', PacketAction.Drop, Verdict.InHdrError],
	['seven octets of ESP', 'c0de0001 000000', PacketAction.Drop, Verdict.InHdrError],
	['an unknown SPI', 'c0de0002 00000001', PacketAction.Drop, Verdict.InNoStates],
];

// @spec T-12
describe('a message of a stream', () => {
	for (const [name, hex, action, verdict] of kinds) {
		it(`${name}: action ${action}, verdict ${verdict}`, () => {
			const { engine } = receiver();
			const packet = message(bytes(hex));
			engine.tcpEncapInput(Batch.of(NOW_US, packet));
			assert.deepEqual([packet.action, packet.verdict], [action, verdict]);
			assert.equal(engine.net.counters[verdict] ?? 0, verdict === Verdict.Pass ? 0 : 1);
		});
	}

	it('that is too short says so', () => {
		const { engine } = receiver();
		const events = trace(engine.net);
		engine.tcpEncapInput(Batch.of(NOW_US, message(bytes('00'))));
		assert.deepEqual(codes(events), ['in.stream.short']);
	});

	it('with ESP goes to the state that wants TCP', () => {
		const { engine } = receiver();
		const packet = message(esp(INNER));
		engine.tcpEncapInput(Batch.of(NOW_US, packet));
		assert.equal(packet.action, PacketAction.Reinject);
		assert.equal(formatHex(packet.copy()), formatHex(INNER));
		assert.equal(engine.pollEvent(), undefined);
	});

	it('from another port is told of, as with UDP', () => {
		const { engine } = receiver();
		engine.tcpEncapInput(Batch.of(NOW_US, message(esp(INNER), 1235)));
		const event = engine.pollEvent();
		assert.ok(event?.kind === 'mapping');
		assert.deepEqual([event.oldSport, event.newSport], [1234, 1235]);
	});

	it('is not for a state without TCP, nor is plain ESP for one with it', () => {
		const { engine } = makeEngine();
		addOut(engine);
		engine.tcpEncapInput(Batch.of(NOW_US, message(esp(INNER))));
		const other = receiver().engine;
		other.input(Batch.of(NOW_US, arrived(ip(50, esp(INNER)))));
		for (const { net } of [engine, other]) {
			assert.deepEqual(counted(net), { XfrmInStateMismatch: 1 });
		}
	});
});

interface Sender {
	readonly engine: Engine;
	/** What the engine asked about. */
	readonly asked: string[];
}

function sender(stream: number): Sender {
	const asked: string[] = [];
	const { engine } = makeEngine(undefined, undefined, {
		espStream: (family, saddr, sport, daddr, dport) => {
			const [from, to] = [saddr, daddr].map((address) => formatHex(address.subarray(0, 4)));
			asked.push(`${family} ${from} ${sport} ${to} ${dport}`);
			return stream;
		},
	});
	addOutPolicy(engine, { templates: [tunnelTemplate()] });
	return { engine, asked };
}

// @spec T-12
describe('a packet that leaves by a stream', () => {
	it('is a message of its connection, and no IP packet any more', () => {
		const { engine, asked } = sender(9);
		addOut(engine, { encap: ENCAP });
		const packets = [sent(INNER, makeRoute()), sent(INNER, makeRoute())];
		engine.output(Batch.of(NOW_US, ...packets));
		for (const [i, packet] of packets.entries()) {
			assert.deepEqual([packet.action, packet.socketId], [PacketAction.ToStream, 9]);
			const octets = packet.copy();
			const view = new DataView(octets.buffer);
			assert.equal(view.getUint16(0), octets.length);
			assert.equal(view.getUint32(2), SPI);
			assert.equal(view.getUint32(6), i + 1);
			assert.equal(formatHex(octets.slice(18, 18 + INNER.length)), formatHex(INNER));
		}
		assert.equal(asked[0], '2 c0000201 4500 c0000202 1234');
		assert.deepEqual(counted(engine.net), {});
	});

	it('sees no further state of its bundle', () => {
		const { engine } = sender(9);
		const reqid = 2;
		engine.flushPolicies(0, NOW_US);
		addOutPolicy(engine, { templates: [tunnelTemplate(), tunnelTemplate({ reqid })] });
		addOut(engine, { encap: ENCAP });
		const outer = addOut(engine, { spi: 0x1000, reqid });
		const packet = sent(INNER, makeRoute());
		engine.output(Batch.of(NOW_US, packet));
		assert.equal(packet.action, PacketAction.ToStream);
		assert.equal(outer.lifetime[1], 0);
	});

	it('leaves a queue of IPTFS likewise', () => {
		const { engine } = sender(9);
		engine.flushPolicies(0, NOW_US);
		addOutPolicy(engine, { templates: [tunnelTemplate({ mode: 5 })] });
		addOut(engine, { mode: 5, direction: 2, encap: ENCAP });
		engine.output(Batch.of(NOW_US, sent(INNER, makeRoute())));
		engine.handleTimeout(NOW_US);
		assert.equal(engine.pollPacket()?.action, PacketAction.ToStream);
		assert.equal(engine.pollPacket(), undefined);
	});

	const refusals: readonly [string, number, number, string][] = [
		['without a connection', 0, Errno.ENOENT, 'out.transform.socket'],
		['by a connection that is not for ESP', -1, Errno.EINVAL, 'out.transform.socket'],
	];
	for (const [name, stream, errno, code] of refusals) {
		it(`${name} is refused, its number gone`, () => {
			const { engine } = sender(stream);
			const state = addOut(engine, { encap: ENCAP });
			const events = trace(engine.net);
			const packet = sent(INNER, makeRoute());
			engine.output(Batch.of(NOW_US, packet));
			assert.deepEqual([packet.action, packet.error], [PacketAction.Drop, errno]);
			assert.deepEqual(codes(events), [code]);
			assert.deepEqual(counted(engine.net), { XfrmOutStateProtoError: 1 });
			assert.equal(state.replay.counters[0], 1);
		});
	}

	it('is no longer than its length field can say', () => {
		const { engine } = sender(9);
		addOut(engine, { encap: ENCAP });
		const packet = sent(inner(new Uint8Array(65_480)), makeRoute());
		engine.output(Batch.of(NOW_US, packet));
		assert.deepEqual([packet.action, packet.error], [PacketAction.Drop, Errno.EMSGSIZE]);
	});
});
