import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EngineDoor, linux619, XfrmState } from '@xfrm/engine';
import {
	attribute,
	encodeMessage,
	joinMessages,
	MessageFlag,
	type NamedMessage,
	parseAck,
	splitMessages,
	type XfrmMessage,
} from '@xfrm/netlink';
import { anyAddress, anySelector, UNLIMITED, UNUSED } from '@xfrm/wire/xfrm';
import type { NetlinkClient } from './client.ts';
import { NetlinkServer } from './server.ts';

/** An engine as far as these tests need one: some states, counts, and nothing else. */
function fakeEngine(stateCount: number): EngineDoor {
	const snapshot = {
		id: { daddr: anyAddress(), spi: 1, proto: 50 },
		saddr: anyAddress(),
		family: 2,
		selector: anySelector(2),
		lifetime: UNLIMITED,
		reqid: 0,
		mode: 1,
		replayWindow: 0,
		flags: 0,
		seq: 0,
		lifetimeCurrent: UNUSED,
		stats: { replayWindow: 0, replay: 0, integrityFailed: 0 },
		condition: 2,
		kernelOwned: false,
	};
	const states = Array.from({ length: stateCount }, () => new XfrmState(snapshot));
	const engine = {
		net: { profile: linux619, processors: 1, listeners: 0, defaults: [2, 2, 2] },
		states: () => states,
		policies: () => [],
		sadInfo: () => ({ stateCount, bucketCount: 8, bucketCountMax: 1048576 }),
		pollEvent: () => undefined,
		flushStates: () => stateCount,
	};
	// Only what the tests call is there; anything else would be a TypeError.
	return engine as unknown as EngineDoor;
}

function connect(stateCount: number = 0): { server: NetlinkServer; client: NetlinkClient } {
	const server = new NetlinkServer(fakeEngine(stateCount));
	return { server, client: server.connect({ portId: 77 }) };
}

const REQUEST = MessageFlag.Request;
const ACK = MessageFlag.Request | MessageFlag.Ack;

function info(flags: number, seq: number): NamedMessage<'getsadinfo'> {
	return { name: 'getsadinfo', flags, seq, pid: 0, body: { flags: 5 }, attributes: [] };
}

function dump(seq: number): XfrmMessage {
	const flags = REQUEST | MessageFlag.Dump;
	return { name: 'dumpsa', flags, seq, pid: 0, body: {}, attributes: [] };
}

/** Answers in short: type and sequence number, and errno where there is one. */
function brief(answers: readonly Uint8Array[]): string[] {
	return answers.flatMap(splitMessages).map((raw) => {
		const ack = parseAck(raw);
		return `${raw.type}:${raw.seq}${ack === undefined ? '' : `=${ack.errno}`}`;
	});
}

function send(server: NetlinkServer, client: NetlinkClient, ...messages: XfrmMessage[]): string[] {
	return brief(server.request(client, joinMessages(messages.map(encodeMessage)), 0));
}

// @spec N-10 N-11 N-16b
test('answers come before acknowledgements, in the order of the requests', () => {
	const { server, client } = connect();
	assert.deepEqual(
		send(server, client, info(ACK, 1), info(REQUEST, 2), info(0, 3), info(MessageFlag.Ack, 4)),
		['34:1', '2:1=0', '34:2', '2:4=0'],
	);
	const [raw] = server.request(client, encodeMessage(info(REQUEST, 9)), 0).flatMap(splitMessages);
	assert.deepEqual([raw?.pid, raw?.flags], [77, 0]);
});

// @spec N-5 N-6
test('numbers too high are refused before rights are asked for, then everything is', () => {
	const { server, client } = connect();
	const raw = (type: number): Uint8Array => {
		const bytes = encodeMessage(info(ACK, 1));
		bytes[4] = type;
		return bytes;
	};
	const rows: [name: string, type: number, privileged: boolean, want: string[]][] = [
		['netlink’s own', 0x03, false, ['2:1=0']],
		['number beyond the last', 0x29, false, ['2:1=22']],
		['no right', 0x23, false, ['2:1=1']],
		['no handler', 0x22, true, ['2:1=22']],
		['payload too short', 0x10, true, ['2:1=22']],
	];
	for (const [name, type, privileged, want] of rows) {
		client.privileged = privileged;
		assert.deepEqual(brief(server.request(client, raw(type), 0)), want, name);
	}
});

