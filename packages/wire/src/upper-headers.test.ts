/**
 * The small codecs of one fixed header each, in one table-like file: known bytes are read, written back,
 * and refused when they are a single octet short.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ahNextHeader, ahOctets, ahSequence, ahSpi, fitsAh, writeAh } from './ah.ts';
import {
	beetHeaderUnits,
	beetNextHeader,
	beetOptionOctets,
	beetPadOctets,
	fitsBeetHeader,
	writeBeetHeader,
} from './beet-header.ts';
import { checksumAdd, checksumFold, ipv4PseudoSum, ipv6PseudoSum } from './checksum.ts';
import {
	espNextHeader,
	espPadLength,
	espSequence,
	espSpi,
	fitsEsp,
	setEspSequence,
	setEspSpi,
	writeEsp,
	writeEspTrailer,
} from './esp.ts';
import {
	fitsFragment,
	fragmentId,
	fragmentIsAtomic,
	fragmentMore,
	fragmentNextHeader,
	fragmentOffset,
	writeFragment,
} from './fragment.ts';
import { fitsGre, GreFlag, greFlags, greKeyAt, greProtocolType, greVersion } from './gre.ts';
import { formatHex, parseHex } from './hex.ts';
import {
	fillIcmpChecksum,
	fillIcmpv6Checksum,
	fitsIcmp,
	icmpChecksum,
	icmpCode,
	icmpIdentifier,
	icmpMtu,
	icmpQuoteAt,
	icmpSequence,
	icmpType,
	isIcmpError,
	writeIcmp,
} from './icmp.ts';
import { fitsIpcomp, ipcompCpi, ipcompFlags, ipcompNextHeader, writeIpcomp } from './ipcomp.ts';
import {
	fitsMobilityHeader,
	MobilityType,
	mobilityChecksum,
	mobilityHeaderOctets,
	mobilityPayloadProto,
	mobilityType,
} from './mobility-header.ts';
import { destinationPort, fitsPorts, hasPorts, sourcePort } from './ports.ts';
import { fitsSctp, sctpDestinationPort, sctpSourcePort, sctpVerificationTag } from './sctp.ts';
import {
	fillTcpChecksum,
	fitsTcp,
	TcpFlag,
	tcpAcknowledgment,
	tcpChecksum,
	tcpDestinationPort,
	tcpFlags,
	tcpHeaderOctets,
	tcpSequence,
	tcpSourcePort,
	tcpWindow,
	writeTcp,
} from './tcp.ts';
import {
	fillUdpChecksum,
	fitsUdp,
	setUdpChecksum,
	setUdpDestinationPort,
	setUdpLength,
	setUdpSourcePort,
	udpChecksum,
	udpDestinationPort,
	udpLength,
	udpLengthIsSound,
	udpSourcePort,
	writeUdp,
} from './udp.ts';
import { Family } from './xfrm/constants.ts';

function bytesOf(hex: string): Uint8Array {
	const bytes = parseHex(hex);
	assert.ok(bytes instanceof Uint8Array);
	return bytes;
}

function viewOf(hex: string): DataView {
	const bytes = bytesOf(hex);
	return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** What `write` puts into a buffer full of ones, and how much it says it was. */
function written(octets: number, write: (view: DataView) => number): readonly [string, number] {
	const bytes = new Uint8Array(octets).fill(0xff);
	const count = write(new DataView(bytes.buffer));
	return [formatHex(bytes), count];
}

