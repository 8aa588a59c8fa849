/**
 * Which flow does this packet belong to? Linux's answer, which is not quite what a reader of the RFCs
 * would say (net/xfrm/xfrm_policy.c, __xfrm_decode_session).
 *
 * Two sets of rules, chosen by `generic` (`KernelProfile.genericDissector`):
 *
 * | what                                  | until 6.6 (`false`)            | from 6.7 on (`true`)     |
 * | ------------------------------------- | ------------------------------ | ------------------------ |
 * | IPv6 chain runs out of data           | protocol 0                     | the one named last       |
 * | behind an IPv6 fragment header        | walk goes on, protocol only    | ends with its next header|
 * | length of a fragment header           | from its reserved octet        | 8                        |
 * | ICMP type and code need               | 2 octets                       | 8 octets                 |
 * | GRE key needs                         | 12 octets                      | up to the key's end      |
 * | GRE with routing bit, or version ≥ 2  | key read                       | no key                   |
 * | GRE version 1                         | whole key                      | low half, PPP only       |
 * | Mobility Header                       | octet 2 *behind* it, mostly 0  | 0                        |
 * | extension headers                     | as many as fit                 | 15                       |
 * | input that has gone through headers   | protocol behind them, but the  | as on output             |
 * |                                       | rest of the first one          |                          |
 *
 * In common: no ports of any IPv4 fragment, no extension headers in IPv4, DCCP ports read as 0 (P-26),
 * the SPI of ESP, AH and IPComp is no part of a flow. The flow of a packet that a local socket sends
 * is made by the socket, from what it knows, and not here.
 *
 * The last line of the table is IP6CB(skb)->nhoff: decode_session6 takes the protocol from the header
 * that input has come to, yet reads ports from offset 40 on. So a binding update behind a home address
 * option has its true MH type (the option's header is skipped in place of the MH), while UDP behind
 * hop-by-hop options has the options' first octets as ports. `useRealMobilityType` gives the type that
 * selectors mean, whatever the kernel (P-28).
 *
 * @hotpath
 */
import type { Flow } from './flow.ts';
import { GreFlag, greFlags, greProtocolType } from './gre.ts';
import {
	IPV4_DESTINATION_AT,
	IPV4_HEADER_OCTETS,
	IPV4_SOURCE_AT,
	ipv4HeaderOctets,
	ipv4IsFragment,
	ipv4Protocol,
} from './ipv4.ts';
import {
	IPV6_DESTINATION_AT,
	IPV6_HEADER_OCTETS,
	IPV6_NEXT_HEADER_AT,
	IPV6_SOURCE_AT,
	ipv6NextHeader,
} from './ipv6.ts';
import type { PacketBuffer } from './packet-buffer.ts';
import { destinationPort, sourcePort } from './ports.ts';
import { Family, IpProto } from './xfrm/constants.ts';

/** Headers that the generic dissector goes through (MAX_FLOW_DISSECT_HDRS). */
const DISSECTED_HEADERS_MAX = 15;

/** EtherType of PPP in GRE version 1. */
const GRE_PROTOCOL_PPP = 0x880b;

/**
 * Fills the flow of a packet from its bytes, mark, and interface: that of the route, or for a reversed
 * flow the one it arrived by.
 *
 * @param reverse source and destination exchange their places, as for replies
 * @param generic the rules from 6.7 on, see above
 * @returns false, with the flow's addresses unset, when there is no room for an IP header of `packet.family`
 * @spec P-26 P-27 P-28 P-29
 */
export function decodeFlow(
	flow: Flow,
	packet: PacketBuffer,
	reverse: boolean,
	generic: boolean = true,
): boolean {
	flow.mark = packet.mark;
	flow.oif = reverse ? packet.iif : packet.route === null ? 0 : packet.route.ifindex;
	return decodeFlowAt(flow, packet.view, packet.start, packet.end, packet.family, reverse, generic);
}

