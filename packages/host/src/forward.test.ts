import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
	address,
	counted,
	counting,
	effects,
	emitted,
	icmp,
	ip,
	NOW_US,
	opened,
	policy,
	router,
	udp,
} from './host-fixture.test.ts';

test('a packet goes on with one hop less, and a right checksum', () => {
	const host = router();
	const packet = ip('10.0.0.9', '10.9.0.9', counting(8));
	host.receive('lan', packet, NOW_US);
	const want = ip('10.0.0.9', '10.9.0.9', counting(8), { ttl: 63 });
	assert.deepEqual(emitted(host), [want]);
	host.receive('lan', ip('2001:db8:a::9', '2001:db8:c::9', counting(8)), NOW_US);
	assert.deepEqual(emitted(host), [ip('2001:db8:a::9', '2001:db8:c::9', counting(8), { ttl: 63 })]);
});

/** @spec F-1 F-1b */
test('policy check FWD comes first, then the hop limit, then the OUT lookup', () => {
	const host = router();
	host.engine.addPolicy(policy({ direction: 2, action: 1 }), NOW_US);
	host.receive('lan', ip('10.0.0.9', '10.9.0.9', counting(8), { ttl: 1 }), NOW_US);
	assert.deepEqual(counted(host), { XfrmInPolBlock: 1 });
	assert.deepEqual(effects(host), [], 'blocked before its TTL was looked at');

	const other = router();
	other.engine.addPolicy(policy({ direction: 1, action: 1 }), NOW_US);
	other.receive('wan', ip('10.9.0.9', '10.0.0.9', counting(8), { ttl: 1 }), NOW_US);
	assert.deepEqual(counted(other), { XfrmOutPolBlock: 1 }, 'the error about it met the policy');
	other.receive('lan', ip('10.0.0.9', '10.9.0.9', counting(8)), NOW_US);
	assert.deepEqual(counted(other), { XfrmOutPolBlock: 2 });
	assert.deepEqual(effects(other), []);
});

test('time exceeded comes from the address towards the sender', () => {
	const host = router();
	host.receive('lan', ip('10.0.0.9', '10.9.0.9', counting(8), { ttl: 1, tos: 0x10 }), NOW_US);
	host.receive('lan', ip('2001:db8:a::9', '2001:db8:c::9', counting(8), { ttl: 1 }), NOW_US);
	const [error4 = new Uint8Array(0), error6 = new Uint8Array(0)] = emitted(host);
	assert.equal(error4[1], 0xd0, 'TOS of the packet, precedence internetwork control');
	assert.deepEqual(error4.slice(20, 22), Uint8Array.of(11, 0));
	assert.deepEqual(
		error4.slice(28),
		ip('10.0.0.9', '10.9.0.9', counting(8), { ttl: 1, tos: 0x10 }),
	);
	assert.deepEqual(error6.slice(40, 42), Uint8Array.of(3, 0));
	assert.deepEqual(error6.slice(48), ip('2001:db8:a::9', '2001:db8:c::9', counting(8), { ttl: 1 }));
});

test('an ICMP error quotes up to 576 octets over IPv4, 1280 over IPv6', () => {
	for (const octets of [547, 548, 549, 1200]) {
		const host = router();
		const packet = ip('10.0.0.9', '10.9.0.9', counting(octets - 20), { ttl: 1 });
		host.receive('lan', packet, NOW_US);
		const [error = new Uint8Array(0)] = emitted(host);
		assert.equal(error.length, 28 + Math.min(octets, 548), `${octets}`);
	}
	for (const octets of [1231, 1232, 1233, 1400]) {
		const host = router();
		const packet = ip('2001:db8:a::9', '2001:db8:c::9', counting(octets - 40), { ttl: 1 });
		host.receive('lan', packet, NOW_US);
		const [error = new Uint8Array(0)] = emitted(host);
		assert.equal(error.length, 48 + Math.min(octets, 1232), `${octets}`);
	}
});

test('no error about errors, later fragments, broadcasts, and to what is a network', () => {
	const host = router();
	const quiet = [
		icmp('10.0.0.9', '10.9.0.9', [3, 1, 0], counting(28), { ttl: 1 }),
		icmp('10.0.0.9', '10.9.0.9', [6, 0, 0], counting(28), { ttl: 1 }),
		ip('10.0.0.9', '10.9.0.9', counting(8), { ttl: 1, fragmentWord: 1 }),
		udp('10.0.0.9', '10.0.0.255', [7, 9], counting(3)),
		icmp('2001:db8:a::9', '2001:db8:c::9', [1, 0, 0], counting(48), { ttl: 1 }),
		icmp('2001:db8:a::', '2001:db8:c::9', [128, 0, 0], counting(48), { ttl: 1 }),
	];
	for (const packet of quiet) {
		host.receive('lan', packet, NOW_US);
		assert.deepEqual(effects(host), []);
	}
	const answered = [
		icmp('10.0.0.9', '10.9.0.9', [8, 0, 0], counting(28), { ttl: 1 }),
		ip('10.0.0.9', '10.9.0.9', counting(8), { ttl: 1, fragmentWord: 0x2000 }),
		icmp('2001:db8:a::9', '2001:db8:c::9', [128, 0, 0], counting(48), { ttl: 1 }),
	];
	for (const packet of answered) {
		host.receive('lan', packet, NOW_US);
		assert.equal(effects(host).length, 1);
	}
});

