import assert from 'node:assert/strict';
import { test } from 'node:test';
import { daemonInterfaces, withoutLanes } from './running-rules.ts';

const ADDRESSES = `1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000
    inet 127.0.0.1/8 scope host lo
5: ipsec0: <POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> mtu 1400 qdisc fq_codel state UNKNOWN
    inet 10.9.0.1/32 scope global ipsec0
7: eth0@if3: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000
8: xfrm-7: <POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> mtu 1500 qdisc fq_codel state UNKNOWN
`;

test('devices by if_id are those that the daemon names, whatever their names', () => {
	const devices = [
		{ name: 'ipsec0', if_id: 42 },
		{ name: 'eth0', if_id: 9 },
		{ name: 'gone', if_id: 1 },
	];
	assert.equal(
		daemonInterfaces(ADDRESSES, devices),
		'5: ipsec0: <UP>\n    xfrm if_id 42\n7: eth0: <UP>\n    xfrm if_id 9\n',
	);
	assert.equal(daemonInterfaces(ADDRESSES, []), '');
});

test("the daemon's own devices are none of its host", () => {
	const lane = `3: xfrmd0: <POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> mtu 9000 qdisc fq_codel state UNKNOWN
    link/none
`;
	assert.equal(withoutLanes(ADDRESSES.replace('5: ipsec0', `${lane}5: ipsec0`)), ADDRESSES);
	assert.equal(
		withoutLanes('default via 192.0.2.1 dev eth0 \n10.0.0.0/8 dev xfrmd0 scope link \n'),
		'default via 192.0.2.1 dev eth0 \n',
	);
});
