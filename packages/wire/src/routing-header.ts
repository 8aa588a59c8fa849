/**
 * Routing headers of type 0 (RFC 2460 §4.4, deprecated by RFC 5095) and 2 (RFC 6275 §6.4).
 *
 *     +---------------+---------------+---------------+---------------+
 *     |  Next Header  |  Hdr Ext Len  | Routing Type  | Segments Left |
 *     +---------------+---------------+---------------+---------------+
 *     |                           Reserved                            |
 *     |                    Address 1 (16 octets) …                    |
 *
 * @hotpath
 */

export const RoutingType = { Source: 0, HomeAddress: 2, SegmentRouting: 4 } as const;

/** Octets of a type 2 header: it has exactly one address. */
export const ROUTING_TYPE2_OCTETS = 24;
/** Offset of the first address. */
export const ROUTING_ADDRESSES_AT = 8;

/** Is there a routing header at `at` that ends before `end`? */
export function fitsRoutingHeader(view: DataView, at: number, end: number): boolean {
	return at + 8 <= end && at + routingHeaderOctets(view, at) <= end;
}

export function routingHeaderOctets(view: DataView, at: number): number {
	return (view.getUint8(at + 1) + 1) * 8;
}
export function routingNextHeader(view: DataView, at: number): number {
	return view.getUint8(at);
}
export function routingType(view: DataView, at: number): number {
	return view.getUint8(at + 2);
}
export function routingSegmentsLeft(view: DataView, at: number): number {
	return view.getUint8(at + 3);
}
export function setRoutingSegmentsLeft(view: DataView, at: number, segments: number): void {
	view.setUint8(at + 3, segments);
}
/** Whole addresses that the header's length has room for (types 0 and 2). */
export function routingAddressCount(view: DataView, at: number): number {
	return view.getUint8(at + 1) >> 1;
}

/**
 * Is it a type 2 header as it must be: length 2 and one segment left? Asks nothing about the address.
 *
 * @spec T-58; RFC 6275 §6.4
 */
export function routingType2IsSound(view: DataView, at: number): boolean {
	return (
		routingType(view, at) === RoutingType.HomeAddress &&
		view.getUint8(at + 1) === 2 &&
		routingSegmentsLeft(view, at) === 1
	);
}

/**
 * Writes the 24 octets of a type 2 header but the address, whose offset it returns.
 *
 * @spec T-52; RFC 6275 §6.4.1
 */
export function writeRoutingType2(view: DataView, at: number, nextHeader: number): number {
	view.setUint8(at, nextHeader);
	view.setUint8(at + 1, ROUTING_TYPE2_OCTETS / 8 - 1);
	view.setUint8(at + 2, RoutingType.HomeAddress);
	view.setUint8(at + 3, 1);
	view.setInt32(at + 4, 0);
	return at + ROUTING_ADDRESSES_AT;
}