test('UDP', () => {
	const view = viewOf('1194 01f4 0009 abcd 2a');
	assert.deepEqual(
		[udpSourcePort(view, 0), udpDestinationPort(view, 0), udpLength(view, 0), udpChecksum(view, 0)],
		[4500, 500, 9, 0xabcd],
	);
	assert.deepEqual([fitsUdp(view, 0, 8), fitsUdp(view, 0, 7)], [true, false]);
	const sound = [9, 8, 7, 10].map((octets) => {
		setUdpLength(view, 0, octets);
		return udpLengthIsSound(view, 0, 9);
	});
	assert.deepEqual(sound, [true, true, false, false]);
	setUdpSourcePort(view, 0, 1);
	setUdpDestinationPort(view, 0, 2);
	setUdpChecksum(view, 0, 3);
	assert.equal(formatHex(new Uint8Array(view.buffer)), '00010002000a00032a');
	assert.deepEqual(
		written(9, (v) => writeUdp(v, 0, 4500, 500, 9)),
		['119401f400090000ff', 8],
	);
});

test('a UDP checksum of 0 is sent as ffff', () => {
	const bytes = bytesOf('45000000 00000000 40110000 00000000 00000000 0000 0000 000a 0000 ffda');
	const view = new DataView(bytes.buffer);
	fillUdpChecksum(bytes, view, Family.Ipv4, 12, 16, 20, 30);
	assert.equal(udpChecksum(view, 20), 0xffff);
	assert.equal(checksumFold(checksumAdd(bytes, 20, 30, ipv4PseudoSum(view, 0, 10, 17))), 0);
});

test('TCP', () => {
	const view = viewOf('0050 c000 fffffffe 00000001 6012 faf0 1234 0000 02040500');
	assert.deepEqual(
		[
			tcpSourcePort(view, 0),
			tcpDestinationPort(view, 0),
			tcpSequence(view, 0),
			tcpAcknowledgment(view, 0),
			tcpHeaderOctets(view, 0),
			tcpFlags(view, 0),
			tcpWindow(view, 0),
			tcpChecksum(view, 0),
		],
		[80, 0xc000, -2, 1, 24, TcpFlag.Syn | TcpFlag.Ack, 0xfaf0, 0x1234],
	);
	assert.deepEqual([fitsTcp(view, 0, 24), fitsTcp(view, 0, 23)], [true, false]);
	view.setUint8(12, 0x40);
	assert.equal(fitsTcp(view, 0, 24), false, 'data offset below 5');
	const header = {
		sport: 80,
		dport: 1,
		sequence: 0xfffffffe,
		acknowledgment: 1,
		flags: 2,
		window: 3,
	};
	assert.deepEqual(
		written(20, (v) => writeTcp(v, 0, header)),
		['00500001fffffffe00000001500200030000' + '0000', 20],
	);
});

test('a TCP checksum verifies under its pseudo header', () => {
	const bytes = bytesOf(
		`60000000 00150640 ${'20010db8'.repeat(8)} 0050c000 00000001 00000002 50100003 00000000 61`,
	);
	const view = new DataView(bytes.buffer);
	fillTcpChecksum(bytes, view, Family.Ipv6, 8, 24, 40, 61);
	assert.notEqual(tcpChecksum(view, 40), 0);
	assert.equal(checksumFold(checksumAdd(bytes, 40, 61, ipv6PseudoSum(view, 0, 21, 6))), 0);
});

test('ICMP', () => {
	const view = viewOf('08 00 f7fd 0001 0203');
	assert.deepEqual(
		[
			icmpType(view, 0),
			icmpCode(view, 0),
			icmpChecksum(view, 0),
			icmpIdentifier(view, 0),
			icmpSequence(view, 0),
		],
		[8, 0, 0xf7fd, 1, 0x0203],
	);
	assert.deepEqual([fitsIcmp(view, 0, 8), fitsIcmp(view, 0, 7)], [true, false]);
	assert.deepEqual(
		[icmpMtu(view, 0, Family.Ipv4), icmpMtu(view, 0, Family.Ipv6)],
		[0x203, 0x10203],
	);
	assert.equal(icmpQuoteAt(20), 28);
	assert.deepEqual(
		written(9, (v) => writeIcmp(v, 0, 3, 4, 1400)),
		['0304000000000578ff', 8],
	);
	const bytes = bytesOf('0304 0000 00000578 4500');
	fillIcmpChecksum(bytes, new DataView(bytes.buffer), 0, 10);
	assert.equal(checksumFold(checksumAdd(bytes, 0, 10, 0)), 0);
	const six = bytesOf(`60000000 00093aff ${'fe800000'.repeat(8)} 8000 0000 00010002 61`);
	const sixView = new DataView(six.buffer);
	fillIcmpv6Checksum(six, sixView, 0, 40, 49);
	assert.equal(checksumFold(checksumAdd(six, 40, 49, ipv6PseudoSum(sixView, 0, 9, 58))), 0);
});

