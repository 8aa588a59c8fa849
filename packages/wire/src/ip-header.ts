/**
 * IP headers as values: for the control plane, for packets that are made up, and for printing. The
 * packet path reads and writes fields in place (ipv4.ts, ipv6.ts) and makes no values.
 */
import {
	fitsIpv4,
	IPV4_DESTINATION_AT,
	IPV4_HEADER_OCTETS,
	IPV4_OPTIONS_AT,
	IPV4_SOURCE_AT,
	ipv4FragmentWord,
	ipv4HeaderOctets,
	ipv4Id,
	ipv4Protocol,
	ipv4Tos,
	ipv4TotalLength,
	ipv4Ttl,
	setIpv4Checksum,
	setIpv4FragmentWord,
	setIpv4HeaderOctets,
	setIpv4Id,
	setIpv4Protocol,
	setIpv4Tos,
	setIpv4TotalLength,
	setIpv4Ttl,
} from './ipv4.ts';
import {
	fitsIpv6,
	IPV6_DESTINATION_AT,
	IPV6_HEADER_OCTETS,
	IPV6_SOURCE_AT,
	ipv6FlowLabel,
	ipv6HopLimit,
	ipv6NextHeader,
	ipv6PayloadLength,
	ipv6TrafficClass,
	setIpv6FirstWord,
	setIpv6HopLimit,
	setIpv6NextHeader,
	setIpv6PayloadLength,
} from './ipv6.ts';
import { type Address, addressFrom } from './xfrm/address.ts';

/** An IPv4 header as a value, for the control plane and for packets made up. */
export interface Ipv4Header {
	readonly tos: number;
	readonly totalLength: number;
	readonly id: number;
	/** Flags and offset as on the wire. */
	readonly fragmentWord: number;
	readonly ttl: number;
	readonly protocol: number;
	readonly source: Address;
	readonly destination: Address;
	/** Options with their padding: a multiple of 4 octets, at most 40. */
	readonly options: Uint8Array;
}

/** The header at `at`, or undefined when it doesn't fit. The checksum is not looked at. */
export function parseIpv4(bytes: Uint8Array, at: number, end: number): Ipv4Header | undefined {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	if (!fitsIpv4(view, at, end)) {
		return undefined;
	}
	return {
		tos: ipv4Tos(view, at),
		totalLength: ipv4TotalLength(view, at),
		id: ipv4Id(view, at),
		fragmentWord: ipv4FragmentWord(view, at),
		ttl: ipv4Ttl(view, at),
		protocol: ipv4Protocol(view, at),
		source: addressFrom(bytes, at + IPV4_SOURCE_AT, 4),
		destination: addressFrom(bytes, at + IPV4_DESTINATION_AT, 4),
		options: bytes.slice(at + IPV4_OPTIONS_AT, at + ipv4HeaderOctets(view, at)),
	};
}

/** Writes header and options with the right checksum; returns the header's octets. */
export function writeIpv4(view: DataView, at: number, header: Ipv4Header): number {
	const octets = IPV4_HEADER_OCTETS + header.options.length;
	setIpv4HeaderOctets(view, at, octets);
	setIpv4Tos(view, at, header.tos);
	setIpv4TotalLength(view, at, header.totalLength);
	setIpv4Id(view, at, header.id);
	setIpv4FragmentWord(view, at, header.fragmentWord);
	setIpv4Ttl(view, at, header.ttl);
	setIpv4Protocol(view, at, header.protocol);
	for (let i = 0; i < 4; i++) {
		view.setUint8(at + IPV4_SOURCE_AT + i, header.source[i] ?? 0);
		view.setUint8(at + IPV4_DESTINATION_AT + i, header.destination[i] ?? 0);
	}
	for (let i = 0; i < header.options.length; i++) {
		view.setUint8(at + IPV4_OPTIONS_AT + i, header.options[i] ?? 0);
	}
	setIpv4Checksum(view, at);
	return octets;
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
