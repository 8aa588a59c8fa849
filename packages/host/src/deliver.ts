/**
 * Local delivery (net/ipv4/ip_input.c, ip_protocol_deliver_rcu; net/ipv6/ip6_input.c,
 * ip6_protocol_deliver_rcu): from the first header behind the IP header to whoever takes the packet.
 * Raw sockets see every protocol first; then its handler takes it. Transforms take a header off, and
 * it goes on with what follows.
 *
 * Every taker makes the policy check for itself, so that one packet may be checked, and counted, more
 * than once.
 */
import { PacketAction } from '@xfrm/engine';
import {
	fitsFragment,
	fragmentIsAtomic,
	ICMP_HEADER_OCTETS,
	IcmpType,
	IcmpUnreachableCode,
	Icmpv6ParameterCode,
	IPV4_HEADER_OCTETS,
	IPV4_PROTOCOL_AT,
	IPV6_HEADER_OCTETS,
	ipv4HeaderOctets,
	ipv4IsFragment,
	ipv4Protocol,
	type PacketBuffer,
	TCP_HEADER_OCTETS,
	UDP_HEADER_OCTETS,
} from '@xfrm/wire';
import { Direction, Family, IpProto } from '@xfrm/wire/xfrm';
import { admitTransform, arriveByDevice } from './arrival.ts';
import {
	parameterProblem,
	receiveDestinationOptions,
	receiveRoutingHeader,
} from './extension-headers.ts';
import { SkippedHeaders, skipHeaders } from './header-skip.ts';
import { HostDrop } from './host-trace.ts';
import { receiveIcmp } from './icmp-receive.ts';
import { sendIcmpError } from './icmp-send.ts';
import { HEADERS_MAX } from './limits.ts';
import { policyAccepts } from './policy.ts';
import { deliverRaw, deliverWhole } from './raw-socket.ts';
import type { ReassemblyAnswer } from './reassembly.ts';
import type { Reception } from './reception.ts';
import type { Stack } from './stack.ts';
import { receiveTcp } from './tcp-reset.ts';
import { receiveUdpLite } from './udp-lite.ts';
import { receiveUdp, sendPortUnreachable } from './udp-socket.ts';

/** Code of a parameter problem: the first fragment lacks headers (RFC 7112). */
const INCOMPLETE_CHAIN = 3;
const MPLS_LABEL_OCTETS = 4;

const skipped: SkippedHeaders = new SkippedHeaders();

/** Hands an IPv4 packet to its protocol; fragments wait for one another first. */
export function deliverIpv4(stack: Stack, reception: Reception): void {
	const { packet } = reception;
	if (ipv4IsFragment(packet.view, packet.start)) {
		const whole = reassembled(stack, stack.reassembly.addIpv4(reception, stack.nowUs));
		if (whole !== undefined) {
			deliverIpv4(stack, whole);
		}
		return;
	}
	for (let headers = 0; headers < HEADERS_MAX; headers++) {
		const { view, start } = packet;
		packet.proto = ipv4Protocol(view, start);
		packet.nextHeaderAt = start + IPV4_PROTOCOL_AT;
		packet.transportAt = start + ipv4HeaderOctets(view, start);
		const taken = deliverRaw(stack, reception);
		if (!handleIpv4(stack, reception, taken)) {
			return;
		}
	}
	stack.drop(HostDrop.Loop);
}

/** The whole datagram, if there is one now. */
function reassembled(stack: Stack, answer: ReassemblyAnswer): Reception | undefined {
	if (answer.outcome === 'dropped') {
		stack.drop(HostDrop.Fragment);
	} else if (answer.outcome !== 'problem' && stack.tracer !== null) {
		stack.tracer.note({ kind: 'reassembly', complete: answer.outcome === 'complete' });
	}
	return answer.outcome === 'complete' ? answer.reception : undefined;
}