// @spec N-7 N-8
test('attributes are checked before a handler sees them', () => {
	const { server, client } = connect(1);
	const flush = (attributes: NamedMessage<'flushsa'>['attributes']): Uint8Array =>
		encodeMessage({ name: 'flushsa', flags: ACK, seq: 1, pid: 0, body: { proto: 0 }, attributes });
	const rows: [name: string, bytes: Uint8Array, errno: number, extended: object][] = [
		['unknown', flush([{ name: 'unknown', type: 99, value: new Uint8Array(3) }]), 0, {}],
		['longer than needed', flush([{ name: 'unknown', type: 31, value: new Uint8Array(8) }]), 0, {}],
		[
			'shorter',
			flush([{ name: 'unknown', type: 31, value: new Uint8Array(2) }]),
			34,
			{ offset: 20, policy: { kind: 4, min: 0, max: 0xffff_ffff } },
		],
		[
			'strict from 33 on',
			flush([{ name: 'unknown', type: 35, value: new Uint8Array(8) }]),
			22,
			{ offset: 20, policy: { kind: 4, min: 0, max: 0xffff_ffff } },
		],
		['forbidden here', flush([attribute('saDir', 1)]), 22, {}],
		[
			'out of range',
			flush([attribute('saDir', 3)]),
			34,
			{ offset: 20, policy: { kind: 2, min: 1, max: 2 } },
		],
	];
	for (const [name, bytes, errno, extended] of rows) {
		const [raw] = server.request(client, bytes, 0).flatMap(splitMessages);
		const ack = raw && parseAck(raw);
		const { message, ...rest } = ack?.extended ?? {};
		assert.deepEqual([ack?.errno, rest], [errno, extended], name);
		assert.equal(message !== undefined, errno !== 0, name);
	}
});

// @spec N-12 N-13
test('a dump ends with DONE, a second one meanwhile is refused', () => {
	const { server, client } = connect(2);
	assert.deepEqual(send(server, client, dump(5)), ['16:5', '16:5', '3:5=0']);
	assert.deepEqual(send(server, client, dump(6), dump(7), info(REQUEST, 8)), [
		'16:6',
		'16:6',
		'2:7=16',
		'34:8',
		'3:6=0',
	]);
	const empty = connect(0);
	assert.deepEqual(send(empty.server, empty.client, dump(1)), ['3:1=0']);
});

test('a large dump comes in parts that the client asks for', () => {
	const { server, client } = connect(200);
	const parts = [server.begin(client, encodeMessage(dump(1)), 0)];
	for (let part = server.continueDump(client); part !== undefined; ) {
		parts.push([part]);
		part = server.continueDump(client);
	}
	assert.ok(parts.length > 3);
	assert.ok(parts.flat().every((part) => part.length <= 16384));
	assert.equal(brief(parts.flat()).filter((text) => text.startsWith('16:')).length, 200);
});

// @spec N-14
test('an error at the start of a dump is in its DONE', () => {
	const { server, client } = connect(1);
	const filter = { saddr: anyAddress(), daddr: anyAddress(), family: 2, splen: 129, dplen: 0 };
	const bad = { ...dump(1), attributes: [attribute('addressFilter', filter)] } as XfrmMessage;
	assert.deepEqual(send(server, client, bad), ['3:1=22']);
	const short = { name: 'unknown', type: 26, value: new Uint8Array(35) } as const;
	assert.deepEqual(send(server, client, { ...dump(2), attributes: [short] } as XfrmMessage), [
		'3:2=34',
	]);
});

// @spec A-6 R-11 N-16
test('subscribers hear what was done, and the engine knows who listens', () => {
	const { server, client } = connect(1);
	const listener = server.connect({ portId: 1, queueMax: 2 });
	server.subscribe(listener, 1 << 2);
	server.subscribe(client, 1 << 0);
	assert.equal(server.engine.net.listeners, 5);
	const flush: XfrmMessage = {
		name: 'flushsa',
		flags: REQUEST,
		seq: 4,
		pid: 99,
		body: { proto: 50 },
		attributes: [],
	};
	assert.deepEqual(send(server, client, flush, flush, flush), []);
	const heard = listener.receiveAll().flatMap(splitMessages);
	assert.deepEqual(
		heard.map(({ type, seq, pid }) => [type, seq, pid]),
		[
			[0x1c, 4, 99],
			[0x1c, 4, 99],
		],
	);
	assert.deepEqual([listener.takeOverrun(), listener.takeOverrun()], [true, false]);
	assert.deepEqual(client.receiveAll(), []);
	server.disconnect(listener);
	assert.equal(server.engine.net.listeners, 1);
});

test('no truncation of a datagram throws', () => {
	const { server, client } = connect(1);
	const datagram = joinMessages([info(ACK, 1), dump(2), info(ACK, 3)].map(encodeMessage));
	for (let length = 0; length < datagram.length; length++) {
		server.request(client, datagram.slice(0, length), 0);
	}
});

test('a socket is asked for its options where an answer depends on them, and then only', () => {
	const server = new NetlinkServer(fakeEngine(0));
	let asked = 0;
	const askAckOptions = () => {
		asked++;
		return { extAck: false, capAck: true };
	};
	const client = server.connect({ portId: 77, askAckOptions });
	assert.deepEqual(send(server, client, info(ACK, 1)), ['34:1', '2:1=0']);
	assert.equal(asked, 0);
	const refused = encodeMessage(info(ACK, 2));
	refused[4] = 0x22;
	const answers = server.request(client, refused, 0);
	assert.deepEqual(brief(answers), ['2:2=22']);
	// Header, errno, and the request's header alone.
	assert.equal(answers[0]?.length, 36);
	assert.equal(asked, 1);
});

test('who cannot be asked for its options is told all', () => {
	const server = new NetlinkServer(fakeEngine(0));
	const client = server.connect({ portId: 77, askAckOptions: () => undefined });
	assert.deepEqual([client.ackOptions.extAck, client.ackOptions.capAck], [true, false]);
});