/**
 * Fills family, addresses, protocol and ports from the packet at `at`, also one that an ICMP error
 * quotes; `mark` and `oif` stay as they were. The caller's word is taken for the family: nobody looks at
 * the version of what is quoted.
 *
 * @param nextHeaderAt how far input has come, for IPv6 and the rules until 6.6; 0 for not at all
 * @returns false when there is no room for a header of this family; the flow is empty then
 * @spec P-26 P-27 P-28 P-31
 */
export function decodeFlowAt(
	flow: Flow,
	view: DataView,
	at: number,
	end: number,
	family: number,
	reverse: boolean,
	generic: boolean = true,
	nextHeaderAt: number = 0,
): boolean {
	flow.family = family;
	flow.proto = 0;
	flow.sport = 0;
	flow.dport = 0;
	if (family === Family.Ipv4 && at + IPV4_HEADER_OCTETS <= end) {
		const source = view.getInt32(at + IPV4_SOURCE_AT);
		const destination = view.getInt32(at + IPV4_DESTINATION_AT);
		clearAddresses(flow);
		flow.saddr[0] = reverse ? destination : source;
		flow.daddr[0] = reverse ? source : destination;
		flow.proto = ipv4Protocol(view, at);
		if (!ipv4IsFragment(view, at)) {
			const upperAt = at + ipv4HeaderOctets(view, at);
			decodeUpper(flow, view, upperAt, end, reverse, generic);
		}
		return true;
	}
	if (family === Family.Ipv6 && at + IPV6_HEADER_OCTETS <= end) {
		const sourceAt = at + (reverse ? IPV6_DESTINATION_AT : IPV6_SOURCE_AT);
		const destinationAt = at + (reverse ? IPV6_SOURCE_AT : IPV6_DESTINATION_AT);
		for (let i = 0; i < 4; i++) {
			flow.saddr[i] = view.getInt32(sourceAt + 4 * i);
			flow.daddr[i] = view.getInt32(destinationAt + 4 * i);
		}
		if (generic) {
			walkGeneric(flow, view, at, end, reverse);
		} else {
			walkLegacy(flow, view, at, end, reverse, nextHeaderAt);
		}
		return true;
	}
	clearAddresses(flow);
	return false;
}

/**
 * Replaces what the kernel takes for the type of a Mobility Header by the real one, if the decoded
 * packet at `at` is no fragment and has one.
 *
 * @spec P-28
 */
export function useRealMobilityType(flow: Flow, view: DataView, at: number, end: number): void {
	if (flow.family !== Family.Ipv6 || flow.proto !== IpProto.MobilityHeader) {
		return;
	}
	let proto = ipv6NextHeader(view, at);
	let headerAt = at + IPV6_HEADER_OCTETS;
	while (
		(proto === IpProto.HopByHop ||
			proto === IpProto.Routing ||
			proto === IpProto.DestinationOptions) &&
		headerAt + 2 <= end
	) {
		proto = view.getUint8(headerAt);
		headerAt += (view.getUint8(headerAt + 1) + 1) * 8;
	}
	if (proto === IpProto.MobilityHeader && headerAt + 3 <= end) {
		flow.sport = view.getUint8(headerAt + 2);
	}
}

function clearAddresses(flow: Flow): void {
	for (let i = 0; i < 4; i++) {
		flow.saddr[i] = 0;
		flow.daddr[i] = 0;
	}
}

