/**
 * ICMP and ICMPv6 messages for us (net/ipv4/icmp.c, net/ipv6/icmp.c): policy check, with a second chance
 * for errors by the packet they quote; echo; and what an error teaches about a path, or tells a socket.
 * Redirects and the messages of neighbour discovery have no effect here.
 */
import {
	ahSpi,
	checksumAdd,
	checksumFold,
	espSpi,
	fitsIcmp,
	fitsIpv4,
	fitsIpv6,
	IcmpType,
	IcmpUnreachableCode,
	Icmpv6Type,
	IPV4_DESTINATION_AT,
	IPV4_HEADER_OCTETS,
	IPV4_SOURCE_AT,
	IPV6_DESTINATION_AT,
	IPV6_HEADER_OCTETS,
	IPV6_SOURCE_AT,
	icmpCode,
	icmpMtu,
	icmpQuoteAt,
	icmpType,
	ipcompCpi,
	ipv4HeaderOctets,
	ipv4Protocol,
	ipv6NextHeader,
	udpSourcePort,
} from '@xfrm/wire';
import { type Address, addressFrom, Direction, Errno, Family, IpProto } from '@xfrm/wire/xfrm';
import { vtiBetween } from './arrival.ts';
import { SkippedHeaders, skipHeaders } from './header-skip.ts';
import { HostDrop } from './host-trace.ts';
import { sendEchoReply } from './icmp-send.ts';
import { narrowedPathMtu } from './path-mtu.ts';
import { policyAccepts } from './policy.ts';
import { checksumIsRight, deliverWhole } from './raw-socket.ts';
import type { Reception } from './reception.ts';
import { routeOutput } from './route-lookup.ts';
import type { Socket } from './socket.ts';
import type { Stack } from './stack.ts';
import { findUdpSocket } from './udp-socket.ts';

/** Octets of the quoted packet's payload that have to be there. */
const QUOTED_PAYLOAD_OCTETS_MIN = 8;
/** IPv4 code of "time exceeded" that no socket hears of: in reassembly. */
const REASSEMBLY_TIME = 1;

const skipped: SkippedHeaders = new SkippedHeaders();

/** What an error is about. */
interface Quote {
	readonly family: number;
	readonly type: number;
	readonly code: number;
	/** MTU it tells of, undefined when it is about something else. */
	readonly mtu: number | undefined;
	readonly source: Address;
	readonly destination: Address;
	readonly proto: number;
	/** Where the quoted payload begins. */
	readonly payloadAt: number;
}

/**
 * Takes an ICMP (IPv4) or ICMPv6 message at `transportAt`.
 *
 * @param taken a raw socket is open for it
 */
export function receiveIcmp(stack: Stack, reception: Reception, taken: boolean): void {
	const { packet } = reception;
	const { view, transportAt: at, end, family } = packet;
	if (!policyAccepts(stack, reception, Direction.In) && !quotedIsAccepted(stack, reception)) {
		return;
	}
	const sound =
		family === Family.Ipv4
			? checksumFold(checksumAdd(packet.bytes, at, end, 0)) === 0
			: checksumIsRight(packet);
	if (!sound) {
		stack.drop(HostDrop.TransportChecksum);
		return;
	}
	if (!fitsIcmp(view, at, end)) {
		stack.drop(HostDrop.TransportHeader);
		return;
	}
	if (stack.assumeSockets && !taken) {
		deliverWhole(stack, packet, 0);
	}
	const type = icmpType(view, at);
	if (family === Family.Ipv4) {
		if (type === IcmpType.EchoRequest) {
			if (stack.sysctls.icmp_echo_ignore_all === 0 && !reception.broadcast) {
				sendEchoReply(stack, reception);
			}
		} else if (isIpv4Error(type) && !reception.broadcast) {
			receiveError(stack, reception, quoteOfIpv4(reception));
		}
	} else if (type === Icmpv6Type.EchoRequest) {
		if (stack.sysctls.icmpv6_echo_ignore_all === 0) {
			sendEchoReply(stack, reception);
		}
	} else if (type < Icmpv6Type.EchoRequest) {
		receiveError(stack, reception, quoteOfIpv6(reception));
	}
}

