/**
 * ICMP errors and echo replies that this host makes (net/ipv4/icmp.c, net/ipv6/icmp.c; RFC 1812 §4.3,
 * RFC 4443 §2.4): when none is sent, what it quotes, which address it comes from, and by which policies
 * it leaves (O-15).
 */

import { PacketAction } from '@xfrm/engine';
import {
	decodeFlowAt,
	Flow,
	fillIcmpChecksum,
	fillIcmpv6Checksum,
	HEADROOM_OCTETS,
	ICMP_HEADER_OCTETS,
	IcmpType,
	IcmpUnreachableCode,
	Icmpv6ParameterCode,
	Icmpv6Type,
	IPV4_HEADER_OCTETS,
	IPV6_DESTINATION_AT,
	IPV6_HEADER_OCTETS,
	IPV6_MTU_MIN,
	IPV6_SOURCE_AT,
	ipv4FragmentOffset,
	ipv4HeaderOctets,
	ipv4Protocol,
	ipv4Tos,
	ipv6NextHeader,
	PacketBuffer,
	type Route,
	swapIpv6Addresses,
	TAILROOM_OCTETS,
	writeIcmp,
} from '@xfrm/wire';
import { type Address, anyAddress, Family, IpProto, isAnyAddress } from '@xfrm/wire/xfrm';
import { destinationOf, setFlow, sourceOf, wordsToAddress } from './address-words.ts';
import { SkippedHeaders, skipHeaders } from './header-skip.ts';
import { routeInput } from './input-route.ts';
import { type OwnHeader, writeIpHeader } from './ip-header.ts';
import { echoedIpv4Options } from './ipv4-options.ts';
import { outputPacket } from './output.ts';
import type { Reception } from './reception.ts';
import { isLocalAddress, isNetworkAddress, routeOutput } from './route-lookup.ts';
import { selectSource } from './source-address.ts';
import type { Stack } from './stack.ts';

/** An ICMPv4 error is at most this long (RFC 1812 §4.3.2.3). */
const ICMP_ERROR_OCTETS_MAX = 576;
/** IPv4 header with options, or IPv6 header, and that of the message. */
const HEADERS_OCTETS_MAX = 68;
/** TOS bits that an error takes over, and its precedence "internetwork control". */
const TOS_MASK = 0x1e;
const PRECEDENCE_INTERNETWORK_CONTROL = 0xc0;
/** ICMP types that are no errors: echo, timestamp, information, address mask. All others count as such. */
const INFORMATIONAL_TYPES: readonly number[] = [0, 8, 13, 14, 15, 16, 17, 18];
const ICMPV6_INFORMATIONAL = 0x80;

const NO_OPTIONS = new Uint8Array(0);
const skipped: SkippedHeaders = new SkippedHeaders();
const quotedFlow: Flow = new Flow();

/**
 * Sends an ICMP or ICMPv6 error about a packet, unless one must not be sent.
 *
 * @param rest the four octets behind the checksum: MTU, pointer (IPv4: in the first octet)
 * @spec O-15
 */
export function sendIcmpError(
	stack: Stack,
	about: Reception,
	type: number,
	code: number,
	rest: number,
): void {
	const { family } = about.packet;
	const allowed =
		family === Family.Ipv4 ? mayAnswerIpv4(about) : mayAnswerIpv6(about, type, code, rest);
	if (!allowed) {
		return;
	}
	if (stack.tracer !== null) {
		stack.tracer.note({ kind: 'icmp-error', family, type, code, rest });
	}
	if (family === Family.Ipv4) {
		sendIpv4Error(stack, about, type, code, rest);
	} else {
		sendIpv6Error(stack, about, type, code, rest);
	}
}

/** No error about broadcasts, later fragments, and ICMP errors. */
function mayAnswerIpv4(about: Reception): boolean {
	const { packet, broadcast } = about;
	const { view, start, end } = packet;
	if (broadcast || start + IPV4_HEADER_OCTETS > end || ipv4FragmentOffset(view, start) !== 0) {
		return false;
	}
	if (ipv4Protocol(view, start) !== IpProto.Icmp) {
		return true;
	}
	const typeAt = start + ipv4HeaderOctets(view, start);
	if (typeAt >= end) {
		return false;
	}
	return INFORMATIONAL_TYPES.includes(view.getUint8(typeAt));
}

