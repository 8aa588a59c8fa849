import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
	type CaptureError,
	type CapturePacket,
	captureTimeFromUs,
	captureTimeUs,
} from './capture.ts';
import { formatHex, parseHex } from './hex.ts';
import { looksLikeCapture, openCapture } from './open-capture.ts';
import { CAPTURED_OCTETS_MAX, pcapFileHeader, pcapRecord } from './pcap.ts';
import { pcapngInterface, pcapngPacket, pcapngSection } from './pcapng.ts';

function bytesOf(hex: string): Uint8Array {
	const bytes = parseHex(hex);
	assert.ok(bytes instanceof Uint8Array, hex);
	return bytes;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
	return Uint8Array.from(parts.flatMap((part) => [...part]));
}

interface Told {
	readonly packets: readonly string[];
	readonly error: CaptureError | undefined;
	readonly skipped: number;
}

/** Number, link type, time, data and original length of a packet, in one line. */
function line(packet: CapturePacket): string {
	const { number, linkType, time, data, originalOctets } = packet;
	const at =
		time === undefined ? '-' : `${time.seconds}.${String(time.nanoseconds).padStart(9, '0')}`;
	return `${number} ${linkType} ${at} ${formatHex(data)} ${originalOctets}`;
}

function read(file: Uint8Array): Told {
	const reader = openCapture(file);
	const packets: string[] = [];
	for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
		assert.deepEqual(packet.data, file.subarray(packet.at, packet.at + packet.data.length));
		packets.push(line(packet));
	}
	assert.equal(reader.next(), undefined);
	return { packets, error: reader.error, skipped: reader.skippedBlocks };
}

const PCAP_LE_US = `d4c3b2a1 0200 0400 00000000 00000000 ffff0000 65000000
	15cd5b07 01000000 02000000 3c000000 4500
	16cd5b07 3f420f00 01000000 01000000 60`;

test('classic captures in both byte orders, with µs and ns', () => {
	const rows: readonly (readonly [string, string, readonly string[]])[] = [
		[
			'little-endian, µs',
			PCAP_LE_US,
			['1 101 123456789.000001000 4500 60', '2 101 123456790.999999000 60 1'],
		],
		[
			'big-endian, µs',
			'a1b2c3d4 0002 0004 00000000 00000000 0000ffff 00000001 075bcd15 00000001 00000001 00000001 ff',
			['1 1 123456789.000001000 ff 1'],
		],
		[
			'little-endian, ns',
			'4d3cb2a1 0200 0400 00000000 00000000 00000000 65000000 15cd5b07 ffc99a3b 00000000 00000000',
			['1 101 123456789.999999999  0'],
		],
		[
			'big-endian, ns, link type with FCS bits',
			'a1b23c4d 0002 0004 00000000 00000000 0000ffff 24000001 ffffffff 00000001 00000001 00000001 ff',
			['1 1 4294967295.000000001 ff 1'],
		],
		['no packets', 'a1b2c3d4 0002 0004 00000000 00000000 0000ffff 00000001', []],
	];
	for (const [name, hex, packets] of rows) {
		assert.deepEqual(read(bytesOf(hex)), { packets, error: undefined, skipped: 0 }, name);
	}
});

test('a classic capture is read up to its damage, which is named', () => {
	const whole = bytesOf(PCAP_LE_US);
	const first = '1 101 123456789.000001000 4500 60';
	const huge = whole.slice();
	new DataView(huge.buffer).setUint32(42 + 8, 0xffffffff, true);
	const long = whole.slice();
	new DataView(long.buffer).setUint32(42 + 8, 2, true);
	const rows: readonly (readonly [string, Uint8Array, readonly string[], string])[] = [
		[
			'empty',
			new Uint8Array(0),
			[],
			'packet 1, byte 0: expected the magic number of pcap or pcapng, found an empty file',
		],
		[
			'not a capture',
			bytesOf('4500001c0001'),
			[],
			'packet 1, byte 0: expected the magic number of pcap or pcapng, found 45 00 00 1c',
		],
		[
			'header cut',
			whole.slice(0, 23),
			[],
			'packet 1, byte 23: the file header has 24 octets, the file ends before',
		],
		[
			'record header cut',
			whole.slice(0, 57),
			[first],
			'packet 2, byte 42: expected a record header of 16 octets, the file ends after 15',
		],
		[
			'data cut',
			whole.slice(0, 58),
			[first],
			'packet 2, byte 42: captured length 1, but the file ends after 0 octets',
		],
		[
			'longer than the file',
			long,
			[first],
			'packet 2, byte 42: captured length 2, but the file ends after 1 octets',
		],
		[
			'hostile length',
			huge,
			[first],
			`packet 2, byte 42: captured length 4294967295 is more than ${CAPTURED_OCTETS_MAX}`,
		],
	];
	for (const [name, file, packets, message] of rows) {
		const told = read(file);
		assert.deepEqual(told.packets, packets, name);
		assert.equal(told.error?.message, message, name);
	}
});

