/**
 * What sockets send (net/ipv4/raw.c, net/ipv4/udp.c, net/ipv6/raw.c, net/ipv6/udp.c): flow, route, OUT
 * lookup, headers, out. Every refusal is an errno; 0 says that the call succeeded, which is not that the
 * packet arrived (O-7).
 */
import { Bundle, PacketAction } from '@xfrm/engine';
import {
	checksumAdd,
	checksumFold,
	decodeFlowAt,
	Flow,
	fillUdpChecksum,
	HEADROOM_OCTETS,
	IPV4_DESTINATION_AT,
	IPV4_HEADER_OCTETS,
	IPV4_SOURCE_AT,
	IPV6_DESTINATION_AT,
	IPV6_HEADER_OCTETS,
	IPV6_SOURCE_AT,
	ipv4DontFragment,
	ipv4HeaderOctets,
	ipv4Id,
	ipv4Source,
	ipv6PseudoSum,
	PacketBuffer,
	setIpv4Checksum,
	setIpv4Id,
	setIpv4TotalLength,
	TAILROOM_OCTETS,
	UDP_HEADER_OCTETS,
	useRealMobilityType,
	writeUdp,
} from '@xfrm/wire';
import { type Address, addressFrom, anyAddress, Errno, Family, IpProto } from '@xfrm/wire/xfrm';
import { setFlow } from './address-words.ts';
import type { Datagram } from './host.ts';
import { writeIpHeader } from './ip-header.ts';
import { outputPacket } from './output.ts';
import { type HostRoute, routeOutput } from './route-lookup.ts';
import type { Socket } from './socket.ts';
import type { Stack } from './stack.ts';

/** Longest message of any socket here. */
const MESSAGE_OCTETS_MAX = 65535;

/** A packet with its route and OUT lookup done, or the errno of the sender (0: gone without a word). */
type Prepared = { readonly packet: PacketBuffer; readonly route: HostRoute } | number;

/** Protocol and port values of a flow. */
interface FlowKey {
	readonly proto: number;
	readonly sport: number;
	readonly dport: number;
}

/** Route and lookup for a message of `octets` to come. */
function prepare(
	stack: Stack,
	socket: Socket,
	destination: Address,
	key: FlowKey,
	octets: number,
): Prepared {
	const { family, source, mark = 0, device, trafficClass = 0, ifId = 0 } = socket.options;
	const oif = device === undefined ? 0 : (stack.devices.named(device)?.ifindex ?? 0);
	const asked = source ?? anyAddress();
	const route = routeOutput(stack, family, destination, asked, mark, oif, trafficClass);
	if (typeof route === 'number') {
		return route;
	}
	const packet = new PacketBuffer(HEADROOM_OCTETS + octets + TAILROOM_OCTETS);
	packet.family = family;
	packet.route = route;
	packet.mark = mark | 0;
	packet.socketId = socket.id;
	packet.ifId = ifId | 0;
	setFlow(packet.flow, family, route.source, destination, key.proto, key.sport, key.dport);
	packet.flow.mark = mark | 0;
	// IPv4 looks up with the device that the route found, IPv6 with the one that was asked for.
	packet.flow.oif = family === Family.Ipv4 ? route.ifindex : oif;
	stack.engine.lookup(stack.batchOf(packet));
	if (packet.action !== PacketAction.Pass && packet.action !== PacketAction.Transformed) {
		return packet.error;
	}
	return route.kind === 'broadcast' ? Errno.EACCES : { packet, route };
}

/** MTU of the device that the packet will leave by. */
function deviceMtu(stack: Stack, packet: PacketBuffer, route: HostRoute): number {
	const { bundle } = packet;
	const last = bundle instanceof Bundle ? bundle.route : route;
	return stack.devices.numbered(last.ifindex)?.mtu ?? last.mtu;
}