/** No error about multicasts (with exceptions), about sources that are no single node, and about ICMPv6 errors. */
function mayAnswerIpv6(about: Reception, type: number, code: number, pointer: number): boolean {
	const { packet } = about;
	const { view, bytes, start, end } = packet;
	if (start + IPV6_HEADER_OCTETS > end) {
		return false;
	}
	if (bytes[start + IPV6_DESTINATION_AT] === 0xff) {
		const unknownOption =
			type === Icmpv6Type.ParameterProblem &&
			code === Icmpv6ParameterCode.UnknownOption &&
			((bytes[start + pointer] ?? 0) & 0xc0) === 0x80;
		if (type !== Icmpv6Type.PacketTooBig && !unknownOption) {
			return false;
		}
	}
	const source = sourceOf(packet);
	if (source[0] === 0xff || isAnyAddress(source, Family.Ipv6)) {
		return false;
	}
	const firstAt = start + IPV6_HEADER_OCTETS;
	const first = ipv6NextHeader(view, start);
	if (!skipHeaders(skipped, view, firstAt, end, first) || skipped.proto !== IpProto.Icmpv6) {
		return true;
	}
	if (skipped.at >= end) {
		return skipped.fragment;
	}
	return (view.getUint8(skipped.at) & ICMPV6_INFORMATIONAL) !== 0;
}

/** A buffer without a packet, with room for one of this length. */
function emptyBuffer(family: number, octets: number): PacketBuffer {
	const packet = new PacketBuffer(HEADROOM_OCTETS + octets + TAILROOM_OCTETS);
	packet.family = family;
	return packet;
}

/** Looks the error up by its own flow and by the one it is about; false when it must not go. */
function lookup(
	stack: Stack,
	packet: PacketBuffer,
	about: PacketBuffer,
	quotedRoute: (flow: Flow) => Route | null,
): boolean {
	const { profile } = stack.engine.net;
	const { view, start, end, family } = about;
	const decoded = decodeFlowAt(
		quotedFlow,
		view,
		start,
		end,
		family,
		true,
		profile.genericDissector,
	);
	quotedFlow.mark = about.mark;
	quotedFlow.oif = about.iif;
	const route = decoded ? quotedRoute(quotedFlow) : null;
	stack.engine.lookupIcmpError(packet, quotedFlow, route, stack.nowUs);
	return packet.action === PacketAction.Pass || packet.action === PacketAction.Transformed;
}

function sendIpv4Error(
	stack: Stack,
	about: Reception,
	type: number,
	code: number,
	rest: number,
): void {
	const { packet: quoted, owner } = about;
	const tos = (ipv4Tos(quoted.view, quoted.start) & TOS_MASK) | PRECEDENCE_INTERNETWORK_CONTROL;
	let destination = sourceOf(quoted);
	const asked = owner === undefined ? anyAddress() : destinationOf(quoted);
	const route = routeOutput(stack, Family.Ipv4, destination, asked, 0, 0, tos);
	if (typeof route === 'number') {
		return;
	}
	let { source } = route;
	const packet = emptyBuffer(Family.Ipv4, ICMP_ERROR_OCTETS_MAX);
	packet.route = route;
	setFlow(packet.flow, Family.Ipv4, source, destination, IpProto.Icmp, type, code);
	packet.flow.mark = 0;
	packet.flow.oif = route.ifindex;
	if (!lookup(stack, packet, quoted, (flow) => reversedRoute(stack, flow))) {
		return;
	}
	if (packet.route !== route) {
		// Found by the quoted flow: the error takes its ends over.
		source = wordsToAddress(quotedFlow.saddr);
		destination = wordsToAddress(quotedFlow.daddr);
	}
	const options = echoedIpv4Options(stack, about, source);
	if (options === undefined || !admitError(stack, packet, destination, type, code)) {
		return;
	}
	const headersOctets = IPV4_HEADER_OCTETS + options.length + ICMP_HEADER_OCTETS;
	const room = Math.min(packet.mtu, ICMP_ERROR_OCTETS_MAX) - headersOctets;
	if (room <= IPV4_HEADER_OCTETS) {
		return;
	}
	const body = quoted.bytes.subarray(quoted.start, Math.min(quoted.end, quoted.start + room));
	const ends = { source, destination, trafficClass: tos, options };
	writeMessage(stack, packet, ends, [type, code, rest], body);
	outputPacket(stack, packet, true, about.device);
}

