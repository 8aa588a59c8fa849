import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { linux61, linux619 } from '@xfrm/engine';
import { NetlinkError, XfrmClient } from '@xfrm/netlink';
import { anySelector, Direction } from '@xfrm/wire/xfrm';
import { netlinkCases } from './netlink-cases.ts';
import { newServer, ServerTransport } from './server-transport.ts';

// @spec N-2 N-5 N-10 N-12 N-13 N-14 N-15 N-16 N-17
for (const profile of [linux61, linux619]) {
	const connect = () => new XfrmClient(new ServerTransport(newServer({ profile })));
	describe(`our server as ${profile.name}: conformance`, () => {
		const [older] = [profile === linux61];
		for (const { name, run } of netlinkCases({ connect, esp: !older })) {
			it(name, run);
		}
	});
}

describe('a client of our server', () => {
	it('has no right: everything is EPERM, listing and listening too', async () => {
		const client = new XfrmClient(new ServerTransport(newServer({}), { privileged: false }));
		for (const call of [client.info.states(), client.states.flush(), client.policies.list()]) {
			await assert.rejects(
				call,
				(error) => error instanceof NetlinkError && error.code === 'EPERM',
			);
		}
		assert.throws(() => client.events('sa'), NetlinkError);
	});

	it('reads too slowly: the first events, then resync, and nobody else is hurt', async () => {
		const transport = new ServerTransport(newServer({}), { queueMax: 3 });
		const client = new XfrmClient(transport);
		const slow = client.events('policy');
		for (let i = 0; i < 5; i++) {
			await client.policies.add({
				selector: anySelector(2),
				direction: Direction.Out,
				ifId: i + 1,
			});
		}
		const kinds: (string | undefined)[] = [];
		for (let i = 0; i < 4; i++) {
			kinds.push((await slow.next()).value?.kind);
		}
		assert.deepEqual(kinds, ['resync', 'newpolicy', 'newpolicy', 'newpolicy']);
		assert.equal((await client.policies.list()).length, 5);
		slow.close();
	});
});
