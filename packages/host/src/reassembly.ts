/**
 * Putting fragments together (RFC 791 §3.2, RFC 8200 §4.5, RFC 5722), as Linux does: an exact repeat is
 * ignored, any other overlap throws the whole datagram away, in both families. The headers of the first
 * fragment become those of the datagram; what has waited too long is given back for an ICMP error.
 *
 * Bounded by limits.ts in datagrams, octets and fragments: what arrives when there is no room evicts the
 * oldest datagram.
 */
import {
	FRAGMENT_HEADER_OCTETS,
	fragmentId,
	fragmentMore,
	fragmentNextHeader,
	fragmentOffset,
	IPV4_DONT_FRAGMENT,
	IPV4_PACKET_OCTETS_MAX,
	IPV4_SOURCE_AT,
	IPV6_HEADER_OCTETS,
	IPV6_PAYLOAD_OCTETS_MAX,
	IPV6_SOURCE_AT,
	ipv4DontFragment,
	ipv4FragmentOffset,
	ipv4HeaderOctets,
	ipv4Id,
	ipv4MoreFragments,
	ipv4Protocol,
	ipv4Tos,
	ipv6TrafficClass,
	PacketBuffer,
	setIpv4Checksum,
	setIpv4FragmentWord,
	setIpv4Tos,
	setIpv4TotalLength,
	setIpv6PayloadLength,
	setIpv6TrafficClass,
} from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';
import {
	REASSEMBLY_DATAGRAMS_MAX,
	REASSEMBLY_FRAGMENTS_MAX,
	REASSEMBLY_IPV4_US,
	REASSEMBLY_IPV6_US,
	REASSEMBLY_OCTETS_MAX,
} from './limits.ts';
import type { Reception } from './reception.ts';

/** A piece of a datagram. */
interface Piece {
	readonly from: number;
	readonly to: number;
	readonly octets: Uint8Array;
}

/** A datagram of which pieces have come. */
interface Datagram {
	readonly key: string;
	readonly family: number;
	readonly expiresUs: number;
	/** In order of offset, without overlaps. */
	readonly pieces: Piece[];
	/** The reception of the piece at offset 0, its packet whole. */
	first: Reception | undefined;
	/** Offset of the fragment header in the first piece (IPv6). */
	headerAt: number;
	/** Offset from the first piece's start of the octet that names the fragment header (IPv6). */
	nextHeaderAt: number;
	/** Where the data ends as far as is known; exact once `last` is true. */
	length: number;
	last: boolean;
	/** Octets of all pieces. */
	held: number;
	/** Bit `1 << ECN` for each codepoint met. */
	ecn: number;
	/** Longest fragment, and longest with DF set (IPv4). */
	longest: number;
	longestUnfragmentable: number;
}

/** What became of a fragment. */
export type ReassemblyAnswer =
	/** It waits for others, or repeated one, or the datagram was thrown away. */
	| { readonly outcome: 'waits' | 'dropped' }
	/** A datagram is complete: go on with it. */
	| { readonly outcome: 'complete'; readonly reception: Reception }
	/** IPv6: a parameter problem is due, with this pointer. */
	| { readonly outcome: 'problem'; readonly pointer: number };

const WAITS: ReassemblyAnswer = { outcome: 'waits' };
const DROPPED: ReassemblyAnswer = { outcome: 'dropped' };

/** ECN codepoints (RFC 3168 §5.3) as bits of `Datagram.ecn`. */
const ECN_NOT_CAPABLE = 1;
const ECN_CONGESTION = 8;

/** Where one fragment belongs. */
interface Place {
	readonly offset: number;
	readonly end: number;
	readonly more: boolean;
	/** Where its data begins in the packet. */
	readonly dataAt: number;
	readonly ecn: number;
}

/**
 * All datagrams of which fragments have come; what is whole goes on, fragments never reach a transform.
 *
 * @spec I-2
 */
export class Reassembly {
	private readonly datagrams: Map<string, Datagram> = new Map();
	private octets = 0;
	/** No datagram ends before this time. */
	private earliestUs = Number.POSITIVE_INFINITY;

	/** When to call `expire` next; Infinity when nothing waits. */
	deadlineUs(): number {
		return this.datagrams.size === 0 ? Number.POSITIVE_INFINITY : this.earliestUs;
	}

	/** Takes datagrams out whose time is over; those whose first fragment is there are returned for an ICMP error. */
	expire(nowUs: number): Reception[] {
		const expired: Reception[] = [];
		this.earliestUs = Number.POSITIVE_INFINITY;
		for (const datagram of this.datagrams.values()) {
			if (datagram.expiresUs > nowUs) {
				this.earliestUs = Math.min(this.earliestUs, datagram.expiresUs);
				continue;
			}
			this.forget(datagram);
			if (datagram.first !== undefined) {
				expired.push(datagram.first);
			}
		}
		return expired;
	}

