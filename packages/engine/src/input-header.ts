/**
 * The first two steps of input for one transform: what header it is, and which state is for it.
 *
 * @hotpath
 */
import {
	AH_FIXED_OCTETS,
	ahSequence,
	ahSpi,
	espSequence,
	espSpi,
	fitsEsp,
	fitsIpcomp,
	ipcompCpi,
	ipv4Destination,
	ipv4Source,
	ipv6DestinationWord,
	ipv6SourceWord,
	type PacketBuffer,
} from '@xfrm/wire';
import { Family, IpProto } from '@xfrm/wire/xfrm';
import type { InputPlan } from './input-plan.ts';
import type { Namespace } from './namespace.ts';
import type { XfrmState } from './state.ts';

/** Does one of the three protocols with an SPI of its own follow, so that input goes on with it? */
export function isTransform(proto: number): boolean {
	return proto === IpProto.Esp || proto === IpProto.Ah || proto === IpProto.Comp;
}

/**
 * Begins with a packet: its addresses, mark and encapsulation are those of the first lookup.
 */
export function beginPacket(plan: InputPlan, packet: PacketBuffer): void {
	const { view, start } = packet;
	if (packet.family === Family.Ipv4) {
		plan.daddr[0] = ipv4Destination(view, start);
		plan.saddr[0] = ipv4Source(view, start);
		for (let i = 1; i < 4; i++) {
			plan.daddr[i] = 0;
			plan.saddr[i] = 0;
		}
	} else {
		for (let i = 0; i < 4; i++) {
			plan.daddr[i] = ipv6DestinationWord(view, start, i);
			plan.saddr[i] = ipv6SourceWord(view, start, i);
		}
	}
	plan.destination = plan.daddr;
	plan.family = packet.family;
	plan.mark = packet.mark;
	plan.encapType = packet.encapType;
}

/**
 * Reads SPI and sequence number of the header at `transportAt` into the plan.
 *
 * @returns false when it is not there, or no such protocol, or a plain tunnel packet without an SPI
 * @spec I-3 T-36 T-32
 */
export function parseHeader(net: Namespace, plan: InputPlan, packet: PacketBuffer): boolean {
	const { view, transportAt: at, end } = packet;
	switch (packet.proto) {
		case IpProto.Esp:
			if (!fitsEsp(view, at, end)) {
				return false;
			}
			plan.spi = espSpi(view, at);
			plan.sequence = espSequence(view, at);
			return true;
		case IpProto.Ah:
			if (at + AH_FIXED_OCTETS > end) {
				return false;
			}
			plan.spi = ahSpi(view, at);
			plan.sequence = ahSequence(view, at);
			return true;
		case IpProto.Comp:
			if (!fitsIpcomp(view, at, end)) {
				return false;
			}
			plan.spi = ipcompCpi(view, at);
			plan.sequence = 0;
			return true;
		case IpProto.Ipip:
		case IpProto.Ipv6:
			plan.spi = helperSpi(net, plan, packet.family);
			plan.sequence = 0;
			return plan.spi !== 0;
		default:
			return false;
	}
}

/** SPI of IPComp's helper for packets from this source, 0 when nobody has one for it. */
function helperSpi(net: Namespace, plan: InputPlan, family: number): number {
	return family === Family.Ipv4 ? (plan.saddr[0] ?? 0) : net.helperSpis.spiOf(plan.saddr);
}

/**
 * The state for the header in the plan, or null. An SPI of 0 belongs to no state.
 *
 * @spec I-4 S-3 S-6
 */
export function findState(net: Namespace, plan: InputPlan, proto: number): XfrmState | null {
	return net.sad.bySpi(
		plan.family,
		plan.destination,
		plan.spi,
		lookupProto(plan.family, proto),
		plan.mark,
	);
}

/** IPv4 keeps both kinds of plain tunnel packet under protocol 4, IPv6 under 41. */
export function lookupProto(family: number, proto: number): number {
	if (proto !== IpProto.Ipip && proto !== IpProto.Ipv6) {
		return proto;
	}
	return family === Family.Ipv4 ? IpProto.Ipip : IpProto.Ipv6;
}
