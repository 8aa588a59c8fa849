/**
 * The host with the real engine, states and ciphers: what happens to protected traffic on its way in, on
 * and out. Two gateways stand back to back; what leaves one by `wan` arrives at the other.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { linux619 } from '@xfrm/engine';
import { type Observed, World } from '@xfrm/explain';
import {
	checksumAdd,
	checksumFold,
	formatHex,
	ipv4PseudoSum,
	ipv6PseudoSum,
	parseHex,
	setIpv4Checksum,
	writeIpv4,
	writeIpv6,
	writeUdp,
} from '@xfrm/wire';
import { type Address, formatAddress, parseAddress } from '@xfrm/wire/xfrm';

const START_US = 1_764_000_000_000_000;
const KEY = '0x6f2e894053e425eeae01ee571ca7b6e6fff723d8';
const AEAD = `aead 'rfc4106(gcm(aes))' ${KEY} 128`;

function address(text: string): Address {
	const parsed = parseAddress(text);
	assert.ok(parsed !== undefined, text);
	return parsed.address;
}

/** A router; side 1 has 10.1.0.0/24 and fd01::/64 behind it, side 2 10.2.0.0/24 and fd02::/64. */
function gateway(side: 1 | 2): World {
	const world = new World({
		profile: linux619,
		provider: nodeProvider(),
		random: (bytes) => bytes.fill(0x5a),
		startUs: START_US,
	});
	const other = 3 - side;
	for (const command of [
		'link set lan up',
		'link set wan up',
		`addr add 10.${side}.0.1/24 dev lan`,
		`addr add fd0${side}::1/64 dev lan`,
		`addr add 192.0.2.${side}/24 dev wan`,
		`addr add 2001:db8::${side}/64 dev wan`,
		`route add 10.${other}.0.0/24 dev wan`,
		`route add fd0${other}::/64 dev wan`,
	]) {
		run(world, command);
	}
	world.setSysctl('net.ipv4.ip_forward', 1);
	world.setSysctl('net.ipv6.conf.all.forwarding', 1);
	return world;
}

function run(world: World, command: string): void {
	const { status, stderr } = world.run(command);
	assert.equal(status, 0, `${command}: ${stderr}`);
}

/** A tunnel between the gateways for both directions, on one of them. */
function tunnel(world: World, side: 1 | 2, version: 4 | 6, options = ''): void {
	const other = 3 - side;
	const ends = (near: number): string => (version === 4 ? `192.0.2.${near}` : `2001:db8::${near}`);
	const net = (near: number): string => (version === 4 ? `10.${near}.0.0/24` : `fd0${near}::/64`);
	for (const [from, to] of [
		[side, other],
		[other, side],
	] as const) {
		const ids = `src ${ends(from)} dst ${ends(to)} proto esp`;
		run(world, `xfrm state add ${ids} spi 0xc000000${from} mode tunnel ${options} ${AEAD}`);
		for (const dir of from === side ? ['out'] : ['in', 'fwd']) {
			const selector = `src ${net(from)} dst ${net(to)}`;
			run(world, `xfrm policy add ${selector} dir ${dir} tmpl ${ids} mode tunnel`);
		}
	}
}

/** A UDP packet of this many octets. */
function udp(
	source: string,
	destination: string,
	octets: number,
	fields: { ttl?: number; dontFragment?: boolean; dport?: number } = {},
): Uint8Array {
	const { ttl = 64, dontFragment = false, dport = 4242 } = fields;
	const packet = new Uint8Array(octets);
	const view = new DataView(packet.buffer);
	const ends = { source: address(source), destination: address(destination) };
	const ipv4 = !source.includes(':');
	const at = ipv4 ? 20 : 40;
	if (ipv4) {
		writeIpv4(view, 0, {
			tos: 0,
			totalLength: octets,
			id: 0x1234,
			fragmentWord: dontFragment ? 0x4000 : 0,
			ttl,
			protocol: 17,
			options: new Uint8Array(0),
			...ends,
		});
	} else {
		const payloadLength = octets - 40;
		const rest = { trafficClass: 0, flowLabel: 0, payloadLength, nextHeader: 17, hopLimit: ttl };
		writeIpv6(view, 0, { ...rest, ...ends });
	}
	writeUdp(view, at, 7, dport, octets - at);
	const pseudo = ipv4
		? ipv4PseudoSum(view, 0, octets - at, 17)
		: ipv6PseudoSum(view, 0, octets - at, 17);
	view.setUint16(at + 6, checksumFold(checksumAdd(packet, at, octets, pseudo)));
	return packet;
}