	/** Takes an IPv4 fragment; its header and length are known to be sound. */
	addIpv4(reception: Reception, nowUs: number): ReassemblyAnswer {
		const { packet, device } = reception;
		const { view, start, end } = packet;
		const headerOctets = ipv4HeaderOctets(view, start);
		const identity = `4 ${device.ifindex} ${ipv4Id(view, start)} ${ipv4Protocol(view, start)} `;
		const key = identity + octetKey(packet, start + IPV4_SOURCE_AT, 8);
		const datagram = this.datagram(key, Family.Ipv4, nowUs + REASSEMBLY_IPV4_US);
		const offset = ipv4FragmentOffset(view, start);
		const more = ipv4MoreFragments(view, start);
		const dataAt = start + headerOctets;
		let dataEnd = offset + (end - dataAt);
		if (more) {
			dataEnd &= ~7;
		}
		const octets = dataEnd - offset + headerOctets;
		datagram.longest = Math.max(datagram.longest, octets);
		if (ipv4DontFragment(view, start)) {
			datagram.longestUnfragmentable = Math.max(datagram.longestUnfragmentable, octets);
		}
		const place = { offset, end: dataEnd, more, dataAt, ecn: ipv4Tos(view, start) & 3 };
		return this.add(datagram, reception, place);
	}

	/** Takes an IPv6 fragment whose fragment header stands at `packet.transportAt` and is not atomic. */
	addIpv6(reception: Reception, nowUs: number): ReassemblyAnswer {
		const { packet, device } = reception;
		const { view, start, end, transportAt } = packet;
		const offset = fragmentOffset(view, transportAt);
		const dataAt = transportAt + FRAGMENT_HEADER_OCTETS;
		const dataEnd = offset + (end - dataAt);
		const more = fragmentMore(view, transportAt);
		if (dataEnd > IPV6_PAYLOAD_OCTETS_MAX) {
			return { outcome: 'problem', pointer: transportAt + 2 - start };
		}
		if (more && (dataEnd & 7) !== 0) {
			return { outcome: 'problem', pointer: 4 };
		}
		const identity = `6 ${device.ifindex} ${fragmentId(view, transportAt)} `;
		const key = identity + octetKey(packet, start + IPV6_SOURCE_AT, 32);
		const datagram = this.datagram(key, Family.Ipv6, nowUs + REASSEMBLY_IPV6_US);
		if (offset === 0) {
			datagram.headerAt = transportAt - start;
			datagram.nextHeaderAt = packet.nextHeaderAt - start;
		}
		const ecn = ipv6TrafficClass(view, start) & 3;
		return this.add(datagram, reception, { offset, end: dataEnd, more, dataAt, ecn });
	}

	private datagram(key: string, family: number, expiresUs: number): Datagram {
		const known = this.datagrams.get(key);
		if (known !== undefined) {
			return known;
		}
		if (this.datagrams.size >= REASSEMBLY_DATAGRAMS_MAX) {
			this.forgetOldest();
		}
		const fresh: Datagram = {
			key,
			family,
			expiresUs,
			pieces: [],
			first: undefined,
			headerAt: 0,
			nextHeaderAt: 0,
			length: 0,
			last: false,
			held: 0,
			ecn: 0,
			longest: 0,
			longestUnfragmentable: 0,
		};
		this.datagrams.set(key, fresh);
		this.earliestUs = Math.min(this.earliestUs, expiresUs);
		return fresh;
	}

	private add(datagram: Datagram, reception: Reception, place: Place): ReassemblyAnswer {
		const { offset, end, more } = place;
		if (end <= offset || !fitsLength(datagram, end, more)) {
			this.forget(datagram);
			return DROPPED;
		}
		datagram.length = Math.max(datagram.length, end);
		datagram.last ||= !more;
		const { packet } = reception;
		const octets = packet.bytes.slice(place.dataAt, place.dataAt + end - offset);
		const inserted = insertPiece(datagram.pieces, { from: offset, to: end, octets });
		if (inserted === 'repeat') {
			return WAITS;
		}
		if (inserted === 'overlap' || datagram.pieces.length > REASSEMBLY_FRAGMENTS_MAX) {
			this.forget(datagram);
			return DROPPED;
		}
		datagram.ecn |= 1 << place.ecn;
		datagram.held += octets.length;
		this.octets += octets.length;
		if (offset === 0) {
			datagram.first = reception;
		}
		if (datagram.last && datagram.held === datagram.length && datagram.first !== undefined) {
			this.forget(datagram);
			const whole = join(datagram, datagram.first);
			return whole === undefined ? DROPPED : { outcome: 'complete', reception: whole };
		}
		while (this.octets > REASSEMBLY_OCTETS_MAX) {
			this.forgetOldest();
		}
		return WAITS;
	}

	private forget(datagram: Datagram): void {
		if (this.datagrams.delete(datagram.key)) {
			this.octets -= datagram.held;
		}
	}

