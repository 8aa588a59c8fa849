/**
 * The IPComp header (RFC 3173 §3).
 *
 *     +---------------+---------------+-------------------------------+
 *     |  Next Header  |     Flags     | Compression Parameter Index   |
 *     +---------------+---------------+-------------------------------+
 *
 * @hotpath
 */

export const IPCOMP_HEADER_OCTETS = 4;

/** Is the header there? */
export function fitsIpcomp(_view: DataView, at: number, end: number): boolean {
	return at + IPCOMP_HEADER_OCTETS <= end;
}

export function ipcompNextHeader(view: DataView, at: number): number {
	return view.getUint8(at);
}
export function ipcompFlags(view: DataView, at: number): number {
	return view.getUint8(at + 1);
}
/** 16 bits; as an SPI it is the number itself (high half 0). */
export function ipcompCpi(view: DataView, at: number): number {
	return view.getUint16(at + 2);
}

/** Writes the header with flags 0; returns 4. */
export function writeIpcomp(view: DataView, at: number, nextHeader: number, cpi: number): number {
	view.setUint8(at, nextHeader);
	view.setUint8(at + 1, 0);
	view.setUint16(at + 2, cpi);
	return IPCOMP_HEADER_OCTETS;
}
