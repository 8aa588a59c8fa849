/**
 * Delivery to raw sockets (net/ipv4/raw.c, net/ipv6/raw.c): each that is open for the protocol and the
 * destination gets a copy, after a policy check of its own.
 */
import {
	checksumAdd,
	checksumFold,
	fitsMobilityHeader,
	ICMP_HEADER_OCTETS,
	Icmpv6ParameterCode,
	ipv4Tos,
	ipv4Ttl,
	ipv6HopLimit,
	ipv6PseudoSum,
	ipv6TrafficClass,
	MOBILITY_HEADER_OCTETS_MIN,
	MobilityType,
	mobilityPayloadProto,
	mobilityType,
	type PacketBuffer,
} from '@xfrm/wire';
import { Direction, Family, IpProto } from '@xfrm/wire/xfrm';
import { destinationOf, sourceOf } from './address-words.ts';
import { parameterProblem } from './extension-headers.ts';
import { policyAccepts } from './policy.ts';
import type { Reception } from './reception.ts';
import type { Socket } from './socket.ts';
import type { Stack } from './stack.ts';

/** What has to be there of an ICMPv6 message: type, code and checksum. */
const ICMPV6_FILTERED_OCTETS = 4;

/** TTL and TOS, or hop limit and traffic class, as a socket is told them. */
export function socketView(packet: PacketBuffer): { hopLimit: number; trafficClass: number } {
	const { view, start, family } = packet;
	return family === Family.Ipv4
		? { hopLimit: ipv4Ttl(view, start), trafficClass: ipv4Tos(view, start) }
		: { hopLimit: ipv6HopLimit(view, start), trafficClass: ipv6TrafficClass(view, start) };
}

/**
 * Gives the packet, with the protocol at `transportAt`, to the raw sockets for it.
 *
 * @returns true when there is such a socket, whether or not it got the packet
 * @spec I-22
 */
export function deliverRaw(stack: Stack, reception: Reception): boolean {
	const { packet, device } = reception;
	const { family, proto } = packet;
	let taken = false;
	const destination = destinationOf(packet);
	for (const socket of stack.sockets.all()) {
		if (
			socket.kind !== 'raw' ||
			socket.proto !== proto ||
			!socket.accepts(family, destination, device.name)
		) {
			continue;
		}
		taken = true;
		if (proto === IpProto.MobilityHeader && family === Family.Ipv6) {
			if (!mobilityHeaderIsSound(stack, reception)) {
				return true;
			}
		}
		if (!isCutIcmp(packet)) {
			deliverTo(stack, reception, socket);
		}
	}
	return taken;
}

/**
 * An ICMP message without a whole header: its type cannot be held against the socket's filter, so the
 * socket is passed over before any policy check (icmp_filter, icmpv6_filter).
 */
function isCutIcmp({ family, proto, transportAt, end }: PacketBuffer): boolean {
	if (family === Family.Ipv4) {
		return proto === IpProto.Icmp && transportAt + ICMP_HEADER_OCTETS > end;
	}
	return proto === IpProto.Icmpv6 && transportAt + ICMPV6_FILTERED_OCTETS > end;
}

function deliverTo(stack: Stack, reception: Reception, socket: Socket): void {
	if (!policyAccepts(stack, reception, Direction.In, socket)) {
		return;
	}
	const { packet } = reception;
	const { family, proto } = packet;
	if (family === Family.Ipv6 && hasChecksum(proto) && !checksumIsRight(packet)) {
		return;
	}
	deliverWhole(stack, packet, socket.id);
}

/** The packet as a raw socket gets it; socket 0 is whoever is assumed to listen (`Host.assumeSockets`). */
export function deliverWhole(stack: Stack, packet: PacketBuffer, socketId: number): void {
	const { family, proto, bytes, start, end, transportAt } = packet;
	stack.effect({
		kind: 'deliver',
		socketId,
		family,
		proto,
		source: sourceOf(packet),
		destination: destinationOf(packet),
		...socketView(packet),
		sport: 0,
		dport: 0,
		payload: bytes.slice(family === Family.Ipv4 ? start : transportAt, end),
	});
}

/** Protocols whose checksum raw IPv6 sockets verify. */
function hasChecksum(proto: number): boolean {
	return proto === IpProto.Icmpv6 || proto === IpProto.MobilityHeader;
}

/** Is the checksum over pseudo header and everything from `transportAt` on right (IPv6)? */
export function checksumIsRight(packet: PacketBuffer): boolean {
	const { bytes, view, start, end, transportAt, proto } = packet;
	const pseudo = ipv6PseudoSum(view, start, end - transportAt, proto);
	return checksumFold(checksumAdd(bytes, transportAt, end, pseudo)) === 0;
}

/** Least header length of a mobility message, in units of 8 octets beyond the first 8. */
function leastUnits(type: number): number {
	switch (type) {
		case MobilityType.HomeTestInit:
		case MobilityType.CareOfTestInit:
		case MobilityType.BindingUpdate:
		case MobilityType.BindingAcknowledgement:
			return 1;
		case MobilityType.HomeTest:
		case MobilityType.CareOfTest:
		case MobilityType.BindingError:
			return 2;
		default:
			return 0;
	}
}

/**
 * Is the Mobility Header at `transportAt` long enough for its type, and the last header? Otherwise a
 * parameter problem is sent; a header that is not even there is dropped in silence.
 *
 * @spec T-59; RFC 6275 §9.2
 */
function mobilityHeaderIsSound(stack: Stack, reception: Reception): boolean {
	const { packet } = reception;
	const { view, start, end, transportAt: at } = packet;
	if (at + MOBILITY_HEADER_OCTETS_MIN > end || !fitsMobilityHeader(view, at, end)) {
		return false;
	}
	const problem = Icmpv6ParameterCode.Header;
	if (view.getUint8(at + 1) < leastUnits(mobilityType(view, at))) {
		parameterProblem(stack, reception, problem, at + 1 - start);
		return false;
	}
	if (mobilityPayloadProto(view, at) !== IpProto.NoNext) {
		parameterProblem(stack, reception, problem, at - start);
		return false;
	}
	return true;
}