test('ICMP errors are told from the rest', () => {
	const errors = (family: number): number[] =>
		[...Array(256).keys()].filter((type) => isIcmpError(family, type));
	assert.deepEqual(errors(Family.Ipv4), [3, 4, 5, 11, 12]);
	assert.deepEqual(errors(Family.Ipv6), [1, 2, 3, 4]);
});

test('ESP', () => {
	const view = viewOf('c0000001 fffffffe 0102 02 32');
	assert.deepEqual([espSpi(view, 0), espSequence(view, 0)], [0xc0000001 | 0, -2]);
	assert.deepEqual([espPadLength(view, 12), espNextHeader(view, 12)], [2, 50]);
	assert.deepEqual([fitsEsp(view, 0, 8), fitsEsp(view, 0, 7)], [true, false]);
	setEspSpi(view, 0, 0x80000000);
	setEspSequence(view, 0, 0xffffffff);
	assert.deepEqual([espSpi(view, 0), espSequence(view, 0)], [-0x80000000, -1]);
	assert.deepEqual(
		written(9, (v) => writeEsp(v, 0, 0xc0000001, 0xffffffff)),
		['c0000001ffffffffff', 8],
	);
	assert.deepEqual(
		written(6, (v) => writeEspTrailer(v, 0, 3, 4)),
		['0102030304ff', 5],
	);
	assert.deepEqual(
		written(3, (v) => writeEspTrailer(v, 0, 0, 59)),
		['003bff', 2],
	);
});

test('AH', () => {
	const view = viewOf('11 04 0000 c0000001 00000007 000102030405060708090a0b');
	assert.deepEqual(
		[ahNextHeader(view, 0), ahOctets(view, 0), ahSpi(view, 0), ahSequence(view, 0)],
		[17, 24, 0xc0000001 | 0, 7],
	);
	assert.deepEqual(
		[fitsAh(view, 0, 24), fitsAh(view, 0, 23), fitsAh(view, 0, 11)],
		[true, false, false],
	);
	view.setUint8(1, 0);
	assert.equal(fitsAh(view, 0, 24), false, 'a length of 8 does not cover the fixed part');
	view.setUint8(1, 1);
	assert.equal(fitsAh(view, 0, 12), true, 'no ICV');
	assert.deepEqual(
		written(13, (v) => writeAh(v, 0, 17, 24, 0xc0000001, 7)),
		['11040000c000000100000007ff', 12],
	);
});

test('IPComp', () => {
	const view = viewOf('04 00 f001');
	assert.deepEqual(
		[ipcompNextHeader(view, 0), ipcompFlags(view, 0), ipcompCpi(view, 0)],
		[4, 0, 0xf001],
	);
	assert.deepEqual([fitsIpcomp(view, 0, 4), fitsIpcomp(view, 0, 3)], [true, false]);
	assert.deepEqual(
		written(5, (v) => writeIpcomp(v, 0, 4, 0xf001)),
		['0400f001ff', 4],
	);
});