	private forgetOldest(): void {
		for (const oldest of this.datagrams.values()) {
			this.forget(oldest);
			return;
		}
	}
}

/** Octets as a key. */
function octetKey(packet: PacketBuffer, at: number, octets: number): string {
	let key = '';
	for (let i = 0; i < octets; i++) {
		key += String.fromCharCode(packet.bytes[at + i] ?? 0);
	}
	return key;
}

/** Does the end of a piece agree with what is known of the datagram's length? */
function fitsLength(datagram: Datagram, end: number, more: boolean): boolean {
	return more
		? end <= datagram.length || !datagram.last
		: end >= datagram.length && (!datagram.last || end === datagram.length);
}

/** Puts a piece in its place; what lies within what is there already is a repeat. */
function insertPiece(pieces: Piece[], piece: Piece): 'new' | 'repeat' | 'overlap' {
	let at = 0;
	while (at < pieces.length && (pieces[at]?.to ?? 0) <= piece.from) {
		at++;
	}
	const next = pieces[at];
	if (next === undefined || next.from >= piece.to) {
		pieces.splice(at, 0, piece);
		return 'new';
	}
	// Neighbouring pieces without a gap count as one run, as in the kernel.
	let runFrom = next.from;
	for (let i = at; i > 0 && pieces[i - 1]?.to === runFrom; i--) {
		runFrom = pieces[i - 1]?.from ?? runFrom;
	}
	let runTo = next.to;
	for (let i = at + 1; i < pieces.length && pieces[i]?.from === runTo; i++) {
		runTo = pieces[i]?.to ?? runTo;
	}
	return piece.from >= runFrom && piece.to <= runTo ? 'repeat' : 'overlap';
}

/** The datagram under the first fragment's headers; undefined when it is too long or its ECN contradicts itself. */
function join(datagram: Datagram, first: Reception): Reception | undefined {
	const congested = (datagram.ecn & ECN_CONGESTION) !== 0;
	if (congested && (datagram.ecn & ECN_NOT_CAPABLE) !== 0) {
		return undefined;
	}
	const head = first.packet;
	const headOctets =
		datagram.family === Family.Ipv4 ? ipv4HeaderOctets(head.view, head.start) : datagram.headerAt;
	const total = headOctets + datagram.length;
	const limit =
		datagram.family === Family.Ipv4
			? IPV4_PACKET_OCTETS_MAX
			: IPV6_HEADER_OCTETS + IPV6_PAYLOAD_OCTETS_MAX;
	if (total > limit) {
		return undefined;
	}
	const octets = new Uint8Array(total);
	octets.set(head.bytes.subarray(head.start, head.start + headOctets));
	for (const piece of datagram.pieces) {
		octets.set(piece.octets, headOctets + piece.from);
	}
	const packet = PacketBuffer.from(octets);
	copyFacts(head, packet);
	const whole = first.withPacket(packet);
	whole.reassembled = true;
	if (datagram.family === Family.Ipv4) {
		finishIpv4(packet, total, congested, datagram.longestUnfragmentable === datagram.longest);
	} else {
		const { view, start } = packet;
		packet.nextHeaderAt = start + datagram.nextHeaderAt;
		packet.transportAt = start + headOctets;
		view.setUint8(
			packet.nextHeaderAt,
			fragmentNextHeader(head.view, head.start + datagram.headerAt),
		);
		setIpv6PayloadLength(view, start, total - IPV6_HEADER_OCTETS);
		if (congested) {
			setIpv6TrafficClass(view, start, ipv6TrafficClass(view, start) | 3);
		}
	}
	return whole;
}

function finishIpv4(
	packet: PacketBuffer,
	total: number,
	congested: boolean,
	dontFragment: boolean,
): void {
	const { view, start } = packet;
	setIpv4TotalLength(view, start, total);
	setIpv4FragmentWord(view, start, dontFragment ? IPV4_DONT_FRAGMENT : 0);
	if (congested) {
		setIpv4Tos(view, start, ipv4Tos(view, start) | 3);
	}
	setIpv4Checksum(view, start);
}

/** Mark, interfaces, route and sec path of one buffer for another that holds the same packet or a part of it. */
export function copyFacts(from: PacketBuffer, to: PacketBuffer): void {
	to.family = from.family;
	to.proto = from.proto;
	to.mark = from.mark;
	to.iif = from.iif;
	to.ifId = from.ifId;
	to.socketId = from.socketId;
	to.forwarded = from.forwarded;
	to.dontFragment = from.dontFragment;
	to.route = from.route;
	to.bundle = from.bundle;
	to.mtu = from.mtu;
	to.flow.copyFrom(from.flow);
	for (let i = 0; i < from.pathCount; i++) {
		to.path[i] = from.path[i] ?? null;
	}
	to.pathCount = from.pathCount;
	to.verifiedCount = from.verifiedCount;
}
