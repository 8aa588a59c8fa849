/**
 * The look at all states that send NAT keepalives (net/xfrm/xfrm_nat_keepalive.c, nat_keepalive_work): one
 * datagram for each that has sent nothing for its interval, and the time of the next look.
 *
 *     | IP | UDP sport → dport, length 9 | 0xff |
 *
 * The datagram is a packet of this host's: it meets the OUT policies like any other.
 */
import {
	fillUdpChecksum,
	IPV4_DONT_FRAGMENT,
	IPV4_HEADER_OCTETS,
	IPV6_DESTINATION_AT,
	IPV6_HEADER_OCTETS,
	IPV6_SOURCE_AT,
	PacketBuffer,
	type Route,
	UDP_HEADER_OCTETS,
	writeIpv4,
	writeIpv6,
	writeUdp,
} from '@xfrm/wire';
import { type Encap, Family, IpProto } from '@xfrm/wire/xfrm';
import { applyOutputMark, Bundle, leadsNowhere, routeGeneration } from './bundle.ts';
import { KEEPALIVES_WAITING_MAX } from './limits.ts';
import type { Namespace } from './namespace.ts';
import type { Keepalive } from './nat-keepalive.ts';
import { sealPlanned, transformPacket } from './output.ts';
import { lookupPacket } from './output-lookup.ts';
import { Current, type XfrmState } from './state.ts';
import { PacketAction } from './verdict.ts';

const KEEPALIVE = 0xff;
const DATAGRAM_OCTETS: number = UDP_HEADER_OCTETS + 1;
const NO_OPTIONS: Uint8Array = new Uint8Array(0);

/**
 * Looks at all states, the newest first. One that is due sends, and sends again at every look until it has
 * sent something else: a look that another state's shorter interval causes makes no difference (seen on
 * Linux 6.19, where the time of sending is not kept).
 *
 * @spec NT-9
 */
export function keepaliveTimeout(net: Namespace): void {
	const now = net.nowSeconds();
	net.outputRun.seconds = now;
	net.outputRun.routeGeneration = routeGeneration(net);
	let next = Number.POSITIVE_INFINITY;
	for (const [state, keepalive] of [...net.keepalives.states].reverse()) {
		const { intervalSeconds } = keepalive;
		const idleSeconds = now - (state.lifetime[Current.LastUsed] ?? 0);
		if (idleSeconds < intervalSeconds) {
			keepalive.notBefore = now + intervalSeconds - idleSeconds;
			next = Math.min(next, keepalive.notBefore);
		} else if (keepalive.notBefore > now) {
			next = Math.min(next, keepalive.notBefore);
		} else {
			next = Math.min(next, now + intervalSeconds);
			sendKeepalive(net, state, keepalive);
		}
	}
	if (next !== Number.POSITIVE_INFINITY) {
		net.timers.set(net.keepalives.timer, (net.now[0] ?? 0) + (next - now) * 1_000_000);
	}
}

function sendKeepalive(net: Namespace, state: XfrmState, keepalive: Keepalive): void {
	const { encap, family } = state;
	if (encap === undefined || net.outputRun.releasedCount >= KEEPALIVES_WAITING_MAX) {
		return;
	}
	const mark = applyOutputMark(state, 0);
	const { saddr, id } = state.config;
	// Over IPv6 the output mark does not lead the datagram, though the policies see it.
	const routeMark = family === Family.Ipv4 ? mark : 0;
	const route = net.options.route(family, id.daddr, saddr, routeMark, 0);
	if (route === undefined || leadsNowhere(route)) {
		return;
	}
	const packet = makeKeepalive(net, state, encap, keepalive, route);
	packet.mark = mark;
	packet.route = route;
	const { flow } = packet;
	flow.family = family;
	flow.saddr.set(state.saddr);
	flow.daddr.set(state.daddr);
	flow.proto = IpProto.Udp;
	flow.sport = encap.sport;
	flow.dport = encap.dport;
	flow.mark = mark;
	flow.oif = family === Family.Ipv4 ? route.ifindex : 0;
	lookupPacket(net, packet);
	const { bundle } = packet;
	transformPacket(net, packet);
	sealPlanned(net);
	if (packet.action !== PacketAction.Drop && packet.action !== PacketAction.Consume) {
		net.outputRun.release(packet, bundle instanceof Bundle ? bundle : null);
	}
}

function makeKeepalive(
	net: Namespace,
	state: XfrmState,
	encap: Encap,
	keepalive: Keepalive,
	route: Route,
): PacketBuffer {
	const { saddr: source, id } = state.config;
	const destination = id.daddr;
	const ipv4 = state.family === Family.Ipv4;
	const ipOctets = ipv4 ? IPV4_HEADER_OCTETS : IPV6_HEADER_OCTETS;
	const packet = PacketBuffer.from(new Uint8Array(ipOctets + DATAGRAM_OCTETS));
	const { bytes, view, start, end } = packet;
	const at = start + ipOctets;
	packet.family = state.family;
	if (ipv4) {
		writeIpv4(view, start, {
			tos: 0,
			totalLength: end - start,
			id: 0,
			fragmentWord: IPV4_DONT_FRAGMENT,
			ttl: route.hopLimit,
			protocol: IpProto.Udp,
			source,
			destination,
			options: NO_OPTIONS,
		});
	} else {
		writeIpv6(view, start, {
			trafficClass: 0,
			flowLabel: flowLabel(net, keepalive),
			payloadLength: DATAGRAM_OCTETS,
			nextHeader: IpProto.Udp,
			hopLimit: route.hopLimit,
			source,
			destination,
		});
	}
	writeUdp(view, at, encap.sport, encap.dport, DATAGRAM_OCTETS);
	view.setUint8(at + UDP_HEADER_OCTETS, KEEPALIVE);
	// Over IPv4 the checksum stays 0, as that of ESP in UDP does (NT-5).
	if (!ipv4) {
		const sourceAt = start + IPV6_SOURCE_AT;
		const destinationAt = start + IPV6_DESTINATION_AT;
		fillUdpChecksum(bytes, view, state.family, sourceAt, destinationAt, at, end);
	}
	return packet;
}

/** A state's keepalives have one flow label, unpredictable and not 0 (RFC 6437 §3). */
function flowLabel(net: Namespace, keepalive: Keepalive): number {
	if (keepalive.flowLabel === 0) {
		const octets = new Uint8Array(3);
		net.outputRun.writeRandom(octets, 0, 3);
		const [a = 0, b = 0, c = 0] = octets;
		keepalive.flowLabel = ((a & 15) << 16) | (b << 8) | c || 1;
	}
	return keepalive.flowLabel;
}
