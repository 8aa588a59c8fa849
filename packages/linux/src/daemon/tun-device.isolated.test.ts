// What a device of the daemon's is like where /proc/sys cannot be written to, as in containers.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { loadCLibrary } from '../c-library.ts';
import { ffiNative } from '../native/ffi.ts';
import { CLONE_NEWNET } from '../socket-abi.ts';
import { lackForBed } from './guard-bed.test.ts';
import { openTun } from './tun-device.ts';

const CLONE_NEWNS = 0x2_0000;

function run(command: string): string {
	const { status, stdout, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8' });
	assert.equal(status, 0, stderr);
	return stdout;
}

test('it has no address of its own making, and takes what comes', { skip: lackForBed() }, () => {
	assert.equal(loadCLibrary().unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	run('mount --make-rprivate / && mount --bind /proc/sys /proc/sys');
	run('echo 1 > /proc/sys/net/ipv4/conf/default/rp_filter');
	run('mount -o remount,bind,ro /proc/sys');
	const native = ffiNative();
	const { fd, ifindex } = openTun(native, 'xfrmd7', 1400);
	const sysctl = (name: string): string =>
		readFileSync(`/proc/sys/net/${name.replace('DEVICE', 'xfrmd7')}`, 'latin1').trim();
	assert.equal(run('ip -6 address show dev xfrmd7'), '');
	assert.match(run('ip link show xfrmd7'), new RegExp(`^${ifindex}: .*[<,]UP[,>].* mtu 1400 `));
	const settings = ['rp_filter', 'accept_local', 'send_redirects'].map((name) =>
		sysctl(`ipv4/conf/DEVICE/${name}`),
	);
	assert.deepEqual(settings, ['0', '1', '0']);
	assert.equal(sysctl('ipv6/conf/DEVICE/addr_gen_mode'), '1');
	native.close(fd);
});

test('it is made where there is no IPv6', { skip: lackForBed() }, () => {
	assert.equal(loadCLibrary().unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	const native = ffiNative();
	// Below what IPv6 needs a device has none.
	const { fd } = openTun(native, 'xfrmd8', 1200);
	assert.match(run('ip link show xfrmd8'), /[<,]UP[,>].* mtu 1200 /);
	native.close(fd);
});
