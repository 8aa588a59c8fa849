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
import { type Address, addressFrom } from './xfrm/address.ts';

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

/** An IPv6 header as a value, for the control plane and for packets made up. */
export interface Ipv6Header {
	readonly trafficClass: number;
	readonly flowLabel: number;
	readonly payloadLength: number;
	readonly nextHeader: number;
	readonly hopLimit: number;
	readonly source: Address;
	readonly destination: Address;
}

/** The header at `at`, or undefined when it doesn't fit. */
export function parseIpv6(bytes: Uint8Array, at: number, end: number): Ipv6Header | undefined {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	if (!fitsIpv6(view, at, end)) {
		return undefined;
	}
	return {
		trafficClass: ipv6TrafficClass(view, at),
		flowLabel: ipv6FlowLabel(view, at),
		payloadLength: ipv6PayloadLength(view, at),
		nextHeader: ipv6NextHeader(view, at),
		hopLimit: ipv6HopLimit(view, at),
		source: addressFrom(bytes, at + IPV6_SOURCE_AT, 16),
		destination: addressFrom(bytes, at + IPV6_DESTINATION_AT, 16),
	};
}

/** Writes the 40 octets; returns how many. */
export function writeIpv6(view: DataView, at: number, header: Ipv6Header): number {
	setIpv6FirstWord(view, at, header.trafficClass, header.flowLabel);
	setIpv6PayloadLength(view, at, header.payloadLength);
	setIpv6NextHeader(view, at, header.nextHeader);
	setIpv6HopLimit(view, at, header.hopLimit);
	for (let i = 0; i < 16; i++) {
		view.setUint8(at + IPV6_SOURCE_AT + i, header.source[i] ?? 0);
		view.setUint8(at + IPV6_DESTINATION_AT + i, header.destination[i] ?? 0);
	}
	return IPV6_HEADER_OCTETS;
}
