// Whose the guard's table is, in a real kernel: its socket's alone, and there when that is gone.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { Engine, linux619 } from '@xfrm/engine';
import { Errno } from '@xfrm/wire/xfrm';
import { loadCLibrary } from '../c-library.ts';
import { ffiNative } from '../native/ffi.ts';
import type { Native } from '../native/seam.ts';
import { TABLE_OWNED } from '../nftables/nft-abi.ts';
import { NftBatch } from '../nftables/nft-batch.ts';
import { NftSocket } from '../nftables/nft-socket.ts';
import { CLONE_NEWNET } from '../socket-abi.ts';
import { lackForBed } from './guard-bed.test.ts';
import { GUARD_TABLE, GuardFilter, removeFilter } from './guard-filter.ts';

const NOW_US = 1_764_000_000_000_000;

function lackOfNft(): string | false {
	return spawnSync('nft', ['-v']).status === 0 ? lackForBed() : 'apt-get install nftables';
}
const skip = lackOfNft();

let native: Native;

/** Puts this process into a namespace, for good; false where tables cannot be owned (before Linux 6.9). */
function begin(): boolean {
	native ??= ffiNative();
	assert.equal(loadCLibrary().unshare(CLONE_NEWNET), 0);
	const socket = new NftSocket(native);
	const batch = new NftBatch('probe');
	batch.addTable(TABLE_OWNED);
	const errno = socket.commit(batch);
	assert.ok(errno === 0 || errno === Errno.EOPNOTSUPP, `errno ${errno}`);
	removeTable(socket, 'probe');
	socket.close();
	return errno === 0;
}

function removeTable(socket: NftSocket, name: string): void {
	const batch = new NftBatch(name);
	batch.deleteTable();
	socket.commit(batch);
}

function makeFilter(socket: NftSocket): GuardFilter {
	const engine = new Engine({
		profile: linux619,
		provider: nodeProvider(),
		random: (octets) => octets.fill(1),
		route: () => undefined,
	});
	return new GuardFilter(engine, socket, true, () => 0);
}

/** Does the table stand, and has it its chains? */
function stands(): boolean {
	const { stdout } = spawnSync('nft', ['list', 'ruleset'], { encoding: 'utf8' });
	return stdout.includes(`table inet ${GUARD_TABLE}`) && stdout.includes('chain postrouting');
}

/** Another program's command; its status. */
function nft(...words: readonly string[]): number | null {
	return spawnSync('nft', words).status;
}

test('nobody else changes the table of a daemon that runs', { skip }, (context) => {
	if (!begin()) {
		context.skip('needs Linux 6.9');
		return;
	}
	const socket = new NftSocket(native);
	const filter = makeFilter(socket);
	assert.equal(filter.update(NOW_US), 0);
	assert.equal(stands(), true);
	assert.equal(nft('flush', 'ruleset'), 0);
	assert.equal(stands(), true, 'a firewall that is loaded anew leaves it alone');
	assert.notEqual(nft('delete', 'table', 'inet', GUARD_TABLE), 0);
	assert.notEqual(nft('flush', 'table', 'inet', GUARD_TABLE), 0);
	assert.notEqual(nft('flush', 'chain', 'inet', GUARD_TABLE, 'postrouting'), 0);
	assert.equal(stands(), true);
	const stranger = new NftSocket(native);
	assert.equal(removeFilter(stranger), Errno.EPERM);
	stranger.close();
	assert.equal(filter.writeAnew(), 0, 'its owner changes it');
	assert.equal(stands(), true);
	assert.equal(removeFilter(socket), 0, 'and takes it away');
	assert.equal(stands(), false);
	socket.close();
});

test('the table of a dead daemon stays, and is its successor’s', { skip }, (context) => {
	if (!begin()) {
		context.skip('needs Linux 6.9');
		return;
	}
	const dead = new NftSocket(native);
	assert.equal(makeFilter(dead).update(NOW_US), 0);
	dead.close();
	assert.equal(stands(), true);
	const next = new NftSocket(native);
	assert.equal(makeFilter(next).update(NOW_US), 0);
	assert.equal(stands(), true);
	assert.equal(nft('flush', 'ruleset'), 0);
	assert.equal(stands(), true, 'and nobody else’s');
	next.close();
	// --cleanup.
	const last = new NftSocket(native);
	assert.equal(removeFilter(last), 0);
	assert.equal(stands(), false);
	last.close();
});

test('a kernel without owners of tables gets one without: who takes it away is overruled', {
	skip,
}, () => {
	begin();
	const socket = new NftSocket(native);
	const { commit } = socket;
	let refused = 0;
	socket.commit = (batch) => (refused++ === 0 ? Errno.EOPNOTSUPP : commit.call(socket, batch));
	const filter = makeFilter(socket);
	assert.equal(filter.update(NOW_US), 0);
	assert.equal(stands(), true);
	assert.equal(nft('flush', 'ruleset'), 0);
	assert.equal(stands(), false);
	assert.equal(filter.addInterface('xfrm-42'), 0);
	assert.equal(stands(), true);
	socket.close();
	assert.equal(stands(), true);
});

test('other programs can read it, as JSON too', { skip }, () => {
	begin();
	const socket = new NftSocket(native);
	const filter = makeFilter(socket);
	assert.equal(filter.update(NOW_US), 0);
	assert.ok(stands());
	// firewalld and many a script; nft 1.0 ends by an assertion at what it has no word for.
	const { status, stdout, stderr } = spawnSync('nft', ['-j', 'list', 'ruleset'], {
		encoding: 'utf8',
	});
	assert.equal(status, 0, stderr);
	assert.ok(JSON.parse(stdout).nftables.length > 20);
	removeFilter(socket);
	socket.close();
});
