/**
 * ICMP (RFC 792, RFC 1191) and ICMPv6 (RFC 4443): the first eight octets, and what errors quote.
 *
 *     +---------------+---------------+-------------------------------+
 *     |     Type      |     Code      |           Checksum            |  0
 *     |       identifier, sequence · MTU · pointer · gateway          |  4
 *     |  data, or the packet that an error is about …                 |  8
 *
 * Both families share the layout. Who sends an error, when, and how much it quotes is the host's.
 *
 * @hotpath
 */
import { checksumAdd, checksumFold, ipv6PseudoSum } from './checksum.ts';
import { Family, IpProto } from './xfrm/constants.ts';

export const ICMP_HEADER_OCTETS = 8;

export const IcmpType = {
	EchoReply: 0,
	DestinationUnreachable: 3,
	SourceQuench: 4,
	Redirect: 5,
	EchoRequest: 8,
	TimeExceeded: 11,
	ParameterProblem: 12,
} as const;

export const IcmpUnreachableCode = {
	Network: 0,
	Host: 1,
	Protocol: 2,
	Port: 3,
	FragmentationNeeded: 4,
	SourceRouteFailed: 5,
	AdministrativelyProhibited: 13,
} as const;

export const Icmpv6Type = {
	DestinationUnreachable: 1,
	PacketTooBig: 2,
	TimeExceeded: 3,
	ParameterProblem: 4,
	EchoRequest: 128,
	EchoReply: 129,
	RouterSolicitation: 133,
	RouterAdvertisement: 134,
	NeighbourSolicitation: 135,
	NeighbourAdvertisement: 136,
	Redirect: 137,
} as const;

export const Icmpv6UnreachableCode = {
	NoRoute: 0,
	AdministrativelyProhibited: 1,
	BeyondScope: 2,
	Address: 3,
	Port: 4,
} as const;

/** Codes of a parameter problem. */
export const Icmpv6ParameterCode = { Header: 0, UnknownNextHeader: 1, UnknownOption: 2 } as const;

/** Are the first eight octets there? */
export function fitsIcmp(_view: DataView, at: number, end: number): boolean {
	return at + ICMP_HEADER_OCTETS <= end;
}

export function icmpType(view: DataView, at: number): number {
	return view.getUint8(at);
}
export function icmpCode(view: DataView, at: number): number {
	return view.getUint8(at + 1);
}
export function icmpChecksum(view: DataView, at: number): number {
	return view.getUint16(at + 2);
}
export function icmpIdentifier(view: DataView, at: number): number {
	return view.getUint16(at + 4);
}
export function icmpSequence(view: DataView, at: number): number {
	return view.getUint16(at + 6);
}
/** MTU of a "fragmentation needed" (16 bits, RFC 1191) or "packet too big" (32 bits, as a double). */
export function icmpMtu(view: DataView, at: number, family: number): number {
	return family === Family.Ipv4 ? view.getUint16(at + 6) : view.getUint32(at + 4);
}
/** Offset of the quoted packet in an error message. */
export function icmpQuoteAt(at: number): number {
	return at + ICMP_HEADER_OCTETS;
}

/** Is it an error that quotes a packet, redirect and source quench included? */
export function isIcmpError(family: number, type: number): boolean {
	if (family === Family.Ipv4) {
		return (
			type === IcmpType.DestinationUnreachable ||
			type === IcmpType.SourceQuench ||
			type === IcmpType.Redirect ||
			type === IcmpType.TimeExceeded ||
			type === IcmpType.ParameterProblem
		);
	}
	return type >= Icmpv6Type.DestinationUnreachable && type <= Icmpv6Type.ParameterProblem;
}

/** Writes type, code, checksum 0 and the four octets behind it (an int32); returns 8. */
export function writeIcmp(
	view: DataView,
	at: number,
	type: number,
	code: number,
	rest: number,
): number {
	view.setUint8(at, type);
	view.setUint8(at + 1, code);
	view.setUint16(at + 2, 0);
	view.setInt32(at + 4, rest | 0);
	return ICMP_HEADER_OCTETS;
}

/** Computes the ICMP checksum over `at`…`end` and stores it. */
export function fillIcmpChecksum(bytes: Uint8Array, view: DataView, at: number, end: number): void {
	view.setUint16(at + 2, 0);
	view.setUint16(at + 2, checksumFold(checksumAdd(bytes, at, end, 0)));
}

/** The same for ICMPv6, whose checksum covers a pseudo header of the IPv6 header at `ipAt`. */
export function fillIcmpv6Checksum(
	bytes: Uint8Array,
	view: DataView,
	ipAt: number,
	at: number,
	end: number,
): void {
	view.setUint16(at + 2, 0);
	const pseudo = ipv6PseudoSum(view, ipAt, end - at, IpProto.Icmpv6);
	view.setUint16(at + 2, checksumFold(checksumAdd(bytes, at, end, pseudo)));
}
