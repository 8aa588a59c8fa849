/**
 * Segmentation: cuts a TCP or UDP packet that is larger than a link's MTU into packets of at most
 * `gsoOctets` of payload (TSO for IPv4 and IPv6, USO), as a network device would have done for the
 * sender (O-14). The engine never sees more than an MTU.
 *
 *     IP | options, extension headers | TCP or UDP | payload 0 … gso | gso … 2 gso | …
 *     \_____________ headerOctets ________________/
 *
 * Every segment gets its own lengths, IPv4 identification, TCP sequence number and flags, and a whole
 * transport checksum; the one in the super-packet is not looked at, since such packets carry only a
 * pseudo header's sum there. What all segments' headers have in common is summed once a packet.
 *
 * Not segmented: fragments, other protocols, and packets whose transport checksum is over other
 * addresses than the IP header's (routing headers, home addresses).
 *
 * `beginSegment` and `endSegment` are for those who have payloads copied and summed by somebody faster.
 *
 * @hotpath
 */
import { checksumAddView, checksumFold, pseudoHeaderSum } from './checksum.ts';
import { findDestinationOption, OptionType } from './destination-options.ts';
import { HeaderChain, startChain, stepChain } from './extension-header.ts';
import {
	fitsIpv4,
	IPV4_DESTINATION_AT,
	IPV4_SOURCE_AT,
	ipv4HeaderOctets,
	ipv4Id,
	ipv4IsFragment,
	ipv4Protocol,
	setIpv4ChecksumOf,
	setIpv4Id,
	setIpv4TotalLength,
} from './ipv4.ts';
import {
	fitsIpv6,
	IPV6_DESTINATION_AT,
	IPV6_HEADER_OCTETS,
	IPV6_SOURCE_AT,
	setIpv6PayloadLength,
} from './ipv6.ts';
import type { PacketBuffer } from './packet-buffer.ts';
import {
	fitsTcp,
	setTcpChecksum,
	setTcpFlags,
	setTcpSequence,
	TcpFlag,
	tcpFlags,
	tcpHeaderOctets,
	tcpSequence,
} from './tcp.ts';
import { fitsUdp, setUdpChecksum, setUdpLength, UDP_HEADER_OCTETS } from './udp.ts';
import { Family, IpProto } from './xfrm/constants.ts';

/** Offsets in the TCP header: data offset with flags, window, urgent pointer. */
const TCP_FLAGS_AT = 12;
const TCP_WINDOW_AT = 14;
const TCP_URGENT_AT = 18;

/** How one packet is cut; its owner keeps it and has it filled anew for each packet. */
export class SegmentPlan {
	family: number = 0;
	/** TCP or UDP. */
	proto: number = 0;
	/** Octets from the IP header to the transport header. */
	upperOctets: number = 0;
	/** Octets from the IP header to the payload: every segment repeats them. */
	headerOctets: number = 0;
	/** Payload of the whole packet, and of each segment but the last. */
	payloadOctets: number = 0;
	gsoOctets: number = 0;
	/** How many segments there will be. */
	count: number = 0;
	/** Sum over the IPv4 header but for length, identification and checksum; 0 for IPv6. */
	networkSum: number = 0;
	/** Sum over pseudo and transport header but for lengths, sequence number, flags and checksum. */
	upperSum: number = 0;
	/** Scratch of the walk through extension headers. */
	readonly chain: HeaderChain = new HeaderChain();
}

/**
 * Plans how to cut the packet into segments of `gsoOctets` of payload. A packet that needs no cutting
 * has a plan of one segment.
 *
 * @returns false when this packet can't be segmented
 * @spec O-14
 */
export function planSegments(plan: SegmentPlan, packet: PacketBuffer, gsoOctets: number): boolean {
	plan.count = 0;
	const upperAt = locateUpper(plan, packet);
	if (upperAt < 0 || gsoOctets <= 0) {
		return false;
	}
	const { view, end } = packet;
	let payloadAt = upperAt;
	if (plan.proto === IpProto.Tcp && fitsTcp(view, upperAt, end)) {
		payloadAt += tcpHeaderOctets(view, upperAt);
	} else if (plan.proto === IpProto.Udp && fitsUdp(view, upperAt, end)) {
		payloadAt += UDP_HEADER_OCTETS;
	} else {
		return false;
	}
	plan.upperOctets = upperAt - packet.start;
	plan.headerOctets = payloadAt - packet.start;
	plan.payloadOctets = end - payloadAt;
	plan.gsoOctets = gsoOctets;
	plan.count = Math.max(1, Math.ceil(plan.payloadOctets / gsoOctets));
	sumHeaders(plan, view, packet.start);
	return true;
}

/** Sums what the headers of all segments have in common. */
function sumHeaders(plan: SegmentPlan, view: DataView, start: number): void {
	const ipv4 = plan.family === Family.Ipv4;
	const at = start + plan.upperOctets;
	const sourceAt = start + (ipv4 ? IPV4_SOURCE_AT : IPV6_SOURCE_AT);
	const destinationAt = start + (ipv4 ? IPV4_DESTINATION_AT : IPV6_DESTINATION_AT);
	const pseudo = pseudoHeaderSum(view, plan.family, sourceAt, destinationAt, 0, plan.proto);
	if (plan.proto === IpProto.Tcp) {
		// Ports; acknowledgment; window; urgent pointer and options.
		const optionsAt = at + TCP_URGENT_AT;
		const options = checksumAddView(view, optionsAt, start + plan.headerOctets - optionsAt, pseudo);
		const window = checksumAddView(view, at + TCP_WINDOW_AT, 2, options);
		plan.upperSum = checksumAddView(view, at, 4, checksumAddView(view, at + 8, 4, window));
	} else {
		plan.upperSum = checksumAddView(view, at, 4, pseudo);
	}
	if (ipv4) {
		const behind = checksumAddView(view, start + 12, plan.upperOctets - 12, 0);
		plan.networkSum = checksumAddView(view, start + 6, 4, view.getUint16(start) + behind);
	} else {
		plan.networkSum = 0;
	}
}

