/**
 * The IPv6 fragment header (RFC 8200 §4.5), and what both families' fragments have in common. The
 * fields of an IPv4 fragment stand in its header (ipv4.ts).
 *
 *     +---------------+---------------+-------------------------+-+-+-+
 *     |  Next Header  |   Reserved    |     Fragment Offset     |Res|M|
 *     |                         Identification                        |
 *     +---------------------------------------------------------------+
 *
 * Cutting and putting together is the host's.
 *
 * @hotpath
 */

export const FRAGMENT_HEADER_OCTETS = 8;

/** Fragments carry multiples of this many octets, the last one apart. */
export const FRAGMENT_UNIT_OCTETS = 8;

/** Is the fragment header there? */
export function fitsFragment(_view: DataView, at: number, end: number): boolean {
	return at + FRAGMENT_HEADER_OCTETS <= end;
}

export function fragmentNextHeader(view: DataView, at: number): number {
	return view.getUint8(at);
}
/** Where this fragment's data belongs, in octets. */
export function fragmentOffset(view: DataView, at: number): number {
	return view.getUint16(at + 2) & 0xfff8;
}
/** Do more fragments follow? */
export function fragmentMore(view: DataView, at: number): boolean {
	return (view.getUint16(at + 2) & 1) !== 0;
}
/** Identification as an int32. */
export function fragmentId(view: DataView, at: number): number {
	return view.getInt32(at + 4);
}
/** Is it a whole packet in one fragment (RFC 6946)? */
export function fragmentIsAtomic(view: DataView, at: number): boolean {
	return (view.getUint16(at + 2) & 0xfff9) === 0;
}

/** Writes a fragment header; `offset` in octets, a multiple of 8. Returns 8. */
export function writeFragment(
	view: DataView,
	at: number,
	nextHeader: number,
	offset: number,
	more: boolean,
	id: number,
): number {
	view.setUint8(at, nextHeader);
	view.setUint8(at + 1, 0);
	view.setUint16(at + 2, (offset & 0xfff8) | (more ? 1 : 0));
	view.setInt32(at + 4, id | 0);
	return FRAGMENT_HEADER_OCTETS;
}