/** @spec P-31 U-8 */
function quotedIsAccepted(stack: Stack, reception: Reception): boolean {
	const { packet } = reception;
	const at = icmpQuoteAt(packet.transportAt);
	const octets = packet.family === Family.Ipv4 ? IPV4_HEADER_OCTETS : IPV6_HEADER_OCTETS;
	return at + octets <= packet.end && stack.engine.reverseCheck(packet, at, stack.nowUs);
}

/** Errors that sockets and paths hear of. */
function isIpv4Error(type: number): boolean {
	return (
		type === IcmpType.DestinationUnreachable ||
		type === IcmpType.SourceQuench ||
		type === IcmpType.TimeExceeded ||
		type === IcmpType.ParameterProblem
	);
}

function quoteOfIpv4(reception: Reception): Quote | undefined {
	const { packet } = reception;
	const { view, bytes, transportAt: at, end } = packet;
	const ip = icmpQuoteAt(at);
	if (!fitsIpv4(view, ip, end)) {
		return undefined;
	}
	const type = icmpType(view, at);
	const code = icmpCode(view, at);
	if (type === IcmpType.TimeExceeded && code === REASSEMBLY_TIME) {
		return undefined;
	}
	const payloadAt = ip + ipv4HeaderOctets(view, ip);
	if (payloadAt + QUOTED_PAYLOAD_OCTETS_MIN > end) {
		return undefined;
	}
	const tooBig =
		type === IcmpType.DestinationUnreachable && code === IcmpUnreachableCode.FragmentationNeeded;
	return {
		family: Family.Ipv4,
		type,
		code,
		mtu: tooBig ? icmpMtu(view, at, Family.Ipv4) : undefined,
		source: addressFrom(bytes, ip + IPV4_SOURCE_AT, 4),
		destination: addressFrom(bytes, ip + IPV4_DESTINATION_AT, 4),
		proto: ipv4Protocol(view, ip),
		payloadAt,
	};
}

function quoteOfIpv6(reception: Reception): Quote | undefined {
	const { packet } = reception;
	const { view, bytes, transportAt: at, end } = packet;
	const ip = icmpQuoteAt(at);
	if (!fitsIpv6(view, ip, end)) {
		return undefined;
	}
	const first = ipv6NextHeader(view, ip);
	if (!skipHeaders(skipped, view, ip + IPV6_HEADER_OCTETS, end, first)) {
		return undefined;
	}
	if (skipped.at + QUOTED_PAYLOAD_OCTETS_MIN > end) {
		return undefined;
	}
	const type = icmpType(view, at);
	return {
		family: Family.Ipv6,
		type,
		code: icmpCode(view, at),
		mtu: type === Icmpv6Type.PacketTooBig ? icmpMtu(view, at, Family.Ipv6) : undefined,
		source: addressFrom(bytes, ip + IPV6_SOURCE_AT, 16),
		destination: addressFrom(bytes, ip + IPV6_DESTINATION_AT, 16),
		proto: skipped.proto,
		payloadAt: skipped.at,
	};
}

function receiveError(stack: Stack, reception: Reception, quote: Quote | undefined): void {
	if (quote === undefined) {
		return;
	}
	const learned = tellOwners(stack, reception, quote);
	if (stack.tracer !== null) {
		const { family, type, code } = quote;
		stack.tracer.note({ kind: 'icmp-received', family, type, code, mtu: learned });
	}
}

/** Tells raw sockets and whoever sent the quoted packet; returns the path MTU that was learned. */
function tellOwners(stack: Stack, reception: Reception, quote: Quote): number | undefined {
	const { device } = reception;
	const { family, source, proto } = quote;
	let concerned = false;
	for (const socket of stack.sockets.all()) {
		if (socket.kind === 'raw' && socket.proto === proto) {
			if (socket.accepts(family, source, device.name)) {
				// Over IPv6 one that has not asked for errors does not even look at the MTU.
				concerned ||= family === Family.Ipv4 || socket.options.receiveErrors === true;
				tellSocket(stack, socket, quote);
			}
		}
	}
	const { view } = reception.packet;
	switch (proto) {
		case IpProto.Udp: {
			const port = udpSourcePort(view, quote.payloadAt);
			const socket = findUdpSocket(stack, family, source, port, device.name);
			if (socket !== undefined) {
				concerned = true;
				if (socket.encap === 0) {
					tellSocket(stack, socket, quote);
				}
			}
			break;
		}
		case IpProto.Esp:
		case IpProto.Ah:
		case IpProto.Comp:
			concerned ||= knowsQuoted(stack, reception, quote);
			break;
		case IpProto.Icmp:
		case IpProto.Icmpv6:
			concerned ||= family === Family.Ipv6 || view.getUint8(quote.payloadAt) === IcmpType.EchoReply;
			break;
	}
	return concerned && quote.mtu !== undefined ? learnPathMtu(stack, quote, quote.mtu) : undefined;
}

