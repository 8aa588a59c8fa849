import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinMessages, splitMessages } from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';
import { bytesOf } from '../golden/laboratory.ts';
import { CommandList, DeviceNumbers, NETLINK_ROUTE, NETLINK_XFRM } from './commands.ts';

const SETUP = [
	'addr add 192.0.2.1/24 dev wan',
	'route add 10.2.0.0/16 dev wan',
	'link set wan mtu 1300',
	'ip xfrm policy add dst 10.2.0.0/16 dir out action block',
	'ip xfrm state deleteall',
	'ip xfrm policy flush',
];

test('commands of one family stand in one datagram, deleteall is a dialogue', () => {
	const list = new CommandList(SETUP, new DeviceNumbers());
	const shape = list.requests.map(([family, datagram]) => [
		family,
		datagram === null ? null : splitMessages(bytesOf(datagram)).map(({ type, seq }) => [type, seq]),
	]);
	assert.deepEqual(shape, [
		[
			NETLINK_ROUTE,
			[
				[20, 1],
				[24, 2],
				[16, 3],
			],
		],
		[NETLINK_XFRM, [[0x13, 4]]],
		[NETLINK_XFRM, null],
		[NETLINK_XFRM, [[0x1d, 6]]],
	]);
	assert.equal(list.dialogues.length, 1);
	assert.equal(list.hasAddresses, false);
});

test('messages of NETLINK_ROUTE are those of iproute2, but for the wish to be acknowledged', () => {
	const list = new CommandList(
		['addr add 192.0.2.1/24 dev wan', 'route add 10.2.0.0/16 dev wan', 'link set lan up mtu 1500'],
		new DeviceNumbers(),
	);
	const [[, datagram] = [0, '']] = list.requests;
	const messages = splitMessages(bytesOf(datagram ?? '')).map(({ bytes }) => formatHex(bytes));
	assert.deepEqual(messages, [
		// nlmsghdr, ifaddrmsg, IFA_LOCAL, IFA_ADDRESS
		`28000000140001060100000000000000${'0218000003000000'}08000200c000020108000100c0000201`,
		// nlmsghdr, rtmsg, RTA_DST, RTA_TABLE, RTA_OIF
		`34000000180001060200000000000000${'02100000fe03fd0100000000'}080001000a02000008000f00fe0000000800040003000000`,
		// nlmsghdr, ifinfomsg, IFLA_MTU
		`28000000100001000300000000000000${'00000000020000000100000001000000'}08000400dc050000`,
	]);
});

test('refusals are worded as ip does, by the place of the command', () => {
	const list = new CommandList(SETUP, new DeviceNumbers());
	const refused = (seq: number, errno: number): Uint8Array => {
		const bytes = new Uint8Array(36);
		const view = new DataView(bytes.buffer);
		view.setUint32(0, 36, true);
		view.setUint16(4, 2, true);
		view.setUint32(8, seq, true);
		view.setInt32(16, -errno, true);
		return bytes;
	};
	const answers = [[formatHex(joinMessages([refused(2, 101)]))], [formatHex(refused(4, 17))]];
	assert.deepEqual(list.errors(answers), {
		1: 'RTNETLINK answers: Network is unreachable',
		3: 'RTNETLINK answers: File exists',
	});
});