/** A pcapng block in either byte order; the body has whole words. */
function block(littleEndian: boolean, type: number, body: string): Uint8Array {
	const inside = bytesOf(body);
	const bytes = new Uint8Array(12 + inside.length);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, type, littleEndian);
	view.setUint32(4, bytes.length, littleEndian);
	bytes.set(inside, 8);
	view.setUint32(bytes.length - 4, bytes.length, littleEndian);
	return bytes;
}

const SECTION_BE = block(false, 0x0a0d0d0a, '1a2b3c4d 0001 0000 ffffffffffffffff');
const SECTION_LE = block(true, 0x0a0d0d0a, '4d3c2b1a 0100 0000 ffffffffffffffff');
const RAW_BE = block(false, 1, '0065 0000 00000000');
const packetBe = (
	units: string,
	data: string,
	captured = '00000004',
	number = '00000000',
): Uint8Array => block(false, 6, `${number} ${units} ${captured} 0000003c ${data}`);

test('pcapng blocks of all kinds, sections of both byte orders', () => {
	const file = joined(
		SECTION_BE,
		RAW_BE,
		packetBe('00000000 000f4241', '45000000'),
		block(false, 5, '00000000 00000000 00000000'),
		block(false, 3, '00000003 60000000'),
		block(false, 2, '0000 0007 00000000 000f4242 00000001 00000001 ff000000'),
		SECTION_LE,
		block(true, 1, '0100 0000 02000000'),
		block(true, 1, 'e400 0000 00000000 0900 0100 09000000 0000 0000'),
		block(true, 3, '08000000 ffee0000'),
		block(
			true,
			6,
			'01000000 00000000 02000000 04000000 04000000 45000000 0100 0400 61626364 00000000',
		),
		block(true, 0x0bad, 'ffffffff'),
	);
	assert.deepEqual(read(file), {
		packets: [
			'1 101 1.000001000 45000000 60',
			'2 101 - 600000 3',
			'3 101 1.000002000 ff 1',
			'4 1 - ffee 8',
			'5 228 0.000000002 45000000 4',
		],
		error: undefined,
		skipped: 0,
	});
});

test('times follow the resolution and the offset of their interface', () => {
	const rows: readonly (readonly [string, string, string])[] = [
		['default, µs', '', '4294.967297000'],
		['ns', '0009 0001 09000000', '4.294967297'],
		['seconds', '0009 0001 00000000', '4294967297.000000000'],
		['binary, 2^-8', '0009 0001 88000000', '16777216.003906250'],
		['finer than ns', '0009 0001 0c000000', '0.004294967'],
		['offset', '000e 0008 000000000000000a', '4304.967297000'],
		['negative offset', '000e 0008 ffffffffffffffff', '4293.967297000'],
		['wrong length is not it', '0009 0002 09090000', '4294.967297000'],
		['behind the end of options', '0000 0000 0009 0001 09000000', '4294.967297000'],
		['behind a comment', '0001 0003 61626300 0009 0001 09000000', '4.294967297'],
	];
	for (const [name, options, time] of rows) {
		const file = joined(
			SECTION_BE,
			block(false, 1, `0065 0000 00000000 ${options}`),
			packetBe('00000001 00000001', '45000000'),
		);
		assert.deepEqual(read(file).packets, [`1 101 ${time} 45000000 60`], name);
	}
});

test('a damaged block of sound length is skipped and counted', () => {
	const good = packetBe('00000000 00000000', '45000000');
	const rows: readonly (readonly [string, Uint8Array, number])[] = [
		['captured length beyond the block', packetBe('00000000 00000000', '45000000', '00000005'), 1],
		['hostile captured length', packetBe('00000000 00000000', '45000000', 'ffffffff'), 1],
		['unknown interface', packetBe('00000000 00000000', '45000000', '00000004', '00000009'), 1],
		['packet block without its fields', block(false, 6, '00000000'), 1],
		['empty packet block', block(false, 6, ''), 1],
		['empty simple packet block', block(false, 3, ''), 1],
		['simple packet longer than its block', block(false, 3, '00000005 45000000'), 1],
		[
			'obsolete packet of an unknown interface',
			block(false, 2, `0009 0000 ${'00000000'.repeat(4)}`),
			1,
		],
		['unknown block', block(false, 0xbad, ''), 0],
		['interface without its fields', block(false, 1, '00650000'), 1],
		['interface with a damaged option', block(false, 1, '00650000 00000000 0009 ffff 00000000'), 1],
	];
	for (const [name, damaged, skipped] of rows) {
		const told = read(joined(SECTION_BE, RAW_BE, damaged, good));
		assert.deepEqual(
			told,
			{ packets: ['1 101 0.000000000 45000000 60'], error: undefined, skipped },
			name,
		);
	}
});

test('a damaged interface keeps its number', () => {
	const file = joined(
		SECTION_BE,
		block(false, 1, '00650000'),
		block(false, 1, '00e4 0000 00000000'),
		packetBe('00000000 00000000', '45000000'),
		packetBe('00000000 00000000', '45000000', '00000004', '00000001'),
	);
	assert.deepEqual(read(file), {
		packets: ['1 228 0.000000000 45000000 60'],
		error: undefined,
		skipped: 2,
	});
});

