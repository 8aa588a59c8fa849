import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anyAddress, Errno, formatAddress } from '@xfrm/wire/xfrm';
import type { Host } from './host.ts';
import {
	addAddress,
	addRoute,
	address,
	counting,
	effects,
	emptyHost,
	familyOf,
	ip,
	NOW_US,
	opened,
	prefix,
	router,
} from './host-fixture.test.ts';

/** Where a packet made here goes: `device source mtu`, or the errno. */
function routed(
	host: Host,
	daddr: string,
	options: { saddr?: string; mark?: number } = {},
): string {
	const { saddr, mark = 0 } = options;
	const family = familyOf(daddr);
	const from = saddr === undefined ? anyAddress() : address(saddr);
	const route = host.lookupRoute(family, address(daddr), from, mark, 0);
	if (route === undefined) {
		return 'none';
	}
	const device = [...host.devices()].find((each) => each.ifindex === route.ifindex);
	return `${device?.name} ${formatAddress(route.source, family)} ${route.mtu}`;
}

test('a new host has lo, up, with number 1', () => {
	const host = emptyHost();
	const devices = [...host.devices()].map(({ name, ifindex, up, mtu }) => [name, ifindex, up, mtu]);
	assert.deepEqual(devices, [['lo', 1, true, 65536]]);
});

test('devices: names and numbers are unique, MTUs sane, lo stays', () => {
	const host = emptyHost();
	assert.equal(host.addDevice('lan').value?.ifindex, 2);
	assert.equal(host.addDevice('wan', 7).value?.ifindex, 7);
	assert.equal(host.addDevice('dmz').value?.ifindex, 8);
	assert.equal(host.addDevice('lan').refusal?.errno, Errno.EEXIST);
	assert.equal(host.addDevice('other', 7).refusal?.errno, Errno.EEXIST);
	assert.equal(host.setDevice('lan', { mtu: 67 })?.errno, Errno.EINVAL);
	assert.equal(host.setDevice('lan', { mtu: 65537 })?.errno, Errno.EINVAL);
	assert.equal(host.setDevice('lan', { mtu: 68 }), undefined);
	assert.equal(host.setDevice('none', { up: true })?.errno, Errno.ENODEV);
	assert.equal(host.removeDevice('lo')?.errno, Errno.EOPNOTSUPP);
	assert.equal(host.removeDevice('lan'), undefined);
	assert.equal(host.device('lan'), undefined);
});

test('an address brings a local and a connected route, and takes them along', () => {
	const host = router();
	assert.equal(routed(host, '10.0.0.1'), 'lo 10.0.0.1 65536');
	assert.equal(routed(host, '10.0.0.9'), 'lan 10.0.0.1 1500');
	assert.equal(routed(host, '2001:db8:a::9'), 'lan 2001:db8:a::1 1500');
	const refusal = host.addAddress({ device: 'lan', ...prefix('10.0.0.1/24') });
	assert.equal(refusal?.errno, Errno.EEXIST);
	assert.equal(host.removeAddress({ device: 'lan', ...prefix('10.0.0.1/24') }), undefined);
	assert.equal(routed(host, '10.0.0.1'), 'none');
	assert.equal(routed(host, '10.0.0.9'), 'none');
	const gone = host.removeAddress({ device: 'lan', ...prefix('10.0.0.1/24') });
	assert.equal(gone?.errno, Errno.EADDRNOTAVAIL);
});

test('what goes to 0.0.0.0 is for its sender', () => {
	const host = router();
	addRoute(host, '0.0.0.0/0', { gateway: address('10.0.0.254') });
	assert.equal(routed(host, '0.0.0.0'), 'lo 127.0.0.1 65536');
	assert.equal(routed(host, '0.0.0.0', { saddr: '10.0.0.1' }), 'lo 10.0.0.1 65536');
});

test('a second address of a network keeps its connected route', () => {
	const host = router();
	addAddress(host, 'lan', '10.0.0.2/24');
	host.removeAddress({ device: 'lan', ...prefix('10.0.0.1/24') });
	assert.equal(routed(host, '10.0.0.9'), 'lan 10.0.0.2 1500');
});

test('the longest prefix wins, then the smaller metric', () => {
	const host = router();
	addRoute(host, '0.0.0.0/0', { gateway: address('10.0.0.254') });
	addRoute(host, '10.9.9.0/24', { device: 'lan' });
	addRoute(host, '10.8.0.0/16', { device: 'lan', metric: 20 });
	addRoute(host, '10.8.0.0/16', { device: 'wan', metric: 10 });
	assert.equal(routed(host, '8.8.8.8'), 'lan 10.0.0.1 1500');
	assert.equal(routed(host, '10.9.0.9'), 'wan 192.0.2.1 1500');
	assert.equal(routed(host, '10.9.9.9'), 'lan 10.0.0.1 1500');
	assert.equal(routed(host, '10.8.0.1'), 'wan 192.0.2.1 1500');
});

