import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHex, type PacketBuffer, verifyIpv4Checksum } from '@xfrm/wire';
import { anySelector } from '@xfrm/wire/xfrm';
import { input } from '../input.ts';
import {
	addState,
	arrived,
	batchOf,
	bytes,
	esp,
	ip,
	join,
	makeNamespace,
	type StateOptions,
	selector,
	udp,
} from '../input-fixture.test.ts';
import { PacketAction, Verdict } from '../verdict.ts';

const V6 = { src: '2001:db8::1', dst: '2001:db8::2' };

function receive(state: StateOptions, packet: Uint8Array): PacketBuffer {
	const net = makeNamespace();
	addState(net, state);
	const buffer = arrived(packet);
	input(net, batchOf(buffer));
	return buffer;
}

const tosRows: readonly (readonly [string, number, number, number, number])[] = [
	// Name, state's flags, outer, inner before, inner after.
	['CE outside marks ECT(0)', 0, 0x03, 0x02, 0x03],
	['CE outside marks ECT(1)', 0, 0x03, 0x01, 0x03],
	['CE outside leaves Not-ECT alone', 0, 0x03, 0x00, 0x00],
	['ECT outside marks nothing', 0, 0x02, 0x01, 0x01],
	['NOECN hears nothing', 1, 0x03, 0x02, 0x02],
	['the DSCP outside is forgotten', 0, 0xb8, 0x28, 0x28],
	['DECAP_DSCP takes it over, ECN stays', 2, 0xb8, 0x2a, 0xba],
	['DECAP_DSCP and CE', 2, 0xbb, 0x29, 0xbb],
];

for (const [name, flags, outer, before, after] of tosRows) {
	// @spec U-11 U-12 M-6 M-7
	test(`tunnel: ${name}`, () => {
		for (const outside of [{}, V6]) {
			const state = { ...outside, flags: flags | 32, selector: anySelector(0) };
			const inner4 = (tos: number) => ip(17, udp(), { src: '10.0.0.1', dst: '10.1.0.1', tos });
			const inner6 = (tos: number) =>
				ip(17, udp(), { src: '2001:db8:1::1', dst: '2001:db8:2::1', tos });
			for (const [inner, next] of [
				[inner4, 4],
				[inner6, 41],
			] as const) {
				const packet = receive(
					state,
					ip(50, esp(inner(before), { next }), { ...outside, tos: outer }),
				);
				assert.equal(packet.action, PacketAction.Reinject);
				assert.equal(formatHex(packet.copy()), formatHex(inner(after)));
			}
		}
	});
}

// @spec U-11
test('tunnel: a wrong inner checksum stays wrong when the TOS changes', () => {
	const inner = ip(17, udp(), { src: '10.0.0.1', dst: '10.1.0.1', tos: 2 });
	inner[10] = (inner[10] ?? 0) ^ 1;
	const packet = receive({}, ip(50, esp(inner), { tos: 3 }));
	assert.equal(packet.bytes[packet.start + 1], 3);
	assert.equal(verifyIpv4Checksum(packet.view, packet.start), false);
});

const BEET = {
	mode: 4,
	selector: selector({ src: '10.0.0.1', dst: '10.1.0.1' }),
};
const BEET6 = { mode: 4, selector: selector({ src: 'fd00::1', dst: 'fd00::2' }) };

// @spec M-10
test('BEET: addresses come from the selector, the rest from the outer header', () => {
	const payload = esp(udp(), { next: 17 });
	const outer4 = { tos: 0x41, ttl: 9, id: 77, fragment: 0x4000 };
	const outer6 = { ...V6, tos: 0x41, ttl: 9 };
	const inner4 = { src: '10.0.0.1', dst: '10.1.0.1', tos: 0x41, ttl: 9 };
	const inner6 = { src: 'fd00::1', dst: 'fd00::2', tos: 0x41, ttl: 9 };
	const cases: readonly (readonly [StateOptions, Uint8Array, Uint8Array])[] = [
		[BEET, ip(50, payload, outer4), ip(17, udp(), { ...inner4, id: 77, fragment: 0x4000 })],
		[{ ...BEET, ...V6 }, ip(50, payload, outer6), ip(17, udp(), { ...inner4, fragment: 0x4000 })],
		[{ ...BEET6, ...V6 }, ip(50, payload, outer6), ip(17, udp(), inner6)],
		[BEET6, ip(50, payload, outer4), ip(17, udp(), inner6)],
	];
	for (const [state, packet, expected] of cases) {
		const buffer = receive(state, packet);
		assert.equal(buffer.action, PacketAction.Reinject);
		assert.equal(formatHex(buffer.copy()), formatHex(expected));
	}
});

const optionRows: readonly (readonly [string, string, string, boolean])[] = [
	// Name, pseudo header with padding, options, does it work?
	['four octets of options and padding', '11 00 00 00', '94040000', true],
	['eight octets', '11 01 04 00 01010101', '9404000001010101', true],
	['no options at all', '11 00 04 00 01010101', '', true],
	['not a multiple of four', '11 00 01 00 01', '94040000', false],
	['more padding than header', '11 00 09 00 010101010101010101', '', false],
	['padding beyond the packet', '11 ff ff 00', '', false],
	['more than an octet can say', '11 20 00 00', '', false],
];

for (const [name, header, options, works] of optionRows) {
	// @spec M-10
	test(`BEET: pseudo header with ${name}`, () => {
		const payload = join(bytes(header), bytes(options), works ? udp() : new Uint8Array(0));
		const packet = receive(BEET, ip(50, esp(payload, { next: 94 })));
		if (!works) {
			assert.equal(packet.verdict, Verdict.InStateModeError);
			return;
		}
		assert.equal(packet.action, PacketAction.Reinject);
		const whole = packet.copy();
		assert.equal(whole[0], 0x45 + bytes(options).length / 4);
		assert.equal(whole[9], 17);
		assert.equal(verifyIpv4Checksum(packet.view, packet.start), true);
		assert.equal(formatHex(whole.subarray(20)), formatHex(join(bytes(options), udp())));
	});
}

// @spec M-10
test('BEET: more options than an IPv4 header holds come out as a header that IP refuses', () => {
	// 15 * 8 + 8 - 4 = 124 octets, which the kernel's four bits of header length cannot say.
	const packet = receive(
		BEET,
		ip(50, esp(join(bytes('110f0000'), new Uint8Array(124)), { next: 94 })),
	);
	assert.equal(packet.action, PacketAction.Reinject);
	assert.equal((packet.bytes[packet.start] ?? 0) & 15, (5 + 31) & 15);
});

// @spec M-10
test('BEET: a selector without family is a mode error', () => {
	const packet = receive(
		{ mode: 4, flags: 32, selector: anySelector(0) },
		ip(50, esp(udp(), { next: 17 })),
	);
	assert.equal(packet.verdict, Verdict.InStateModeError);
});
