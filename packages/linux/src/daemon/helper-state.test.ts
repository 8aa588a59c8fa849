import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { Engine, linux619 } from '@xfrm/engine';
import { PacketBuffer } from '@xfrm/wire';
import { type Address, anySelector, Family, parseAddress, UNLIMITED } from '@xfrm/wire/xfrm';
import { hasHelperState } from './helper-state.ts';

function address(text: string): Address {
	return parseAddress(text)?.address ?? new Uint8Array(16);
}

/** An engine with IPComp in tunnel mode from .1 to .2, and from ::1 to ::2. */
function withCompression(): Engine {
	const engine = new Engine({
		profile: linux619,
		provider: nodeProvider(),
		random: (octets) => octets.fill(1),
		route: () => undefined,
	});
	for (const [saddr, daddr, family] of [
		['192.0.2.1', '192.0.2.2', Family.Ipv4],
		['2001:db8::1', '2001:db8::2', Family.Ipv6],
	] as const) {
		const answer = engine.addState(
			{
				id: { daddr: address(daddr), spi: 0x100, proto: 108 },
				saddr: address(saddr),
				family,
				selector: anySelector(family),
				lifetime: UNLIMITED,
				reqid: 1,
				mode: 1,
				replayWindow: 0,
				flags: 0,
				seq: 0,
				comp: { name: 'deflate', key: new Uint8Array(0), keyBits: 0 },
			},
			1,
		);
		assert.equal(answer.refusal, undefined);
	}
	return engine;
}

function packet(saddr: string, daddr: string, proto: number): PacketBuffer {
	const isIpv6 = saddr.includes(':');
	const bytes = new Uint8Array(80);
	bytes[0] = isIpv6 ? 0x60 : 0x45;
	bytes[isIpv6 ? 6 : 9] = proto;
	const octets = isIpv6 ? 16 : 4;
	bytes.set(address(saddr).subarray(0, octets), isIpv6 ? 8 : 12);
	bytes.set(address(daddr).subarray(0, octets), isIpv6 ? 24 : 16);
	const made = PacketBuffer.from(bytes);
	made.family = isIpv6 ? Family.Ipv6 : Family.Ipv4;
	made.proto = proto;
	return made;
}

const rows: readonly [string, string, number, boolean][] = [
	['192.0.2.1', '192.0.2.2', 4, true],
	['192.0.2.1', '192.0.2.2', 41, true],
	['192.0.2.1', '192.0.2.2', 17, false],
	['192.0.2.3', '192.0.2.2', 4, false],
	['2001:db8::1', '2001:db8::2', 4, true],
	['2001:db8::1', '2001:db8::2', 41, true],
	['2001:db8::3', '2001:db8::2', 41, false],
];

/** @spec T-32 T-40 */
test('a packet in a packet is the engine’s where IPComp has a helper state, else the kernel’s', () => {
	const engine = withCompression();
	for (const [saddr, daddr, proto, want] of rows) {
		assert.equal(hasHelperState(engine, packet(saddr, daddr, proto)), want, `${saddr} ${proto}`);
	}
});