/** ICMP(v6) type, code and the word behind the checksum of a packet. */
function icmpOf(packet: Uint8Array): string {
	const view = new DataView(packet.buffer, packet.byteOffset);
	const at = view.getUint8(0) >> 4 === 4 ? 20 : 40;
	return `${view.getUint8(at)}/${view.getUint8(at + 1)} ${view.getUint32(at + 4)}`;
}

function counters(observed: Observed): Record<string, number> {
	return Object.fromEntries(observed.counters);
}

/** The only packet that left. */
function only(observed: Observed): { device: string; packet: Uint8Array } {
	const [one, ...rest] = observed.emitted;
	assert.ok(one !== undefined && rest.length === 0, `${observed.emitted.length} packets left`);
	return one;
}

for (const version of [4, 6] as const) {
	const near = version === 4 ? '10.1.0.9' : 'fd01::9';
	const far = version === 4 ? '10.2.0.9' : 'fd02::9';

	// @spec I-8 I-9 F-3
	test(`IPv${version}: a packet goes through two gateways and comes out as it went in, two hops older`, () => {
		const [left, right] = [gateway(1), gateway(2)];
		tunnel(left, 1, version);
		tunnel(right, 2, version);
		const sealed = only(left.receive('lan', udp(near, far, 100)));
		assert.equal(sealed.device, 'wan');
		assert.notEqual(
			formatHex(sealed.packet).includes(formatHex(udp(near, far, 100)).slice(80)),
			true,
		);
		const opened = only(right.receive('wan', sealed.packet));
		assert.equal(opened.device, 'lan');
		assert.equal(formatHex(opened.packet), formatHex(udp(near, far, 100, { ttl: 62 })));
	});

	// @spec F-1b F-3 I-13
	test(`IPv${version}: what came out of a tunnel needs a policy to go on`, () => {
		const [left, right] = [gateway(1), gateway(2)];
		tunnel(left, 1, version);
		tunnel(right, 2, version);
		const { packet } = only(left.receive('lan', udp(near, far, 100)));
		run(right, 'xfrm policy flush');
		assert.deepEqual(counters(right.receive('wan', packet)), { XfrmInNoPols: 1 });
	});

	// @spec F-1b I-10
	test(`IPv${version}: clear traffic that should have been protected is not forwarded`, () => {
		const right = gateway(2);
		tunnel(right, 2, version);
		const observed = right.receive('wan', udp(near, far, 100));
		assert.deepEqual(counters(observed), { XfrmInTmplMismatch: 1 });
		assert.deepEqual(observed.emitted, []);
	});

	// @spec F-1b O-7
	test(`IPv${version}: a forwarded packet without a state is dropped, and asked for`, () => {
		const left = gateway(1);
		tunnel(left, 1, version);
		run(left, 'xfrm state flush');
		left.observe(0);
		const observed = left.receive('lan', udp(near, far, 100));
		assert.deepEqual(counters(observed), { XfrmOutNoStates: 1 });
		assert.equal(observed.events.length, 1);
	});

	// @spec U-4 U-5
	test(`IPv${version}: too long for the tunnel is told to the sender with the tunnel's MTU`, () => {
		const left = gateway(1);
		tunnel(left, 1, version);
		const mtu = version === 4 ? 1446 : 1426;
		const fits = udp(near, far, mtu, { dontFragment: true });
		assert.equal(only(left.receive('lan', fits)).device, 'wan');
		const told = only(left.receive('lan', udp(near, far, mtu + 1, { dontFragment: true })));
		assert.equal(told.device, 'lan');
		assert.equal(icmpOf(told.packet), version === 4 ? `3/4 ${mtu}` : `2/0 ${mtu}`);
	});

	// @spec U-7 U-8
	test(`IPv${version}: an ICMP error about the tunnel makes it smaller, one about another SPI does not`, () => {
		for (const spi of ['c0000001', 'c0000009']) {
			const left = gateway(1);
			tunnel(left, 1, version);
			const sealed = only(left.receive('lan', udp(near, far, 1300, { dontFragment: true })));
			const quote = formatHex(sealed.packet).slice(0, 160).replace('c0000001', spi);
			const told = left.receive('wan', tooBig(version, 1290, quote));
			assert.deepEqual(told.emitted, []);
			const after = only(left.receive('lan', udp(near, far, 1300, { dontFragment: true })));
			const learned = spi === 'c0000001';
			assert.equal(after.device, learned ? 'lan' : 'wan');
			if (learned) {
				const mtu = version === 4 ? 1234 : 1214;
				assert.equal(icmpOf(after.packet), version === 4 ? `3/4 ${mtu}` : `2/0 ${mtu}`);
			}
		}
	});

	// @spec O-15
	test(`IPv${version}: an error about what came out of the tunnel goes back by flag icmp`, () => {
		for (const flag of ['', 'flag icmp']) {
			const [left, right] = [gateway(1), gateway(2)];
			tunnel(left, 1, version);
			tunnel(right, 2, version);
			const { packet } = only(left.receive('lan', udp(near, far, 100, { ttl: 2 })));
			const net = (side: number): string =>
				version === 4 ? `10.${side}.0.0/24` : `fd0${side}::/64`;
			const ends =
				version === 4 ? 'src 192.0.2.2 dst 192.0.2.1' : 'src 2001:db8::2 dst 2001:db8::1';
			run(
				right,
				`xfrm policy update src ${net(2)} dst ${net(1)} dir out ${flag} tmpl ${ends} proto esp mode tunnel`,
			);
			const error = only(right.receive('wan', packet));
			assert.equal(error.device, 'wan');
			const proto = error.packet[version === 4 ? 9 : 6];
			const clear = version === 4 ? 1 : 58;
			assert.equal(proto, flag === '' ? clear : 50, flag);
		}
	});
}