test('too long for the next link: told with DF set, cut without, never cut over IPv6', () => {
	const host = router();
	host.setDevice('wan', { mtu: 1300 });
	host.receive('lan', ip('10.0.0.9', '10.9.0.9', counting(1400), { fragmentWord: 0x4000 }), NOW_US);
	host.receive('lan', ip('10.0.0.9', '10.9.0.9', counting(1400)), NOW_US);
	host.receive('lan', ip('2001:db8:a::9', '2001:db8:c::9', counting(1300)), NOW_US);
	assert.deepEqual(effects(host), [
		'lan: 10.0.0.1 > 10.0.0.9 ttl 64 icmp 3/4 1300 length 576',
		'wan: 10.0.0.9 > 10.9.0.9 ttl 63 fragment 0+ length 1300',
		'wan: 10.0.0.9 > 10.9.0.9 ttl 63 fragment 1280 length 140',
		'lan: 2001:db8:a::1 > 2001:db8:a::9 ttl 64 icmp 2/0 1300 length 1280',
	]);
});

/** @spec P-18 D-1 */
test('a default of block drops in silence what is forwarded, and an exempt device passes the check', () => {
	const host = router();
	host.engine.setDefault(2, 1);
	host.receive('lan', ip('2001:db8:a::9', '2001:db8:c::9', counting(8)), NOW_US);
	assert.deepEqual(counted(host), { XfrmInNoPols: 1 });
	host.setSysctl('net.ipv6.conf.lan.disable_policy', 1);
	host.receive('lan', ip('2001:db8:a::9', '2001:db8:c::9', counting(8)), NOW_US);
	assert.deepEqual(effects(host), [
		'wan: 2001:db8:a::9 > 2001:db8:c::9 ttl 63 proto 253 length 48',
	]);
	host.engine.setDefault(1, 1);
	host.receive('lan', ip('2001:db8:a::9', '2001:db8:c::9', counting(8)), NOW_US);
	assert.deepEqual(effects(host), []);
	assert.deepEqual(counted(host), { XfrmInNoPols: 1 });
});

test('an ICMP error teaches a path MTU that own packets obey and forwarded ones do not', () => {
	const host = router();
	const socket = opened(host.openUdp({ family: 2, port: 4242, receiveErrors: true }));
	const send = (): number =>
		host.sendUdp(
			socket,
			{
				destination: Uint8Array.of(10, 9, 0, 9, ...Array(12).fill(0)),
				port: 7,
				payload: counting(1400),
			},
			NOW_US,
		);
	assert.equal(send(), 0);
	const [sent = new Uint8Array(0)] = emitted(host);
	host.receive('wan', icmp('10.9.0.1', '192.0.2.1', [3, 4, 1000], sent.slice(0, 60)), NOW_US);
	assert.deepEqual(effects(host), ['socket 1: error 90 icmp 3/4']);
	assert.equal(send(), 0);
	host.receive('lan', ip('10.0.0.9', '10.9.0.9', counting(1400)), NOW_US);
	assert.deepEqual(effects(host), [
		'wan: 192.0.2.1 > 10.9.0.9 ttl 64 fragment 0+ length 996',
		'wan: 192.0.2.1 > 10.9.0.9 ttl 64 fragment 976 length 452',
		'wan: 10.0.0.9 > 10.9.0.9 ttl 63 proto 253 length 1420',
	]);
	host.handleTimeout(NOW_US + 601_000_000);
	assert.equal(send(), 0);
	assert.equal(emitted(host).length, 1, 'forgotten after ten minutes');
});

// @spec U-8
test('a raw socket learns a path MTU over IPv4, over IPv6 only if it asked for errors', () => {
	const cases = [
		['192.0.2.1', '10.9.0.9', [3, 4, 1300], false, 1300],
		['2001:db8:b::1', '2001:db8:c::9', [2, 0, 1300], false, 1500],
		['2001:db8:b::1', '2001:db8:c::9', [2, 0, 1300], true, 1300],
	] as const;
	for (const [source, destination, message, receiveErrors, want] of cases) {
		const host = router();
		const family = source.includes(':') ? 10 : 2;
		opened(host.openRaw({ family, proto: 253, receiveErrors }));
		const sent = ip(source, destination, counting(100));
		host.receive('wan', icmp(destination, source, message, sent), NOW_US);
		const [from, to] = [address(source), address(destination)];
		assert.equal(host.lookupRoute(family, to, from, 0, 0)?.mtu, want, `${source} ${receiveErrors}`);
	}
});

test('the address of a network that it is on belongs to a router too', () => {
	const host = router();
	opened(host.openRaw({ family: 10, proto: 253 }));
	for (const [to, want] of [
		['2001:db8:a::', 'for us'],
		['2001:db8:a::9', 'lan'],
		['2001:db8:c::', 'wan'],
	] as const) {
		host.receive('wan', ip('2001:db8:b::9', to, counting(8)), NOW_US);
		const [seen = ''] = effects(host);
		assert.equal(/^(lan|wan):/.exec(seen)?.[1] ?? 'for us', want, `${to} ${seen}`);
		assert.notEqual(seen, '', to);
	}
});
