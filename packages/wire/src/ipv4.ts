/**
 * The IPv4 header (RFC 791) with its options.
 *
 *      0                   1                   2                   3
 *     +-------+-------+---------------+-------------------------------+
 *     |Version|  IHL  |      TOS      |         Total Length          |  0
 *     +-------+-------+---------------+-----+-------------------------+
 *     |        Identification         |Flags|     Fragment Offset     |  4
 *     +---------------+---------------+-----+-------------------------+
 *     |      TTL      |   Protocol    |        Header Checksum        |  8
 *     +---------------+---------------+-------------------------------+
 *     |                        Source Address                         | 12
 *     |                      Destination Address                      | 16
 *     |                           Options …                           | 20
 *
 * `fitsIpv4` buys every accessor of the header and its options. The total length is not part of it
 * (an ICMP error quotes a header whose packet is not there): ask `ipv4LengthIsSound`.
 *
 * @hotpath
 */
import { checksumAddView, checksumFold } from './checksum.ts';

export const IPV4_HEADER_OCTETS = 20;
export const IPV4_HEADER_OCTETS_MAX = 60;
export const IPV4_PACKET_OCTETS_MAX = 65535;

/** Offsets of fields that checksums, ICVs and pseudo headers reach by position. */
export const IPV4_PROTOCOL_AT = 9;
export const IPV4_SOURCE_AT = 12;
export const IPV4_DESTINATION_AT = 16;
export const IPV4_OPTIONS_AT = 20;

/** Flag bits and offset of the word at 6. */
export const IPV4_DONT_FRAGMENT = 0x4000;
export const IPV4_MORE_FRAGMENTS = 0x2000;
export const IPV4_OFFSET_MASK = 0x1fff;

/** Option types, copied flag and class included (RFC 791 §3.1, RFC 1108, RFC 2113, CIPSO draft). */
export const Ipv4Option = {
	End: 0,
	NoOperation: 1,
	RecordRoute: 7,
	Timestamp: 68,
	Security: 130,
	LooseSourceRoute: 131,
	ExtendedSecurity: 133,
	Cipso: 134,
	StreamId: 136,
	StrictSourceRoute: 137,
	RouterAlert: 148,
} as const;

/** Is there an IPv4 header at `at` whose fixed part and options end before `end`? */
export function fitsIpv4(view: DataView, at: number, end: number): boolean {
	if (at + 20 > end) {
		return false;
	}
	const first = view.getUint8(at);
	return first === 0x45 || (first > 0x45 && first <= 0x4f && at + (first & 15) * 4 <= end);
}

/** Does the total length cover the header and end within the data (RFC 1122 §3.2.1)? */
export function ipv4LengthIsSound(view: DataView, at: number, end: number): boolean {
	const total = ipv4TotalLength(view, at);
	return total >= ipv4HeaderOctets(view, at) && at + total <= end;
}

export function ipv4HeaderOctets(view: DataView, at: number): number {
	return (view.getUint8(at) & 15) * 4;
}
export function ipv4Tos(view: DataView, at: number): number {
	return view.getUint8(at + 1);
}
export function ipv4TotalLength(view: DataView, at: number): number {
	return view.getUint16(at + 2);
}
export function ipv4Id(view: DataView, at: number): number {
	return view.getUint16(at + 4);
}
/** Flags and offset as one word: reserved, DF, MF, then 13 bits of offset in units of 8. */
export function ipv4FragmentWord(view: DataView, at: number): number {
	return view.getUint16(at + 6);
}
export function ipv4DontFragment(view: DataView, at: number): boolean {
	return (view.getUint16(at + 6) & IPV4_DONT_FRAGMENT) !== 0;
}
export function ipv4MoreFragments(view: DataView, at: number): boolean {
	return (view.getUint16(at + 6) & IPV4_MORE_FRAGMENTS) !== 0;
}
/** Where this fragment's data belongs, in octets. */
export function ipv4FragmentOffset(view: DataView, at: number): number {
	return (view.getUint16(at + 6) & IPV4_OFFSET_MASK) * 8;
}
/** Is it a fragment, the first one included? */
export function ipv4IsFragment(view: DataView, at: number): boolean {
	return (view.getUint16(at + 6) & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK)) !== 0;
}
export function ipv4Ttl(view: DataView, at: number): number {
	return view.getUint8(at + 8);
}
export function ipv4Protocol(view: DataView, at: number): number {
	return view.getUint8(at + 9);
}
export function ipv4Checksum(view: DataView, at: number): number {
	return view.getUint16(at + 10);
}
/** Source address as an int32 in network order of octets, as `Flow.saddr[0]` holds it. */
export function ipv4Source(view: DataView, at: number): number {
	return view.getInt32(at + IPV4_SOURCE_AT);
}
export function ipv4Destination(view: DataView, at: number): number {
	return view.getInt32(at + IPV4_DESTINATION_AT);
}

