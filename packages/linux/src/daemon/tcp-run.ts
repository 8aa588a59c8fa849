/**
 * TCP segments that follow each other, made one packet again for the kernel, as a network device with large
 * receive offload does. Only what the kernel can cut into the very same segments again is joined: equal headers
 * but for lengths, checksums and identification, in sequence, all as long as the first but the last, which may
 * be shorter or bear PSH. Each segment's checksum is looked at, as the joined one is made from nothing.
 *
 *     first packet   | IP | TCP | payload |
 *     those behind               | payload |   one message, gathered by the system call
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
	TcpFlag,
	tcpFlags,
	tcpHeaderOctets,
	tcpSequence,
} from '@xfrm/wire';
import { Family, IpProto } from '@xfrm/wire/xfrm';
import { NOT } from '../native/octet-moves.ts';
import { SegmentType, VNET_HEADER_OCTETS, writeTcpVnet } from './vnet-header.ts';

const IPV4_OCTETS = 20;
const IPV6_OCTETS = 40;
/** Longest joined packet. */
const JOINED_OCTETS_MAX = 65_535;
const DONT_FRAGMENT = 0x4000;
/** PSH in the word of offset, flags and window. */
const PSH_IN_WORD: number = TcpFlag.Psh << 16;

export class TcpRun {
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
	 * @param sum over the segment, begun with `tcpSumStart`; `NOT` when it is not known
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
		if (!fitsTcp(view, at, end) || tcpFlags(view, at) !== TcpFlag.Ack) {
			return;
		}
		this.#upperOctets = upperOctets;
		this.#headerOctets = upperOctets + tcpHeaderOctets(view, at);
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
			!this.#isNext(first, packet, at)
		) {
			return false;
		}
		this.#firstIsSound ||= isSound(first, first.start + upperOctets, this.#firstSum);
		if (!this.#firstIsSound || !isSound(packet, at, sum)) {
			this.#open = false;
			return false;
		}
		const pushes = (tcpFlags(view, at) & TcpFlag.Psh) !== 0;
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
		const sum = pseudoSum(first, octets - this.#upperOctets);
		// The kernel adds to it: the sum itself, not its complement.
		setTcpChecksum(view, at, ~checksumFold(sum) & 0xffff);
		writeTcpVnet(
			view,
			start - VNET_HEADER_OCTETS,
			ipv4 ? SegmentType.Tcp4 : SegmentType.Tcp6,
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
		return (
			same &&
			tcpSequence(view, at) === ((tcpSequence(a, firstAt) + this.#payloadOctets) | 0) &&
			a.getInt32(firstAt) === view.getInt32(at) &&
			a.getInt32(firstAt + 8) === view.getInt32(at + 8) &&
			(a.getInt32(firstAt + 12) | PSH_IN_WORD) === (view.getInt32(at + 12) | PSH_IN_WORD) &&
			a.getUint16(firstAt + 18) === view.getUint16(at + 18) &&
			sameWords(a, firstAt + 20, view, at + 20, this.#headerOctets - this.#upperOctets - 20)
		);
	}
}

/** Offset of the TCP header, -1 for anything that is not joined: options, extension headers, fragments. */
function upperOctetsOf({ view, start, end, family }: PacketBuffer): number {
	if (family === Family.Ipv4) {
		const plain =
			end - start > IPV4_OCTETS &&
			ipv4HeaderOctets(view, start) === IPV4_OCTETS &&
			view.getUint8(start + 9) === IpProto.Tcp &&
			(view.getUint16(start + 6) & ~DONT_FRAGMENT) === 0;
		return plain ? IPV4_OCTETS : -1;
	}
	return end - start > IPV6_OCTETS && view.getUint8(start + 6) === IpProto.Tcp ? IPV6_OCTETS : -1;
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

function pseudoSum({ view, start, family }: PacketBuffer, octets: number): number {
	const ipv4 = family === Family.Ipv4;
	const sourceAt = start + (ipv4 ? 12 : 8);
	const destinationAt = start + (ipv4 ? 16 : 24);
	return pseudoHeaderSum(view, family, sourceAt, destinationAt, octets, IpProto.Tcp);
}

/** What the sum over a TCP segment begins with, so that it is 0xffff where its checksum is right. */
export function tcpSumStart(packet: PacketBuffer): number {
	return pseudoSum(packet, packet.end - packet.transportAt);
}

/** Is the segment's checksum right? */
function isSound(packet: PacketBuffer, at: number, sum: number): boolean {
	const octets = packet.end - at;
	const known =
		sum === NOT ? checksumAddView(packet.view, at, octets, pseudoSum(packet, octets)) : sum;
	return checksumFold(known) === 0;
}
