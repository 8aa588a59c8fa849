import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checksumUpdate } from '@xfrm/wire';
import {
	addAddress,
	addRoute,
	counted,
	counting,
	effects,
	emitted,
	familyOf,
	icmp,
	ip,
	NOW_US,
	opened,
	policy,
	resealed,
	router,
	udp,
} from './host-fixture.test.ts';

function received(device: string, packet: Uint8Array): string[] {
	const host = router();
	host.openRaw({ family: 2, proto: 253 });
	host.openRaw({ family: 2, proto: 1 });
	host.receive(device, packet, NOW_US);
	return effects(host);
}

test('what is no IPv4 packet is dropped in silence', () => {
	const good = ip('10.0.0.9', '10.0.0.1', counting(8));
	assert.deepEqual(received('lan', good), ['socket 1: 10.0.0.9 > 10.0.0.1 28 octets']);
	const wrong: Record<string, (packet: Uint8Array) => Uint8Array> = {
		'no octet': () => new Uint8Array(0),
		'version 5': (packet) => packet.map((octet, i) => (i === 0 ? 0x55 : octet)),
		'header of 16 octets': (packet) => resealed(packet.map((octet, i) => (i === 0 ? 0x44 : octet))),
		'header beyond the end': (packet) => packet.map((octet, i) => (i === 0 ? 0x4f : octet)),
		'wrong checksum': (packet) => packet.map((octet, i) => (i === 10 ? octet ^ 1 : octet)),
		'total length beyond the end': (packet) =>
			resealed(packet.map((octet, i) => (i === 3 ? 29 : octet))),
		'total length below the header': (packet) =>
			resealed(packet.map((octet, i) => (i === 3 ? 19 : octet))),
	};
	for (const [name, damage] of Object.entries(wrong)) {
		assert.deepEqual(received('lan', damage(good)), [], name);
	}
	for (let octets = 0; octets < good.length; octets++) {
		assert.deepEqual(received('lan', good.slice(0, octets)), [], `${octets} octets`);
	}
});

test('what a link has added behind a packet is cut off', () => {
	const padded = new Uint8Array(60);
	padded.set(ip('10.0.0.9', '10.0.0.1', counting(8)));
	assert.deepEqual(received('lan', padded), ['socket 1: 10.0.0.9 > 10.0.0.1 28 octets']);
});

test('addresses that no packet from outside may have', () => {
	const ends: [string, string][] = [
		['10.0.0.1', '10.9.0.1'],
		['127.0.0.1', '10.0.0.1'],
		['10.0.0.9', '127.0.0.1'],
		['224.0.0.1', '10.0.0.1'],
		['0.0.0.0', '10.0.0.1'],
		['10.0.0.255', '10.0.0.7'],
		['255.255.255.255', '10.0.0.1'],
		['::1', '2001:db8:a::1'],
		['2001:db8:a::9', '::1'],
		['ff02::1', '2001:db8:a::1'],
		['2001:db8:a::9', 'ff02::1'],
	];
	for (const [source, destination] of ends) {
		assert.deepEqual(received('lan', ip(source, destination, counting(8))), [], source);
	}
});

test('one of our addresses as source: where the packet would go is looked at first', () => {
	const rows: [string, string, string[]][] = [
		['10.0.0.1', '203.0.113.7', ['socket 2: 10.0.0.1 > 10.0.0.1 56 octets']],
		['10.0.0.1', '10.0.0.255', []],
		['10.0.0.1', '255.255.255.255', []],
		['10.0.0.255', '10.9.0.9', ['wan: 10.0.0.255 > 10.9.0.9 ttl 63 proto 253 length 28']],
		['0.1.2.3', '10.9.0.9', ['wan: 0.1.2.3 > 10.9.0.9 ttl 63 proto 253 length 28']],
		['0.0.0.0', '255.255.255.255', ['socket 1: 0.0.0.0 > 255.255.255.255 28 octets']],
		['0.0.0.0', '0.0.0.0', ['socket 1: 0.0.0.0 > 0.0.0.0 28 octets']],
		['0.0.0.0', '10.0.0.255', []],
	];
	for (const [source, destination, want] of rows) {
		const found = received('lan', ip(source, destination, counting(8)));
		assert.deepEqual(found, want, `${source} > ${destination}`);
	}
});

