import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHex, type PacketBuffer, verifyIpv4Checksum } from '@xfrm/wire';
import { anySelector, Errno } from '@xfrm/wire/xfrm';
import {
	address,
	bytes,
	counted,
	ip,
	join,
	type StateOptions,
	udp,
} from '../input-fixture.test.ts';
import {
	addOut,
	addOutPolicy,
	inner,
	makeEngine,
	makeRoute,
	send,
	template,
} from '../output-fixture.test.ts';
import { Current } from '../state.ts';
import { PacketAction, Verdict } from '../verdict.ts';

const NULL_CIPHER = { crypt: { name: 'ecb(cipher_null)', key: new Uint8Array(0), keyBits: 0 } };
const IPV6_ENDS = { src: '2001:db8::1', dst: '2001:db8::2' };

/** One packet through one state that everything goes through. */
function through(options: StateOptions, packet: Uint8Array, route = makeRoute()): PacketBuffer {
	const { engine, routes } = makeEngine();
	routes.route = makeRoute({ hopLimit: 77 });
	const family = (packet[0] ?? 0) >> 4 === 4 ? 2 : 10;
	const state = addOut(engine, {
		selector: anySelector(options.mode === 0 || options.mode === 2 ? family : 0),
		flags: 32,
		...options,
	});
	addOutPolicy(engine, {
		selector: anySelector(family),
		templates: [
			template({
				family: state.family,
				mode: state.mode,
				reqid: 1,
				saddr: state.config.saddr,
				id: { daddr: state.config.id.daddr, spi: 0, proto: state.proto },
			}),
		],
	});
	const sent = send(engine, packet, { route });
	if (sent.action === PacketAction.Transformed && sent.family === 2) {
		assert.ok(verifyIpv4Checksum(sent.view, sent.start));
	}
	return sent;
}

function hexOf(packet: PacketBuffer, from: number, to: number): string {
	return formatHex(packet.copy().subarray(from, to));
}

// @spec M-4 U-10 U-13; RFC 3168 §9.1
test('the outer IPv4 header: TOS by flags, DF by the inner packet, TTL by the route', () => {
	const rows: [string, StateOptions, { tos: number; fragment?: number }, string, string][] = [
		['DSCP and ECT(0) copied', {}, { tos: 0xba }, 'ba', '0000'],
		['ECT(1) copied', {}, { tos: 0xb9 }, 'b9', '0000'],
		['CE becomes ECT(0)', {}, { tos: 0x03 }, '02', '0000'],
		['NOECN clears ECN', { flags: 33 }, { tos: 0xbb }, 'b8', '0000'],
		['DONT_ENCAP_DSCP keeps ECN', { extraFlags: 1 }, { tos: 0xba }, '02', '0000'],
		['DF copied', {}, { tos: 0, fragment: 0x4000 }, '00', '4000'],
		['NOPMTUDISC clears DF', { flags: 36 }, { tos: 0, fragment: 0x4000 }, '00', '0000'],
	];
	for (const [name, options, fields, tos, flags] of rows) {
		const packet = through({ ...NULL_CIPHER, ...options }, inner(undefined, fields));
		assert.equal(hexOf(packet, 0, 2), `45${tos}`, name);
		assert.equal(hexOf(packet, 6, 8), flags, name);
		assert.equal(hexOf(packet, 8, 10), '4d32', name);
		assert.equal(hexOf(packet, 4, 6) === '0000', flags === '4000', `${name}: id`);
		assert.equal(hexOf(packet, 28, 60), formatHex(inner(undefined, fields)), name);
	}
});

// @spec M-4 M-7 U-13
test('IPv6 in IPv4: DF whatever the length, protocol 41 inside', () => {
	const packet6 = ip(17, udp(), { src: '2001:db8:a::1', dst: '2001:db8:b::1', tos: 0xa8 });
	const packet = through(NULL_CIPHER, packet6, makeRoute({ family: 10 }));
	assert.equal(hexOf(packet, 0, 10), '45a80054000040004d32');
	assert.equal(hexOf(packet, 80, 84), '01020229');
});

// @spec M-5 M-7 U-10
test('the outer IPv6 header: flow label and class of an inner IPv6, none of an inner IPv4', () => {
	const labelled = ip(17, udp(), { src: '2001:db8:a::1', dst: '2001:db8:b::1' });
	labelled.set(bytes('6bb12345'), 0);
	const six = through({ ...NULL_CIPHER, ...IPV6_ENDS }, labelled, makeRoute({ family: 10 }));
	assert.equal(hexOf(six, 0, 8), '6ba12345' + '0040' + '324d');
	assert.equal(
		hexOf(six, 8, 40),
		formatHex(address('2001:db8::1')) + formatHex(address('2001:db8::2')),
	);
	const four = through({ ...NULL_CIPHER, ...IPV6_ENDS }, inner(undefined, { tos: 0xb9 }));
	assert.equal(hexOf(four, 0, 8), '6b900000' + '002c' + '324d');
});

