/** Dumps that are read slowly, while the tables change under them, and by several clients at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
	completeState,
	decodeMessage,
	encodeMessage,
	MessageFlag,
	type MessageName,
	type NamedMessage,
	parseAck,
	splitMessages,
	stateRequestAttributes,
	stateRequestBody,
} from '@xfrm/netlink';
import type { NetlinkClient, NetlinkServer } from '@xfrm/netlink-server';
import { anySelector, type PolicyConfig, UNLIMITED, UNUSED } from '@xfrm/wire/xfrm';
import { newServer } from '../netlink-live/server-transport.ts';

const NOW_US = 1_700_000_000_000_000;
const COUNT = 300;
const far = Uint8Array.of(198, 51, 100, 2, ...new Uint8Array(12));

/** Sends a request that has to succeed. */
function send<N extends MessageName>(
	server: NetlinkServer,
	client: NetlinkClient,
	message: Pick<NamedMessage<N>, 'name' | 'body'> & Partial<NamedMessage<N>>,
): void {
	const flags = MessageFlag.Request | MessageFlag.Ack;
	const whole = { flags, seq: 1, pid: 0, attributes: [], ...message } as NamedMessage<'flushsa'>;
	const [raw] = server.begin(client, encodeMessage(whole), NOW_US).flatMap(splitMessages);
	const ack = raw && parseAck(raw);
	assert.deepEqual([ack?.errno, ack?.extended], [0, {}]);
}

function addState(server: NetlinkServer, client: NetlinkClient, spi: number): void {
	const config = completeState({
		id: { daddr: far, spi, proto: 50 },
		saddr: far,
		family: 2,
		mode: 1,
		aead: { name: 'rfc4106(gcm(aes))', key: new Uint8Array(20), keyBits: 160, icvBits: 128 },
	});
	send(server, client, {
		name: 'newsa',
		body: stateRequestBody(config),
		attributes: stateRequestAttributes(config),
	});
}

function deleteState(server: NetlinkServer, client: NetlinkClient, spi: number): void {
	send(server, client, { name: 'delsa', body: { daddr: far, spi, family: 2, proto: 50 } });
}

function policySelector(number: number): PolicyConfig['selector'] {
	return { ...anySelector(2), proto: 17, dport: number, dportMask: 0xffff };
}

function addPolicy(server: NetlinkServer, client: NetlinkClient, number: number): void {
	send(server, client, {
		name: 'newpolicy',
		body: {
			selector: policySelector(number),
			lifetime: UNLIMITED,
			lifetimeCurrent: UNUSED,
			priority: 0,
			index: 0,
			direction: 1,
			action: 0,
			flags: 0,
			share: 0,
		},
	});
}

function deletePolicy(server: NetlinkServer, client: NetlinkClient, number: number): void {
	const body = { selector: policySelector(number), index: 0, direction: 1 };
	send(server, client, { name: 'delpolicy', body });
}

interface Kind {
	readonly dump: 'dumpsa' | 'dumppolicy';
	add(server: NetlinkServer, client: NetlinkClient, number: number): void;
	remove(server: NetlinkServer, client: NetlinkClient, number: number): void;
	flush(server: NetlinkServer, client: NetlinkClient): void;
}
const KINDS: readonly Kind[] = [
	{
		dump: 'dumpsa',
		add: addState,
		remove: deleteState,
		flush: (server, client) => send(server, client, { name: 'flushsa', body: { proto: 0 } }),
	},
	{
		dump: 'dumppolicy',
		add: addPolicy,
		remove: deletePolicy,
		flush: (server, client) => send(server, client, { name: 'flushpolicy', body: {} }),
	},
];

function dumpRequest(name: Kind['dump'], seq: number): Uint8Array {
	const flags = MessageFlag.Request | MessageFlag.Dump;
	return encodeMessage({ name, flags, seq, pid: 0, body: {}, attributes: [] });
}

/** Numbers of the members of a part, "done" for its end. */
function numbers(part: Uint8Array): (number | 'done')[] {
	return splitMessages(part).map((raw) => {
		const message = decodeMessage(raw);
		if (message === undefined) {
			assert.equal(parseAck(raw)?.errno, 0);
			return 'done';
		}
		assert.equal(raw.flags, MessageFlag.Multi);
		if (message.name === 'newsa') {
			return message.body.id.spi;
		}
		assert.equal(message.name, 'newpolicy');
		return message.name === 'newpolicy' ? message.body.selector.dport : 0;
	});
}

interface World {
	readonly server: NetlinkServer;
	readonly writer: NetlinkClient;
	readonly reader: NetlinkClient;
}

