/**
 * The Authentication Header (RFC 4302 §2).
 *
 *     +---------------+---------------+-------------------------------+
 *     |  Next Header  |  Payload Len  |           Reserved            |  0
 *     |               Security Parameters Index (SPI)                 |  4
 *     |                     Sequence Number Field                     |  8
 *     |                 Integrity Check Value (ICV) …                 | 12
 *
 * Payload Len counts 32-bit words minus 2.
 *
 * @hotpath
 */

/** Octets in front of the ICV. */
export const AH_FIXED_OCTETS = 12;

/** Is the header there with its ICV, and does its length cover the fixed part? */
export function fitsAh(view: DataView, at: number, end: number): boolean {
	if (at + AH_FIXED_OCTETS > end) {
		return false;
	}
	const octets = ahOctets(view, at);
	return octets >= AH_FIXED_OCTETS && at + octets <= end;
}

export function ahNextHeader(view: DataView, at: number): number {
	return view.getUint8(at);
}
/** Octets of the whole header. */
export function ahOctets(view: DataView, at: number): number {
	return (view.getUint8(at + 1) + 2) * 4;
}
/** SPI as an int32. */
export function ahSpi(view: DataView, at: number): number {
	return view.getInt32(at + 4);
}
/** Low half of the sequence number as an int32. */
export function ahSequence(view: DataView, at: number): number {
	return view.getInt32(at + 8);
}

/** Writes the fixed part; the header has `octets` in all, ICV and its padding included. Returns 12. */
export function writeAh(
	view: DataView,
	at: number,
	nextHeader: number,
	octets: number,
	spi: number,
	sequence: number,
): number {
	view.setUint8(at, nextHeader);
	view.setUint8(at + 1, (octets >> 2) - 2);
	view.setUint16(at + 2, 0);
	view.setInt32(at + 4, spi | 0);
	view.setInt32(at + 8, sequence | 0);
	return AH_FIXED_OCTETS;
}
