/**
 * TCP segments, or datagrams, that follow each other, made one packet again for the kernel, as a network device
 * with large receive offload does. Only what the kernel can cut into the very same packets again is joined: equal
 * headers but for lengths, checksums and identification, TCP in sequence, all as long as the first but the last,
 * which may be shorter or bear PSH. Each one's checksum is looked at, as the joined one is made from nothing;
 * datagrams without one stay alone.
 *
 *     first packet   | IP | TCP or UDP | payload |
 *     those behind                      | payload |   one message, gathered by the system call
 *
 * @hotpath
 */
import {
	checksumAddView,
	checksumFold,
	fitsTcp,
	ipv4HeaderOctets,
	type PacketBuffer,
	pseudoHeaderSum,
	setIpv4Checksum,
	setIpv4TotalLength,
	setIpv6PayloadLength,
	setTcpChecksum,
	setTcpFlags,
	setUdpChecksum,
	setUdpLength,
	TcpFlag,
	tcpFlags,
	tcpHeaderOctets,
	tcpSequence,
	UDP_HEADER_OCTETS,
	udpChecksum,
	udpLength,
} from '@xfrm/wire';
import { Family, IpProto } from '@xfrm/wire/xfrm';
import { NOT } from '../native/octet-moves.ts';
import { SegmentType, VNET_HEADER_OCTETS, writeSegmentVnet } from './vnet-header.ts';

const IPV4_OCTETS = 20;
const IPV6_OCTETS = 40;
/** Longest joined packet. */
const JOINED_OCTETS_MAX = 65_535;
const DONT_FRAGMENT = 0x4000;
/** Datagrams that the kernel cuts one packet into (UDP_MAX_SEGMENTS). */
const DATAGRAMS_MAX = 64;
/** PSH in the word of offset, flags and window. */
const PSH_IN_WORD: number = TcpFlag.Psh << 16;

export class SegmentRun {
	/** Whether the kernel takes datagrams joined. */
	joinsDatagrams: boolean = false;
	#proto: number = 0;
	#first: PacketBuffer | null = null;
	#firstIsSound: boolean = false;
	#firstSum: number = NOT;
	#upperOctets: number = 0;
	#headerOctets: number = 0;
	#segmentOctets: number = 0;
	#payloadOctets: number = 0;
	#segments: number = 0;
	#open: boolean = false;

	/** Octets of each segment's headers. */
	get headerOctets(): number {
		return this.#headerOctets;
	}

	/**
	 * Begins with this packet; if it is nothing to be joined with, nothing will be.
	 *
	 * @param sum over the segment, begun with `segmentSumStart`; `NOT` when it is not known
	 */
	begin(packet: PacketBuffer, sum: number): void {
		this.#open = false;
		this.#segments = 0;
		const upperOctets = upperOctetsOf(packet);
		if (upperOctets < 0) {
			return;
		}
		const { view, start, end } = packet;
		const at = start + upperOctets;
		const proto = protocolOf(packet);
		if (proto === IpProto.Tcp) {
			if (!fitsTcp(view, at, end) || tcpFlags(view, at) !== TcpFlag.Ack) {
				return;
			}
			this.#headerOctets = upperOctets + tcpHeaderOctets(view, at);
		} else {
			if (!this.joinsDatagrams || !isWholeDatagram(packet, at)) {
				return;
			}
			this.#headerOctets = upperOctets + UDP_HEADER_OCTETS;
		}
		this.#proto = proto;
		this.#upperOctets = upperOctets;
		this.#segmentOctets = end - start - this.#headerOctets;
		this.#payloadOctets = this.#segmentOctets;
		this.#first = packet;
		this.#firstIsSound = false;
		this.#firstSum = sum;
		this.#segments = 1;
		this.#open = this.#segmentOctets > 0;
	}

	/** Joins the packet, if it is the next segment; `sum` as above. */
	join(packet: PacketBuffer, sum: number): boolean {
		const first = this.#first;
		if (!this.#open || first === null || packet.family !== first.family) {
			return false;
		}
		const { view, start, end } = packet;
		const upperOctets = this.#upperOctets;
		const payload = end - start - this.#headerOctets;
		const at = start + upperOctets;
		if (
			payload <= 0 ||
			payload > this.#segmentOctets ||
			this.#headerOctets + this.#payloadOctets + payload > JOINED_OCTETS_MAX ||
			upperOctetsOf(packet) !== upperOctets ||
			protocolOf(packet) !== this.#proto ||
			!this.#isNext(first, packet, at)
		) {
			return false;
		}
		this.#firstIsSound ||= isSound(first, first.start + upperOctets, this.#firstSum);
		if (!this.#firstIsSound || !isSound(packet, at, sum)) {
			this.#open = false;
			return false;
		}
		const pushes = this.#proto === IpProto.Tcp && (tcpFlags(view, at) & TcpFlag.Psh) !== 0;
		if (pushes) {
			const firstAt = first.start + upperOctets;
			setTcpFlags(first.view, firstAt, tcpFlags(first.view, firstAt) | TcpFlag.Psh);
		}
		this.#payloadOctets += payload;
		this.#segments++;
		this.#open = payload === this.#segmentOctets && !pushes;
		return true;
	}