test('a block length that is not sound ends the reading', () => {
	const good = packetBe('00000000 00000000', '45000000');
	const withLength = (octets: number, again = octets): Uint8Array => {
		const bytes = good.slice();
		const view = new DataView(bytes.buffer);
		view.setUint32(4, octets);
		view.setUint32(bytes.length - 4, again);
		return bytes;
	};
	const at = SECTION_BE.length + RAW_BE.length + good.length;
	const rows: readonly (readonly [string, Uint8Array, number, RegExp])[] = [
		['0', withLength(0), at + 4, /block length 0 is not a multiple of 4 from 12 on/],
		['8', withLength(8), at + 4, /block length 8 is not/],
		['not of whole words', withLength(37), at + 4, /block length 37 is not/],
		[
			'beyond the file',
			withLength(40),
			at + 4,
			/block length 40, but the file ends after 36 octets/,
		],
		['hostile', withLength(0xfffffffc), at + 4, /block length 4294967292, but/],
		[
			'lengths that differ',
			withLength(36, 32),
			at + 32,
			/expected the block length 36 again, found 32/,
		],
		[
			'cut',
			good.slice(0, 11),
			at,
			/expected a block of at least 12 octets, the file ends after 11/,
		],
		[
			'section of no byte order',
			block(false, 0x0a0d0d0a, '11223344 00010000'),
			at + 8,
			/byte order magic/,
		],
	];
	for (const [name, damaged, where, message] of rows) {
		const told = read(joined(SECTION_BE, RAW_BE, good, damaged));
		assert.deepEqual(told.packets, ['1 101 0.000000000 45000000 60'], name);
		assert.deepEqual([told.error?.packet, told.error?.at], [2, where], name);
		assert.match(told.error?.message ?? '', message, name);
		assert.match(told.error?.message ?? '', new RegExp(`^packet 2, byte ${where}: `), name);
	}
});

const anyTime = fc.record(
	{ seconds: fc.nat(0xffffffff), nanoseconds: fc.nat(999_999_999) },
	{ noNullPrototype: true },
);
const anyPackets = fc.array(fc.tuple(fc.uint8Array({ maxLength: 40 }), anyTime), { maxLength: 6 });

test('what the writers write, the readers read', () => {
	fc.assert(
		fc.property(anyPackets, (packets) => {
			const want = packets.map(([data, time], i) => {
				const original = data.length + 1;
				return line({ number: i + 1, at: 0, linkType: 101, time, data, originalOctets: original });
			});
			const pcap = joined(
				pcapFileHeader(101),
				...packets.map(([data, time]) => pcapRecord(data, time, data.length + 1)),
			);
			assert.deepEqual(read(pcap), { packets: want, error: undefined, skipped: 0 });
			const pcapng = joined(
				pcapngSection(),
				pcapngInterface(1),
				pcapngInterface(101),
				...packets.map(([data, time]) => pcapngPacket(1, data, time, data.length + 1)),
			);
			assert.deepEqual(read(pcapng), { packets: want, error: undefined, skipped: 0 });
			assert.equal(looksLikeCapture(pcap) && looksLikeCapture(pcapng), true);
		}),
	);
	assert.equal(looksLikeCapture(bytesOf('4500001c')), false);
});

test('damage of any octet and any truncation leave every packet before them as they were', () => {
	const data = bytesOf('45000000 00000000');
	const time = { seconds: 5, nanoseconds: 6 };
	const files = [
		joined(pcapFileHeader(101), pcapRecord(data, time), pcapRecord(data, time)),
		joined(
			pcapngSection(),
			pcapngInterface(101),
			pcapngPacket(0, data, time),
			pcapngPacket(0, data, time),
		),
	];
	for (const file of files) {
		const whole = read(file).packets;
		const firstEnd = file.length - (file.length - 24 === 48 ? 24 : 40);
		for (let end = 0; end < file.length; end++) {
			const told = read(file.slice(0, end));
			assert.deepEqual(told.packets, end < firstEnd ? [] : whole.slice(0, 1), `cut at ${end}`);
			if (![firstEnd, 24, 28, 60].includes(end)) {
				assert.notEqual(told.error, undefined, `cut at ${end}`);
			}
		}
		for (let at = 0; at < file.length; at++) {
			for (const octet of [0, 1, 0x7f, 0xff]) {
				const damaged = file.slice();
				damaged[at] = octet;
				const told = read(damaged);
				assert.ok(told.packets.length <= 2);
				if (at >= firstEnd) {
					assert.equal(told.packets[0], whole[0], `octet ${at} is ${octet}`);
				}
			}
		}
	}
});

test('times turn into microseconds and back', () => {
	assert.equal(
		captureTimeUs({ seconds: 1_700_000_000, nanoseconds: 123_456_789 }),
		1_700_000_000_123_456,
	);
	assert.deepEqual(captureTimeFromUs(1_700_000_000_123_456), {
		seconds: 1_700_000_000,
		nanoseconds: 123_456_000,
	});
});