/** An ICMP error of "too big" with this MTU from a router to the left gateway. */
function tooBig(version: 4 | 6, mtu: number, quoteHex: string): Uint8Array {
	const quote = parseHex(quoteHex);
	assert.ok(quote instanceof Uint8Array);
	const at = version === 4 ? 20 : 40;
	const packet = new Uint8Array(at + 8 + quote.length);
	const view = new DataView(packet.buffer);
	if (version === 4) {
		writeIpv4(view, 0, {
			tos: 0,
			totalLength: packet.length,
			id: 1,
			fragmentWord: 0,
			ttl: 64,
			protocol: 1,
			source: address('192.0.2.77'),
			destination: address('192.0.2.1'),
			options: new Uint8Array(0),
		});
		setIpv4Checksum(view, 0);
	} else {
		writeIpv6(view, 0, {
			trafficClass: 0,
			flowLabel: 0,
			payloadLength: packet.length - 40,
			nextHeader: 58,
			hopLimit: 64,
			source: address('2001:db8::77'),
			destination: address('2001:db8::1'),
		});
	}
	packet[at] = version === 4 ? 3 : 2;
	packet[at + 1] = version === 4 ? 4 : 0;
	view.setUint32(at + 4, mtu);
	packet.set(quote, at + 8);
	const pseudo = version === 4 ? 0 : ipv6PseudoSum(view, 0, packet.length - at, 58);
	view.setUint16(at + 2, checksumFold(checksumAdd(packet, at, packet.length, pseudo)));
	return packet;
}

// @spec U-4
test('IPv4 without DF is sealed whole, and the outer packet is cut', () => {
	const [left, right] = [gateway(1), gateway(2)];
	tunnel(left, 1, 4);
	tunnel(right, 2, 4);
	const sent = left.receive('lan', udp('10.1.0.9', '10.2.0.9', 1500));
	assert.deepEqual(
		sent.emitted.map((one) => one.packet.length),
		[1500, 76],
	);
	const [first, second] = sent.emitted.map((one) => one.packet);
	assert.ok(first && second);
	assert.deepEqual(right.receive('wan', second).emitted, []);
	const whole = only(right.receive('wan', first));
	assert.equal(formatHex(whole.packet), formatHex(udp('10.1.0.9', '10.2.0.9', 1500, { ttl: 62 })));
});

