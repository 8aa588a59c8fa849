/**
 * ICMP errors that the daemon tells inward. They come from the address that the packet in question went
 * to: it is no address of this host, which the kernel would refuse as a source from outside, and it is
 * what a host behind a tunnel would see anyway.
 */
import {
	fillIcmpChecksum,
	fillIcmpv6Checksum,
	fitsIpv4,
	fitsIpv6,
	HEADROOM_OCTETS,
	ICMP_HEADER_OCTETS,
	IcmpType,
	IcmpUnreachableCode,
	Icmpv6Type,
	Icmpv6UnreachableCode,
	IPV4_HEADER_OCTETS,
	IPV6_HEADER_OCTETS,
	IPV6_MTU_MIN,
	ipv4FragmentOffset,
	ipv4HeaderOctets,
	ipv4Protocol,
	ipv6NextHeader,
	isIcmpError,
	PacketBuffer,
	parseIpv4,
	parseIpv6,
	TAILROOM_OCTETS,
	writeIcmp,
	writeIpv4,
	writeIpv6,
} from '@xfrm/wire';
import { Family, IpProto } from '@xfrm/wire/xfrm';

/** RFC 1812 §4.3.2.3. */
const IPV4_ERROR_OCTETS_MAX = 576;
const HOP_LIMIT = 64;

/** Type, code, and the four octets behind the checksum. */
type Meaning = readonly [type: number, code: number, rest: number];

/** "Too big": the path takes so many octets. undefined where no error may be sent. */
export function tooBigError(packet: PacketBuffer, mtu: number): PacketBuffer | undefined {
	const { FragmentationNeeded } = IcmpUnreachableCode;
	return packet.family === Family.Ipv4
		? ipv4Error(packet, [IcmpType.DestinationUnreachable, FragmentationNeeded, mtu])
		: ipv6Error(packet, [Icmpv6Type.PacketTooBig, 0, mtu]);
}

/** "Host unreachable", for IPv6 "address unreachable". undefined where no error may be sent. */
export function unreachableError(packet: PacketBuffer): PacketBuffer | undefined {
	return packet.family === Family.Ipv4
		? ipv4Error(packet, [IcmpType.DestinationUnreachable, IcmpUnreachableCode.Host, 0])
		: ipv6Error(packet, [Icmpv6Type.DestinationUnreachable, Icmpv6UnreachableCode.Address, 0]);
}

function ipv4Error(about: PacketBuffer, [type, code, rest]: Meaning): PacketBuffer | undefined {
	const { view, bytes, start, end } = about;
	const header = fitsIpv4(view, start, end) ? parseIpv4(bytes, start, end) : undefined;
	if (header === undefined || ipv4FragmentOffset(view, start) !== 0) {
		return undefined;
	}
	const upperAt = start + ipv4HeaderOctets(view, start);
	const isIcmp = ipv4Protocol(view, start) === IpProto.Icmp;
	if (isIcmp && (upperAt >= end || isIcmpError(Family.Ipv4, view.getUint8(upperAt)))) {
		return undefined;
	}
	const room = IPV4_ERROR_OCTETS_MAX - IPV4_HEADER_OCTETS - ICMP_HEADER_OCTETS;
	const quote = bytes.subarray(start, Math.min(end, start + room));
	const octets = IPV4_HEADER_OCTETS + ICMP_HEADER_OCTETS + quote.length;
	const error = emptyPacket(Family.Ipv4, octets);
	writeIpv4(error.view, error.start, {
		tos: 0,
		totalLength: octets,
		id: 0,
		fragmentWord: 0,
		ttl: HOP_LIMIT,
		protocol: IpProto.Icmp,
		source: header.destination,
		destination: header.source,
		options: new Uint8Array(0),
	});
	const at = error.start + IPV4_HEADER_OCTETS;
	writeIcmp(error.view, at, type, code, rest);
	error.bytes.set(quote, at + ICMP_HEADER_OCTETS);
	fillIcmpChecksum(error.bytes, error.view, at, error.end);
	return error;
}

function ipv6Error(about: PacketBuffer, [type, code, rest]: Meaning): PacketBuffer | undefined {
	const { view, bytes, start, end } = about;
	const header = fitsIpv6(view, start, end) ? parseIpv6(bytes, start, end) : undefined;
	if (header === undefined || header.source[0] === 0xff) {
		return undefined;
	}
	const upperAt = start + IPV6_HEADER_OCTETS;
	const isIcmp = ipv6NextHeader(view, start) === IpProto.Icmpv6;
	if (isIcmp && (upperAt >= end || isIcmpError(Family.Ipv6, view.getUint8(upperAt)))) {
		return undefined;
	}
	const room = IPV6_MTU_MIN - IPV6_HEADER_OCTETS - ICMP_HEADER_OCTETS;
	const quote = bytes.subarray(start, Math.min(end, start + room));
	const octets = IPV6_HEADER_OCTETS + ICMP_HEADER_OCTETS + quote.length;
	const error = emptyPacket(Family.Ipv6, octets);
	writeIpv6(error.view, error.start, {
		trafficClass: 0,
		flowLabel: 0,
		payloadLength: octets - IPV6_HEADER_OCTETS,
		nextHeader: IpProto.Icmpv6,
		hopLimit: HOP_LIMIT,
		source: header.destination,
		destination: header.source,
	});
	const at = error.start + IPV6_HEADER_OCTETS;
	writeIcmp(error.view, at, type, code, rest);
	error.bytes.set(quote, at + ICMP_HEADER_OCTETS);
	fillIcmpv6Checksum(error.bytes, error.view, error.start, at, error.end);
	return error;
}

function emptyPacket(family: number, octets: number): PacketBuffer {
	const packet = new PacketBuffer(HEADROOM_OCTETS + octets + TAILROOM_OCTETS);
	packet.family = family;
	packet.end = packet.start + octets;
	return packet;
}
