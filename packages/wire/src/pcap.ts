/**
 * The classic capture format (draft-ietf-opsawg-pcap), both byte orders, times in µs or ns.
 *
 *     file:    magic (4) · major (2) · minor (2) · reserved (8) · snap length (4) · link type (4)
 *     record:  seconds (4) · µs or ns (4) · captured octets (4) · original octets (4) · data
 *
 * Not read: the variants with other record headers ("modified" pcap of 1990s Linux, magic a1b2cd34).
 */
import {
	type CaptureError,
	type CapturePacket,
	type CaptureReader,
	type CaptureTime,
	captureError,
} from './capture.ts';

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const FILE_HEADER_OCTETS = 24;
const RECORD_HEADER_OCTETS = 16;

/**
 * Longest record believed when the file's own snap length is smaller or none (MAXIMUM_SNAPLEN of
 * libpcap): a longer one is damage, even where the file would have the octets.
 */
export const CAPTURED_OCTETS_MAX = 262144;

/** Reads a classic capture file, packet by packet. */
export class PcapReader implements CaptureReader {
	error: CaptureError | undefined;
	/** This format has no blocks to skip. */
	readonly skippedBlocks: number = 0;
	readonly #file: Uint8Array;
	readonly #view: DataView;
	#at: number;
	#packet: number;
	#littleEndian: boolean;
	#nanoseconds: boolean;
	#capturedMax: number;
	#linkType: number;

	constructor(file: Uint8Array) {
		this.#file = file;
		this.#view = new DataView(file.buffer, file.byteOffset, file.byteLength);
		this.#at = FILE_HEADER_OCTETS;
		this.#packet = 1;
		this.#littleEndian = false;
		this.#nanoseconds = false;
		this.#capturedMax = CAPTURED_OCTETS_MAX;
		this.#linkType = 0;
		this.#readFileHeader();
	}

	/** Does the file begin with one of the four magic numbers? */
	static recognizes(file: Uint8Array): boolean {
		return magicOf(file) !== undefined;
	}

	#readFileHeader(): void {
		const magic = magicOf(this.#file);
		if (magic === undefined) {
			const found = [...this.#file.subarray(0, 4)].map((octet) =>
				octet.toString(16).padStart(2, '0'),
			);
			this.error = captureError(
				1,
				0,
				`expected the magic number of pcap or pcapng, found ${found.join(' ') || 'an empty file'}`,
			);
			return;
		}
		if (this.#file.length < FILE_HEADER_OCTETS) {
			this.error = captureError(
				1,
				this.#file.length,
				`the file header has ${FILE_HEADER_OCTETS} octets, the file ends before`,
			);
			return;
		}
		this.#littleEndian = magic.littleEndian;
		this.#nanoseconds = magic.nanoseconds;
		this.#capturedMax = Math.max(CAPTURED_OCTETS_MAX, this.#view.getUint32(16, this.#littleEndian));
		// The upper half tells of frame check sequences, which trimming to the IP length takes off.
		this.#linkType = this.#view.getUint32(20, this.#littleEndian) & 0xffff;
	}

	next(): CapturePacket | undefined {
		if (this.error !== undefined || this.#at === this.#file.length) {
			return undefined;
		}
		const left = this.#file.length - this.#at - RECORD_HEADER_OCTETS;
		if (left < 0) {
			return this.#stop(`expected a record header of 16 octets, the file ends after ${left + 16}`);
		}
		const captured = this.#view.getUint32(this.#at + 8, this.#littleEndian);
		if (captured > this.#capturedMax) {
			return this.#stop(`captured length ${captured} is more than ${this.#capturedMax}`);
		}
		if (captured > left) {
			return this.#stop(`captured length ${captured}, but the file ends after ${left} octets`);
		}
		const at = this.#at + RECORD_HEADER_OCTETS;
		const fraction = this.#view.getUint32(this.#at + 4, this.#littleEndian);
		const packet = {
			number: this.#packet,
			at,
			linkType: this.#linkType,
			time: {
				seconds: this.#view.getUint32(this.#at, this.#littleEndian),
				nanoseconds: this.#nanoseconds ? fraction : fraction * 1000,
			},
			data: this.#file.subarray(at, at + captured),
			originalOctets: this.#view.getUint32(this.#at + 12, this.#littleEndian),
		};
		this.#at = at + captured;
		this.#packet++;
		return packet;
	}

	#stop(what: string): undefined {
		this.error = captureError(this.#packet, this.#at, what);
		return undefined;
	}
}

function magicOf(file: Uint8Array): { littleEndian: boolean; nanoseconds: boolean } | undefined {
	if (file.length < 4) {
		return undefined;
	}
	const view = new DataView(file.buffer, file.byteOffset, 4);
	for (const littleEndian of [false, true]) {
		const magic = view.getUint32(0, littleEndian);
		if (magic === MAGIC_MICROSECONDS || magic === MAGIC_NANOSECONDS) {
			return { littleEndian, nanoseconds: magic === MAGIC_NANOSECONDS };
		}
	}
	return undefined;
}

/** The header of a file with times in ns, big-endian. */
export function pcapFileHeader(linkType: number): Uint8Array {
	const bytes = new Uint8Array(FILE_HEADER_OCTETS);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, MAGIC_NANOSECONDS);
	view.setUint16(4, 2);
	view.setUint16(6, 4);
	view.setUint32(16, CAPTURED_OCTETS_MAX);
	view.setUint32(20, linkType);
	return bytes;
}

/** One record of such a file: a copy of `data` behind its header. */
export function pcapRecord(
	data: Uint8Array,
	time: CaptureTime,
	originalOctets: number = data.length,
): Uint8Array {
	const bytes = new Uint8Array(RECORD_HEADER_OCTETS + data.length);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, time.seconds);
	view.setUint32(4, time.nanoseconds);
	view.setUint32(8, data.length);
	view.setUint32(12, originalOctets);
	bytes.set(data, RECORD_HEADER_OCTETS);
	return bytes;
}