/** Types that net.ipv4.icmp_ratelimit limits (icmp_ratemask); never "fragmentation needed", nor by lo. */
const LIMITED_TYPES: readonly number[] = [
	IcmpType.DestinationUnreachable,
	IcmpType.SourceQuench,
	IcmpType.TimeExceeded,
	IcmpType.ParameterProblem,
];

function admitError(
	stack: Stack,
	packet: PacketBuffer,
	destination: Address,
	type: number,
	code: number,
): boolean {
	const mtu =
		type === IcmpType.DestinationUnreachable && code === IcmpUnreachableCode.FragmentationNeeded;
	if (mtu || packet.route?.loopback === true || !LIMITED_TYPES.includes(type)) {
		return true;
	}
	const [a = 0, b = 0, c = 0, d = 0] = destination;
	const peer = (a << 24) | (b << 16) | (c << 8) | d;
	return stack.peers.admitError(peer, stack.nowUs, stack.sysctls.icmp_ratelimit * 1000);
}

/** Route for the reversed flow of a packet: an output route when its source is ours, else as if the answer came in. */
function reversedRoute(stack: Stack, flow: Flow): Route | null {
	const source = wordsToAddress(flow.saddr);
	const destination = wordsToAddress(flow.daddr);
	if (isLocalAddress(stack, Family.Ipv4, source)) {
		const route = routeOutput(stack, Family.Ipv4, destination, source, flow.mark, 0);
		return typeof route === 'number' ? null : route;
	}
	const back = routeOutput(stack, Family.Ipv4, source, anyAddress(), flow.mark, 0);
	const device = typeof back === 'number' ? undefined : stack.devices.numbered(back.ifindex);
	if (device === undefined) {
		return null;
	}
	const found = routeInput(stack, {
		family: Family.Ipv4,
		daddr: destination,
		saddr: source,
		mark: flow.mark,
		device,
		tos: 0,
		unwrapped: false,
	});
	return found.decision === 'forward' ? found.route : null;
}

function sendIpv6Error(
	stack: Stack,
	about: Reception,
	type: number,
	code: number,
	rest: number,
): void {
	const { packet: quoted, device, homeAddressAt } = about;
	const ownDestination = destinationOf(quoted);
	if (homeAddressAt !== 0) {
		// The error goes to the care-of address, and quotes what was on the wire.
		swapIpv6Addresses(quoted.view, quoted.start + IPV6_SOURCE_AT, quoted.start + homeAddressAt);
		about.homeAddressAt = 0;
	}
	const destination = sourceOf(quoted);
	const asked = isLocalAddress(stack, Family.Ipv6, ownDestination)
		? ownDestination
		: sourceByDevice(stack, about, destination);
	const route = routeOutput(stack, Family.Ipv6, destination, asked, 0, 0);
	// Nobody is told who is no single node (RFC 4443 §2.4 e).
	if (typeof route === 'number' || isNetworkAddress(stack, destination, route.source)) {
		return;
	}
	const packet = emptyBuffer(Family.Ipv6, IPV6_MTU_MIN);
	packet.route = route;
	setFlow(packet.flow, Family.Ipv6, route.source, destination, IpProto.Icmpv6, type, code);
	packet.flow.mark = 0;
	packet.flow.oif = 0;
	const quotedRoute = (flow: Flow): Route | null => {
		const daddr = wordsToAddress(flow.daddr);
		const found = routeOutput(stack, Family.Ipv6, daddr, wordsToAddress(flow.saddr), flow.mark, 0);
		return typeof found === 'number' ? null : found;
	};
	if (!lookup(stack, packet, quoted, quotedRoute)) {
		return;
	}
	const room = IPV6_MTU_MIN - IPV6_HEADER_OCTETS - ICMP_HEADER_OCTETS;
	const body = quoted.bytes.subarray(quoted.start, Math.min(quoted.end, quoted.start + room));
	const ends = { source: route.source, destination, trafficClass: 0, options: NO_OPTIONS };
	writeMessage(stack, packet, ends, [type, code, rest], body);
	outputPacket(stack, packet, true, device);
}

