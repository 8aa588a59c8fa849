/**
 * The pseudo header, protocol 94, in which BEET mode carries IPv4 options
 * (draft-nikander-esp-beet-mode §4.2, `struct ip_beet_phdr`).
 *
 *     +---------------+---------------+---------------+---------------+
 *     |  Next Header  |  Header Len   |  Pad Length   |   Reserved    |
 *     |  IPv4 options and padding …                                   |
 *
 * Header Len counts units of 8 octets beyond the first 8. What input makes of it is M-10.
 *
 * @hotpath
 */

export const BEET_HEADER_OCTETS = 4;

/** Is the fixed part there? */
export function fitsBeetHeader(_view: DataView, at: number, end: number): boolean {
	return at + BEET_HEADER_OCTETS <= end;
}

export function beetNextHeader(view: DataView, at: number): number {
	return view.getUint8(at);
}
/** In units of 8 octets, beyond the first 8. */
export function beetHeaderUnits(view: DataView, at: number): number {
	return view.getUint8(at + 1);
}
export function beetPadOctets(view: DataView, at: number): number {
	return view.getUint8(at + 2);
}
/** Octets of IPv4 options that follow, by M-10; negative when the header contradicts itself. */
export function beetOptionOctets(view: DataView, at: number): number {
	return beetHeaderUnits(view, at) * 8 + 8 - (BEET_HEADER_OCTETS + beetPadOctets(view, at));
}

/** Writes the fixed part; returns 4. */
export function writeBeetHeader(
	view: DataView,
	at: number,
	nextHeader: number,
	units: number,
	padOctets: number,
): number {
	view.setUint8(at, nextHeader);
	view.setUint8(at + 1, units);
	view.setUint8(at + 2, padOctets);
	view.setUint8(at + 3, 0);
	return BEET_HEADER_OCTETS;
}
