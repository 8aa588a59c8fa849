/**
 * UDP on the way in (RFC 768; net/ipv4/udp.c, net/ipv6/udp.c): the socket for a datagram, its policy
 * check, ESP in UDP on sockets that asked for it, "port unreachable" when nobody listens.
 */
import { PacketAction } from '@xfrm/engine';
import {
	checksumAdd,
	checksumFold,
	fitsUdp,
	IcmpType,
	IcmpUnreachableCode,
	Icmpv6Type,
	Icmpv6UnreachableCode,
	ipv4PseudoSum,
	ipv6PseudoSum,
	type PacketBuffer,
	UDP_HEADER_OCTETS,
	udpChecksum,
	udpDestinationPort,
	udpLength,
	udpLengthIsSound,
	udpSourcePort,
} from '@xfrm/wire';
import { type Address, Direction, Family, isAnyAddress } from '@xfrm/wire/xfrm';
import { destinationOf, sourceOf } from './address-words.ts';
import { admitTransform, needsAdmission } from './arrival.ts';
import { afterInput } from './deliver.ts';
import { HostDrop } from './host-trace.ts';
import { sendIcmpError } from './icmp-send.ts';
import { CHECKED_FIRST_OCTETS } from './limits.ts';
import { policyAccepts } from './policy.ts';
import { socketView } from './raw-socket.ts';
import type { Reception } from './reception.ts';
import type { Socket } from './socket.ts';
import type { Stack } from './stack.ts';

/** The socket for a datagram: the most closely bound, of equals the youngest. */
export function findUdpSocket(
	stack: Stack,
	family: number,
	destination: Address,
	port: number,
	device: string,
): Socket | undefined {
	let best: Socket | undefined;
	let bestScore = -1;
	for (const socket of stack.sockets.all()) {
		if (
			socket.kind !== 'udp' ||
			socket.port !== port ||
			!socket.accepts(family, destination, device)
		) {
			continue;
		}
		const { source, device: bound } = socket.options;
		const bySource = source !== undefined && !isAnyAddress(source, family) ? 1 : 0;
		const score = bySource + (bound === undefined ? 0 : 1);
		if (score >= bestScore) {
			best = socket;
			bestScore = score;
		}
	}
	return best;
}

/**
 * Takes the datagram at `transportAt`; true when ESP was in it and another protocol follows now.
 *
 * @spec I-1 I-22 NT-2
 */
export function receiveUdp(stack: Stack, reception: Reception): boolean {
	const { packet, device } = reception;
	const { view, transportAt: at, family } = packet;
	const end = datagramEnd(packet);
	if (end < 0) {
		stack.drop(HostDrop.TransportHeader);
		return false;
	}
	packet.end = end;
	if (family === Family.Ipv6 && udpChecksum(view, at) === 0) {
		stack.drop(HostDrop.TransportChecksum);
		return false;
	}
	// Short datagrams are verified before anything else, so that damaged ones are not counted.
	const octets = packet.end - at;
	if (octets <= CHECKED_FIRST_OCTETS && !checksumIsRight(reception, octets)) {
		stack.drop(HostDrop.TransportChecksum);
		return false;
	}
	const destination = destinationOf(packet);
	const port = udpDestinationPort(view, at);
	const socket = findUdpSocket(stack, family, destination, port, device.name);
	if (socket === undefined) {
		refusePort(stack, reception, octets);
		return false;
	}
	if (!policyAccepts(stack, reception, Direction.In, socket)) {
		return false;
	}
	if (!checksumIsRight(reception, octets)) {
		stack.drop(HostDrop.TransportChecksum);
		return false;
	}
	if (socket.encap !== 0) {
		let admitted = true;
		const admit = needsAdmission(stack, packet)
			? (): boolean => {
					admitted = admitTransform(stack, reception);
					return admitted;
				}
			: undefined;
		stack.engine.udpEncapInput(stack.batchOf(packet), socket.encap, admit);
		if (!admitted) {
			return false;
		}
		if (packet.action !== PacketAction.ToSocket) {
			reception.checksumTrusted = packet.action === PacketAction.Continue;
			return afterInput(stack, reception);
		}
	}
	deliverDatagram(stack, packet, socket.id);
	return false;
}

/**
 * Where the datagram ends by its own length, -1 when that cannot be. Over IPv6 a length of 0 says: where the
 * packet does (RFC 2675).
 */
function datagramEnd({ view, transportAt: at, end, family }: PacketBuffer): number {
	if (!fitsUdp(view, at, end)) {
		return -1;
	}
	if (family === Family.Ipv6 && udpLength(view, at) === 0) {
		return end;
	}
	return udpLengthIsSound(view, at, end) ? at + udpLength(view, at) : -1;
}

function deliverDatagram(stack: Stack, packet: PacketBuffer, socketId: number): void {
	const { view, transportAt: at, family, proto } = packet;
	stack.effect({
		kind: 'deliver',
		socketId,
		family,
		proto,
		source: sourceOf(packet),
		destination: destinationOf(packet),
		...socketView(packet),
		sport: udpSourcePort(view, at),
		dport: udpDestinationPort(view, at),
		payload: packet.bytes.slice(at + UDP_HEADER_OCTETS, packet.end),
	});
}

/**
 * Nobody has the port of a UDP or UDP-Lite datagram. A broadcast is gone then, and no policy is asked.
 *
 * @param covered octets of it that its checksum covers
 */
export function refusePort(stack: Stack, reception: Reception, covered: number): void {
	const { packet } = reception;
	if (reception.broadcast) {
		stack.drop(HostDrop.NoSocket);
		return;
	}
	if (!policyAccepts(stack, reception, Direction.In)) {
		return;
	}
	if (!checksumIsRight(reception, covered)) {
		stack.drop(HostDrop.TransportChecksum);
		return;
	}
	if (stack.assumeSockets) {
		deliverDatagram(stack, packet, 0);
		return;
	}
	sendPortUnreachable(stack, reception);
}

/** Drops it for want of a socket, and tells the sender. */
export function sendPortUnreachable(stack: Stack, reception: Reception): void {
	stack.drop(HostDrop.NoSocket);
	if (reception.packet.family === Family.Ipv4) {
		const code = IcmpUnreachableCode.Port;
		sendIcmpError(stack, reception, IcmpType.DestinationUnreachable, code, 0);
	} else {
		const code = Icmpv6UnreachableCode.Port;
		sendIcmpError(stack, reception, Icmpv6Type.DestinationUnreachable, code, 0);
	}
}

/**
 * Is the checksum of a UDP or UDP-Lite datagram, over the pseudo header with its whole length in it and its first
 * `covered` octets, right, absent or trusted?
 *
 * @spec NT-8
 */
export function checksumIsRight(reception: Reception, covered: number): boolean {
	const { bytes, view, start, end, transportAt: at, family, proto } = reception.packet;
	if (udpChecksum(view, at) === 0 || reception.checksumTrusted) {
		return true;
	}
	const pseudo =
		family === Family.Ipv4
			? ipv4PseudoSum(view, start, end - at, proto)
			: ipv6PseudoSum(view, start, end - at, proto);
	return checksumFold(checksumAdd(bytes, at, at + covered, pseudo)) === 0;
}
