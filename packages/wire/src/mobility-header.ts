/**
 * The Mobility Header's first six octets (RFC 6275 §6.1.1); messages and their options are the
 * business of Mobile IPv6 itself.
 *
 *     +---------------+---------------+---------------+---------------+
 *     | Payload Proto |  Header Len   |    MH Type    |   Reserved    |
 *     |           Checksum            |  message data …               |
 *
 * @hotpath
 */

/** Least length of a Mobility Header. */
export const MOBILITY_HEADER_OCTETS_MIN = 8;

export const MobilityType = {
	BindingRefreshRequest: 0,
	HomeTestInit: 1,
	CareOfTestInit: 2,
	HomeTest: 3,
	CareOfTest: 4,
	BindingUpdate: 5,
	BindingAcknowledgement: 6,
	BindingError: 7,
} as const;

/** Is there a Mobility Header at `at` that ends before `end`? */
export function fitsMobilityHeader(view: DataView, at: number, end: number): boolean {
	return at + MOBILITY_HEADER_OCTETS_MIN <= end && at + mobilityHeaderOctets(view, at) <= end;
}

export function mobilityPayloadProto(view: DataView, at: number): number {
	return view.getUint8(at);
}
export function mobilityHeaderOctets(view: DataView, at: number): number {
	return (view.getUint8(at + 1) + 1) * 8;
}
export function mobilityType(view: DataView, at: number): number {
	return view.getUint8(at + 2);
}
export function mobilityChecksum(view: DataView, at: number): number {
	return view.getUint16(at + 4);
}