test('UDP goes to the most closely bound socket, and a wrong checksum to none', () => {
	const host = router();
	opened(host.openUdp({ family: 2, port: 4242 }));
	const near = opened(
		host.openUdp({
			family: 2,
			port: 4242,
			source: Uint8Array.of(10, 0, 0, 1, ...Array(12).fill(0)),
		}),
	);
	const packet = udp('10.0.0.9', '10.0.0.1', [7, 4242], counting(3));
	host.receive('lan', packet, NOW_US);
	assert.deepEqual(effects(host), [`socket ${near}: 10.0.0.9 > 10.0.0.1 7 > 4242 3 octets`]);
	host.receive(
		'lan',
		packet.map((octet, i) => (i === 30 ? octet ^ 1 : octet)),
		NOW_US,
	);
	assert.deepEqual(effects(host), []);
});

test('a UDP length of 0 is the whole packet over IPv6, and nothing over IPv4', () => {
	for (const [source, destination, at, want] of [
		['10.0.0.9', '10.0.0.1', 20, []],
		['2001:db8:a::9', '2001:db8:a::1', 40, ['7 > 4242 3 octets']],
	] as const) {
		const host = router();
		opened(host.openUdp({ family: familyOf(source), port: 4242 }));
		const packet = udp(source, destination, [7, 4242], counting(3));
		const view = new DataView(packet.buffer);
		// The checksum has the length twice: only the one of the header goes.
		view.setUint16(at + 6, checksumUpdate(view.getUint16(at + 6), 11, 0));
		view.setUint16(at + 4, 0);
		host.receive('lan', packet, NOW_US);
		assert.deepEqual(
			effects(host).map((line) => line.replace(/.* (?=7 >)/, '')),
			want,
		);
	}
});

test('a broadcast for a port that nobody has is gone before a policy is asked', () => {
	const host = router();
	host.engine.addPolicy(policy({ direction: 0, action: 1 }), NOW_US);
	for (const destination of ['10.0.0.255', '255.255.255.255']) {
		host.receive('lan', udp('10.0.0.9', destination, [7, 9], counting(80)), NOW_US);
		assert.deepEqual([counted(host), effects(host)], [{}, []], destination);
	}
	host.receive('lan', udp('10.0.0.9', '10.0.0.1', [7, 9], counting(80)), NOW_US);
	assert.deepEqual(counted(host), { XfrmInPolBlock: 1 });
});

test('nobody listens: port and protocol unreachable', () => {
	const rows: [string, Uint8Array, string[]][] = [
		[
			'UDP',
			udp('10.0.0.9', '10.0.0.1', [7, 9], counting(3)),
			['lan: 10.0.0.1 > 10.0.0.9 ttl 64 icmp 3/3 0 length 59'],
		],
		[
			'UDP over IPv6',
			udp('2001:db8:a::9', '2001:db8:a::1', [7, 9], counting(3)),
			['lan: 2001:db8:a::1 > 2001:db8:a::9 ttl 64 icmp 1/4 0 length 99'],
		],
		[
			'unknown protocol',
			ip('10.0.0.9', '10.0.0.1', counting(8), { proto: 200 }),
			['lan: 10.0.0.1 > 10.0.0.9 ttl 64 icmp 3/2 0 length 56'],
		],
		[
			'unknown next header, pointer 6',
			ip('2001:db8:a::9', '2001:db8:a::1', counting(8), { proto: 200 }),
			['lan: 2001:db8:a::1 > 2001:db8:a::9 ttl 64 icmp 4/1 6 length 96'],
		],
	];
	for (const [name, packet, want] of rows) {
		assert.deepEqual(received('lan', packet), want, name);
	}
});

test('assumed sockets take what nobody would', () => {
	const host = router();
	host.assumeSockets = true;
	host.receive('lan', udp('10.0.0.9', '10.0.0.1', [7, 9], counting(3)), NOW_US);
	host.receive('lan', ip('2001:db8:a::9', '2001:db8:a::1', counting(8), { proto: 200 }), NOW_US);
	assert.deepEqual(effects(host), [
		'socket 0: 10.0.0.9 > 10.0.0.1 7 > 9 3 octets',
		'socket 0: 2001:db8:a::9 > 2001:db8:a::1 8 octets',
	]);
});

