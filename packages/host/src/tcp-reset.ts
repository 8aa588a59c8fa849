/**
 * TCP on the way in: nobody listens here, so every segment that passes the policy check is answered with
 * a reset (RFC 9293 §3.10.7.1; net/ipv4/tcp_ipv4.c, net/ipv6/tcp_ipv6.c). There is no more of TCP than
 * this.
 */
import { PacketAction } from '@xfrm/engine';
import {
	checksumAdd,
	checksumFold,
	fillTcpChecksum,
	fitsTcp,
	HEADROOM_OCTETS,
	IPV4_DESTINATION_AT,
	IPV4_SOURCE_AT,
	IPV6_DESTINATION_AT,
	IPV6_SOURCE_AT,
	ipv4PseudoSum,
	ipv6PseudoSum,
	PacketBuffer,
	TAILROOM_OCTETS,
	TCP_HEADER_OCTETS,
	TcpFlag,
	tcpAcknowledgment,
	tcpDestinationPort,
	tcpFlags,
	tcpHeaderOctets,
	tcpSequence,
	tcpSourcePort,
	writeTcp,
} from '@xfrm/wire';
import { Direction, Family, IpProto } from '@xfrm/wire/xfrm';
import { destinationOf, setFlow, sourceOf } from './address-words.ts';
import { HostDrop } from './host-trace.ts';
import { writeIpHeader } from './ip-header.ts';
import { echoedIpv4Options } from './ipv4-options.ts';
import { CHECKED_FIRST_OCTETS } from './limits.ts';
import { outputPacket } from './output.ts';
import { policyAccepts } from './policy.ts';
import { deliverWhole, socketView } from './raw-socket.ts';
import type { Reception } from './reception.ts';
import { routeOutput } from './route-lookup.ts';
import type { Stack } from './stack.ts';

/** IPv4 header with options, or IPv6 header, and TCP's. */
const HEADERS_OCTETS_MAX = 80;
/** ECN bits of TOS or traffic class, which a reset does not take over. */
const ECN_MASK = 3;

/** Takes the segment at `transportAt`. */
export function receiveTcp(stack: Stack, reception: Reception): void {
	const { packet } = reception;
	const { view, transportAt: at, end } = packet;
	if (!fitsTcp(view, at, end)) {
		stack.drop(HostDrop.TransportHeader);
		return;
	}
	if (end - at <= CHECKED_FIRST_OCTETS && !checksumIsRight(reception)) {
		stack.drop(HostDrop.TransportChecksum);
		return;
	}
	if (!policyAccepts(stack, reception, Direction.In)) {
		return;
	}
	if (!checksumIsRight(reception)) {
		stack.drop(HostDrop.TransportChecksum);
		return;
	}
	if (stack.assumeSockets) {
		deliverWhole(stack, packet, 0);
		return;
	}
	stack.drop(HostDrop.NoSocket);
	if ((tcpFlags(view, at) & TcpFlag.Rst) === 0 && !reception.broadcast) {
		sendReset(stack, reception);
	}
}

function checksumIsRight(reception: Reception): boolean {
	const { bytes, view, start, end, transportAt: at, family } = reception.packet;
	if (reception.checksumTrusted) {
		return true;
	}
	const pseudo =
		family === Family.Ipv4
			? ipv4PseudoSum(view, start, end - at, IpProto.Tcp)
			: ipv6PseudoSum(view, start, end - at, IpProto.Tcp);
	return checksumFold(checksumAdd(bytes, at, end, pseudo)) === 0;
}

function sendReset(stack: Stack, reception: Reception): void {
	const { packet: asked } = reception;
	const { view: theirs, transportAt: theirAt, family } = asked;
	const source = destinationOf(asked);
	const destination = sourceOf(asked);
	const trafficClass = socketView(asked).trafficClass & ~ECN_MASK;
	const ipv4 = family === Family.Ipv4;
	const route = routeOutput(stack, family, destination, source, 0, 0, trafficClass);
	if (typeof route === 'number') {
		return;
	}
	const packet = new PacketBuffer(HEADROOM_OCTETS + HEADERS_OCTETS_MAX + TAILROOM_OCTETS);
	packet.family = family;
	packet.route = route;
	const sport = tcpDestinationPort(theirs, theirAt);
	const dport = tcpSourcePort(theirs, theirAt);
	setFlow(packet.flow, family, source, destination, IpProto.Tcp, sport, dport);
	packet.flow.mark = 0;
	packet.flow.oif = ipv4 ? route.ifindex : 0;
	stack.engine.lookup(stack.batchOf(packet));
	if (packet.action !== PacketAction.Pass && packet.action !== PacketAction.Transformed) {
		return;
	}
	const options = ipv4 ? echoedIpv4Options(stack, reception, source) : new Uint8Array(0);
	if (options === undefined) {
		return;
	}
	const at = writeIpHeader(stack, packet, {
		options,
		source,
		destination,
		trafficClass,
		hopLimit: route.hopLimit,
		proto: IpProto.Tcp,
		dontFragment: true,
		fixedId: 0,
		payloadOctets: TCP_HEADER_OCTETS,
	});
	const { view, bytes, start, end } = packet;
	writeTcp(view, at, { sport, dport, ...answerTo(asked), window: 0 });
	const sourceAt = start + (ipv4 ? IPV4_SOURCE_AT : IPV6_SOURCE_AT);
	const destinationAt = start + (ipv4 ? IPV4_DESTINATION_AT : IPV6_DESTINATION_AT);
	fillTcpChecksum(bytes, view, family, sourceAt, destinationAt, at, end);
	outputPacket(stack, packet, false, reception.device);
}

/** Sequence number where the segment acknowledged one; else none, and what it occupied is acknowledged. */
function answerTo(asked: PacketBuffer): {
	sequence: number;
	acknowledgment: number;
	flags: number;
} {
	const { view, transportAt: at, end } = asked;
	const flags = tcpFlags(view, at);
	if ((flags & TcpFlag.Ack) !== 0) {
		return { sequence: tcpAcknowledgment(view, at), acknowledgment: 0, flags: TcpFlag.Rst };
	}
	const marks = Number((flags & TcpFlag.Syn) !== 0) + Number((flags & TcpFlag.Fin) !== 0);
	const occupied = end - at - tcpHeaderOctets(view, at) + marks;
	return {
		sequence: 0,
		acknowledgment: (tcpSequence(view, at) + occupied) | 0,
		flags: TcpFlag.Rst | TcpFlag.Ack,
	};
}
