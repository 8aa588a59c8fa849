/**
 * MIGRATE_STATE over the wire: how it is found out, checked, answered and told. By reading only: no kernel at
 * hand has the message (net/xfrm/xfrm_user.c: xfrm_do_migrate_state, Linux 7.2).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linux61, linux72, linux619 } from '@xfrm/engine';
import {
	type Ack,
	attribute,
	completeState,
	decodeMessage,
	encodeMessage,
	MessageFlag,
	type NamedMessage,
	parseAck,
	splitMessages,
	stateRequestAttributes,
	stateRequestBody,
	type UserMigrateState,
	type XfrmAttribute,
} from '@xfrm/netlink';
import type { NetlinkClient, NetlinkServer } from '@xfrm/netlink-server';
import { anySelector, MigrateStateFlag, parseAddress } from '@xfrm/wire/xfrm';
import { newServer } from '../netlink-live/server-transport.ts';

const NOW_US = 1_700_000_000_000_000;
const FLAGS = MessageFlag.Request | MessageFlag.Ack;
const SPI = 0xc0de_0001;
const udp = { type: 2, sport: 4500, dport: 4501, oa: new Uint8Array(16) };

function address(text: string): Uint8Array {
	const parsed = parseAddress(text);
	assert.ok(parsed, text);
	return parsed.address;
}

const near = address('192.0.2.1');
const far = address('192.0.2.2');
const target: UserMigrateState = {
	id: { daddr: far, spi: SPI, family: 2, proto: 50 },
	newDaddr: address('198.51.100.2'),
	newSaddr: address('198.51.100.1'),
	oldMark: { v: 1, m: 0xf },
	newSelector: anySelector(2),
	newReqid: 77,
	flags: 0,
	newFamily: 2,
	reserved: 0,
};

function request(
	body: Partial<UserMigrateState> = {},
	attributes: readonly XfrmAttribute[] = [],
): NamedMessage<'migratestate'> {
	const { seq, pid } = { seq: 5, pid: 99 };
	return {
		name: 'migratestate',
		flags: FLAGS,
		seq,
		pid,
		body: { ...target, ...body },
		attributes,
	};
}

interface World {
	readonly server: NetlinkServer;
	readonly client: NetlinkClient;
	readonly listener: NetlinkClient;
}

/** A server with one outward state of mark 1/0xf, and a listener to group MIGRATE. */
function world(profile = linux72): World {
	const server = newServer({ profile });
	const client = server.connect({ portId: 7 });
	const listener = server.connect({ portId: 8 });
	const config = completeState({
		id: { daddr: far, spi: SPI, proto: 50 },
		saddr: near,
		family: 2,
		mode: 1,
		reqid: 1,
		aead: { name: 'rfc4106(gcm(aes))', key: new Uint8Array(20), keyBits: 160, icvBits: 128 },
		mark: { v: 1, m: 0xf },
		outputMark: { v: 6, m: 7 },
		encap: udp,
		...(profile === linux61 ? {} : { direction: 2, natKeepaliveSeconds: 20 }),
	});
	const add: NamedMessage<'newsa'> = {
		name: 'newsa',
		flags: FLAGS,
		seq: 1,
		pid: 0,
		body: stateRequestBody(config),
		attributes: stateRequestAttributes(config),
	};
	assert.equal(ackOf(server.request(client, encodeMessage(add), NOW_US)).errno, 0);
	server.subscribe(listener, 1 << 6);
	return { server, client, listener };
}

function ackOf(answers: readonly Uint8Array[]): Ack {
	const [raw, ...others] = answers.flatMap(splitMessages);
	const ack = raw && parseAck(raw);
	assert.ok(ack !== undefined && others.length === 0);
	return ack;
}

function ask({ server, client }: World, message: NamedMessage<'migratestate'>): Ack {
	return ackOf(server.request(client, encodeMessage(message), NOW_US));
}

// @spec G-9
test('daemons find out by an SPI that nobody has', () => {
	const probe = request({ id: { ...target.id, spi: 0xdead } });
	for (const profile of [linux61, linux619]) {
		assert.equal(ask(world(profile), probe).errno, 22, profile.name);
	}
	assert.equal(ask(world(), probe).errno, 3);
});

