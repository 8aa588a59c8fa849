/**
 * Cutting packets that are longer than a path takes (RFC 791 §3.2, RFC 8200 §4.5). Options of IPv4 that
 * have no copied flag stay in the first fragment only; in later ones their place is filled with no
 * operation, so that all headers keep their length, as Linux does.
 */
import {
	FRAGMENT_HEADER_OCTETS,
	HeaderChain,
	IPV4_MORE_FRAGMENTS,
	IPV4_OPTIONS_AT,
	IPV6_HEADER_OCTETS,
	Ipv4Option,
	ipv4FragmentOffset,
	ipv4FragmentWord,
	ipv4HeaderOctets,
	ipv4OptionOctets,
	PacketBuffer,
	setIpv4Checksum,
	setIpv4FragmentWord,
	setIpv4TotalLength,
	setIpv6PayloadLength,
	walkUnfragmentable,
	writeFragment,
} from '@xfrm/wire';
import { Family, IpProto } from '@xfrm/wire/xfrm';
import { copyFacts } from './reassembly.ts';

/** Bit of an IPv4 option type: it belongs into every fragment. */
const OPTION_COPIED = 0x80;

const chain: HeaderChain = new HeaderChain();

/**
 * The packet in pieces of at most `mtu` octets, in order; undefined when there is no room for any data,
 * or the IPv6 headers are broken.
 *
 * @param id identification of the pieces (IPv6; IPv4 keeps the packet's)
 */
export function fragmentPacket(
	packet: PacketBuffer,
	mtu: number,
	id: number,
): PacketBuffer[] | undefined {
	return packet.family === Family.Ipv4 ? fragmentIpv4(packet, mtu) : fragmentIpv6(packet, mtu, id);
}

function fragmentIpv4(packet: PacketBuffer, mtu: number): PacketBuffer[] | undefined {
	const { view, bytes, start, end } = packet;
	const headerOctets = ipv4HeaderOctets(view, start);
	const room = (mtu - headerOctets) & ~7;
	if (room < 8) {
		return undefined;
	}
	const word = ipv4FragmentWord(view, start);
	const offset = ipv4FragmentOffset(view, start);
	const dataAt = start + headerOctets;
	const dataOctets = end - dataAt;
	const pieces: PacketBuffer[] = [];
	for (let from = 0; from < dataOctets; ) {
		const left = dataOctets - from;
		const octets = left <= mtu - headerOctets ? left : room;
		const piece = new Uint8Array(headerOctets + octets);
		piece.set(bytes.subarray(start, dataAt));
		piece.set(bytes.subarray(dataAt + from, dataAt + from + octets), headerOctets);
		const buffer = PacketBuffer.from(piece);
		copyFacts(packet, buffer);
		if (from > 0) {
			dropUncopiedOptions(buffer, headerOctets);
		}
		const more = octets < left || (word & IPV4_MORE_FRAGMENTS) !== 0;
		// Reserved bit and DF stay as they were.
		const fragmentWord =
			(word & 0xc000) | (more ? IPV4_MORE_FRAGMENTS : 0) | ((offset + from) >> 3);
		setIpv4TotalLength(buffer.view, buffer.start, piece.length);
		setIpv4FragmentWord(buffer.view, buffer.start, fragmentWord);
		setIpv4Checksum(buffer.view, buffer.start);
		pieces.push(buffer);
		from += octets;
	}
	return pieces;
}

/** Overwrites options without the copied flag with no operation. */
function dropUncopiedOptions(packet: PacketBuffer, headerOctets: number): void {
	const { view, bytes, start } = packet;
	const end = start + headerOctets;
	let at = start + IPV4_OPTIONS_AT;
	while (at < end) {
		const type = view.getUint8(at);
		const octets = ipv4OptionOctets(view, at, end);
		if (type === Ipv4Option.End || octets === 0) {
			return;
		}
		if ((type & OPTION_COPIED) === 0) {
			bytes.fill(Ipv4Option.NoOperation, at, at + octets);
		}
		at += octets;
	}
}

function fragmentIpv6(packet: PacketBuffer, mtu: number, id: number): PacketBuffer[] | undefined {
	const { view, bytes, start, end } = packet;
	if (!walkUnfragmentable(chain, view, start, end)) {
		return undefined;
	}
	const headOctets = chain.at - start;
	const nextHeaderAt = chain.nextHeaderAt - start;
	const nextHeader = chain.proto;
	const space = mtu - headOctets - FRAGMENT_HEADER_OCTETS;
	const room = space & ~7;
	if (room < 8) {
		return undefined;
	}
	const dataAt = start + headOctets;
	const dataOctets = end - dataAt;
	const pieces: PacketBuffer[] = [];
	for (let from = 0; from < dataOctets; ) {
		const left = dataOctets - from;
		const octets = left <= space ? left : room;
		const piece = new Uint8Array(headOctets + FRAGMENT_HEADER_OCTETS + octets);
		piece.set(bytes.subarray(start, dataAt));
		piece.set(
			bytes.subarray(dataAt + from, dataAt + from + octets),
			headOctets + FRAGMENT_HEADER_OCTETS,
		);
		const buffer = PacketBuffer.from(piece);
		copyFacts(packet, buffer);
		buffer.view.setUint8(buffer.start + nextHeaderAt, IpProto.Fragment);
		const headerAt = buffer.start + headOctets;
		writeFragment(buffer.view, headerAt, nextHeader, from, octets < left, id);
		setIpv6PayloadLength(buffer.view, buffer.start, piece.length - IPV6_HEADER_OCTETS);
		pieces.push(buffer);
		from += octets;
	}
	return pieces;
}
