/** Captures are opened by keys alone, both ways, whatever the rest of the rules says. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatHex, parseHex } from '@xfrm/wire';
import { Decryptor, type Opened } from './decrypt.ts';
import type { Explainer } from './explainer.ts';
import { ask, gateway, KEY, policy, state } from './explainer-fixture.test.ts';

const FLOW = 'src 10.1.0.5 dst 10.2.0.9 proto udp sport 5 dport 6 dir fwd';
const SELECTOR = 'src 10.1.0.0/16 dst 10.2.0.0/16 dir out';
/** The packet of FLOW behind a router, as it is inside. */
const INSIDE = /^4500001c1234400[0-9a-f]3f11[0-9a-f]{4}0a0100050a020009000500060008/;

function bytes(hex: string): Uint8Array {
	const octets = parseHex(hex);
	assert.ok(octets instanceof Uint8Array);
	return octets;
}

function decryptor(rules: Explainer): Decryptor {
	return new Decryptor(rules, (octets) => octets.fill(0x33));
}

/** What leaves by a state with these further words. */
function sealed(words: string, count = 1): readonly Uint8Array[] {
	const sender = gateway(
		state('192.0.2.1', '198.51.100.7', '0x101', words),
		policy(SELECTOR, '192.0.2.1', '198.51.100.7'),
	);
	const packets: Uint8Array[] = [];
	for (let i = 0; i < count; i++) {
		const { packets: left } = ask(sender, FLOW, { device: 'lan' });
		packets.push(bytes(left[0] ?? ''));
	}
	return packets;
}

function inside(opened: Opened): string {
	return opened.kind === 'opened' ? formatHex(opened.packet) : `${opened.kind}`;
}

describe('Decryptor', () => {
	const cases: readonly (readonly [string, string])[] = [
		['a window', 'replay-window 32'],
		['ESP in UDP', 'encap espinudp 4500 4500 0.0.0.0'],
		['extended sequence numbers', 'flag esn replay-window 64'],
		[
			'extended sequence numbers beyond 2^32',
			'flag esn replay-window 64 replay-oseq 0xfffffffe replay-oseq-hi 2',
		],
	];
	for (const [name, words] of cases) {
		it(`opens what a state with ${name} has sealed, in any order and twice`, () => {
			const rules = gateway(state('192.0.2.1', '198.51.100.7', '0x101', words));
			const opener = decryptor(rules);
			const packets = sealed(words, 3);
			for (const packet of [...packets, ...packets.toReversed()]) {
				assert.match(inside(opener.open(packet)), INSIDE);
			}
		});
	}

	it('minds no mark, limit, direction or policy', () => {
		const rules = gateway(
			state('192.0.2.1', '198.51.100.7', '0x101', 'mark 7 limit packet-hard 1 if_id 3'),
			'xfrm policy add dir fwd action block',
		);
		const opener = decryptor(rules);
		for (const packet of sealed('', 3)) {
			const opened = opener.open(packet);
			assert.match(inside(opened), INSIDE);
			assert.deepEqual(opened.kind === 'opened' && opened.states.map(({ spi }) => spi), [
				'0x00000101',
			]);
		}
	});

	it('says why a packet stays closed, and lets others be', () => {
		const other = KEY.replace('0x3f', '0x40');
		const rules = gateway(state('192.0.2.1', '198.51.100.7', '0x101').replace(KEY, other));
		const opener = decryptor(rules);
		const [packet = new Uint8Array(0)] = sealed('');
		assert.deepEqual(opener.open(packet), { kind: 'closed', code: 'in.icv' });
		const strange = packet.slice();
		strange[23] = 0x99;
		assert.deepEqual(opener.open(strange), { kind: 'closed', code: 'in.state.none' });
		assert.deepEqual(
			opener.open(bytes('4500001c12344000401101b6c0000201c00002029c40003500087c8a')),
			{
				kind: 'plain',
			},
		);
	});
});