// @spec G-9 N-16
test('the group hears the request again, with what became of it', () => {
	const rows: readonly [
		name: string,
		NamedMessage<'migratestate'>,
		told: Partial<UserMigrateState>,
		attributes: readonly XfrmAttribute[],
	][] = [
		[
			'nothing but the place',
			request(),
			{},
			[
				attribute('encap', udp),
				attribute('setMark', 6),
				attribute('setMarkMask', 7),
				attribute('natKeepaliveInterval', 20),
				attribute('saDir', 2),
			],
		],
		[
			'everything',
			request({ flags: MigrateStateFlag.ClearOffload }, [
				attribute('natKeepaliveInterval', 5),
				attribute('mark', { v: 0xff, m: 2 }),
				attribute('setMark', 9),
				attribute('offloadDev', { ifindex: 3, flags: 1 }),
				attribute('encap', { ...udp, sport: 1 }),
			]),
			{ flags: MigrateStateFlag.ClearOffload },
			[
				attribute('encap', { ...udp, sport: 1 }),
				attribute('offloadDev', { ifindex: 3, flags: 1 }),
				attribute('mark', { v: 0xff, m: 2 }),
				attribute('setMark', 9),
				attribute('setMarkMask', 0xffff_ffff),
				attribute('natKeepaliveInterval', 5),
				attribute('saDir', 2),
			],
		],
		[
			'encapsulation and output mark go',
			request({}, [
				attribute('encap', { ...udp, type: 0 }),
				attribute('setMark', 0),
				attribute('setMarkMask', 0),
			]),
			{},
			[attribute('encap', { ...udp, type: 0 }), attribute('saDir', 2)],
		],
	];
	for (const [name, message, told, attributes] of rows) {
		const here = world();
		assert.deepEqual(ask(here, message).errno, 0, name);
		const [event, ...others] = here.listener.receiveAll().flatMap(splitMessages);
		assert.ok(event !== undefined && others.length === 0, name);
		const { body } = message;
		assert.deepEqual(
			decodeMessage(event),
			{ name: 'migratestate', flags: 0, seq: 5, pid: 99, body: { ...body, ...told }, attributes },
			name,
		);
	}
});

// @spec G-9
test('a selector of two hosts is told as it is now', () => {
	const here = world();
	const refused = ask(here, request({ flags: MigrateStateFlag.UpdateHostSelector }));
	assert.equal(refused.errno, 22, 'the state’s selector is another');
	const hosts = { ...anySelector(2), daddr: far, saddr: near, prefixlenD: 32, prefixlenS: 32 };
	const same = { newDaddr: far, newSaddr: near, newSelector: hosts };
	assert.equal(ask(here, request(same)).errno, 0);
	const follows = { flags: MigrateStateFlag.UpdateHostSelector, newSelector: anySelector(10) };
	assert.equal(ask(here, request(follows)).errno, 0);
	const [, event] = here.listener.receiveAll().flatMap(splitMessages);
	const message = event && decodeMessage(event);
	assert.ok(message?.name === 'migratestate');
	assert.deepEqual(message.body.newSelector, {
		...hosts,
		daddr: target.newDaddr,
		saddr: target.newSaddr,
	});
});

// @spec G-9
test('requests that make no sense are refused, and nothing is told', () => {
	const wide = { ...anySelector(2), prefixlenD: 33 };
	const rows: readonly [NamedMessage<'migratestate'>, number, string, number?][] = [
		[request({ id: { ...target.id, spi: 0 } }), 22, 'Invalid SPI 0x0'],
		[request({ reserved: 1 }), 22, 'Reserved field must be zero'],
		[request({ flags: 0x8000_0007 }), 22, 'Unknown flags: 0x80000004'],
		[request({ newFamily: 0 }), 22, 'Invalid address family'],
		[
			request({ newSelector: wide }),
			22,
			'Invalid prefix length in selector (must be <= 32 for IPv4)',
		],
		[request({ newSelector: anySelector(7) }), 22, 'Invalid address family in selector'],
		[request({ oldMark: { v: 2, m: 0xf } }), 3, 'Can not find state'],
		[request({}, [attribute('saDir', 2)]), 22, 'Invalid attribute SA_DIR'],
		[
			request({}, [attribute('mark', { v: 1, m: 1 }), attribute('ifId', 1)]),
			22,
			'Unsupported attribute in XFRM_MSG_MIGRATE_STATE',
			16 + 132 + 12,
		],
		[
			request({}, [attribute('ifId', 1), attribute('tfcpad', 1)]),
			22,
			'Unsupported attribute in XFRM_MSG_MIGRATE_STATE',
			16 + 132 + 8,
		],
	];
	for (const [message, errno, text, offset] of rows) {
		const here = world();
		const ack = ask(here, message);
		const where = offset === undefined ? {} : { offset };
		assert.deepEqual([ack.errno, ack.extended], [errno, { message: text, ...where }]);
		assert.deepEqual(here.listener.receiveAll(), [], text);
	}
});