/** One protocol of IPv4; true when a header was taken off and the next one follows. */
function handleIpv4(stack: Stack, reception: Reception, taken: boolean): boolean {
	switch (reception.packet.proto) {
		case IpProto.Esp:
		case IpProto.Ah:
		case IpProto.Comp:
		case IpProto.Ipip:
		case IpProto.Ipv6:
			return transformInput(stack, reception);
		case IpProto.Udp:
			return receiveUdp(stack, reception);
		case IpProto.Tcp:
			receiveTcp(stack, reception);
			return false;
		case IpProto.Icmp:
			receiveIcmp(stack, reception, taken);
			return false;
		case IpProto.UdpLite:
			receiveUdpLite(stack, reception);
			return false;
		case IpProto.Mpls:
			refuseMpls(stack, reception);
			return false;
		case IpProto.Igmp:
		case IpProto.Pim:
			takeMulticastControl(stack, reception);
			return false;
		default:
			refuseProtocol(stack, reception, taken);
			return false;
	}
}

/**
 * Takes a transform off; true when the protocol behind it follows.
 *
 * @spec I-1 I-2 I-7 I-8
 */
function transformInput(stack: Stack, reception: Reception): boolean {
	const { packet } = reception;
	const { proto, family } = packet;
	if (proto === IpProto.Ipip || proto === IpProto.Ipv6) {
		// What can't be a packet in a packet is dropped before anybody asks for a state.
		const least = proto === IpProto.Ipip ? IPV4_HEADER_OCTETS : IPV6_HEADER_OCTETS;
		if (packet.transportAt + least > packet.end) {
			stack.drop(family === Family.Ipv4 ? HostDrop.Ipv4Header : HostDrop.Ipv6Header);
			return false;
		}
	}
	// Only what came in UDP right in front of it does a state with encapsulation take (I-7).
	packet.encapType = 0;
	packet.encapSport = 0;
	if (!admitTransform(stack, reception)) {
		return false;
	}
	stack.engine.input(stack.batchOf(packet));
	return afterInput(stack, reception);
}

/** What the engine's answer means: go on (true), or the packet comes anew, or it is gone. */
export function afterInput(stack: Stack, reception: Reception): boolean {
	if (stack.devices.virtual.length > 0) {
		arriveByDevice(stack, reception);
	}
	switch (reception.packet.action) {
		case PacketAction.Continue:
			return true;
		case PacketAction.Reinject:
			stack.pending.push(reception.again());
			return false;
		default:
			return false;
	}
}

/**
 * IGMP and PIM have a handler in every kernel that knows multicast: the packet ends there, without an answer.
 *
 * @spec I-22
 */
function takeMulticastControl(stack: Stack, reception: Reception): void {
	if (policyAccepts(stack, reception, Direction.In) && stack.assumeSockets) {
		deliverWhole(stack, reception.packet, 0);
	}
}

/**
 * MPLS in IP belongs to the tunnel handlers (net/ipv4/tunnel4.c, net/ipv6/tunnel6.c): without a tunnel it is
 * refused as a port would be, and no policy is asked.
 *
 * @spec I-22
 */
function refuseMpls(stack: Stack, reception: Reception): void {
	const { transportAt, end } = reception.packet;
	if (transportAt + MPLS_LABEL_OCTETS > end) {
		stack.drop(HostDrop.TransportHeader);
		return;
	}
	sendPortUnreachable(stack, reception);
}

/** Nobody speaks this protocol. */
function refuseProtocol(stack: Stack, reception: Reception, taken: boolean): void {
	if (taken || !policyAccepts(stack, reception, Direction.In)) {
		return;
	}
	if (stack.assumeSockets) {
		deliverWhole(stack, reception.packet, 0);
		return;
	}
	stack.drop(HostDrop.NoProtocol);
	const code = IcmpUnreachableCode.Protocol;
	sendIcmpError(stack, reception, IcmpType.DestinationUnreachable, code, 0);
}