// @spec U-4 U-7
test('IPv4 without DF is cut for the path MTU that was learned about the tunnel', () => {
	const left = gateway(1);
	tunnel(left, 1, 4);
	const sealed = only(left.receive('lan', udp('10.1.0.9', '10.2.0.9', 1300)));
	left.receive('wan', tooBig(4, 1290, formatHex(sealed.packet).slice(0, 160)));
	const { emitted } = left.receive('lan', udp('10.1.0.9', '10.2.0.9', 1300));
	assert.deepEqual(
		emitted.map((one) => one.packet.length),
		[1284, 92],
	);
});

// @spec U-6
test('a UDP socket over an IPv6 tunnel: its long packets are cut first, then sealed', () => {
	const left = gateway(1);
	tunnel(left, 1, 6);
	const opened = left.host.openUdp({ family: 10, port: 7, source: address('fd01::1') });
	assert.ok(opened.value !== undefined);
	const datagram = { destination: address('fd02::9'), port: 9, payload: new Uint8Array(2000) };
	assert.equal(left.host.sendUdp(opened.value, datagram, left.nowUs), 0);
	const { emitted } = left.observe(0);
	assert.deepEqual(
		emitted.map((one) => [one.device, one.packet[6]]),
		[
			['wan', 50],
			['wan', 50],
		],
	);
	const strict = left.host.openUdp({
		family: 10,
		port: 8,
		source: address('fd01::1'),
		dontFragment: true,
	});
	assert.ok(strict.value !== undefined);
	assert.equal(left.host.sendUdp(strict.value, datagram, left.nowUs), 90);
});

// @spec P-18
test('output by a device with disable_xfrm stays in clear', () => {
	const left = gateway(1);
	tunnel(left, 1, 4);
	left.setSysctl('net.ipv4.conf.wan.disable_xfrm', 1);
	const { packet } = only(left.receive('lan', udp('10.1.0.9', '10.2.0.9', 100)));
	assert.equal(formatHex(packet), formatHex(udp('10.1.0.9', '10.2.0.9', 100, { ttl: 63 })));
});

// @spec NT-2 NT-3 I-4
test('ESP in UDP is opened on the socket that asked for it; elsewhere the port is unreachable', () => {
	for (const listens of [true, false]) {
		const [left, right] = [gateway(1), gateway(2)];
		const encap = 'encap espinudp 4500 4500 0.0.0.0';
		tunnel(left, 1, 4, encap);
		tunnel(right, 2, 4, encap);
		if (listens) {
			assert.equal(right.openEncapSocket(2, 4500, 'espinudp'), 0);
		}
		const { packet } = only(left.receive('lan', udp('10.1.0.9', '10.2.0.9', 100)));
		assert.equal(packet[9], 17);
		const answer = only(right.receive('wan', packet));
		assert.equal(answer.device, listens ? 'lan' : 'wan');
		if (!listens) {
			assert.equal(icmpOf(answer.packet), '3/3 0');
		}
	}
});

// @spec O-7 P-19b
test('a sender hears nothing of a missing state, unless its own policy asks for it', () => {
	const left = gateway(1);
	tunnel(left, 1, 4);
	run(left, 'xfrm state flush');
	left.observe(0);
	const packet = udp('10.1.0.1', '10.2.0.9', 100);
	const silent = left.send(packet, { sender: 'hdrincl' });
	assert.equal(silent.error, 0);
	assert.deepEqual(counters(silent), { XfrmOutNoStates: 1 });
	const opened = left.host.openUdp({ family: 2, port: 7, source: address('10.1.0.1') });
	assert.ok(opened.value !== undefined);
	const [policy] = [...left.engine.policies()].filter((one) => one.direction === 1);
	assert.ok(policy !== undefined);
	left.host.setSocketPolicy(opened.value, 1, policy.config, left.nowUs);
	const datagram = { destination: address('10.2.0.9'), port: 9, payload: new Uint8Array(3) };
	assert.equal(left.host.sendUdp(opened.value, datagram, left.nowUs), 11);
	assert.deepEqual(counters(left.observe(0)), {});
});

