import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacketBuffer, verifyIpv4Checksum } from '@xfrm/wire';
import { Family, IpProto } from '@xfrm/wire/xfrm';
import type { XfrmState } from '../state.ts';
import { removeBeetMode } from './mode-beet-input.ts';
import { Opened } from './opened.ts';

/** Octets of an outer IPv4 header and ESP's. */
const PAYLOAD_AT = 28;

/** The first octet of the inner header, and whether its checksum is right, by what the pseudo header says. */
function opened(headerLength: number, padding: number): readonly [number, boolean] | undefined {
	const bytes = new Uint8Array(PAYLOAD_AT + 60);
	bytes[0] = 0x45;
	bytes.set([IpProto.Icmp, headerLength, padding, 0], PAYLOAD_AT);
	const packet = PacketBuffer.from(bytes);
	const found = new Opened();
	found.nextHeader = IpProto.Beet;
	found.payloadAt = packet.start + PAYLOAD_AT;
	const ends = { saddr: Int32Array.of(0x0a000001), daddr: Int32Array.of(0x0a000002) };
	const selector = { family: Family.Ipv4, ...ends };
	if (!removeBeetMode(packet, { selector } as unknown as XfrmState, found)) {
		return undefined;
	}
	return [packet.bytes[packet.start] ?? 0, verifyIpv4Checksum(packet.view, packet.start)];
}

/** @spec M-10 */
test('a pseudo header that tells of more options than fit: the count of words wraps, the checksum follows', () => {
	assert.deepEqual(opened(1, 0), [0x48, true]);
	assert.deepEqual(opened(16, 0), [0x46, true], '132 octets of options are 38 words, or 6');
	assert.equal(opened(32, 0), undefined, '260 octets are refused');
	assert.equal(opened(1, 1), undefined, 'options of 11 octets are refused');
});