/** The chain as decode_session6 of 6.1 walks it. */
function walkLegacy(
	flow: Flow,
	view: DataView,
	ipAt: number,
	end: number,
	reverse: boolean,
	nextHeaderAt: number,
): void {
	const known = nextHeaderAt > ipAt + IPV6_NEXT_HEADER_AT && nextHeaderAt < end;
	let proto = known ? view.getUint8(nextHeaderAt) : ipv6NextHeader(view, ipAt);
	let at = ipAt + IPV6_HEADER_OCTETS;
	let fragment = false;
	// Each header needs two octets, even an upper one: a packet that ends here has no protocol.
	while (at + 2 <= end) {
		switch (proto) {
			case IpProto.Fragment:
				fragment = true;
				break;
			case IpProto.HopByHop:
			case IpProto.Routing:
			case IpProto.DestinationOptions:
				break;
			case IpProto.MobilityHeader: {
				const behindAt = at + (view.getUint8(at + 1) + 1) * 8;
				if (!fragment && behindAt + 3 <= end) {
					flow.sport = view.getUint8(behindAt + 2);
				}
				flow.proto = proto;
				return;
			}
			default:
				flow.proto = proto;
				if (!fragment) {
					decodeUpper(flow, view, at, end, reverse, false);
				}
				return;
		}
		proto = view.getUint8(at);
		at += (view.getUint8(at + 1) + 1) * 8;
	}
}

/** The chain as the generic flow dissector walks it. */
function walkGeneric(
	flow: Flow,
	view: DataView,
	ipAt: number,
	end: number,
	reverse: boolean,
): void {
	let at = ipAt + IPV6_HEADER_OCTETS;
	flow.proto = ipv6NextHeader(view, ipAt);
	for (let count = 0; count <= DISSECTED_HEADERS_MAX; count++) {
		switch (flow.proto) {
			case IpProto.Fragment:
				if (at + 8 <= end) {
					flow.proto = view.getUint8(at);
				}
				return;
			case IpProto.HopByHop:
			case IpProto.Routing:
			case IpProto.DestinationOptions:
				if (at + 2 > end) {
					return;
				}
				flow.proto = view.getUint8(at);
				at += (view.getUint8(at + 1) + 1) * 8;
				break;
			default:
				decodeUpper(flow, view, at, end, reverse, true);
				return;
		}
	}
}

/** What stands for ports in the header of `flow.proto` at `at`, as far as it is there. */
function decodeUpper(
	flow: Flow,
	view: DataView,
	at: number,
	end: number,
	reverse: boolean,
	generic: boolean,
): void {
	switch (flow.proto) {
		case IpProto.Udp:
		case IpProto.UdpLite:
		case IpProto.Tcp:
		case IpProto.Sctp:
			if (at + 4 <= end) {
				const sport = sourcePort(view, at);
				const dport = destinationPort(view, at);
				flow.sport = reverse ? dport : sport;
				flow.dport = reverse ? sport : dport;
			}
			break;
		case IpProto.Icmp:
		case IpProto.Icmpv6: {
			const own = flow.family === Family.Ipv4 ? IpProto.Icmp : IpProto.Icmpv6;
			if (flow.proto === own && at + (generic ? 8 : 2) <= end) {
				flow.sport = view.getUint8(at);
				flow.dport = view.getUint8(at + 1);
			}
			break;
		}
		case IpProto.Gre:
			decodeGre(flow, view, at, end, generic);
			break;
		default:
			break;
	}
}

/** The key of a GRE header: its halves are what a selector's ports are compared with. */
function decodeGre(flow: Flow, view: DataView, at: number, end: number, generic: boolean): void {
	if (at + (generic ? 4 : 12) > end) {
		return;
	}
	const flags = greFlags(view, at);
	if ((flags & GreFlag.Key) === 0) {
		return;
	}
	const keyAt = at + ((flags & GreFlag.Checksum) === 0 ? 4 : 8);
	if (!generic) {
		flow.sport = view.getUint16(keyAt);
		flow.dport = view.getUint16(keyAt + 2);
		return;
	}
	const version = flags & 7;
	if ((flags & GreFlag.Routing) !== 0 || version > 1 || keyAt + 4 > end) {
		return;
	}
	if (version === 0) {
		flow.sport = view.getUint16(keyAt);
		flow.dport = view.getUint16(keyAt + 2);
	} else if (greProtocolType(view, at) === GRE_PROTOCOL_PPP) {
		flow.dport = view.getUint16(keyAt + 2);
	}
}