test('a route may name source, MTU and hop limit', () => {
	const host = router();
	const settings = { source: address('10.0.0.1'), mtu: 1400, hopLimit: 9 };
	addRoute(host, '10.8.0.0/16', { device: 'wan', ...settings });
	assert.equal(routed(host, '10.8.0.1'), 'wan 10.0.0.1 1400');
	const route = host.lookupRoute(2, address('10.8.0.1'), anyAddress(), 0, 0);
	assert.equal(route?.hopLimit, 9);
});

test('routes that ip would not take', () => {
	const host = router();
	const add = (text: string, rest: object): number | undefined => {
		const { family, address: destination, prefixLength } = prefix(text);
		return host.addRoute({ family, destination, prefixLength, ...rest })?.errno;
	};
	assert.equal(add('10.9.0.0/16', { device: 'wan' }), Errno.EEXIST);
	assert.equal(add('10.7.0.0/16', { device: 'none' }), Errno.ENODEV);
	assert.equal(add('10.7.0.0/16', {}), Errno.ENODEV);
	assert.equal(add('10.7.0.1/16', { device: 'wan' }), Errno.EINVAL);
	assert.equal(add('10.7.0.0/33', { device: 'wan' }), Errno.EINVAL);
	assert.equal(add('10.7.0.0/16', { gateway: address('1.2.3.4') }), Errno.ENETUNREACH);
	assert.equal(add('10.7.0.0/16', { device: 'wan', source: address('1.2.3.4') }), Errno.EINVAL);
	host.setDevice('wan', { up: false });
	assert.equal(add('10.7.0.0/16', { device: 'wan' }), Errno.ENETDOWN);
});

test('replace and delete', () => {
	const host = router();
	const { family, address: destination, prefixLength } = prefix('10.9.0.0/16');
	const route = { family, destination, prefixLength };
	assert.equal(host.replaceRoute({ ...route, device: 'lan' }), undefined);
	assert.equal(routed(host, '10.9.0.1'), 'lan 10.0.0.1 1500');
	assert.equal(host.removeRoute({ ...route, device: 'wan' })?.errno, Errno.ESRCH);
	assert.equal(host.removeRoute(route), undefined);
	assert.equal(routed(host, '10.9.0.1'), 'none');
});

test('a device that goes down loses its routes; IPv6 loses addresses too', () => {
	const host = router();
	host.setDevice('wan', { up: false });
	assert.equal(routed(host, '10.9.0.1'), 'none');
	assert.equal(routed(host, '192.0.2.1'), 'lo 192.0.2.1 65536', 'IPv4 keeps the address');
	assert.equal(routed(host, '2001:db8:b::1'), 'none');
	host.setDevice('wan', { up: true });
	assert.equal(routed(host, '192.0.2.9'), 'wan 192.0.2.1 1500');
	assert.equal(routed(host, '10.9.0.1'), 'none', 'routes by hand do not come back');
});

test('rules choose the table by mark, source and interface', () => {
	const host = router();
	addRoute(host, '0.0.0.0/0', { device: 'lan', table: 77 });
	addRoute(host, '10.7.0.0/16', { kind: 'throw', table: 77 });
	addRoute(host, '10.7.0.0/16', { device: 'wan' });
	const add = (rule: object): number | undefined =>
		host.addRule({ family: 2, action: { table: 77 }, ...rule })?.errno;
	assert.equal(add({ fwmark: 0x77 }), undefined);
	assert.equal(add({ fwmark: 0x77, priority: 32765 }), Errno.EEXIST);
	assert.equal(routed(host, '10.9.0.1'), 'wan 192.0.2.1 1500');
	assert.equal(routed(host, '10.9.0.1', { mark: 0x77 }), 'lan 10.0.0.1 1500');
	assert.equal(routed(host, '10.7.0.1', { mark: 0x77 }), 'wan 192.0.2.1 1500', 'throw goes on');
	assert.equal(add({ from: { address: address('10.0.0.0'), prefixLength: 24 } }), undefined);
	assert.equal(routed(host, '10.9.0.1', { saddr: '10.0.0.1' }), 'lan 10.0.0.1 1500');
	assert.equal(host.addRule({ family: 2, iif: 'lan', priority: 5, action: 'prohibit' }), undefined);
	host.receive('lan', ip('10.0.0.9', '10.9.0.1', counting(8)), NOW_US);
	assert.deepEqual(effects(host), ['lan: 10.0.0.1 > 10.0.0.9 ttl 64 icmp 3/13 0 length 56']);
	assert.equal(host.removeRule({ family: 2, iif: 'lan', action: 'prohibit' }), undefined);
	assert.equal(host.removeRule({ family: 2, iif: 'lan', action: 'prohibit' })?.errno, Errno.ENOENT);
	const priorities = [...host.rules(2)].map((rule) => rule.priority);
	assert.deepEqual(priorities, [0, 32764, 32765, 32766, 32767]);
});

