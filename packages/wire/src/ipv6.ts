/**
 * The fixed IPv6 header (RFC 8200 §3). What follows it is in extension-header.ts.
 *
 *      0                   1                   2                   3
 *     +-------+---------------+---------------------------------------+
 *     |Version| Traffic Class |              Flow Label               |  0
 *     +-------+---------------+-------+---------------+---------------+
 *     |        Payload Length         |  Next Header  |   Hop Limit   |  4
 *     +-------------------------------+---------------+---------------+
 *     |                   Source Address (16 octets)                  |  8
 *     |                Destination Address (16 octets)                | 24
 *
 * Jumbograms (payload length 0 with an option) are not supported.
 *
 * @hotpath
 */
export const IPV6_HEADER_OCTETS = 40;
/** Longest payload without a jumbo option. */
export const IPV6_PAYLOAD_OCTETS_MAX = 65535;
/** Least MTU of a link (RFC 8200 §5). */
export const IPV6_MTU_MIN = 1280;

export const IPV6_NEXT_HEADER_AT = 6;
export const IPV6_SOURCE_AT = 8;
export const IPV6_DESTINATION_AT = 24;

/** Is there an IPv6 header at `at` that ends before `end`? */
export function fitsIpv6(view: DataView, at: number, end: number): boolean {
	return at + IPV6_HEADER_OCTETS <= end && view.getUint8(at) >> 4 === 6;
}

/** Does the payload length end within the data? */
export function ipv6LengthIsSound(view: DataView, at: number, end: number): boolean {
	return at + IPV6_HEADER_OCTETS + ipv6PayloadLength(view, at) <= end;
}

export function ipv6TrafficClass(view: DataView, at: number): number {
	return (view.getUint16(at) >> 4) & 0xff;
}
/** 20 bits. */
export function ipv6FlowLabel(view: DataView, at: number): number {
	return view.getInt32(at) & 0xfffff;
}
/** Octets behind the fixed header, extension headers included. */
export function ipv6PayloadLength(view: DataView, at: number): number {
	return view.getUint16(at + 4);
}
export function ipv6NextHeader(view: DataView, at: number): number {
	return view.getUint8(at + IPV6_NEXT_HEADER_AT);
}
export function ipv6HopLimit(view: DataView, at: number): number {
	return view.getUint8(at + 7);
}
/** Word 0…3 of the source address, an int32 in network order of octets, as `Flow.saddr` holds it. */
export function ipv6SourceWord(view: DataView, at: number, word: number): number {
	return view.getInt32(at + IPV6_SOURCE_AT + word * 4);
}
export function ipv6DestinationWord(view: DataView, at: number, word: number): number {
	return view.getInt32(at + IPV6_DESTINATION_AT + word * 4);
}

/** Version 6, traffic class (8 bits) and flow label (20 bits): the first word. */
export function setIpv6FirstWord(
	view: DataView,
	at: number,
	trafficClass: number,
	flowLabel: number,
): void {
	view.setInt32(at, 0x60000000 | ((trafficClass & 0xff) << 20) | (flowLabel & 0xfffff));
}
/** Changes the traffic class only. */
export function setIpv6TrafficClass(view: DataView, at: number, trafficClass: number): void {
	view.setUint16(at, (view.getUint16(at) & 0xf00f) | ((trafficClass & 0xff) << 4));
}
export function setIpv6PayloadLength(view: DataView, at: number, octets: number): void {
	view.setUint16(at + 4, octets);
}
export function setIpv6NextHeader(view: DataView, at: number, proto: number): void {
	view.setUint8(at + IPV6_NEXT_HEADER_AT, proto);
}
export function setIpv6HopLimit(view: DataView, at: number, hopLimit: number): void {
	view.setUint8(at + 7, hopLimit);
}

/** Exchanges two addresses of 16 octets in place (home address option, routing header type 2). */
export function swapIpv6Addresses(view: DataView, at: number, otherAt: number): void {
	for (let i = 0; i < 16; i += 4) {
		const word = view.getInt32(at + i);
		view.setInt32(at + i, view.getInt32(otherAt + i));
		view.setInt32(otherAt + i, word);
	}
}