/** Without a preferred source in the route, an address that fits the device the packet came by. */
function sourceByDevice(stack: Stack, about: Reception, destination: Address): Address {
	const route = routeOutput(stack, Family.Ipv6, destination, anyAddress(), 0, 0);
	if (typeof route === 'number' || route.preferredSource) {
		return anyAddress();
	}
	const entry = { kind: 'unicast' as const };
	return selectSource(stack.devices, Family.Ipv6, about.device, destination, entry);
}

/** Puts IP header and ICMP message into the buffer. */
function writeMessage(
	stack: Stack,
	packet: PacketBuffer,
	ends: Pick<OwnHeader, 'source' | 'destination' | 'trafficClass'> & { options: Uint8Array },
	[type, code, rest]: readonly [type: number, code: number, rest: number],
	body: Uint8Array,
): void {
	const { family } = packet;
	const proto = family === Family.Ipv4 ? IpProto.Icmp : IpProto.Icmpv6;
	const hopLimit = packet.route?.hopLimit ?? 64;
	const at = writeIpHeader(stack, packet, {
		...ends,
		hopLimit,
		proto,
		dontFragment: false,
		payloadOctets: ICMP_HEADER_OCTETS + body.length,
	});
	writeIcmp(packet.view, at, type, code, rest);
	packet.bytes.set(body, at + ICMP_HEADER_OCTETS);
	if (family === Family.Ipv4) {
		fillIcmpChecksum(packet.bytes, packet.view, at, packet.end);
	} else {
		fillIcmpv6Checksum(packet.bytes, packet.view, packet.start, at, packet.end);
	}
}

/** Answers an echo request whose ICMP header stands at `transportAt` (RFC 1122 §3.2.2.6, RFC 4443 §4.2). */
export function sendEchoReply(stack: Stack, request: Reception): void {
	const { packet: asked, device } = request;
	const { family } = asked;
	const destination = sourceOf(asked);
	const own = destinationOf(asked);
	const source = isLocalAddress(stack, family, own) ? own : anyAddress();
	const tos = family === Family.Ipv4 ? ipv4Tos(asked.view, asked.start) : 0;
	const route = routeOutput(stack, family, destination, source, 0, 0, tos);
	if (typeof route === 'number') {
		return;
	}
	const bodyAt = asked.transportAt + ICMP_HEADER_OCTETS;
	const body = asked.bytes.subarray(bodyAt, asked.end);
	const packet = emptyBuffer(family, HEADERS_OCTETS_MAX + body.length);
	packet.route = route;
	const ipv4 = family === Family.Ipv4;
	const type = ipv4 ? IcmpType.EchoReply : Icmpv6Type.EchoReply;
	const proto = ipv4 ? IpProto.Icmp : IpProto.Icmpv6;
	setFlow(packet.flow, family, route.source, destination, proto, type, 0);
	packet.flow.mark = 0;
	packet.flow.oif = ipv4 ? route.ifindex : 0;
	stack.engine.lookup(stack.batchOf(packet));
	if (packet.action !== PacketAction.Pass && packet.action !== PacketAction.Transformed) {
		return;
	}
	const options = ipv4 ? echoedIpv4Options(stack, request, route.source) : NO_OPTIONS;
	if (options === undefined) {
		return;
	}
	const rest = asked.view.getInt32(asked.transportAt + 4);
	const ends = { source: route.source, destination, trafficClass: tos, options };
	writeMessage(stack, packet, ends, [type, 0, rest], body);
	outputPacket(stack, packet, true, device);
}