// @spec M-1
test('transport mode keeps IPv4 options in front', () => {
	const plain = inner();
	const withOptions = join(
		bytes('46'),
		plain.subarray(1, 20),
		bytes('94040000'),
		plain.subarray(20),
	);
	const packet = through(
		{ ...NULL_CIPHER, mode: 0, src: '10.0.0.1', dst: '10.1.0.1' },
		withOptions,
	);
	assert.equal(hexOf(packet, 0, 4), '46000030');
	assert.equal(hexOf(packet, 9, 10), '32');
	assert.equal(hexOf(packet, 20, 32), '94040000' + 'c0de0001' + '00000001');
	assert.equal(hexOf(packet, 32, 48), `${formatHex(udp())}01020211`);
});

/** Extension headers of eight octets; hop-by-hop and destination options look the same. */
const OPTIONS = (next: string): Uint8Array => bytes(`${next}00010400000000`);
const ROUTING0 = (next: string): Uint8Array => bytes(`${next}00000000000000`);

// @spec M-2
test('transport mode of IPv6 goes behind what a router looks at', () => {
	const ends = { src: '2001:db8::a', dst: '2001:db8::b' };
	const rows: [string, number, Uint8Array[], number, string][] = [
		['nothing', 17, [], 0, '11'],
		['hop-by-hop', 0, [OPTIONS('11')], 8, '11'],
		[
			'hop-by-hop, destination options, routing',
			0,
			[OPTIONS('3c'), OPTIONS('2b'), ROUTING0('11')],
			24,
			'11',
		],
		['destination options alone stay in front', 60, [OPTIONS('11')], 8, '11'],
		[
			'destination options behind a routing header are protected',
			43,
			[ROUTING0('3c'), OPTIONS('11')],
			8,
			'3c',
		],
	];
	for (const [name, proto, headers, kept, sealedProto] of rows) {
		const packet = through(
			{ ...NULL_CIPHER, mode: 0, ...ends },
			ip(proto, join(...headers, udp()), ends),
			makeRoute({ family: 10 }),
		);
		assert.equal(hexOf(packet, 40 + kept, 44 + kept), 'c0de0001', name);
		assert.equal(hexOf(packet, packet.length - 1, packet.length), sealedProto, name);
	}
});

// @spec M-2 O-11
test('extension headers that run out of the packet are a mode error', () => {
	const ends = { src: '2001:db8::a', dst: '2001:db8::b' };
	const packet = through(
		{ ...NULL_CIPHER, mode: 0, ...ends },
		ip(0, bytes('11ff010400000000'), ends),
		makeRoute({ family: 10 }),
	);
	assert.equal(packet.verdict, Verdict.OutStateModeError);
	assert.equal(packet.error, Errno.EINVAL);
});

// @spec M-8
test('BEET replaces the addresses and keeps the rest of the header', () => {
	const fields = { tos: 0x12, ttl: 33, id: 0x1234, fragment: 0x4000 };
	const four = through({ ...NULL_CIPHER, mode: 4 }, inner(undefined, fields));
	assert.equal(hexOf(four, 0, 10), '4512' + '002c' + '1234' + '4000' + '2132');
	assert.equal(hexOf(four, 12, 28), 'c0000201c0000202' + 'c0de000100000001');
	assert.equal(hexOf(four, 28, 44), `${formatHex(udp())}01020211`);
	const six = through({ ...NULL_CIPHER, mode: 4, ...IPV6_ENDS }, inner(undefined, fields));
	assert.equal(hexOf(six, 0, 8), '61200000' + '0018' + '3221');
	const labelled = ip(17, udp(), { src: '2001:db8:a::1', dst: '2001:db8:b::1', ttl: 9 });
	labelled.set(bytes('6bb12345'), 0);
	const down = through({ ...NULL_CIPHER, mode: 4 }, labelled, makeRoute({ family: 10 }));
	assert.equal(hexOf(down, 0, 10), '45bb' + '002c' + '0000' + '4000' + '0932');
});

// @spec M-9; what a kernel 6.1 was seen to send, without IP and ESP headers
test('BEET announces IPv4 options by a pseudo header', () => {
	const plain = inner(bytes('a0a1a2a3'));
	const tail = `${formatHex(plain.subarray(20))}010202`;
	const rows = [
		['94040000', '11000001'],
		['9404000001010100', '1101040101010101'],
		['940400000101010194040000', '11010001'],
	] as const;
	for (const [options, pseudo] of rows) {
		const first = Uint8Array.of(0x45 + options.length / 8);
		const packet = join(first, plain.subarray(1, 20), bytes(options), plain.subarray(20));
		const four = through({ ...NULL_CIPHER, mode: 4 }, packet);
		assert.equal(hexOf(four, 9, 10), '32', options);
		assert.equal(hexOf(four, 28, four.length), `${pseudo}${options}${tail}5e`, options);
		const six = through({ ...NULL_CIPHER, mode: 4, ...IPV6_ENDS }, packet);
		assert.equal(hexOf(six, 48, six.length), `${pseudo}${options}${tail}5e`, options);
	}
});

