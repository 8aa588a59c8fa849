/**
 * The next generation capture format (draft-ietf-opsawg-pcapng): a file is a chain of blocks.
 *
 *     block:  type (4) · total length (4) · body · total length again (4)
 *     SHB     byte order magic (4) · version (4) · section length (8) · options
 *     IDB     link type (2) · reserved (2) · snap length (4) · options: if_tsresol, if_tsoffset
 *     EPB     interface (4) · time, high and low (8) · captured (4) · original (4) · data · options
 *     SPB     original (4) · data             OPB   as EPB, but interface (2) · drops (2)
 *
 * Every section has its own byte order and interfaces. Blocks of other kinds are passed over. A block
 * of sound length whose inside is damaged is skipped and counted; a length that is not sound ends the
 * reading, as nobody knows where the next block begins. An interface whose block is damaged keeps its
 * number, and its packets are skipped too.
 */
import {
	type CaptureError,
	type CapturePacket,
	type CaptureReader,
	type CaptureTime,
	captureError,
} from './capture.ts';

const BlockType = {
	Interface: 1,
	ObsoletePacket: 2,
	SimplePacket: 3,
	EnhancedPacket: 6,
	Section: 0x0a0d0d0a,
} as const;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const BLOCK_OCTETS_MIN = 12;

const OPTION_END = 0;
const OPTION_TIME_RESOLUTION = 9;
const OPTION_TIME_OFFSET = 14;

const NANOSECONDS = 1_000_000_000n;

interface Interface {
	readonly linkType: number;
	/** 0 for no limit. */
	readonly snapOctets: number;
	/** Time units in a second. */
	readonly unitsPerSecond: bigint;
	readonly offsetSeconds: bigint;
}

/** Reads a pcapng file, packet by packet. */
export class PcapngReader implements CaptureReader {
	error: CaptureError | undefined;
	skippedBlocks: number = 0;
	readonly #file: Uint8Array;
	readonly #view: DataView;
	#at: number = 0;
	#packet: number = 1;
	#littleEndian: boolean = false;
	/** Of this section; undefined for one that couldn't be read. */
	#interfaces: (Interface | undefined)[] = [];

	constructor(file: Uint8Array) {
		this.#file = file;
		this.#view = new DataView(file.buffer, file.byteOffset, file.byteLength);
	}

	/** Does the file begin with a section header block? */
	static recognizes(file: Uint8Array): boolean {
		return (
			file.length >= 4 &&
			new DataView(file.buffer, file.byteOffset, 4).getUint32(0) === BlockType.Section
		);
	}

	next(): CapturePacket | undefined {
		while (this.error === undefined && this.#at < this.#file.length) {
			const block = this.#nextBlock();
			if (block === undefined) {
				return undefined;
			}
			const packet = this.#readBlock(block.type, block.bodyAt, block.end);
			if (packet !== undefined) {
				this.#packet++;
				return packet;
			}
		}
		return undefined;
	}

	/** Finds the bounds of the block at hand and moves behind it; sets the byte order of a new section. */
	#nextBlock(): { type: number; bodyAt: number; end: number } | undefined {
		const at = this.#at;
		const left = this.#file.length - at;
		if (left < BLOCK_OCTETS_MIN) {
			return this.#stop(at, `expected a block of at least 12 octets, the file ends after ${left}`);
		}
		// The type of a section header reads the same in both byte orders.
		const isSection = this.#view.getUint32(at) === BlockType.Section;
		if (isSection) {
			const big = this.#view.getUint32(at + 8, false) === BYTE_ORDER_MAGIC;
			const little = this.#view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC;
			if (!big && !little) {
				return this.#stop(at + 8, 'expected the byte order magic of a section header');
			}
			this.#littleEndian = little;
		} else if (at === 0) {
			return this.#stop(at, 'expected a section header block');
		}
		const octets = this.#view.getUint32(at + 4, this.#littleEndian);
		if (octets < BLOCK_OCTETS_MIN || octets % 4 !== 0) {
			return this.#stop(at + 4, `block length ${octets} is not a multiple of 4 from 12 on`);
		}
		if (octets > left) {
			return this.#stop(at + 4, `block length ${octets}, but the file ends after ${left} octets`);
		}
		const end = at + octets - 4;
		const again = this.#view.getUint32(end, this.#littleEndian);
		if (again !== octets) {
			return this.#stop(end, `expected the block length ${octets} again, found ${again}`);
		}
		this.#at = at + octets;
		return { type: this.#view.getUint32(at, this.#littleEndian), bodyAt: at + 8, end };
	}

	#stop(at: number, what: string): undefined {
		this.error = captureError(this.#packet, at, what);
		return undefined;
	}