/** See `Host.sendRaw`. */
export function sendRaw(
	stack: Stack,
	socketId: number,
	octets: Uint8Array,
	destination: Address | undefined,
): number {
	const socket = stack.sockets.get(socketId);
	if (socket === undefined || socket.kind !== 'raw') {
		throw new RangeError(`no raw socket ${socketId}`);
	}
	if (octets.length > MESSAGE_OCTETS_MAX) {
		return Errno.EMSGSIZE;
	}
	if (!socket.headerIncluded) {
		return destination === undefined
			? Errno.EINVAL
			: sendRawPayload(stack, socket, octets, destination);
	}
	return sendWithHeader(stack, socket, octets, destination);
}

/**
 * A packet with an IP header of its sender's. Its flow has addresses, protocol and mark only.
 *
 * @spec P-32
 */
function sendWithHeader(
	stack: Stack,
	socket: Socket,
	octets: Uint8Array,
	destination: Address | undefined,
): number {
	const ipv4 = socket.options.family === Family.Ipv4;
	const least = ipv4 ? IPV4_HEADER_OCTETS : IPV6_HEADER_OCTETS;
	if (destination === undefined && octets.length < least) {
		return Errno.EINVAL;
	}
	const daddr =
		destination ??
		(ipv4
			? addressFrom(octets, IPV4_DESTINATION_AT, 4)
			: addressFrom(octets, IPV6_DESTINATION_AT, 16));
	const proto = ipv4 ? IpProto.Raw : socket.proto;
	const key = socket.wholeFlow ? packetFlowKey(socket, octets) : { proto, sport: 0, dport: 0 };
	const prepared = prepare(stack, socket, daddr, key, octets.length);
	if (typeof prepared === 'number') {
		return prepared;
	}
	const { packet, route } = prepared;
	if (!socket.wholeFlow && octets.length > deviceMtu(stack, packet, route)) {
		return Errno.EMSGSIZE;
	}
	if (octets.length < least) {
		return Errno.EINVAL;
	}
	packet.bytes.set(octets, packet.start);
	packet.end = packet.start + octets.length;
	if (ipv4 && !completeIpv4(stack, packet, route.source)) {
		return Errno.EINVAL;
	}
	return outputPacket(stack, packet, socket.wholeFlow && !ipv4, stack.devices.loopback);
}

/** Protocol and ports of a whole packet, as the socket that it belongs to would name them. */
function packetFlowKey(socket: Socket, octets: Uint8Array): FlowKey {
	const flow = new Flow();
	const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
	decodeFlowAt(flow, view, 0, octets.length, socket.options.family, false);
	useRealMobilityType(flow, view, 0, octets.length);
	const { proto, sport, dport } = flow;
	return { proto, sport, dport };
}

/** Length, checksum, and what the sender left zero: source and, without DF, identification. */
function completeIpv4(stack: Stack, packet: PacketBuffer, source: Address): boolean {
	const { view, bytes, start, end } = packet;
	const headerOctets = ipv4HeaderOctets(view, start);
	if (headerOctets < IPV4_HEADER_OCTETS || start + headerOctets > end) {
		return false;
	}
	if (ipv4Source(view, start) === 0) {
		bytes.set(source.subarray(0, 4), start + IPV4_SOURCE_AT);
	}
	setIpv4TotalLength(view, start, end - start);
	if (ipv4Id(view, start) === 0 && !ipv4DontFragment(view, start)) {
		setIpv4Id(view, start, stack.ipv4Id());
	}
	setIpv4Checksum(view, start);
	return true;
}

/** ICMP type and code, or MH type, of what a raw socket sends (raw_probe_proto_opt). */
function rawFlowKey(socket: Socket, octets: Uint8Array): FlowKey {
	const { proto } = socket;
	const [first = 0, second = 0, third = 0] = octets;
	if (proto === IpProto.Icmp || proto === IpProto.Icmpv6) {
		return { proto, sport: first, dport: second };
	}
	return { proto, sport: proto === IpProto.MobilityHeader ? third : 0, dport: 0 };
}

/** Offset of the checksum that a raw IPv6 socket fills in, undefined for none. */
function checksumOffset(family: number, proto: number): number | undefined {
	if (family !== Family.Ipv6) {
		return undefined;
	}
	if (proto === IpProto.Icmpv6) {
		return 2;
	}
	return proto === IpProto.MobilityHeader ? 4 : undefined;
}