// @spec M-8
test('BEET takes no fragments', () => {
	for (const fragment of [0x2000, 0x0010]) {
		const packet = through({ ...NULL_CIPHER, mode: 4 }, inner(undefined, { fragment }));
		assert.equal(packet.verdict, Verdict.OutStateModeError);
		assert.equal(packet.error, Errno.EAFNOSUPPORT);
	}
});

/** The headers of Mobile IPv6 are put in front of these. */
const HAO = bytes('11020102' + '0000' + 'c910' + '20010db80000000000000000000000ee');
const RH2 = bytes('11020201' + '00000000' + '20010db80000000000000000000000ee');

// @spec M-20 T-51 T-52
test('a routing header of type 2 and a home address option find their place in the chain', () => {
	const home = '2001:db8::a';
	const peer = '2001:db8::b';
	const careOf = '2001:db8:1::c';
	const ends = { src: home, dst: peer };
	const rows: [string, number, number, Uint8Array[], number][] = [
		['routing, in front of the payload', 43, 17, [], 0],
		['routing, behind hop-by-hop', 43, 0, [OPTIONS('11')], 8],
		['routing, in front of another of type 2', 43, 43, [RH2], 0],
		['routing, behind one of type 0', 43, 43, [ROUTING0('11')], 8],
		['routing, behind destination options without routing header', 43, 60, [OPTIONS('11')], 8],
		['home address, in front of the payload', 60, 17, [], 0],
		['home address, in front of another one', 60, 60, [HAO], 0],
		[
			'home address, behind routing, in front of destination options',
			60,
			43,
			[RH2, OPTIONS('11')],
			24,
		],
		['home address, behind options that hold none', 60, 60, [OPTIONS('11')], 8],
	];
	for (const [name, proto, first, headers, at] of rows) {
		const chain = join(...headers);
		if (headers.length === 2) {
			chain[0] = 60;
		}
		const packet = through(
			{ proto, spi: 0, mode: 2, coaddr: address(careOf), replayWindow: 0, ...ends },
			ip(first, join(chain, udp()), ends),
			makeRoute({ family: 10 }),
		);
		assert.equal(packet.action, PacketAction.Transformed, name);
		const whole = packet.copy();
		const named = at === 0 ? 6 : 40 + at - (headers.length === 2 ? 24 : 8);
		assert.equal(whole[named], proto, name);
		const header = formatHex(whole.subarray(40 + at, 64 + at));
		const next = at === 0 ? first : headers.length === 2 ? 60 : 17;
		const nextHex = next.toString(16).padStart(2, '0');
		assert.equal(
			header,
			proto === 43
				? `${nextHex}0202010000000020010db800000000000000000000000b`
				: `${nextHex}0201020000c91020010db800000000000000000000000a`,
			name,
		);
		const addresses = formatHex(whole.subarray(8, 40));
		assert.equal(
			addresses,
			proto === 43
				? formatHex(address(home)) + formatHex(address(careOf))
				: formatHex(address(careOf)) + formatHex(address(peer)),
			name,
		);
	}
});

// @spec M-20
test('a chain that runs out is refused by route optimization too', () => {
	const ends = { src: '2001:db8::a', dst: '2001:db8::b' };
	const packet = through(
		{ proto: 60, spi: 0, mode: 2, coaddr: address('2001:db8::c'), replayWindow: 0, ...ends },
		ip(0, bytes('11ff010400000000'), ends),
		makeRoute({ family: 10 }),
	);
	assert.equal(packet.verdict, Verdict.OutStateModeError);
});

// @spec M-21
test('route optimization notes its last use in any kernel', () => {
	const { engine } = makeEngine();
	const ends = { src: '2001:db8::a', dst: '2001:db8::b' };
	const state = addOut(engine, {
		proto: 60,
		spi: 0,
		mode: 2,
		coaddr: address('2001:db8::c'),
		replayWindow: 0,
		...ends,
	});
	addOutPolicy(engine, {
		selector: anySelector(10),
		templates: [template({ proto: 60, mode: 2, family: 10, reqid: 1 })],
	});
	send(engine, ip(17, udp(), ends), { route: makeRoute({ family: 10 }) });
	assert.notEqual(state.lifetime[Current.LastUsed], 0);
	assert.equal(state.lifetime[Current.Bytes], 12);
	assert.deepEqual(counted(engine.net), {});
});
