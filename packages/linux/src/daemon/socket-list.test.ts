import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NETLINK_USERSOCK } from '../socket-abi.ts';
import { netlinkSockets, udpSockets } from './socket-list.ts';

test('netlink sockets of a protocol, with their groups', () => {
	const text = [
		'sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode',
		'00000000f5f6c1d3 0   1          00000551 0        0        0     2        0        12345   ',
		'0000000012345678 2   1481003588 00000000 0        0        0     2        0        20406   ',
		'0000000012345679 2   4294963081 000000c3 0        0        0     2        0        20407   ',
		'',
	].join('\n');
	assert.deepEqual(netlinkSockets(text, NETLINK_USERSOCK), [
		{ portId: 1481003588, groups: 0, inode: 20406 },
		{ portId: 4294963081, groups: 0xc3, inode: 20407 },
	]);
});

test('UDP sockets, IPv4 and IPv6', () => {
	const head = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid';
	const rest = '07 00000000:00000000 00:00000000 00000000     0        0 20437 2 0 0';
	const v4 = `${head}\n  100: 0150A8C0:1194 00000000:0000 ${rest}\n`;
	const v6 = `${head}\n  7: B80D0120000000000000000001000000:01F4 ${'0'.repeat(32)}:0000 ${rest}\n`;
	assert.deepEqual(udpSockets(v4), [
		{ address: Uint8Array.of(192, 168, 80, 1), port: 4500, uid: 0, inode: 20437 },
	]);
	const address = Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
	assert.deepEqual(udpSockets(v6), [{ address, port: 500, uid: 0, inode: 20437 }]);
});
