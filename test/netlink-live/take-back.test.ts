/**
 * What `xfrm load` does when a rule is refused after all: the tables go back to what they were, and no
 * sequence number is used twice. On our server; the commands themselves are tried on the running kernel in
 * packages/cli/src/load-command.isolated.test.ts.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CommandContext, parseRulesFile } from '@xfrm/iproute';
import { type NetlinkSocket, XfrmClient } from '@xfrm/netlink';
import {
	type KernelTables,
	readTables,
	snapshotJson,
} from '../../packages/cli/src/kernel-tables.ts';
import { carryOutRule, type Exchange, takeBack } from '../../packages/cli/src/rule-loading.ts';
import { exchangeOver } from '../../packages/cli/src/socket-exchange.ts';
import { newServer, ServerTransport } from './server-transport.ts';

const CONTEXT: CommandContext = { utcOffsetSeconds: () => 0 };

const state = (action: string, spi: string): string =>
	`state ${action} src 192.0.2.1 dst 192.0.2.2 proto esp spi ${spi} reqid 1 mode tunnel ${AEAD}`;
const AEAD = 'aead rfc4106(gcm(aes)) 0x0102030405060708090a0b0c0d0e0f1011121314 128';

const TEMPLATE = 'tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 1 mode tunnel';

const BEFORE = `
${state('add', '0x101')} replay-window 32 replay-oseq 7
${state('add', '0x102')} replay-window 64 flag esn replay-oseq 0xfffffff0
${state('add', '0x103')} mark 5 mask 0xff
state add src 192.0.2.1 dst 192.0.2.2 proto comp spi 0x9 mode tunnel comp deflate
policy add src 10.0.0.0/8 dst 10.1.0.0/16 dir out priority 7 ${TEMPLATE}
policy add src 10.0.0.0/8 dst 10.1.0.0/16 dir out ptype sub action block
policy add src 10.0.0.0/8 dst 10.1.0.0/16 dir in if_id 4
policy set hthresh4 24 16
`;

class Bench {
	readonly client: XfrmClient;
	readonly #socket: NetlinkSocket;

	constructor() {
		const transport = new ServerTransport(newServer({}), { now: () => 1_700_000_000_000_000 });
		this.client = new XfrmClient(transport);
		this.#socket = transport.open();
	}

	readonly exchange: Exchange = (datagram) => exchangeOver(this.#socket, datagram);

	/** Carries rules out; every one has to be accepted. */
	async run(text: string): Promise<void> {
		const { steps = [], problem } = parseRulesFile(text, CONTEXT);
		assert.equal(problem, undefined);
		for (const step of steps) {
			assert.equal(await carryOutRule(step, this.exchange, CONTEXT), undefined);
		}
	}

	close(): void {
		this.client.close();
		this.#socket.close();
	}
}

/** The tables in words, in no order: what is put back is the newest. */
function told(tables: KernelTables): unknown {
	const { states, policies, default_policies } = snapshotJson(tables, {
		time: 0,
		context: CONTEXT,
	}) as { states: object[]; policies: object[]; default_policies: object };
	const sorted = (objects: readonly object[]): string[] =>
		objects.map((object) => JSON.stringify(object)).sort();
	return [sorted(states), sorted(policies), default_policies, tables.thresholds];
}

const rows: readonly (readonly [name: string, changes: string])[] = [
	['nothing', ''],
	['what was added', `${state('add', '0x999')}\npolicy add dir fwd priority 3`],
	['a changed policy', 'policy update src 10.0.0.0/8 dst 10.1.0.0/16 dir in if_id 4 priority 9'],
	['deleted policies', 'policy flush\npolicy flush ptype sub'],
	['flushed sub policies', 'policy flush ptype sub'],
	['defaults and thresholds', 'policy setdefault in block out block\npolicy set hthresh4 8 8'],
	['a changed state', `${state('update', '0x101')} limit packet-hard 9`],
];

describe('tables are taken back to what they were', () => {
	for (const [name, changes] of rows) {
		it(name, async () => {
			const bench = new Bench();
			await bench.run(BEFORE);
			const before = await readTables(bench.client);
			await bench.run(changes);
			const failures = await takeBack(before, await readTables(bench.client), bench.exchange);
			assert.deepEqual(failures, []);
			assert.deepEqual(told(await readTables(bench.client)), told(before));
			bench.close();
		});
	}

	it('states that were deleted, and none uses a sequence number again', async () => {
		const bench = new Bench();
		await bench.run(BEFORE);
		const before = await readTables(bench.client);
		await bench.run('state flush');
		const failures = await takeBack(before, await readTables(bench.client), bench.exchange);
		assert.deepEqual(failures, []);
		const counted = (await bench.client.states.list()).map(({ id, replay, replayEsn }) => ({
			spi: id.spi,
			oseq: replay?.oseq ?? replayEsn?.oseq,
			oseqHi: replayEsn?.oseqHi,
		}));
		const margin = 1 << 20;
		assert.deepEqual(
			counted.filter(({ spi }) => spi === 0x101 || spi === 0x102),
			[
				{ spi: 0x102, oseq: (0xfffffff0 + margin) >>> 0, oseqHi: 1 },
				{ spi: 0x101, oseq: 7 + margin, oseqHi: undefined },
			],
		);
		assert.equal(counted.length, before.states.length);
		bench.close();
	});

	it('says what cannot be put back', async () => {
		const bench = new Bench();
		await bench.run(BEFORE);
		const before = await readTables(bench.client);
		await bench.run('policy flush\npolicy flush ptype sub');
		const refusing: Exchange = async (datagram) => {
			const view = new DataView(datagram.buffer, datagram.byteOffset);
			view.setUint16(4, 0x3f, true); // a type that the kernel does not have
			return bench.exchange(datagram);
		};
		const failures = await takeBack(before, await readTables(bench.client), refusing);
		assert.equal(failures.length, 5);
		assert.match(failures[0] ?? '', /^policy \d+ is gone: Invalid argument \(EINVAL\)/);
		bench.close();
	});
});