// @spec T-57 T-58 T-55
test('a correspondent believes a home address by its state, a mobile node a routing header', () => {
	const home = 'fd02::77';
	const careOf = '2001:db8::2';
	const correspondent = gateway(1);
	run(correspondent, `xfrm state add src ${home} dst 2001:db8::1 proto hao mode ro coa ${careOf}`);
	run(
		correspondent,
		`xfrm policy add src ${home} dst 2001:db8::1 dir in tmpl src ${home} dst 2001:db8::1 proto hao mode ro`,
	);
	const port = correspondent.host.openUdp({ family: 10, port: 4242 });
	assert.ok(port.value !== undefined);

	const mobile = gateway(2);
	run(mobile, `addr add ${home}/128 dev lan home nodad`);
	run(mobile, `xfrm state add src ${home} dst 2001:db8::1 proto hao mode ro coa ${careOf}`);
	run(
		mobile,
		`xfrm policy add src ${home} dst 2001:db8::1 dir out tmpl src ${home} dst 2001:db8::1 proto hao mode ro`,
	);
	const sent = only(mobile.send(udp(home, '2001:db8::1', 60), { sender: 'udp' }));
	assert.equal(formatAddress(sent.packet.slice(8, 24), 10), careOf);
	const got = correspondent.receive('wan', sent.packet);
	assert.deepEqual(
		got.delivered.map((one) => formatAddress(one.source, 10)),
		[home],
	);

	run(
		correspondent,
		`xfrm state add src 2001:db8::1 dst ${home} proto route2 mode ro coa ${careOf}`,
	);
	run(
		correspondent,
		`xfrm policy add src 2001:db8::1 dst ${home} dir out tmpl src 2001:db8::1 dst ${home} proto route2 mode ro`,
	);
	run(mobile, `xfrm state add src 2001:db8::1 dst ${home} proto route2 mode ro coa ${careOf}`);
	run(
		mobile,
		`xfrm policy add src 2001:db8::1 dst ${home} dir in tmpl src 2001:db8::1 dst ${home} proto route2 mode ro`,
	);
	assert.ok(mobile.host.openUdp({ family: 10, port: 4242 }).value !== undefined);
	const back = only(correspondent.send(udp('2001:db8::1', home, 60), { sender: 'udp' }));
	assert.equal(formatAddress(back.packet.slice(24, 40), 10), careOf);
	const arrived = mobile.receive('wan', back.packet);
	assert.deepEqual(
		arrived.delivered.map((one) => [formatAddress(one.destination, 10), one.hopLimit]),
		[[home, 63]],
	);
});

// @spec NT-8
test('behind a NAT the checksum of what ESP in UDP carried is not looked at', () => {
	for (const encap of ['', 'encap espinudp 4500 4500 0.0.0.0']) {
		const [left, right] = [gateway(1), gateway(2)];
		for (const world of [left, right]) {
			const id = 'src 192.0.2.1 dst 192.0.2.2 proto esp';
			run(world, `xfrm state add ${id} spi 0xc0000001 mode transport ${encap} ${AEAD}`);
			const dir = world === left ? 'out' : 'in';
			const selector = 'src 192.0.2.1 dst 192.0.2.2';
			run(world, `xfrm policy add ${selector} dir ${dir} tmpl proto esp mode transport`);
		}
		const ports = 'src 192.0.2.1 dst 192.0.2.2 proto udp sport 4500 dport 4500';
		run(right, `xfrm policy add ${ports} dir in action allow`);
		run(right, `xfrm policy update src 192.0.2.1 dst 192.0.2.2 dir in priority 9 tmpl proto esp`);
		assert.equal(right.openEncapSocket(2, 4500, 'espinudp'), 0);
		assert.equal(right.host.openUdp({ family: 2, port: 4242 }).refusal, undefined);
		const packet = udp('192.0.2.1', '192.0.2.2', 100);
		packet[99] = (packet[99] ?? 0) ^ 1;
		const sealed = only(left.send(packet, { sender: 'hdrincl' }));
		const { delivered } = right.receive('wan', sealed.packet);
		assert.equal(delivered.length, encap === '' ? 0 : 1, encap);
	}
});

// @spec P-32
test('a socket that writes the IPv4 header has protocol 255 in its flow', () => {
	const world = gateway(1);
	run(world, 'xfrm policy add dst 192.0.2.2 proto udp dir out action block');
	const packet = udp('192.0.2.1', '192.0.2.2', 100);
	assert.equal(world.send(packet, { sender: 'hdrincl' }).error, 0);
	run(world, 'xfrm policy add dst 192.0.2.2 proto 255 dir out action block');
	assert.equal(world.send(packet, { sender: 'hdrincl' }).error, 1);
	assert.equal(world.send(packet, { sender: 'udp' }).error, 1);
});