/** The host makes the IP header. */
function sendRawPayload(
	stack: Stack,
	socket: Socket,
	octets: Uint8Array,
	destination: Address,
): number {
	const { family } = socket.options;
	const room = IPV6_HEADER_OCTETS + octets.length;
	const prepared = prepare(stack, socket, destination, rawFlowKey(socket, octets), room);
	if (typeof prepared === 'number') {
		return prepared;
	}
	const { packet, route } = prepared;
	const at = writeHeader(stack, socket, packet, route, destination, socket.proto, octets.length);
	if (at < 0) {
		return Errno.EMSGSIZE;
	}
	packet.bytes.set(octets, at);
	const offset = checksumOffset(family, socket.proto);
	if (offset !== undefined && offset + 2 <= octets.length) {
		const { view, start, end } = packet;
		view.setUint16(at + offset, 0);
		const pseudo = ipv6PseudoSum(view, start, end - at, socket.proto);
		view.setUint16(at + offset, checksumFold(checksumAdd(packet.bytes, at, end, pseudo)));
	}
	return outputPacket(stack, packet, mayCut(socket), stack.devices.loopback);
}

/** Sockets that have not asked for "do not fragment" let long packets be cut. */
function mayCut(socket: Socket): boolean {
	return socket.options.dontFragment !== true;
}

/**
 * Writes the IP header for a payload; returns where that begins, or -1 when it is too long for a packet,
 * or for the path of a socket that wants no fragments.
 */
function writeHeader(
	stack: Stack,
	socket: Socket,
	packet: PacketBuffer,
	route: HostRoute,
	destination: Address,
	proto: number,
	payloadOctets: number,
): number {
	const { family, trafficClass = 0, hopLimit } = socket.options;
	const headerOctets = family === Family.Ipv4 ? IPV4_HEADER_OCTETS : IPV6_HEADER_OCTETS;
	const total = headerOctets + payloadOctets;
	const longest = family === Family.Ipv4 ? MESSAGE_OCTETS_MAX : MESSAGE_OCTETS_MAX + headerOctets;
	if (total > longest || (!mayCut(socket) && total > packet.mtu)) {
		return -1;
	}
	return writeIpHeader(stack, packet, {
		source: route.source,
		destination,
		trafficClass,
		hopLimit: hopLimit ?? route.hopLimit,
		proto,
		dontFragment: total <= packet.mtu,
		payloadOctets,
	});
}

/** See `Host.sendUdp`. */
export function sendUdp(stack: Stack, socketId: number, datagram: Datagram): number {
	const socket = stack.sockets.get(socketId);
	if (socket === undefined || socket.kind !== 'udp') {
		throw new RangeError(`no UDP socket ${socketId}`);
	}
	const { destination, port, payload } = datagram;
	const octets = UDP_HEADER_OCTETS + payload.length;
	if (octets > MESSAGE_OCTETS_MAX) {
		return Errno.EMSGSIZE;
	}
	const key = { proto: IpProto.Udp, sport: socket.port, dport: port };
	const prepared = prepare(stack, socket, destination, key, IPV6_HEADER_OCTETS + octets);
	if (typeof prepared === 'number') {
		return prepared;
	}
	const { packet, route } = prepared;
	const at = writeHeader(stack, socket, packet, route, destination, IpProto.Udp, octets);
	if (at < 0) {
		return Errno.EMSGSIZE;
	}
	const { view, bytes, start, end, family } = packet;
	writeUdp(view, at, socket.port, port, octets);
	bytes.set(payload, at + UDP_HEADER_OCTETS);
	const ipv4 = family === Family.Ipv4;
	const sourceAt = start + (ipv4 ? IPV4_SOURCE_AT : IPV6_SOURCE_AT);
	const destinationAt = start + (ipv4 ? IPV4_DESTINATION_AT : IPV6_DESTINATION_AT);
	fillUdpChecksum(bytes, view, family, sourceAt, destinationAt, at, end);
	return outputPacket(stack, packet, mayCut(socket), stack.devices.loopback);
}
