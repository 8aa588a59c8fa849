/** Octets changed as parsers do not expect: bits, numbers at the border, pieces cut, doubled, taken from others. */
import type { Random } from '../kernel/random.ts';

/** Numbers at which something changes, as octets and as words. */
const BORDERS: readonly number[] = [
	0, 1, 2, 4, 7, 8, 20, 40, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff,
	0x8000_0000, 0xffff_fffe, 0xffff_ffff,
];

function joined(...pieces: readonly Uint8Array[]): Uint8Array {
	const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
	let at = 0;
	for (const piece of pieces) {
		whole.set(piece, at);
		at += piece.length;
	}
	return whole;
}

function setBorder(random: Random, octets: Uint8Array): void {
	const width = random.pick([1, 1, 2, 4]);
	if (octets.length < width) {
		return;
	}
	const at = random.int(0, octets.length - width);
	const value = random.pick(BORDERS);
	const little = random.chance(0.3);
	for (let i = 0; i < width; i++) {
		octets[at + i] = value >>> (8 * (little ? i : width - 1 - i));
	}
}

/** One change; the input itself stays as it is. */
function changed(input: Uint8Array, random: Random, pool: readonly Uint8Array[]): Uint8Array {
	const octets = input.slice();
	const at = random.int(0, octets.length);
	const end = Math.min(octets.length, at + random.int(0, 1 << random.int(0, 8)));
	switch (random.int(0, 7)) {
		case 0:
			for (let i = random.int(1, 4); i > 0 && octets.length > 0; i--) {
				const bit = random.int(0, 8 * octets.length - 1);
				octets[bit >> 3] = (octets[bit >> 3] ?? 0) ^ (1 << (bit & 7));
			}
			return octets;
		case 1:
		case 2:
			setBorder(random, octets);
			return octets;
		case 3:
			return octets.slice(0, at);
		case 4:
			return joined(octets.subarray(0, at), octets.subarray(end));
		case 5:
			return joined(octets.subarray(0, end), octets.subarray(at));
		case 6:
			return joined(octets.subarray(0, at), random.bytes(end - at), octets.subarray(end));
		default: {
			const other = random.pick(pool);
			const from = random.int(0, other.length);
			const to = random.int(from, other.length);
			return joined(octets.subarray(0, at), other.subarray(from, to), octets.subarray(at));
		}
	}
}

/** One to five changes. */
export function mutated(
	input: Uint8Array,
	random: Random,
	pool: readonly Uint8Array[],
): Uint8Array {
	let octets = input;
	for (let i = random.int(1, 5); i > 0; i--) {
		octets = changed(octets, random, pool);
	}
	return octets;
}