/** Is there a state by which the quoted packet may have left (U-7)? */
function knowsQuoted(stack: Stack, reception: Reception, quote: Quote): boolean {
	const { view } = reception.packet;
	const { family, destination, proto, payloadAt } = quote;
	const spi =
		proto === IpProto.Esp
			? espSpi(view, payloadAt)
			: proto === IpProto.Ah
				? ahSpi(view, payloadAt)
				: ipcompCpi(view, payloadAt);
	// A VTI device between the two ends knows its states by the mark that they have outward.
	const vti = vtiBetween(stack, family, destination, quote.source)?.virtual;
	const mark = vti?.kind === 'vti' ? vti.outKey : reception.packet.mark;
	return stack.engine.knowsQuoted(family, destination, spi, proto, mark);
}

/** Takes a smaller path MTU over. @spec U-7 U-8 X-17 */
function learnPathMtu(stack: Stack, quote: Quote, told: number): number | undefined {
	const { family, destination, source } = quote;
	const route = routeOutput(stack, family, destination, source, 0, 0);
	const mtu = typeof route === 'number' ? undefined : narrowedPathMtu(family, told, route.mtu);
	if (mtu !== undefined) {
		stack.pathMtus.learn(family, destination, mtu, stack.nowUs);
		stack.routeGeneration++;
	}
	return mtu;
}

/** A socket that asked for errors gets it (IP_RECVERR). */
function tellSocket(stack: Stack, socket: Socket, quote: Quote): void {
	const { family, type, code } = quote;
	if (socket.options.receiveErrors !== true) {
		return;
	}
	const error = family === Family.Ipv4 ? errnoOfIpv4(type, code) : errnoOfIpv6(type, code);
	if (error === 0) {
		return;
	}
	stack.effect({
		kind: 'socket-error',
		socketId: socket.id,
		family,
		port: socket.port,
		error,
		icmpType: type,
		icmpCode: code,
	});
}

/** Errors by code of "destination unreachable" (RFC 1122 §4.2.3.9 and Linux). */
const UNREACHABLE_IPV4: readonly number[] = [
	Errno.ENETUNREACH,
	Errno.EHOSTUNREACH,
	Errno.ENOPROTOOPT,
	Errno.ECONNREFUSED,
	Errno.EMSGSIZE,
	Errno.EOPNOTSUPP,
	Errno.ENETUNREACH,
	Errno.EHOSTDOWN,
	Errno.ENONET,
	Errno.ENETUNREACH,
	Errno.EHOSTUNREACH,
	Errno.ENETUNREACH,
];
const UNREACHABLE_IPV6: readonly number[] = [
	Errno.ENETUNREACH,
	Errno.EACCES,
	Errno.EHOSTUNREACH,
	Errno.EHOSTUNREACH,
	Errno.ECONNREFUSED,
	Errno.EACCES,
	Errno.EACCES,
];

function errnoOfIpv4(type: number, code: number): number {
	switch (type) {
		case IcmpType.SourceQuench:
			return 0;
		case IcmpType.ParameterProblem:
			return Errno.EPROTO;
		case IcmpType.DestinationUnreachable:
			return UNREACHABLE_IPV4[code] ?? Errno.EHOSTUNREACH;
		default:
			return Errno.EHOSTUNREACH;
	}
}

function errnoOfIpv6(type: number, code: number): number {
	switch (type) {
		case Icmpv6Type.DestinationUnreachable:
			return UNREACHABLE_IPV6[code] ?? Errno.EPROTO;
		case Icmpv6Type.PacketTooBig:
			return Errno.EMSGSIZE;
		case Icmpv6Type.TimeExceeded:
			return Errno.EHOSTUNREACH;
		default:
			return Errno.EPROTO;
	}
}