/** @spec I-22 P-18 D-1 */
test('every taker of a packet makes a policy check, and a device may be exempt', () => {
	const host = router();
	opened(host.openRaw({ family: 2, proto: 1 }));
	assert.equal(
		host.engine.addPolicy(policy({ direction: 0, action: 1 }), NOW_US).refusal,
		undefined,
	);
	const echo = icmp('10.0.0.9', '10.0.0.1', [8, 0, 0], counting(4));
	host.receive('lan', echo, NOW_US);
	assert.deepEqual(effects(host), []);
	assert.deepEqual(counted(host), { XfrmInPolBlock: 2 }, 'raw socket and handler');
	host.setSysctl('net.ipv4.conf.lan.disable_policy', 1);
	host.receive('lan', echo, NOW_US);
	assert.deepEqual(effects(host), ['socket 1: 10.0.0.9 > 10.0.0.1 32 octets']);
	assert.deepEqual(counted(host), { XfrmInPolBlock: 2 });
});

/** @spec I-22 */
test('a raw socket for ICMP is passed over, unchecked, when the message has no whole header', () => {
	const host = router();
	opened(host.openRaw({ family: 2, proto: 1 }));
	opened(host.openRaw({ family: 10, proto: 58 }));
	host.engine.addPolicy(policy({ direction: 0, action: 1 }), NOW_US);
	host.engine.addPolicy(policy({ direction: 0, action: 1, family: 10 }), NOW_US);
	const rows: [source: string, destination: string, octets: number, checks: number][] = [
		['10.0.0.9', '10.0.0.1', 7, 1],
		['10.0.0.9', '10.0.0.1', 8, 2],
		['2001:db8:a::9', '2001:db8:a::1', 3, 1],
		['2001:db8:a::9', '2001:db8:a::1', 4, 2],
	];
	let total = 0;
	for (const [source, destination, octets, checks] of rows) {
		const proto = source.includes(':') ? 58 : 1;
		host.receive('lan', ip(source, destination, counting(octets), { proto }), NOW_US);
		total += checks;
		assert.deepEqual(counted(host), { XfrmInPolBlock: total }, `${source}, ${octets} octets`);
	}
});

/** @spec P-19 I-21 */
test("a socket's own policy decides, exempt device or not", () => {
	const host = router();
	const socket = opened(host.openUdp({ family: 2, port: 4242 }));
	host.setSysctl('net.ipv4.conf.lan.disable_policy', 1);
	const refusal = host.setSocketPolicy(socket, 0, policy({ direction: 0, action: 1 }), NOW_US);
	assert.equal(refusal, undefined);
	const packet = udp('10.0.0.9', '10.0.0.1', [7, 4242], counting(3));
	host.receive('lan', packet, NOW_US);
	assert.deepEqual(counted(host), { XfrmInPolBlock: 1 });
	assert.deepEqual(effects(host), []);
	host.setSocketPolicy(socket, 0, undefined, NOW_US);
	host.receive('lan', packet, NOW_US);
	assert.deepEqual(effects(host), ['socket 1: 10.0.0.9 > 10.0.0.1 7 > 4242 3 octets']);
});

test('an echo request is answered when sysctl says so', () => {
	const host = router();
	host.setSysctl('net.ipv4.icmp_echo_ignore_all', 0);
	host.setSysctl('net.ipv6.icmp.echo_ignore_all', 0);
	host.receive('lan', icmp('10.0.0.9', '10.0.0.1', [8, 0, 0x10002], counting(4)), NOW_US);
	host.receive(
		'lan',
		icmp('2001:db8:a::9', '2001:db8:a::1', [128, 0, 0x10002], counting(4)),
		NOW_US,
	);
	assert.deepEqual(effects(host), [
		'lan: 10.0.0.1 > 10.0.0.9 ttl 64 icmp 0/0 65538 length 32',
		'lan: 2001:db8:a::1 > 2001:db8:a::9 ttl 64 icmp 129/0 65538 length 52',
	]);
});

test('what a host sends to itself comes back in by lo', () => {
	const host = router();
	const raw = opened(host.openRaw({ family: 10, proto: 253, headerIncluded: true }));
	const packet = ip('2001:db8:a::1', '2001:db8:b::1', counting(8));
	assert.equal(host.sendRaw(raw, packet, NOW_US), 0);
	assert.deepEqual(effects(host), ['socket 1: 2001:db8:a::1 > 2001:db8:b::1 8 octets']);
});

