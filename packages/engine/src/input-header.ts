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
import { wordsEqual } from './sad.ts';
import type { XfrmState } from './state.ts';

// V8 compiles these in; an imported constant is read each time (CONTRIBUTING.md, Style).
const { Ipv4 } = Family;
const { Esp, Ah, Comp, Ipip, Ipv6 } = IpProto;

/** Does one of the three protocols with an SPI of its own follow, so that input goes on with it? */
export function isTransform(proto: number): boolean {
	return proto === Esp || proto === Ah || proto === Comp;
}

/**
 * Begins with a packet: its addresses, mark and encapsulation are those of the first lookup.
 */
export function beginPacket(plan: InputPlan, packet: PacketBuffer): void {
	const { view, start } = packet;
	const { daddr } = plan;
	if (packet.family === Ipv4) {
		daddr[0] = ipv4Destination(view, start);
		if (plan.family !== Ipv4) {
			daddr.fill(0, 1);
		}
	} else {
		loadDestination6(daddr, packet);
	}
	plan.destination = daddr;
	plan.family = packet.family;
	plan.mark = packet.mark;
	plan.encapType = packet.encapType;
}

function loadDestination6(daddr: Int32Array, packet: PacketBuffer): void {
	for (let i = 0; i < 4; i++) {
		daddr[i] = ipv6DestinationWord(packet.view, packet.start, i);
	}
}

/** The packet's source, which only helpers and tracers ask for. */
export function loadSource(plan: InputPlan, packet: PacketBuffer): Int32Array {
	const { view, start } = packet;
	const { saddr } = plan;
	const ipv4 = packet.family === Ipv4;
	for (let i = 0; i < 4; i++) {
		saddr[i] = ipv4 ? (i === 0 ? ipv4Source(view, start) : 0) : ipv6SourceWord(view, start, i);
	}
	return saddr;
}

/**
 * Reads SPI and sequence number of the header at `transportAt` into the plan.
 *
 * @returns false when it is not there, or no such protocol, or a plain tunnel packet without an SPI
 * @spec I-3 T-36 T-32
 */
export function parseHeader(net: Namespace, plan: InputPlan, packet: PacketBuffer): boolean {
	const { view, transportAt: at, end } = packet;
	if (packet.proto !== Esp) {
		return parseOther(net, plan, packet);
	}
	if (!fitsEsp(view, at, end)) {
		return false;
	}
	plan.spi = espSpi(view, at);
	plan.sequence = espSequence(view, at);
	return true;
}

function parseOther(net: Namespace, plan: InputPlan, packet: PacketBuffer): boolean {
	const { view, transportAt: at, end } = packet;
	switch (packet.proto) {
		case Ah:
			if (at + AH_FIXED_OCTETS > end) {
				return false;
			}
			plan.spi = ahSpi(view, at);
			plan.sequence = ahSequence(view, at);
			return true;
		case Comp:
			if (!fitsIpcomp(view, at, end)) {
				return false;
			}
			plan.spi = ipcompCpi(view, at);
			plan.sequence = 0;
			return true;
		case Ipip:
		case Ipv6:
			plan.spi = helperSpi(net, plan, packet);
			plan.sequence = 0;
			return plan.spi !== 0;
		default:
			return false;
	}
}

/** SPI of IPComp's helper for packets from this source, 0 when nobody has one for it. */
function helperSpi(net: Namespace, plan: InputPlan, packet: PacketBuffer): number {
	const saddr = loadSource(plan, packet);
	return packet.family === Ipv4 ? (saddr[0] ?? 0) : net.helperSpis.spiOf(saddr);
}

/**
 * The state for the header in the plan, or null. An SPI of 0 belongs to no state. Packets come in runs, so
 * the last answer is tried first.
 *
 * @spec I-4 S-3 S-6
 */
export function findState(net: Namespace, plan: InputPlan, proto: number): XfrmState | null {
	const { family, destination, spi, mark, found } = plan;
	return found !== null &&
		plan.foundGeneration === net.generation &&
		plan.foundMark === mark &&
		found.spi === spi &&
		found.proto === proto &&
		found.family === family &&
		found.daddr[0] === destination[0] &&
		(family === Ipv4 || wordsEqual(found.daddr, destination, family))
		? found
		: lookupState(net, plan, proto);
}

function lookupState(net: Namespace, plan: InputPlan, proto: number): XfrmState | null {
	const { family, destination, spi, mark } = plan;
	const state = net.sad.bySpi(family, destination, spi, lookupProto(family, proto), mark);
	plan.found = state;
	plan.foundMark = mark;
	plan.foundGeneration = net.generation;
	return state;
}

/** IPv4 keeps both kinds of plain tunnel packet under protocol 4, IPv6 under 41. */
export function lookupProto(family: number, proto: number): number {
	if (proto !== Ipip && proto !== Ipv6) {
		return proto;
	}
	return family === Ipv4 ? Ipip : Ipv6;
}