	/** Writes the headers of what was joined into the first packet and in front of it, if anything was. */
	finish(): void {
		const first = this.#first;
		this.#first = null;
		this.#open = false;
		if (first === null || this.#segments < 2) {
			return;
		}
		const { view, start, family } = first;
		const at = start + this.#upperOctets;
		const octets = this.#headerOctets + this.#payloadOctets;
		const ipv4 = family === Family.Ipv4;
		if (ipv4) {
			setIpv4TotalLength(view, start, octets);
			setIpv4Checksum(view, start);
		} else {
			setIpv6PayloadLength(view, start, octets - IPV6_OCTETS);
		}
		// The kernel adds to it: the pseudo header's sum itself, not its complement.
		const sum = ~checksumFold(pseudoSum(first, octets - this.#upperOctets)) & 0xffff;
		const tcp = this.#proto === IpProto.Tcp;
		if (tcp) {
			setTcpChecksum(view, at, sum);
		} else {
			setUdpLength(view, at, octets - this.#upperOctets);
			setUdpChecksum(view, at, sum);
		}
		writeSegmentVnet(
			view,
			start - VNET_HEADER_OCTETS,
			tcp ? (ipv4 ? SegmentType.Tcp4 : SegmentType.Tcp6) : SegmentType.Udp,
			this.#upperOctets,
			this.#headerOctets,
			this.#segmentOctets,
		);
	}

	/** Equal headers, and the next sequence number. */
	#isNext(first: PacketBuffer, packet: PacketBuffer, at: number): boolean {
		const { view, start } = packet;
		const a = first.view;
		const from = first.start;
		const firstAt = from + this.#upperOctets;
		const same =
			packet.family === Family.Ipv4
				? sameIpv4(a, from, view, start, this.#segments)
				: sameWords(a, from + 8, view, start + 8, IPV6_OCTETS - 8) &&
					a.getInt32(from) === view.getInt32(start) &&
					a.getUint16(from + 6) === view.getUint16(start + 6);
		if (!same || a.getInt32(firstAt) !== view.getInt32(at)) {
			return false;
		}
		if (this.#proto !== IpProto.Tcp) {
			return this.#segments < DATAGRAMS_MAX && isWholeDatagram(packet, at);
		}
		return (
			tcpSequence(view, at) === ((tcpSequence(a, firstAt) + this.#payloadOctets) | 0) &&
			a.getInt32(firstAt + 8) === view.getInt32(at + 8) &&
			(a.getInt32(firstAt + 12) | PSH_IN_WORD) === (view.getInt32(at + 12) | PSH_IN_WORD) &&
			a.getUint16(firstAt + 18) === view.getUint16(at + 18) &&
			sameWords(a, firstAt + 20, view, at + 20, this.#headerOctets - this.#upperOctets - 20)
		);
	}
}

/** Of what is behind the IP header. */
function protocolOf({ view, start, family }: PacketBuffer): number {
	return view.getUint8(start + (family === Family.Ipv4 ? 9 : 6));
}

/** Does the datagram fill its packet, and has it a checksum? */
function isWholeDatagram({ view, end }: PacketBuffer, at: number): boolean {
	return (
		at + UDP_HEADER_OCTETS < end && udpLength(view, at) === end - at && udpChecksum(view, at) !== 0
	);
}

/** Offset of the TCP or UDP header, -1 for anything that is not joined: options, extension headers, fragments. */
function upperOctetsOf(packet: PacketBuffer): number {
	const { view, start, end, family } = packet;
	const proto = protocolOf(packet);
	if (proto !== IpProto.Tcp && proto !== IpProto.Udp) {
		return -1;
	}
	if (family === Family.Ipv4) {
		const plain =
			end - start > IPV4_OCTETS &&
			ipv4HeaderOctets(view, start) === IPV4_OCTETS &&
			(view.getUint16(start + 6) & ~DONT_FRAGMENT) === 0;
		return plain ? IPV4_OCTETS : -1;
	}
	return end - start > IPV6_OCTETS ? IPV6_OCTETS : -1;
}

/** Equal but for length and checksum; identification counts where it means something (RFC 6864). */
function sameIpv4(
	a: DataView,
	from: number,
	b: DataView,
	start: number,
	distance: number,
): boolean {
	const follows = ((a.getUint16(from + 4) + distance) & 0xffff) === b.getUint16(start + 4);
	return (
		a.getUint16(from) === b.getUint16(start) &&
		a.getUint16(from + 6) === b.getUint16(start + 6) &&
		(follows || a.getUint16(from + 6) === DONT_FRAGMENT) &&
		a.getUint16(from + 8) === b.getUint16(start + 8) &&
		a.getInt32(from + 12) === b.getInt32(start + 12) &&
		a.getInt32(from + 16) === b.getInt32(start + 16)
	);
}

function sameWords(a: DataView, from: number, b: DataView, at: number, octets: number): boolean {
	for (let i = 0; i < octets; i += 4) {
		if (a.getInt32(from + i) !== b.getInt32(at + i)) {
			return false;
		}
	}
	return true;
}

function pseudoSum(packet: PacketBuffer, octets: number): number {
	const { view, start, family } = packet;
	const ipv4 = family === Family.Ipv4;
	const sourceAt = start + (ipv4 ? 12 : 8);
	const destinationAt = start + (ipv4 ? 16 : 24);
	return pseudoHeaderSum(view, family, sourceAt, destinationAt, octets, protocolOf(packet));
}

/** What the sum over a TCP segment or datagram begins with, so that it is 0xffff where its checksum is right. */
export function segmentSumStart(packet: PacketBuffer): number {
	return pseudoSum(packet, packet.end - packet.transportAt);
}

/** Is the segment's checksum right? */
function isSound(packet: PacketBuffer, at: number, sum: number): boolean {
	const octets = packet.end - at;
	const known =
		sum === NOT ? checksumAddView(packet.view, at, octets, pseudoSum(packet, octets)) : sum;
	return checksumFold(known) === 0;
}