test('IPv4 options: route and time are recorded, nonsense is answered, source routes are refused', () => {
	const record = Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0);
	const host = router();
	host.receive('lan', ip('10.0.0.9', '10.9.0.9', counting(8), { options: record }), NOW_US);
	const [packet = new Uint8Array(0)] = emitted(host);
	assert.deepEqual(packet.slice(20, 28), Uint8Array.of(7, 7, 8, 192, 0, 2, 1, 0));
	for (const source of ['10.0.0.9', '203.0.113.9']) {
		const heard = router();
		opened(heard.openRaw({ family: 2, proto: 253 }));
		heard.receive('lan', ip(source, '10.0.0.255', counting(8), { options: record }), NOW_US);
		const effect = heard.pollEffect();
		assert.equal(effect?.kind, 'deliver', source);
		const octets = effect?.kind === 'deliver' ? effect.payload : new Uint8Array(0);
		// A broadcast: an address of ours is recorded.
		assert.deepEqual(octets.slice(20, 28), Uint8Array.of(7, 7, 8, 10, 0, 0, 1, 0), source);
	}
	assert.deepEqual(
		received(
			'lan',
			ip('10.0.0.9', '10.9.0.9', counting(8), { options: Uint8Array.of(7, 2, 0, 0) }),
		),
		['lan: 10.0.0.1 > 10.0.0.9 ttl 64 icmp 12/0 352321536 length 60'],
		'record route without a pointer: parameter problem at octet 21',
	);
	assert.deepEqual(
		received(
			'lan',
			ip('10.0.0.9', '10.0.0.1', counting(8), {
				options: Uint8Array.of(131, 7, 4, 10, 9, 0, 9, 0),
			}),
		),
		[],
	);
});

test('a device that is down neither receives nor sends', () => {
	const host = router();
	host.setDevice('wan', { up: false });
	host.receive('wan', ip('192.0.2.9', '192.0.2.1', counting(8)), NOW_US);
	assert.deepEqual(effects(host), []);
	host.receive('lan', ip('10.0.0.9', '10.9.0.9', counting(8)), NOW_US);
	assert.deepEqual(effects(host), ['lan: 10.0.0.1 > 10.0.0.9 ttl 64 icmp 3/0 0 length 56']);
});

test('a route says unreachable, prohibit or blackhole', () => {
	const host = router();
	addRoute(host, '10.9.1.0/24', { kind: 'unreachable' });
	addRoute(host, '10.9.2.0/24', { kind: 'prohibit' });
	addRoute(host, '10.9.3.0/24', { kind: 'blackhole' });
	addRoute(host, '2001:db8:c:1::/64', { kind: 'unreachable' });
	addRoute(host, '2001:db8:c:2::/64', { kind: 'prohibit' });
	addRoute(host, '2001:db8:c:3::/64', { kind: 'blackhole' });
	for (const last of [1, 2, 3]) {
		// A peer hears of an unreachable destination once a second.
		const nowUs = NOW_US + last * 1_000_000;
		host.receive('lan', ip('10.0.0.9', `10.9.${last}.1`, counting(8)), nowUs);
		host.receive('lan', ip('2001:db8:a::9', `2001:db8:c:${last}::1`, counting(8)), nowUs);
	}
	assert.deepEqual(effects(host), [
		'lan: 10.0.0.1 > 10.0.0.9 ttl 64 icmp 3/1 0 length 56',
		'lan: 2001:db8:a::1 > 2001:db8:a::9 ttl 64 icmp 1/0 0 length 96',
		'lan: 10.0.0.1 > 10.0.0.9 ttl 64 icmp 3/13 0 length 56',
		'lan: 2001:db8:a::1 > 2001:db8:a::9 ttl 64 icmp 1/1 0 length 96',
	]);
});

test('a host that does not forward is silent', () => {
	const host = router();
	host.setSysctl('net.ipv4.ip_forward', 0);
	host.setSysctl('net.ipv6.conf.all.forwarding', 0);
	addAddress(host, 'lan', '10.0.0.7/24');
	host.receive('lan', ip('10.0.0.9', '10.9.0.9', counting(8)), NOW_US);
	host.receive('lan', ip('2001:db8:a::9', '2001:db8:c::9', counting(8)), NOW_US);
	assert.deepEqual(effects(host), []);
});