	/** Takes in a block; a packet if it is one. */
	#readBlock(type: number, at: number, end: number): CapturePacket | undefined {
		switch (type) {
			case BlockType.Section:
				this.#interfaces = [];
				if (end - at < 16) {
					this.skippedBlocks++;
				}
				return undefined;
			case BlockType.Interface: {
				const found = this.#readInterface(at, end);
				this.#interfaces.push(found);
				if (found === undefined) {
					this.skippedBlocks++;
				}
				return undefined;
			}
			case BlockType.EnhancedPacket:
			case BlockType.ObsoletePacket:
			case BlockType.SimplePacket: {
				const packet =
					type === BlockType.SimplePacket
						? this.#readSimplePacket(at, end)
						: this.#readPacket(type, at, end);
				if (packet === undefined) {
					this.skippedBlocks++;
				}
				return packet;
			}
			default:
				return undefined;
		}
	}

	#readInterface(at: number, end: number): Interface | undefined {
		if (end - at < 8) {
			return undefined;
		}
		let unitsPerSecond = 1_000_000n;
		let offsetSeconds = 0n;
		let option = at + 8;
		while (option < end) {
			if (end - option < 4) {
				return undefined;
			}
			const code = this.#view.getUint16(option, this.#littleEndian);
			const octets = this.#view.getUint16(option + 2, this.#littleEndian);
			if (code === OPTION_END) {
				break;
			}
			if (option + 4 + octets > end) {
				return undefined;
			}
			if (code === OPTION_TIME_RESOLUTION && octets === 1) {
				const power = this.#view.getUint8(option + 4);
				unitsPerSecond = (power & 0x80) === 0 ? 10n ** BigInt(power) : 1n << BigInt(power & 0x7f);
			} else if (code === OPTION_TIME_OFFSET && octets === 8) {
				offsetSeconds = this.#view.getBigInt64(option + 4, this.#littleEndian);
			}
			option += 4 + Math.ceil(octets / 4) * 4;
		}
		return {
			linkType: this.#view.getUint16(at, this.#littleEndian),
			snapOctets: this.#view.getUint32(at + 4, this.#littleEndian),
			unitsPerSecond,
			offsetSeconds,
		};
	}

	/** An enhanced or an obsolete packet block. */
	#readPacket(type: number, at: number, end: number): CapturePacket | undefined {
		if (end - at < 20) {
			return undefined;
		}
		const number =
			type === BlockType.EnhancedPacket
				? this.#view.getUint32(at, this.#littleEndian)
				: this.#view.getUint16(at, this.#littleEndian);
		const from = this.#interfaces[number];
		const captured = this.#view.getUint32(at + 12, this.#littleEndian);
		const dataAt = at + 20;
		if (from === undefined || captured > end - dataAt) {
			return undefined;
		}
		const high = BigInt(this.#view.getUint32(at + 4, this.#littleEndian));
		const low = BigInt(this.#view.getUint32(at + 8, this.#littleEndian));
		return {
			number: this.#packet,
			at: dataAt,
			linkType: from.linkType,
			time: timeOf(from, (high << 32n) | low),
			data: this.#file.subarray(dataAt, dataAt + captured),
			originalOctets: this.#view.getUint32(at + 16, this.#littleEndian),
		};
	}

	/** A simple packet block: of interface 0, without time, cut at its snap length. */
	#readSimplePacket(at: number, end: number): CapturePacket | undefined {
		const from = this.#interfaces[0];
		if (end - at < 4 || from === undefined) {
			return undefined;
		}
		const original = this.#view.getUint32(at, this.#littleEndian);
		const captured = from.snapOctets === 0 ? original : Math.min(original, from.snapOctets);
		const dataAt = at + 4;
		if (captured > end - dataAt) {
			return undefined;
		}
		return {
			number: this.#packet,
			at: dataAt,
			linkType: from.linkType,
			data: this.#file.subarray(dataAt, dataAt + captured),
			originalOctets: original,
		};
	}
}

function timeOf(from: Interface, units: bigint): CaptureTime {
	const seconds = units / from.unitsPerSecond;
	const rest = units % from.unitsPerSecond;
	return {
		seconds: Number(seconds + from.offsetSeconds),
		nanoseconds: Number((rest * NANOSECONDS) / from.unitsPerSecond),
	};
}

/** A block with its lengths; `fill` writes the body. */
function block(
	type: number,
	bodyOctets: number,
	fill: (view: DataView, bytes: Uint8Array) => void,
): Uint8Array {
	const octets = BLOCK_OCTETS_MIN + Math.ceil(bodyOctets / 4) * 4;
	const bytes = new Uint8Array(octets);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, type);
	view.setUint32(4, octets);
	fill(view, bytes);
	view.setUint32(octets - 4, octets);
	return bytes;
}

/** The first block of a file, big-endian, with a section of unknown length. */
export function pcapngSection(): Uint8Array {
	return block(BlockType.Section, 16, (view) => {
		view.setUint32(8, BYTE_ORDER_MAGIC);
		view.setUint16(12, 1);
		view.setBigInt64(16, -1n);
	});
}

/** Describes the next interface (the first one is 0): times in ns, no snap length. */
export function pcapngInterface(linkType: number): Uint8Array {
	return block(BlockType.Interface, 8 + 8 + 4, (view) => {
		view.setUint16(8, linkType);
		view.setUint16(16, OPTION_TIME_RESOLUTION);
		view.setUint16(18, 1);
		view.setUint8(20, 9);
	});
}

/** A packet of an interface that `pcapngInterface` described. */
export function pcapngPacket(
	interfaceNumber: number,
	data: Uint8Array,
	time: CaptureTime,
	originalOctets: number = data.length,
): Uint8Array {
	const units = BigInt(time.seconds) * NANOSECONDS + BigInt(time.nanoseconds);
	return block(BlockType.EnhancedPacket, 20 + data.length, (view, bytes) => {
		view.setUint32(8, interfaceNumber);
		view.setUint32(12, Number((units >> 32n) & 0xffffffffn));
		view.setUint32(16, Number(units & 0xffffffffn));
		view.setUint32(20, data.length);
		view.setUint32(24, originalOctets);
		bytes.set(data, 28);
	});
}
