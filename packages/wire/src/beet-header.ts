/**
 * The pseudo header, protocol 94, in which BEET mode carries IPv4 options
 * (draft-nikander-esp-beet-mode §4.2, `struct ip_beet_phdr`).
 *
 *     +---------------+---------------+---------------+---------------+
 *     |  Next Header  |  Header Len   |  Pad Length   |   Reserved    |
 *     |  padding (NOPs), IPv4 options …                               |
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
/**
 * Octets of IPv4 options behind header and padding; negative when the header contradicts itself.
 *
 * @spec M-10
 */
export function beetOptionOctets(view: DataView, at: number): number {
	return beetHeaderUnits(view, at) * 8 + 8 - (BEET_HEADER_OCTETS + beetPadOctets(view, at));
}

/**
 * Writes the header in front of `optionOctets` of options (a multiple of 4), padding of NOPs included;
 * returns where the options begin, counted from `at`.
 *
 * @spec M-9
 */
export function writeBeetHeader(
	view: DataView,
	at: number,
	nextHeader: number,
	optionOctets: number,
): number {
	const padOctets = 4 - (optionOctets & 4);
	view.setUint8(at, nextHeader);
	view.setUint8(at + 1, optionOctets >> 3);
	view.setUint8(at + 2, padOctets);
	view.setUint8(at + 3, 0);
	for (let i = 0; i < padOctets; i++) {
		view.setUint8(at + BEET_HEADER_OCTETS + i, 1);
	}
	return BEET_HEADER_OCTETS + padOctets;
}
