// What is told of a route beside where it leads, by a real kernel in a namespace of its own.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Address, anyAddress, Family, parseAddress } from '@xfrm/wire/xfrm';
import { loadCLibrary } from '../c-library.ts';
import { lackForBed } from '../daemon/guard-bed.test.ts';
import { ffiNative } from '../native/ffi.ts';
import { CLONE_NEWNET } from '../socket-abi.ts';
import { KernelRoutes } from './kernel-routes.ts';

function address(text: string): Address {
	return parseAddress(text)?.address ?? anyAddress();
}

const OWN4 = address('192.0.2.1');
const PEER4 = address('192.0.2.2');
const OWN6 = address('2001:db8::1');
const PEER6 = address('2001:db8::2');

function ip(...lines: readonly string[]): void {
	const { status, stderr } = spawnSync('ip', ['-batch', '-'], {
		encoding: 'utf8',
		input: `${lines.join('\n')}\n`,
	});
	assert.equal(status, 0, stderr);
}

function newRoutes(): KernelRoutes {
	assert.equal(loadCLibrary().unshare(CLONE_NEWNET), 0);
	ip(
		'link set lo up',
		'link add wire type veth peer name far',
		'link set far up',
		'link set wire up',
		'address add 192.0.2.1/24 dev wire',
		'address add 192.0.2.9/24 dev wire',
		'address add 2001:db8::1/64 dev wire nodad',
	);
	writeFileSync('/proc/sys/net/ipv4/conf/wire/promote_secondaries', '1');
	return new KernelRoutes(ffiNative());
}

test('what nobody sends from has a way only when it is forwarded', { skip: lackForBed() }, () => {
	const routes = newRoutes();
	const own = (): boolean => routes.lookup(Family.Ipv4, PEER4, OWN4, 0, 0) !== undefined;
	const packet = new Uint8Array([...OWN4.subarray(0, 4), ...PEER4.subarray(0, 4)]);
	const forwarded = (): boolean => routes.lookupIn(Family.Ipv4, packet, 4, 0, 0) !== undefined;
	assert.deepEqual([own(), forwarded()], [true, true]);
	ip('address del 192.0.2.1/24 dev wire');
	routes.takeEvents();
	assert.deepEqual([own(), forwarded()], [false, true]);
	ip('address add 192.0.2.1/32 dev lo');
	routes.takeEvents();
	assert.deepEqual([own(), forwarded()], [true, true]);
	routes.close();
});

test('MTU and hop limit are those of the host and its device', { skip: lackForBed() }, () => {
	const routes = newRoutes();
	const defaults = (): readonly (number | undefined)[] => {
		const ipv4 = routes.lookup(Family.Ipv4, PEER4, OWN4, 0, 0);
		const ipv6 = routes.lookup(Family.Ipv6, PEER6, OWN6, 0, 0);
		return [ipv4?.mtu, ipv4?.hopLimit, ipv6?.mtu, ipv6?.hopLimit];
	};
	assert.deepEqual(defaults(), [1500, 64, 1500, 64]);
	for (const [path, value] of [
		['ipv4/ip_default_ttl', '33'],
		['ipv6/conf/wire/mtu', '1400'],
		['ipv6/conf/wire/hop_limit', '44'],
	] as const) {
		writeFileSync(`/proc/sys/net/${path}`, value);
	}
	// The kernel tells of none of them.
	routes.lookAround(1);
	assert.deepEqual(defaults(), [1500, 33, 1400, 44]);
	for (const [path, value] of [
		['ipv4/ip_default_ttl', '34'],
		['ipv6/conf/wire/mtu', '1410'],
		['ipv6/conf/wire/hop_limit', '45'],
	] as const) {
		writeFileSync(`/proc/sys/net/${path}`, value);
		const before = routes.generation;
		routes.lookAround(1);
		assert.notEqual(routes.generation, before, path);
		defaults();
		const after = routes.generation;
		routes.lookAround(1);
		assert.equal(routes.generation, after, 'nothing has changed');
	}
	assert.deepEqual(defaults(), [1500, 34, 1410, 45]);
	ip('link set wire mtu 1300');
	routes.takeEvents();
	assert.deepEqual(defaults(), [1300, 34, 1300, 45]);
	ip(
		'route add 192.0.2.2 dev wire mtu 1290 hoplimit 7',
		'route add 2001:db8::2 dev wire hoplimit 8',
	);
	routes.takeEvents();
	assert.deepEqual(defaults(), [1290, 7, 1300, 8]);
	routes.close();
});