/** Version 4 and the header's length in octets, a multiple of 4 from 20 to 60. */
export function setIpv4HeaderOctets(view: DataView, at: number, octets: number): void {
	view.setUint8(at, 0x40 | (octets >> 2));
}
export function setIpv4Tos(view: DataView, at: number, tos: number): void {
	view.setUint8(at + 1, tos);
}
export function setIpv4TotalLength(view: DataView, at: number, octets: number): void {
	view.setUint16(at + 2, octets);
}
export function setIpv4Id(view: DataView, at: number, id: number): void {
	view.setUint16(at + 4, id);
}
export function setIpv4FragmentWord(view: DataView, at: number, word: number): void {
	view.setUint16(at + 6, word);
}
export function setIpv4Ttl(view: DataView, at: number, ttl: number): void {
	view.setUint8(at + 8, ttl);
}
export function setIpv4Protocol(view: DataView, at: number, proto: number): void {
	view.setUint8(at + 9, proto);
}
export function setIpv4Source(view: DataView, at: number, address: number): void {
	view.setInt32(at + IPV4_SOURCE_AT, address);
}
export function setIpv4Destination(view: DataView, at: number, address: number): void {
	view.setInt32(at + IPV4_DESTINATION_AT, address);
}

/** Computes the header checksum anew and stores it. */
export function setIpv4Checksum(view: DataView, at: number): void {
	view.setUint16(at + 10, 0);
	view.setUint16(at + 10, checksumFold(checksumAddView(view, at, ipv4HeaderOctets(view, at), 0)));
}

/** Stores the checksum of a header whose words, its own place aside, add up to `sum`: not folded, not 0. */
export function setIpv4ChecksumOf(view: DataView, at: number, sum: number): void {
	view.setUint16(at + 10, checksumFold(sum));
}

/** Is the header checksum right? */
export function verifyIpv4Checksum(view: DataView, at: number): boolean {
	return checksumFold(checksumAddView(view, at, ipv4HeaderOctets(view, at), 0)) === 0;
}

/**
 * Octets of the option at `at`: 1 for End and NoOperation, 0 when its length is missing, below 2 or
 * beyond `end` (the end of the header). Walk with `at += octets` until 0, End, or `at === end`.
 */
export function ipv4OptionOctets(view: DataView, at: number, end: number): number {
	if (at >= end) {
		return 0;
	}
	if (view.getUint8(at) <= Ipv4Option.NoOperation) {
		return 1;
	}
	if (at + 2 > end) {
		return 0;
	}
	const octets = view.getUint8(at + 1);
	return octets >= 2 && at + octets <= end ? octets : 0;
}

/** Offset of the first option of this type in the header at `at`, or -1 when it is not there. */
export function findIpv4Option(view: DataView, at: number, type: number): number {
	const end = at + ipv4HeaderOctets(view, at);
	let option = at + IPV4_OPTIONS_AT;
	while (option < end) {
		const found = view.getUint8(option);
		const octets = ipv4OptionOctets(view, option, end);
		if (octets === 0 || found === Ipv4Option.End) {
			return -1;
		}
		if (found === type) {
			return option;
		}
		option += octets;
	}
	return -1;
}
