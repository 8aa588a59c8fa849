/** Between packets, addresses as octets, and flows' words. */
import {
	type Flow,
	IPV4_DESTINATION_AT,
	IPV4_SOURCE_AT,
	IPV6_DESTINATION_AT,
	IPV6_SOURCE_AT,
	type PacketBuffer,
} from '@xfrm/wire';
import { type Address, addressFrom, Family } from '@xfrm/wire/xfrm';

/** Source address of the packet's IP header. */
export function sourceOf(packet: PacketBuffer): Address {
	return packet.family === Family.Ipv4
		? addressFrom(packet.bytes, packet.start + IPV4_SOURCE_AT, 4)
		: addressFrom(packet.bytes, packet.start + IPV6_SOURCE_AT, 16);
}

/** Destination address of the packet's IP header. */
export function destinationOf(packet: PacketBuffer): Address {
	return packet.family === Family.Ipv4
		? addressFrom(packet.bytes, packet.start + IPV4_DESTINATION_AT, 4)
		: addressFrom(packet.bytes, packet.start + IPV6_DESTINATION_AT, 16);
}

/** Fills a flow's words from an address. */
export function setWords(words: Int32Array, address: Address): void {
	for (let i = 0; i < 4; i++) {
		const at = i * 4;
		words[i] =
			((address[at] ?? 0) << 24) |
			((address[at + 1] ?? 0) << 16) |
			((address[at + 2] ?? 0) << 8) |
			(address[at + 3] ?? 0);
	}
}

/** The address that a flow's words stand for. */
export function wordsToAddress(words: Int32Array): Address {
	const address = new Uint8Array(16);
	for (let i = 0; i < 16; i++) {
		address[i] = (words[i >> 2] ?? 0) >>> (24 - 8 * (i & 3));
	}
	return address;
}

/** Fills a flow for a packet made here. Ports as `Flow` has them. */
export function setFlow(
	flow: Flow,
	family: number,
	source: Address,
	destination: Address,
	proto: number,
	sport: number,
	dport: number,
): void {
	flow.family = family;
	setWords(flow.saddr, source);
	setWords(flow.daddr, destination);
	flow.proto = proto;
	flow.sport = sport;
	flow.dport = dport;
}
