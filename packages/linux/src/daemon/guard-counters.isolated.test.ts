// What the guard drops is counted, in a real kernel: by direction, over tables that are written anew, and successors.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { Engine, linux619 } from '@xfrm/engine';
import { DefaultAction, Direction, Errno } from '@xfrm/wire/xfrm';
import { ffiNative } from '../native/ffi.ts';
import { NftSocket } from '../nftables/nft-socket.ts';
import { DropTable } from './drop-table.ts';
import { GuardBed, lackForBed } from './guard-bed.test.ts';
import { GuardCounters } from './guard-counters.ts';
import { GUARD_TABLE, GuardFilter, removeFilter } from './guard-filter.ts';

const NOW_US = 1_764_000_000_000_000;
const HERE = [10, 3, 0, 1];
const BEYOND = [198, 51, 100, 1];

/** UDP from a host of the feed, which ends with its number. */
function datagram(to: readonly number[], number: number): Uint8Array {
	const bytes = new Uint8Array(32);
	bytes.set([0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 203, 0, 113, 9, ...to, 0, 7, 0, 7, 0, 12]);
	const view = new DataView(bytes.buffer);
	let sum = 0;
	for (let at = 0; at < 20; at += 2) {
		sum += view.getUint16(at);
	}
	view.setUint16(10, ~((sum & 0xffff) + (sum >>> 16)));
	view.setUint32(28, number);
	return bytes;
}

function begin(native: ReturnType<typeof ffiNative>, socket = new NftSocket(native)) {
	const engine = new Engine({
		profile: linux619,
		provider: nodeProvider(),
		random: (octets) => octets.fill(1),
		route: () => undefined,
	});
	const counters = new GuardCounters(socket, GUARD_TABLE);
	const filter = new GuardFilter(engine, socket, true, () => 0, counters);
	const told = () => {
		const drops = new DropTable();
		counters.read();
		counters.tell(drops);
		return drops.rows().map(({ counter, code, packets }) => [counter, code, packets]);
	};
	return { engine, socket, filter, told };
}

test('what the guard drops is told by direction, whoever has written its table', {
	skip: lackForBed(),
}, async () => {
	const native = ffiNative();
	const bed = new GuardBed(native, 0);
	const first = begin(native);
	assert.deepEqual(first.told(), [], 'there is no table yet');
	first.engine.setDefault(Direction.In, DefaultAction.Block);
	assert.equal(first.filter.update(NOW_US), 0);
	const send = (count: number, to: readonly number[]) =>
		bed.tell(
			Array.from({ length: count }, (_, number) => datagram(to, number)),
			0,
		);
	assert.deepEqual(await send(1, BEYOND), ['forwarded']);
	assert.deepEqual(await send(3, HERE), ['nowhere', 'nowhere', 'nowhere']);
	assert.deepEqual(first.told(), [['plaintext-in', 'daemon.plaintext', 3]]);
	first.engine.setDefault(Direction.Fwd, DefaultAction.Block);
	assert.equal(first.filter.update(NOW_US), 0);
	await send(2, BEYOND);
	assert.equal(first.filter.writeAnew(), 0);
	await send(1, HERE);
	const all = [
		['plaintext-in', 'daemon.plaintext', 4],
		['plaintext-fwd', 'daemon.plaintext', 2],
	];
	assert.deepEqual(first.told(), all);
	// It dies; the next one counts what was dropped meanwhile.
	first.socket.close();
	await send(5, HERE);
	const next = begin(native);
	assert.equal(next.filter.update(NOW_US), 0);
	assert.deepEqual(next.told(), [['plaintext-in', 'daemon.plaintext', 9], all[1]]);
	assert.equal(removeFilter(next.socket), 0);
	assert.deepEqual(
		next.told(),
		[['plaintext-in', 'daemon.plaintext', 9], all[1]],
		'until it is there again',
	);

	// A kernel without nft_objref: dropped all the same, and counted by each rule.
	const socket = new NftSocket(native);
	const { commit } = socket;
	let refused = 0;
	socket.commit = (batch) => (refused++ === 0 ? Errno.ENOENT : commit.call(socket, batch));
	const poor = begin(native, socket);
	poor.engine.setDefault(Direction.In, DefaultAction.Block);
	assert.equal(poor.filter.update(NOW_US), 0);
	assert.equal(refused, 2);
	assert.deepEqual(await send(1, HERE), ['nowhere']);
	assert.deepEqual(poor.told(), []);
	assert.equal(removeFilter(socket), 0);
});
