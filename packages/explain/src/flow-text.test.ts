/** Flows in words, and the packets that are made up for them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checksumAdd, checksumFold, ipv4PseudoSum, ipv6PseudoSum } from '@xfrm/wire';
import { makePacket, parseFlow } from './flow-text.ts';
import { splitWords } from './input.ts';

const V4 = 'src 10.0.0.1 dst 10.0.0.2';
const V6 = 'src 2001:db8::1 dst 2001:db8::2';

function packetOf(flow: string): Uint8Array {
	return makePacket(parseFlow(splitWords(flow)));
}

describe('a packet that is made up', () => {
	const rows: readonly (readonly [flow: string, octets: number, df: boolean])[] = [
		[`${V4} proto udp`, 28, true],
		[`${V4} proto udp length 1500`, 1500, true],
		[`${V4} proto tcp length 40 df 0`, 40, false],
		[`${V4} proto icmp df 1 length 84`, 84, true],
		[`${V6} proto udp length 1280`, 1280, false],
	];
	for (const [flow, octets, df] of rows) {
		it(flow, () => {
			const packet = packetOf(flow);
			const view = new DataView(packet.buffer);
			const v4 = (packet[0] ?? 0) >> 4 === 4;
			assert.equal(packet.length, octets);
			assert.equal(v4 ? view.getUint16(2) : 40 + view.getUint16(4), octets);
			assert.equal(v4 && (view.getUint16(6) & 0x4000) !== 0, df);
			const at = v4 ? 20 : 40;
			const proto = packet[v4 ? 9 : 6] ?? 0;
			const length = octets - at;
			const pseudo =
				proto === 1
					? 0
					: v4
						? ipv4PseudoSum(view, 0, length, proto)
						: ipv6PseudoSum(view, 0, length, proto);
			assert.equal(checksumFold(checksumAdd(packet, at, octets, pseudo)), 0);
			assert.ok(proto !== 17 || view.getUint16(at + 4) === length);
		});
	}

	it('has no other length than an IP packet may have', () => {
		const refused: readonly (readonly [flow: string, expected: RegExp])[] = [
			[`${V4} proto udp length 27`, /a length of 28 octets at least/],
			[`${V4} proto tcp length 65536`, /a number to 65535/],
			[`${V4} proto tcp df 2`, /a number to 1/],
			[`${V6} proto udp df 0`, /IPv4 packets only/],
			[`${V4} proto udp size 9`, /dev, length or df/],
		];
		for (const [flow, expected] of refused) {
			assert.throws(() => parseFlow(splitWords(flow)), expected, flow);
		}
	});

	it('may be told as ip route get has it', () => {
		assert.deepEqual(packetOf('from 10.0.0.1 to 10.0.0.2'), packetOf(V4));
	});

	it('is none of a flow that is only looked up', () => {
		assert.throws(() => parseFlow(splitWords(`${V4} length 99`), 'flow'), /mark, if_id or dev/);
	});
});