test('IPv6 sources: scope, home address, device, label, longest prefix', () => {
	const rows: [string, readonly string[], string, string][] = [
		['the longest prefix', ['2001:db8:1::1', '2001:db8:2::1'], '2001:db8:2::9', '2001:db8:2::1'],
		[
			'a global one for a global destination',
			['fe80::1', '2001:db8::1'],
			'2001:db8:9::9',
			'2001:db8::1',
		],
		['a local one for a local destination', ['2001:db8::1', 'fe80::1'], 'fe80::9', 'fe80::1'],
		['the same label', ['fd00::1', '2001:db8::1'], '2600::9', '2001:db8::1'],
		['unique local for unique local', ['2001:db8::1', 'fd00::1'], 'fd77::9', 'fd00::1'],
		[
			'a home address first',
			['2001:db8:2::1', 'home 2001:db8:1::1'],
			'2001:db8:2::9',
			'2001:db8:1::1',
		],
	];
	for (const [name, addresses, destination, want] of rows) {
		const host = emptyHost();
		host.addDevice('wan');
		host.setDevice('wan', { up: true });
		for (const text of addresses) {
			const [own = '', home] = text.split(' ').reverse();
			host.addAddress({
				device: 'wan',
				family: 10,
				address: address(own),
				prefixLength: 128,
				home: home === 'home',
			});
		}
		addRoute(host, '::/0', { device: 'wan' });
		addRoute(host, 'fe80::/10', { device: 'wan' });
		assert.equal(routed(host, destination), `wan ${want} 1500`, name);
	}
});

test('sysctls by both spellings; unknown ones are refused', () => {
	const host = router();
	assert.equal(host.sysctl('net/ipv4/ip_forward'), 1);
	assert.equal(host.setSysctl('net.ipv4.conf.wan.disable_xfrm', 1), undefined);
	assert.equal(host.lookupRoute(2, address('10.9.0.1'), anyAddress(), 0, 0)?.noXfrm, true);
	assert.equal(host.setSysctl('net.core.xfrm_acq_expires', 77), undefined);
	assert.equal(host.engine.net.sysctl.xfrm_acq_expires, 77);
	for (const name of ['net.ipv4.none', 'net.ipv4.conf.none.forwarding', 'kernel.panic', '']) {
		assert.equal(host.setSysctl(name, 1)?.errno, Errno.ENOENT, name);
		assert.equal(host.sysctl(name), undefined);
	}
	assert.equal(host.setSysctl('net.ipv4.ip_forward', Number.NaN)?.errno, Errno.EINVAL);
});

test('sockets bind to addresses and devices that are there', () => {
	const host = router();
	const raw = { family: 2, proto: 253 };
	assert.equal(
		host.openRaw({ ...raw, source: address('1.2.3.4') }).refusal?.errno,
		Errno.EADDRNOTAVAIL,
	);
	assert.equal(host.openRaw({ ...raw, device: 'none' }).refusal?.errno, Errno.ENODEV);
	const bound = opened(host.openRaw({ ...raw, device: 'wan' }));
	host.receive('lan', ip('10.0.0.9', '10.0.0.1', counting(8)), NOW_US);
	host.receive('wan', ip('192.0.2.9', '192.0.2.1', counting(8)), NOW_US);
	const [first, second] = effects(host);
	assert.ok(first?.includes('icmp 3/2'), 'a socket of another device does not count');
	assert.equal(second, `socket ${bound}: 192.0.2.9 > 192.0.2.1 28 octets`);
	host.closeSocket(bound, NOW_US);
	host.receive('wan', ip('192.0.2.9', '192.0.2.1', counting(8)), NOW_US);
	assert.ok(effects(host)[0]?.includes('icmp 3/2'));
});

/** @spec NT-1 */
test('UDP_ENCAP: type 2 everywhere, type 1 where kernels have it, others nowhere', () => {
	const host = router();
	const open = (encap: number): number | undefined =>
		host.openUdp({ family: 2, port: 4500, encap }).refusal?.errno;
	assert.equal(open(2), undefined);
	assert.equal(open(1), Errno.ENOPROTOOPT);
	assert.equal(open(7), Errno.ENOPROTOOPT);
});

test('effects that nobody takes are bounded', () => {
	const host = router();
	opened(host.openRaw({ family: 2, proto: 253 }));
	const packet = ip('10.0.0.9', '10.0.0.1', counting(8));
	for (let i = 0; i < 65540; i++) {
		host.receive('lan', packet, NOW_US);
	}
	assert.equal(host.effectsLost, 4);
	assert.equal(effects(host).length, 65536);
});

// @spec O-9
test('a source that is no address of ours any more leads nowhere', () => {
	const host = emptyHost();
	host.addDevice('wan');
	host.setDevice('wan', { up: true });
	addAddress(host, 'wan', '192.0.2.1/24');
	addAddress(host, 'wan', '192.0.2.2/24');
	const source = address('192.0.2.2');
	const socket = opened(host.openRaw({ family: 2, proto: 253, source, headerIncluded: true }));
	const packet = ip('192.0.2.2', '192.0.2.9', counting(8));
	assert.equal(host.sendRaw(socket, packet, NOW_US), 0);
	host.removeAddress({ device: 'wan', ...prefix('192.0.2.2/24') });
	assert.equal(host.sendRaw(socket, packet, NOW_US), Errno.ENETUNREACH);
});
