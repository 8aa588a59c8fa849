import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
	checksumAdd,
	checksumFold,
	ipv6PseudoSum,
	PacketBuffer,
	verifyIpv4Checksum,
	writeIpv4,
	writeIpv6,
} from '@xfrm/wire';
import { Family, parseAddress } from '@xfrm/wire/xfrm';
import { tooBigError, unreachableError } from './icmp-error.ts';

function address(text: string): Uint8Array {
	return parseAddress(text)?.address ?? new Uint8Array(16);
}

function ipv4(protocol: number, fragmentWord: number, first: number = 0): PacketBuffer {
	const packet = PacketBuffer.from(new Uint8Array(1400));
	packet.family = Family.Ipv4;
	writeIpv4(packet.view, packet.start, {
		tos: 0,
		totalLength: 1400,
		id: 1,
		fragmentWord,
		ttl: 64,
		protocol,
		source: address('10.1.0.5'),
		destination: address('10.2.0.9'),
		options: new Uint8Array(0),
	});
	packet.view.setUint8(packet.start + 20, first);
	return packet;
}

function ipv6(): PacketBuffer {
	const packet = PacketBuffer.from(new Uint8Array(1400));
	packet.family = Family.Ipv6;
	writeIpv6(packet.view, packet.start, {
		trafficClass: 0,
		flowLabel: 0,
		payloadLength: 1360,
		nextHeader: 6,
		hopLimit: 64,
		source: address('2001:db8:1::5'),
		destination: address('2001:db8:2::9'),
	});
	return packet;
}

test('fragmentation needed: from the destination, with the MTU, quoting the packet', () => {
	const about = ipv4(17, 0x4000);
	const error = tooBigError(about, 1226);
	assert.ok(error !== undefined);
	const { view, bytes, start, end } = error;
	assert.equal(error.length, 576);
	assert.equal(verifyIpv4Checksum(view, start), true);
	assert.deepEqual([...bytes.subarray(start + 12, start + 20)], [10, 2, 0, 9, 10, 1, 0, 5]);
	assert.deepEqual(
		[bytes[start + 20], bytes[start + 21], view.getUint16(start + 26)],
		[3, 4, 1226],
	);
	assert.equal(checksumFold(checksumAdd(bytes, start + 20, end, 0)), 0);
	assert.deepEqual(bytes.slice(start + 28, end), about.bytes.slice(about.start, about.start + 548));
});

test('packet too big', () => {
	const error = tooBigError(ipv6(), 1400);
	assert.ok(error !== undefined);
	const { view, bytes, start, end } = error;
	assert.equal(error.length, 1280);
	assert.deepEqual(
		[bytes[start + 40], bytes[start + 41], view.getUint32(start + 44)],
		[2, 0, 1400],
	);
	const pseudo = ipv6PseudoSum(view, start, end - start - 40, 58);
	assert.equal(checksumFold(checksumAdd(bytes, start + 40, end, pseudo)), 0);
});

test('host and address unreachable', () => {
	const error = unreachableError(ipv4(17, 0));
	assert.ok(error !== undefined);
	const { view, bytes, start, end } = error;
	assert.deepEqual([...bytes.subarray(start + 12, start + 20)], [10, 2, 0, 9, 10, 1, 0, 5]);
	assert.deepEqual([bytes[start + 20], bytes[start + 21], view.getUint32(start + 24)], [3, 1, 0]);
	assert.equal(checksumFold(checksumAdd(bytes, start + 20, end, 0)), 0);
	const error6 = unreachableError(ipv6());
	assert.ok(error6 !== undefined);
	assert.deepEqual([...error6.bytes.subarray(error6.start + 40, error6.start + 42)], [1, 3]);
});

test('no error about later fragments and about ICMP errors', () => {
	assert.equal(tooBigError(ipv4(17, 0x2001), 1000), undefined);
	assert.equal(tooBigError(ipv4(1, 0x4000, 3), 1000), undefined);
	assert.notEqual(tooBigError(ipv4(1, 0x4000, 8), 1000), undefined);
});