test('fragment header', () => {
	const view = viewOf('11 00 05a9 c0000001');
	assert.deepEqual(
		[
			fragmentNextHeader(view, 0),
			fragmentOffset(view, 0),
			fragmentMore(view, 0),
			fragmentId(view, 0),
		],
		[17, 1448, true, 0xc0000001 | 0],
	);
	assert.deepEqual([fitsFragment(view, 0, 8), fitsFragment(view, 0, 7)], [true, false]);
	assert.equal(fragmentIsAtomic(view, 0), false);
	assert.equal(
		fragmentIsAtomic(viewOf('11000006 00000000'), 0),
		true,
		'reserved bits do not count',
	);
	assert.equal(fragmentIsAtomic(viewOf('11000001 00000000'), 0), false);
	assert.deepEqual(
		written(9, (v) => writeFragment(v, 0, 17, 1448, true, 0xc0000001)),
		['110005a9c0000001ff', 8],
	);
});

test('Mobility Header', () => {
	const view = viewOf('3b 01 05 00 e076 0000 0000000000000000');
	assert.deepEqual(
		[
			mobilityPayloadProto(view, 0),
			mobilityHeaderOctets(view, 0),
			mobilityType(view, 0),
			mobilityChecksum(view, 0),
		],
		[59, 16, MobilityType.BindingUpdate, 0xe076],
	);
	assert.deepEqual(
		[
			fitsMobilityHeader(view, 0, 16),
			fitsMobilityHeader(view, 0, 15),
			fitsMobilityHeader(view, 0, 7),
		],
		[true, false, false],
	);
});

test('GRE', () => {
	const rows: readonly (readonly [string, number])[] = [
		['0000 0800', -1],
		['2000 0800', 4],
		['a000 0800', 8],
		['8000 0800', -1],
	];
	for (const [hex, want] of rows) {
		assert.equal(greKeyAt(viewOf(hex), 0), want, hex);
	}
	const view = viewOf('3001 880b');
	assert.deepEqual(
		[greFlags(view, 0) & 0xf000, greVersion(view, 0), greProtocolType(view, 0)],
		[GreFlag.Key | GreFlag.Sequence, 1, 0x880b],
	);
	assert.deepEqual([fitsGre(view, 0, 4), fitsGre(view, 0, 3)], [true, false]);
});

test('SCTP and ports', () => {
	const view = viewOf('0b59 8e3c c0000001 00000000');
	assert.deepEqual(
		[sctpSourcePort(view, 0), sctpDestinationPort(view, 0), sctpVerificationTag(view, 0)],
		[2905, 36412, 0xc0000001 | 0],
	);
	assert.deepEqual([fitsSctp(view, 0, 12), fitsSctp(view, 0, 11)], [true, false]);
	assert.deepEqual([sourcePort(view, 0), destinationPort(view, 0)], [2905, 36412]);
	assert.deepEqual([fitsPorts(view, 0, 4), fitsPorts(view, 0, 3)], [true, false]);
	assert.deepEqual([...Array(256).keys()].filter(hasPorts), [6, 17, 33, 132, 136]);
});

// @spec M-9 M-10
test('BEET header', () => {
	const rows: readonly (readonly [string, number, number, number])[] = [
		// Four octets of options fill the first 8; eight need padding of 4.
		['11 00 00 00', 0, 0, 4],
		['11 01 04 00', 1, 4, 8],
		['11 01 00 00', 1, 0, 12],
		['11 00 08 00', 0, 8, -4],
	];
	for (const [hex, units, pad, options] of rows) {
		const view = viewOf(hex);
		assert.deepEqual(
			[
				beetNextHeader(view, 0),
				beetHeaderUnits(view, 0),
				beetPadOctets(view, 0),
				beetOptionOctets(view, 0),
			],
			[17, units, pad, options],
		);
	}
	assert.deepEqual(
		[fitsBeetHeader(viewOf('11000000'), 0, 4), fitsBeetHeader(viewOf('110000'), 0, 3)],
		[true, false],
	);
	assert.deepEqual(
		written(13, (v) => writeBeetHeader(v, 0, 17, 8)),
		[`1101040001010101${'ff'.repeat(5)}`, 8],
	);
	assert.deepEqual(
		written(9, (v) => writeBeetHeader(v, 0, 17, 12)),
		[`11010000${'ff'.repeat(5)}`, 4],
	);
});