/** Members 1 … COUNT, the newest last. */
function filled(kind: Kind): World {
	const server = newServer({});
	const writer = server.connect({ portId: 1 });
	const reader = server.connect({ portId: 2 });
	for (let number = 1; number <= COUNT; number++) {
		kind.add(server, writer, number);
	}
	return { server, writer, reader };
}

/** Reads on to the end of a dump; calls `between` before each part. */
function readRest(world: World, between: (read: readonly number[]) => void): number[] {
	const read: number[] = [];
	for (;;) {
		between(read);
		const part = world.server.continueDump(world.reader);
		assert.ok(part !== undefined, 'a dump ends with DONE');
		for (const number of numbers(part)) {
			if (number === 'done') {
				assert.equal(world.server.continueDump(world.reader), undefined);
				return read;
			}
			read.push(number);
		}
	}
}

// @spec N-12 N-13
test('what is there all the time is told once, newest first; what comes or goes may be told or not', () => {
	for (const kind of KINDS) {
		const world = filled(kind);
		const { server, writer, reader } = world;
		const [first] = server.begin(reader, dumpRequest(kind.dump, 5), NOW_US);
		assert.ok(first !== undefined);
		const begun = numbers(first) as number[];
		const gone = new Set<number>();
		let added = COUNT;
		let isFlushing = false;
		const rest = readRest(world, (read) => {
			const last = read.at(-1) ?? begun.at(-1) ?? 0;
			// The member that the dump stands at, its neighbours, and one far ahead.
			for (const number of [last, last - 1, last - 2, 10]) {
				if (number > 0 && !gone.has(number)) {
					kind.remove(server, writer, number);
					gone.add(number);
				}
			}
			kind.add(server, writer, ++added);
			isFlushing = true;
		});
		assert.ok(isFlushing && rest.length > 0, kind.dump);
		const all = [...begun, ...rest];
		const sorted = [...new Set(all)].sort((a, b) => b - a);
		assert.deepEqual(all, sorted, `${kind.dump}: newest first, each once`);
		const missing = Array.from({ length: COUNT }, (_, i) => i + 1).filter(
			(number) => !all.includes(number) && !gone.has(number),
		);
		assert.deepEqual(missing, [], kind.dump);
		assert.equal(Math.max(...all), COUNT, 'what was added meanwhile comes before what was read');
	}
});

test('a flush in the middle ends the dump', () => {
	for (const kind of KINDS) {
		const world = filled(kind);
		world.server.begin(world.reader, dumpRequest(kind.dump, 5), NOW_US);
		kind.flush(world.server, world.writer);
		kind.add(world.server, world.writer, COUNT + 1);
		const rest = readRest(world, () => {});
		// One member may have been made into a message before it went.
		assert.ok(rest.length <= 1, `${kind.dump}: ${rest.length}`);
	}
});

// @spec N-12
test('one dump at a time for a client; other requests and other clients go on', () => {
	const kind = KINDS[0];
	assert.ok(kind !== undefined);
	const world = filled(kind);
	const { server, reader, writer } = world;
	server.begin(reader, dumpRequest('dumpsa', 5), NOW_US);
	for (const name of ['dumpsa', 'dumppolicy'] as const) {
		const [raw] = server.begin(reader, dumpRequest(name, 6), NOW_US).flatMap(splitMessages);
		assert.equal(raw && parseAck(raw)?.errno, 16, `EBUSY for ${name}`);
	}
	send(server, reader, { name: 'delsa', body: { daddr: far, spi: 1, family: 2, proto: 50 } });
	const others = server.request(writer, dumpRequest('dumpsa', 7), NOW_US).flatMap(numbers);
	assert.equal(others.length, COUNT, `${COUNT - 1} members and DONE`);
	assert.ok(readRest(world, () => {}).length > 0);
	const again = server.request(reader, dumpRequest('dumpsa', 8), NOW_US).flatMap(numbers);
	assert.equal(again.length, COUNT);
});

test('whoever goes away in the middle of a dump leaves nothing behind', () => {
	const kind = KINDS[0];
	assert.ok(kind !== undefined);
	const { server, reader, writer } = filled(kind);
	server.subscribe(reader, 1);
	server.begin(reader, dumpRequest('dumpsa', 5), NOW_US);
	server.disconnect(reader);
	assert.equal(server.continueDump(reader), undefined);
	assert.equal(server.engine.net.listeners, 0);
	kind.flush(server, writer);
	assert.deepEqual(reader.receiveAll(), []);
});