/** Sets the plan's family and protocol; offset of the transport header, or -1. */
function locateUpper(plan: SegmentPlan, packet: PacketBuffer): number {
	const { view, start, end } = packet;
	const { chain } = plan;
	if (fitsIpv4(view, start, end)) {
		plan.family = Family.Ipv4;
		plan.proto = ipv4Protocol(view, start);
		return ipv4IsFragment(view, start) ? -1 : start + ipv4HeaderOctets(view, start);
	}
	if (!fitsIpv6(view, start, end)) {
		return -1;
	}
	plan.family = Family.Ipv6;
	startChain(chain, view, start);
	while (chain.proto === IpProto.HopByHop || chain.proto === IpProto.DestinationOptions) {
		if (findDestinationOption(view, chain.at, end, OptionType.HomeAddress) >= 0) {
			return -1;
		}
		if (!stepChain(chain, view, end)) {
			return -1;
		}
	}
	plan.proto = chain.proto;
	return chain.at;
}

/**
 * Writes segment `index` (from 0) of a planned packet into `out`, whose other fields (mark, route …)
 * stay the caller's business.
 *
 * @returns false when `out` can't grow enough
 * @spec O-14
 */
export function fillSegment(
	plan: SegmentPlan,
	packet: PacketBuffer,
	index: number,
	out: PacketBuffer,
): boolean {
	if (!beginSegment(plan, packet, index, out)) {
		return false;
	}
	const payloadAt = out.start + plan.headerOctets;
	const octets = out.end - payloadAt;
	const from = packet.start + plan.headerOctets + index * plan.gsoOctets;
	copyOctets(packet.bytes, from, out.bytes, payloadAt, octets);
	endSegment(plan, out, checksumAddView(out.view, payloadAt, octets, 0));
	return true;
}

/**
 * All of segment `index` but its payload and checksums; `out` is as long as it will be. The payload begins
 * `index * gsoOctets` behind the packet's headers.
 *
 * @returns false when `out` can't grow enough
 */
export function beginSegment(
	plan: SegmentPlan,
	packet: PacketBuffer,
	index: number,
	out: PacketBuffer,
): boolean {
	const from = index * plan.gsoOctets;
	const octets = Math.min(plan.gsoOctets, plan.payloadOctets - from);
	out.end = out.start;
	if (!out.reserve(0, plan.headerOctets + octets)) {
		return false;
	}
	const { view, start } = out;
	copyWords(packet.view, packet.start, view, start, plan.headerOctets);
	const end = start + plan.headerOctets + octets;
	out.end = end;
	out.family = plan.family;
	const upperAt = start + plan.upperOctets;
	if (plan.proto === IpProto.Tcp) {
		setTcpSequence(view, upperAt, tcpSequence(view, upperAt) + from);
		setTcpFlags(view, upperAt, segmentFlags(tcpFlags(view, upperAt), index, plan.count));
	} else {
		setUdpLength(view, upperAt, end - upperAt);
	}
	if (plan.family === Family.Ipv4) {
		setIpv4TotalLength(view, start, end - start);
		setIpv4Id(view, start, ipv4Id(view, start) + index);
	} else {
		setIpv6PayloadLength(view, start, end - start - IPV6_HEADER_OCTETS);
	}
	return true;
}

/** The checksums of a segment that `beginSegment` has begun; `payloadSum` is over the payload alone. */
export function endSegment(plan: SegmentPlan, out: PacketBuffer, payloadSum: number): void {
	const { view, start, end } = out;
	if (plan.family === Family.Ipv4) {
		setIpv4ChecksumOf(view, start, plan.networkSum + (end - start) + ipv4Id(view, start));
	}
	const at = start + plan.upperOctets;
	const sum = plan.upperSum + payloadSum + (end - at);
	if (plan.proto === IpProto.Tcp) {
		const sequence = tcpSequence(view, at);
		const flags = view.getUint16(at + TCP_FLAGS_AT);
		setTcpChecksum(view, at, checksumFold(sum + (sequence >>> 16) + (sequence & 0xffff) + flags));
		return;
	}
	const checksum = checksumFold(sum + (end - at));
	// 0 means that there is none (RFC 768).
	setUdpChecksum(view, at, checksum === 0 ? 0xffff : checksum);
}

/** FIN and PSH belong to the last segment, CWR to the first (RFC 3168 §6.1.2: once a reduction). */
function segmentFlags(flags: number, index: number, count: number): number {
	let kept = flags;
	if (index > 0) {
		kept &= ~TcpFlag.Cwr;
	}
	if (index < count - 1) {
		kept &= ~(TcpFlag.Fin | TcpFlag.Psh);
	}
	return kept;
}

/** Copies headers, which are whole words. */
function copyWords(
	from: DataView,
	fromAt: number,
	to: DataView,
	toAt: number,
	octets: number,
): void {
	for (let i = 0; i < octets; i += 4) {
		to.setInt32(toAt + i, from.getInt32(fromAt + i));
	}
}

/** Copies between buffers: the subarray is the price of `set`, far below that of a loop over 1,400 octets. */
function copyOctets(
	from: Uint8Array,
	fromAt: number,
	to: Uint8Array,
	toAt: number,
	octets: number,
): void {
	to.set(from.subarray(fromAt, fromAt + octets), toAt);
}