/** Hands an IPv6 packet on, from the header at `transportAt`, header by header. */
export function deliverIpv6(stack: Stack, reception: Reception): void {
	const { packet } = reception;
	for (let headers = 0; headers < HEADERS_MAX; headers++) {
		packet.proto = packet.view.getUint8(packet.nextHeaderAt);
		const taken = deliverRaw(stack, reception);
		if (!handleIpv6(stack, reception, taken)) {
			return;
		}
	}
	stack.drop(HostDrop.Loop);
}

/** One header of IPv6; true when the next one follows. */
function handleIpv6(stack: Stack, reception: Reception, taken: boolean): boolean {
	switch (reception.packet.proto) {
		case IpProto.DestinationOptions:
			return receiveDestinationOptions(stack, reception);
		case IpProto.Routing:
			return receiveRoutingHeader(stack, reception);
		case IpProto.Fragment:
			return receiveFragment(stack, reception);
		case IpProto.Esp:
		case IpProto.Ah:
		case IpProto.Comp:
		case IpProto.Ipip:
		case IpProto.Ipv6:
			return transformInput(stack, reception);
		case IpProto.Udp:
			return receiveUdp(stack, reception);
		case IpProto.Tcp:
			receiveTcp(stack, reception);
			return false;
		case IpProto.Icmpv6:
			receiveIcmp(stack, reception, taken);
			return false;
		case IpProto.UdpLite:
			receiveUdpLite(stack, reception);
			return false;
		case IpProto.Mpls:
			refuseMpls(stack, reception);
			return false;
		case IpProto.NoNext:
			return false;
		default:
			refuseNextHeader(stack, reception, taken);
			return false;
	}
}

function refuseNextHeader(stack: Stack, reception: Reception, taken: boolean): void {
	const { packet } = reception;
	if (taken || !policyAccepts(stack, reception, Direction.In)) {
		return;
	}
	if (stack.assumeSockets) {
		deliverWhole(stack, reception.packet, 0);
		return;
	}
	stack.drop(HostDrop.NoProtocol);
	const code = Icmpv6ParameterCode.UnknownNextHeader;
	parameterProblem(stack, reception, code, packet.nextHeaderAt - packet.start);
}

/** A fragment header: an atomic one is skipped (RFC 6946), others wait for the rest of their datagram. */
function receiveFragment(stack: Stack, reception: Reception): boolean {
	const { packet } = reception;
	const { view, start, transportAt: at, end } = packet;
	if (reception.reassembled || !fitsFragment(view, at, end)) {
		stack.drop(HostDrop.Fragment);
		parameterProblem(stack, reception, Icmpv6ParameterCode.Header, at - start);
		return false;
	}
	if (fragmentIsAtomic(view, at)) {
		reception.reassembled = true;
		packet.nextHeaderAt = at;
		packet.transportAt = at + 8;
		return true;
	}
	if (headersAreCut(packet)) {
		stack.drop(HostDrop.Fragment);
		parameterProblem(stack, reception, INCOMPLETE_CHAIN, 0);
		return false;
	}
	const answer = stack.reassembly.addIpv6(reception, stack.nowUs);
	if (answer.outcome === 'problem') {
		stack.drop(HostDrop.Fragment);
		parameterProblem(stack, reception, Icmpv6ParameterCode.Header, answer.pointer);
	}
	const whole = reassembled(stack, answer);
	if (whole !== undefined) {
		deliverIpv6(stack, whole);
	}
	return false;
}

/** Is it a first fragment that ends before its upper header does (RFC 7112)? */
function headersAreCut(packet: PacketBuffer): boolean {
	const { view, end, transportAt, proto } = packet;
	const found = skipHeaders(skipped, view, transportAt, end, proto);
	return found && skipped.fragmentOffset === 0 && skipped.at + leastOctets(skipped.proto) > end;
}

function leastOctets(proto: number): number {
	switch (proto) {
		case IpProto.Tcp:
			return TCP_HEADER_OCTETS;
		case IpProto.Udp:
			return UDP_HEADER_OCTETS;
		case IpProto.Icmpv6:
			return ICMP_HEADER_OCTETS;
		default:
			return 1;
	}
}
