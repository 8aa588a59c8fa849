/** The header of IPTFS payloads, and what their data blocks claim to be. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatHex, parseHex } from './hex.ts';
import {
	fitsIptfs,
	IptfsBlock,
	IptfsSubtype,
	iptfsBlockOctets,
	iptfsBlockOffset,
	iptfsPacketOctetsMin,
	iptfsReserved,
	iptfsSubtype,
	writeIptfs,
} from './iptfs.ts';

function viewOf(hex: string): DataView {
	const bytes = parseHex(hex);
	assert.ok(bytes instanceof Uint8Array);
	return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

// @spec M-30
describe('IPTFS header', () => {
	it('reads what stands there', () => {
		const view = viewOf('0180 05dc');
		assert.equal(iptfsSubtype(view, 0), IptfsSubtype.CongestionControl);
		assert.equal(iptfsReserved(view, 0), 0x80);
		assert.equal(iptfsBlockOffset(view, 0), 1500);
	});

	it('is written as a basic one', () => {
		const view = viewOf('ffffffffff');
		assert.equal(writeIptfs(view, 1, 0x1234), 4);
		assert.equal(formatHex(new Uint8Array(view.buffer)), 'ff00001234');
	});

	it('fits in four octets', () => {
		const view = viewOf('00000000');
		assert.deepEqual(
			[0, 3, 4].map((end) => fitsIptfs(view, 0, end)),
			[false, false, true],
		);
	});
});

// @spec M-31
describe('IPTFS data block', () => {
	const rows: readonly [string, string, number][] = [
		['IPv4: the total length', '45000123', 0x123],
		['IPv4: any length is told', '45000000', 0],
		['IPv4: without its length field', '450001', IptfsBlock.Unfinished],
		['IPv6: header and payload', '600000000123', 40 + 0x123],
		['IPv6: without its length field', '6000000001', IptfsBlock.Unfinished],
		['padding', '00', IptfsBlock.Padding],
		['padding whose low nibble is not 0', '0f', IptfsBlock.Padding],
		['any other nibble', '50000000', IptfsBlock.Unknown],
		['any other nibble, the last', 'f0', IptfsBlock.Unknown],
	];
	for (const [name, hex, want] of rows) {
		it(name, () => {
			const view = viewOf(hex);
			assert.equal(iptfsBlockOctets(view, 0, view.byteLength), want);
		});
	}

	it('is at least an IP header long', () => {
		assert.deepEqual([0x45, 0x4f, 0x60].map(iptfsPacketOctetsMin), [20, 20, 40]);
	});
});
