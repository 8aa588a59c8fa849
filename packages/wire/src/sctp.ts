/**
 * The SCTP common header (RFC 9260 §3.1).
 *
 *     +-------------------------------+-------------------------------+
 *     |          Source Port          |       Destination Port        |  0
 *     |                       Verification Tag                        |  4
 *     |                       Checksum (CRC-32c)                      |  8
 *
 * @hotpath
 */

export const SCTP_HEADER_OCTETS = 12;

/** Is the common header there? */
export function fitsSctp(_view: DataView, at: number, end: number): boolean {
	return at + SCTP_HEADER_OCTETS <= end;
}

export function sctpSourcePort(view: DataView, at: number): number {
	return view.getUint16(at);
}
export function sctpDestinationPort(view: DataView, at: number): number {
	return view.getUint16(at + 2);
}
/** Verification tag as an int32. */
export function sctpVerificationTag(view: DataView, at: number): number {
	return view.getInt32(at + 4);
}
