/**
 * An accident in Linux's state table that the engine does not follow: the search for states with any
 * source (spec S-22) looks at a whole bucket and does not compare sources, so that a state from a wrong
 * source is found when it happens to share that bucket, one in eight while the table has eight. Cases
 * are made of addresses to which this does not happen.
 *
 * Counterpart: net/xfrm/xfrm_hash.h; the hash of IPv6 addresses is Bob Jenkins' lookup3 (public domain).
 */
import { addressOctets } from './packet.ts';

/** Table size minus one, as long as a namespace has few states. */
const BUCKET_MASK = 7;
const SEED = 0xdeadbeef;

/** May states from `src` to `dst` be met by accident when one with any source is looked for? */
export function sharesAnySourceBucket(src: string, dst: string): boolean {
	const source = addressOctets(src);
	const difference =
		source.length === 4
			? littleEndianSum(source, addressOctets(dst)) ^ bigEndian(addressOctets(dst))
			: hash4(source) ^ hash4(new Array<number>(16).fill(0));
	return ((difference ^ (difference >>> 16)) & BUCKET_MASK) === 0;
}

function bigEndian(octets: readonly number[]): number {
	const [a = 0, b = 0, c = 0, d = 0] = octets;
	return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

/** The kernel adds the addresses as a little-endian machine sees them, and turns the sum around. */
function littleEndianSum(a: readonly number[], b: readonly number[]): number {
	const sum = (bigEndian(a.toReversed()) + bigEndian(b.toReversed())) >>> 0;
	return bigEndian([sum & 255, (sum >>> 8) & 255, (sum >>> 16) & 255, sum >>> 24]);
}

const rotate = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits));

/** lookup3's hashword of four little-endian words with initial value 0. */
function hash4(octets: readonly number[]): number {
	const word = (i: number): number => bigEndian(octets.slice(i * 4, i * 4 + 4).toReversed());
	const start = (SEED + (4 << 2)) | 0;
	let a = (start + word(0)) | 0;
	let b = (start + word(1)) | 0;
	let c = (start + word(2)) | 0;
	for (const [x, y, z] of [
		[4, 6, 8],
		[16, 19, 4],
	] as const) {
		a = ((a - c) ^ rotate(c, x)) | 0;
		c = (c + b) | 0;
		b = ((b - a) ^ rotate(a, y)) | 0;
		a = (a + c) | 0;
		c = ((c - b) ^ rotate(b, z)) | 0;
		b = (b + a) | 0;
	}
	a = (a + word(3)) | 0;
	c = ((c ^ b) - rotate(b, 14)) | 0;
	a = ((a ^ c) - rotate(c, 11)) | 0;
	b = ((b ^ a) - rotate(a, 25)) | 0;
	c = ((c ^ b) - rotate(b, 16)) | 0;
	a = ((a ^ c) - rotate(c, 4)) | 0;
	b = ((b ^ a) - rotate(a, 14)) | 0;
	return ((c ^ b) - rotate(b, 24)) >>> 0;
}
