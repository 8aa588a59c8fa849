/** A packet in words: addresses, protocol and what tells it apart, for stories about packets of any kind. */
import {
	fitsIpv4,
	fitsIpv6,
	formatHex32,
	ipv4FragmentWord,
	ipv4HeaderOctets,
	ipv4Protocol,
} from '@xfrm/wire';
import { addressFrom, Family, formatAddress, IpProto } from '@xfrm/wire/xfrm';
import { protocolName } from './names.ts';

/** What can be seen of a packet from outside. */
export interface PacketFacts {
	readonly family: number;
	readonly source: string;
	readonly destination: string;
	/** Of the first header behind IP and its extension headers. */
	readonly proto: number;
	readonly transportAt: number;
	readonly fragment: boolean;
	/** UDP ports in front of ESP, when the packet may be ESP in UDP. */
	readonly udp?: { readonly sport: number; readonly dport: number };
	/** Of the outermost ESP, AH or IPComp header. */
	readonly spi?: number;
	readonly seq?: number;
	/** Home address of a home address option, or in a type 2 routing header. */
	readonly homeAddress?: string;
}

function viewOf(bytes: Uint8Array): DataView {
	return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Reads the outermost headers; undefined when there is no IP header. */
export function packetFacts(packet: Uint8Array): PacketFacts | undefined {
	const view = viewOf(packet);
	if (fitsIpv4(view, 0, packet.length)) {
		const base = {
			family: Family.Ipv4,
			source: formatAddress(addressFrom(packet, 12, 4), Family.Ipv4),
			destination: formatAddress(addressFrom(packet, 16, 4), Family.Ipv4),
			fragment: (ipv4FragmentWord(view, 0) & 0x3fff) !== 0,
		};
		if ((ipv4FragmentWord(view, 0) & 0x1fff) !== 0) {
			// Nothing but data behind the header of a later fragment.
			return { ...base, proto: ipv4Protocol(view, 0), transportAt: packet.length };
		}
		return { ...base, ...securityFacts(view, ipv4Protocol(view, 0), ipv4HeaderOctets(view, 0)) };
	}
	if (!fitsIpv6(view, 0, packet.length)) {
		return undefined;
	}
	let proto = packet[6] ?? IpProto.NoNext;
	let at = 40;
	let fragment = false;
	let homeAddress: string | undefined;
	while (isSkipped(proto) && at + 8 <= packet.length) {
		const octets = proto === IpProto.Fragment ? 8 : ((packet[at + 1] ?? 0) + 1) * 8;
		fragment ||= proto === IpProto.Fragment;
		homeAddress ??= homeAddressOf(packet, proto, at, octets);
		proto = packet[at] ?? IpProto.NoNext;
		at += octets;
	}
	return {
		family: Family.Ipv6,
		source: formatAddress(addressFrom(packet, 8, 16), Family.Ipv6),
		destination: formatAddress(addressFrom(packet, 24, 16), Family.Ipv6),
		fragment,
		...(homeAddress === undefined ? {} : { homeAddress }),
		...securityFacts(view, proto, at),
	};
}

function isSkipped(proto: number): boolean {
	return (
		proto === IpProto.HopByHop ||
		proto === IpProto.Routing ||
		proto === IpProto.Fragment ||
		proto === IpProto.DestinationOptions
	);
}

/** The home address that a mobility option or routing header names. */
function homeAddressOf(
	packet: Uint8Array,
	proto: number,
	at: number,
	octets: number,
): string | undefined {
	if (proto === IpProto.Routing && packet[at + 2] === 2 && octets === 24) {
		return formatAddress(addressFrom(packet, at + 8, 16), Family.Ipv6);
	}
	for (let option = at + 2; proto === IpProto.DestinationOptions && option + 18 <= at + octets; ) {
		if (packet[option] === 0xc9 && packet[option + 1] === 16) {
			return formatAddress(addressFrom(packet, option + 2, 16), Family.Ipv6);
		}
		option += packet[option] === 0 ? 1 : 2 + (packet[option + 1] ?? 0);
	}
	return undefined;
}

function securityFacts(
	view: DataView,
	proto: number,
	at: number,
): Pick<PacketFacts, 'proto' | 'transportAt' | 'spi' | 'seq' | 'udp'> {
	const end = view.byteLength;
	const common = { proto, transportAt: at };
	switch (proto) {
		case IpProto.Esp:
			return at + 8 <= end
				? { ...common, spi: view.getUint32(at), seq: view.getUint32(at + 4) }
				: common;
		case IpProto.Ah:
			return at + 12 <= end
				? { ...common, spi: view.getUint32(at + 4), seq: view.getUint32(at + 8) }
				: common;
		case IpProto.Comp:
			return at + 4 <= end ? { ...common, spi: view.getUint16(at + 2) } : common;
		case IpProto.Udp: {
			if (at + 8 > end) {
				return common;
			}
			const udp = { sport: view.getUint16(at), dport: view.getUint16(at + 2) };
			const isEsp = at + 16 < end && view.getUint32(at + 8) !== 0;
			return isEsp
				? { ...common, udp, spi: view.getUint32(at + 8), seq: view.getUint32(at + 12) }
				: { ...common, udp };
		}
		default:
			return common;
	}
}

/** One line about a packet: `10.0.0.1 → 10.0.0.2  esp spi 0x0000000f seq 1  104 bytes`. */
export function packetText(packet: Uint8Array): string {
	const facts = packetFacts(packet);
	if (facts === undefined) {
		return `no IP packet, ${packet.length} bytes`;
	}
	const parts = [`${facts.source} → ${facts.destination}`, upperText(packet, facts)];
	if (facts.homeAddress !== undefined) {
		parts.push(`home address ${facts.homeAddress}`);
	}
	if (facts.fragment) {
		parts.push('a fragment');
	}
	return [...parts, `${packet.length} bytes`].join('  ');
}

function upperText(packet: Uint8Array, facts: PacketFacts): string {
	const { proto, spi, seq, udp, transportAt: at, fragment } = facts;
	const name = protocolName(proto);
	if (spi !== undefined && udp === undefined) {
		return `${name} spi ${formatHex32(spi)}${seq === undefined ? '' : ` seq ${seq}`}`;
	}
	if (fragment || at + 4 > packet.length) {
		return name;
	}
	const view = viewOf(packet);
	switch (proto) {
		case IpProto.Udp:
		case IpProto.Tcp:
		case IpProto.Sctp:
			return `${name} ${view.getUint16(at)} → ${view.getUint16(at + 2)}`;
		case IpProto.Icmp:
		case IpProto.Icmpv6:
			return `${name} type ${packet[at]} code ${packet[at + 1]}`;
		case IpProto.MobilityHeader:
			return `${name} type ${packet[at + 2]}${packet[at + 2] === 5 ? ' (binding update)' : ''}`;
		default:
			return name;
	}
}
