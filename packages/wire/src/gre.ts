/**
 * GRE with its optional words (RFC 2784, RFC 2890), as far as a flow's key needs it.
 *
 *     +-+-+-+-+-----------------+-----+-------------------------------+
 *     |C|R|K|S|    Reserved0    | Ver |         Protocol Type         |
 *     |      Checksum (optional)      |     Reserved1 (optional)      |
 *     |                         Key (optional)                        |
 *     |                   Sequence Number (optional)                  |
 *
 * @hotpath
 */

export const GRE_HEADER_OCTETS = 4;

export const GreFlag = {
	Checksum: 0x8000,
	Routing: 0x4000,
	Key: 0x2000,
	Sequence: 0x1000,
} as const;

/** Are flags and protocol type there? */
export function fitsGre(_view: DataView, at: number, end: number): boolean {
	return at + GRE_HEADER_OCTETS <= end;
}

/** Flag bits and version. */
export function greFlags(view: DataView, at: number): number {
	return view.getUint16(at);
}
export function greVersion(view: DataView, at: number): number {
	return view.getUint16(at) & 7;
}
/** EtherType of the payload. */
export function greProtocolType(view: DataView, at: number): number {
	return view.getUint16(at + 2);
}

/** Offset of the key, behind a checksum word if there is one; -1 without key bit. It may be beyond the data. */
export function greKeyAt(view: DataView, at: number): number {
	const flags = view.getUint16(at);
	if ((flags & GreFlag.Key) === 0) {
		return -1;
	}
	return at + ((flags & GreFlag.Checksum) === 0 ? 4 : 8);
}
