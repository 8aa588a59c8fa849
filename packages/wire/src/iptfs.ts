/**
 * The payload of IPTFS, aggregation and fragmentation of IP packets inside ESP (RFC 9347 §6.1): a header,
 * then data blocks one behind the other.
 *
 *     0                   1                   2                   3
 *     +---------------+---------------+-------------------------------+
 *     |   Sub-Type    |   Reserved    |          Block Offset         |  basic: sub-type 0, 4 octets
 *     +---------------+---------------+-------------------------------+
 *     | 20 octets for congestion control                              |  sub-type 1 only
 *     +---------------------------------------------------------------+
 *     | Block Offset octets that continue the packet begun before …   |
 *     | IPv4 or IPv6 packet | … | the beginning of one | 0 padding …  |
 *
 * A block has no header of its own: its first nibble tells what it is, its length is in the IP header.
 * Reassembly and order are the engine's; the congestion control fields are not looked at anywhere.
 *
 * @hotpath
 */
import { IPV4_HEADER_OCTETS } from './ipv4.ts';
import { IPV6_HEADER_OCTETS } from './ipv6.ts';

export const IPTFS_HEADER_OCTETS = 4;
export const IPTFS_CONGESTION_HEADER_OCTETS = 24;

/** AGGFRAG_PAYLOAD Sub-Type values. */
export const IptfsSubtype = { Basic: 0, CongestionControl: 1 } as const;

/** Octets of a block's beginning after which its length is known, whatever it is. */
export const IPTFS_LENGTH_OCTETS = 6;

/**
 * Does the basic header fit?
 *
 * @spec M-30
 */
export function fitsIptfs(_view: DataView, at: number, end: number): boolean {
	return at + IPTFS_HEADER_OCTETS <= end;
}

export function iptfsSubtype(view: DataView, at: number): number {
	return view.getUint8(at);
}
/** Sent as 0. */
export function iptfsReserved(view: DataView, at: number): number {
	return view.getUint8(at + 1);
}
/** Octets behind the header that continue the packet begun before; may be more than there are. */
export function iptfsBlockOffset(view: DataView, at: number): number {
	return view.getUint16(at + 2);
}

/**
 * Writes a basic header; returns 4.
 *
 * @spec M-30
 */
export function writeIptfs(view: DataView, at: number, blockOffset: number): number {
	view.setUint32(at, blockOffset & 0xffff);
	return IPTFS_HEADER_OCTETS;
}

/** Answers of `iptfsBlockOctets` that are no length. */
export const IptfsBlock = {
	/** The rest of the payload is padding. */
	Padding: -1,
	/** An IP packet whose length field is not there yet. */
	Unfinished: -2,
	/** Neither IP nor padding. */
	Unknown: -3,
} as const;

/**
 * Length that the IP packet at `at` claims, header included, or an `IptfsBlock`. `at` is before `end`. An
 * IPv4 packet may claim anything from 0 on: the caller looks whether that is one.
 *
 * @spec M-31
 */
export function iptfsBlockOctets(view: DataView, at: number, end: number): number {
	switch (view.getUint8(at) >> 4) {
		case 4:
			return at + 4 > end ? IptfsBlock.Unfinished : view.getUint16(at + 2);
		case 6:
			return at + IPTFS_LENGTH_OCTETS > end
				? IptfsBlock.Unfinished
				: IPV6_HEADER_OCTETS + view.getUint16(at + 4);
		case 0:
			return IptfsBlock.Padding;
		default:
			return IptfsBlock.Unknown;
	}
}

/** Least octets of a packet that begins with this octet: its IP header's. */
export function iptfsPacketOctetsMin(firstOctet: number): number {
	return firstOctet >> 4 === 6 ? IPV6_HEADER_OCTETS : IPV4_HEADER_OCTETS;
}
