/** What depends on somebody listening: larval states and replay events; and who hears what. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { linux619 } from '@xfrm/engine';
import { World } from '@xfrm/explain';
import { decodeMessage, splitMessages } from '@xfrm/netlink';
import type { NetlinkClient } from '@xfrm/netlink-server';
import { parseHex } from '@xfrm/wire';
import { Group } from '@xfrm/wire/xfrm';

const IDS = 'src 192.0.2.1 dst 192.0.2.2 proto esp';
const AEAD = `aead 'rfc4106(gcm(aes))' 0x${'5a'.repeat(20)} 128`;
/** UDP from 10.1.0.1 to 10.2.0.9, checksum 0. */
const PACKET = '4500001e000040004011248a0a0100010a02000903e807d0000a00000102';

/** A host with a policy for 10.2.0.0/24 that nobody listens to. */
function world(): World {
	const made = new World({
		profile: linux619,
		provider: nodeProvider(),
		random: (bytes) => bytes.fill(0x5a),
		startUs: 1_764_000_000_000_000,
		listener: false,
	});
	run(made, 'link set lan up');
	run(made, 'link set wan up');
	run(made, 'addr add 10.1.0.1/24 dev lan');
	run(made, 'addr add 192.0.2.1/24 dev wan');
	run(made, 'route add 10.2.0.0/24 dev wan');
	run(made, `xfrm policy add src 0.0.0.0/0 dst 10.2.0.0/24 dir out tmpl ${IDS} mode tunnel`);
	return made;
}

function run(made: World, command: string): void {
	const { status, stderr } = made.run(command);
	assert.equal(status, 0, `${command}: ${stderr}`);
}

function send(made: World): void {
	const packet = parseHex(PACKET);
	assert.ok(packet instanceof Uint8Array);
	made.send(packet, { sender: 'hdrincl' });
	made.server.dispatchEvents();
}

function listen(made: World, portId: number, ...groups: number[]): NetlinkClient {
	const client = made.server.connect({ portId });
	made.server.subscribe(
		client,
		groups.reduce((mask, group) => mask | (1 << (group - 1)), 0),
	);
	return client;
}

/** Names of what a client has heard. */
function heard(client: NetlinkClient): string[] {
	return client
		.receiveAll()
		.flatMap(splitMessages)
		.map((raw) => decodeMessage(raw)?.name ?? `type ${raw.type}`);
}

// @spec A-4 A-6
test('larval states are made while somebody listens to ACQUIRE, and at no other time', () => {
	const made = world();
	const states = (): number => made.engine.sadInfo().stateCount;
	send(made);
	assert.equal(states(), 0, 'nobody');
	const other = listen(made, 21, Group.Expire, Group.Sa);
	send(made);
	assert.equal(states(), 0, 'somebody, to other groups');
	const manager = listen(made, 22, Group.Acquire);
	send(made);
	assert.deepEqual([states(), heard(manager), heard(other)], [1, ['acquire'], []]);
	made.engine.flushStates(0, made.nowUs);
	made.server.disconnect(manager);
	send(made);
	assert.equal(states(), 0, 'gone again');
	made.server.subscribe(other, 1);
	send(made);
	assert.deepEqual([states(), heard(other)], [1, ['acquire']]);
});

// @spec R-11
test('replay events are made while somebody listens to AEVENTS, and at no other time', () => {
	const made = world();
	run(made, `xfrm state add ${IDS} spi 0xc0000001 mode tunnel ${AEAD}`);
	const other = listen(made, 21, Group.Acquire);
	for (let i = 0; i < 5; i++) {
		send(made);
	}
	const manager = listen(made, 22, Group.Aevents);
	assert.deepEqual(heard(manager), []);
	for (let i = 0; i < 4; i++) {
		send(made);
	}
	// The first tells of all so far, then every second packet is news (xfrm_aevent_rseqth).
	assert.deepEqual([heard(manager), heard(other)], [['newae', 'newae'], []]);
});

test('one that does not read loses what comes, and the others hear all of it', () => {
	const made = world();
	const slow = made.server.connect({ portId: 21, queueMax: 2 });
	made.server.subscribe(slow, 1 << (Group.Sa - 1));
	const quick = listen(made, 22, Group.Sa);
	for (let spi = 1; spi <= 5; spi++) {
		run(made, `xfrm state add ${IDS} spi 0xc000000${spi} mode tunnel ${AEAD}`);
		assert.deepEqual(heard(quick), ['newsa']);
	}
	assert.deepEqual([slow.takeOverrun(), quick.takeOverrun()], [true, false]);
	assert.deepEqual(heard(slow), ['newsa', 'newsa']);
	run(made, 'xfrm state flush');
	assert.deepEqual(
		[heard(slow), heard(quick), slow.takeOverrun()],
		[['flushsa'], ['flushsa'], false],
	);
});
