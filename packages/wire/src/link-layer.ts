/**
 * From a captured frame to the IP packet in it, by link type (https://www.tcpdump.org/linktypes.html).
 * VLAN tags are gone through; what follows the IP packet (Ethernet padding, frame checks) is cut off.
 */
import { fitsIpv4, ipv4HeaderOctets, ipv4TotalLength } from './ipv4.ts';
import { fitsIpv6, IPV6_HEADER_OCTETS, ipv6NextHeader, ipv6PayloadLength } from './ipv6.ts';
import { Family, IpProto } from './xfrm/constants.ts';

/** `LINKTYPE_*` and the numbers of RAW that old systems wrote instead. */
export const LinkType = {
	Null: 0,
	Ethernet: 1,
	RawBsd: 12,
	RawOpenBsd: 14,
	Raw: 101,
	Loop: 108,
	LinuxSll: 113,
	Ipv4: 228,
	Ipv6: 229,
	LinuxSll2: 276,
} as const;

const EtherType = {
	Ipv4: 0x0800,
	Ipv6: 0x86dd,
	Vlan: 0x8100,
	ServiceVlan: 0x88a8,
	OldServiceVlan: 0x9100,
} as const;

/** Address families that mean IPv6 in NULL and LOOP headers: Linux, NetBSD and OpenBSD, FreeBSD, macOS. */
const IPV6_FAMILIES: readonly number[] = [10, 24, 28, 30];

/** Where the IP packet is. */
export interface LinkPayload {
	readonly family: Family;
	/** Offsets in the frame. */
	readonly at: number;
	readonly end: number;
}

/** Why there is none: a sentence part as "EtherType 0x0806 is not IP". */
export interface LinkRefusal {
	readonly at: number;
	readonly reason: string;
}

/** Is it a packet and not a refusal? */
export function isLinkPayload(found: LinkPayload | LinkRefusal): found is LinkPayload {
	return 'family' in found;
}

/** Finds the IP packet in a captured frame. The IP header itself fits; its lengths may still be wrong. */
export function linkPayload(linkType: number, frame: Uint8Array): LinkPayload | LinkRefusal {
	const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
	switch (linkType) {
		case LinkType.Raw:
		case LinkType.RawBsd:
		case LinkType.RawOpenBsd:
		case LinkType.Ipv4:
		case LinkType.Ipv6:
			return ipAt(view, 0);
		case LinkType.Null:
		case LinkType.Loop:
			return behindFamily(view);
		case LinkType.Ethernet:
			return behindEtherType(view, 12, 14);
		case LinkType.LinuxSll:
			return behindEtherType(view, 14, 16);
		case LinkType.LinuxSll2:
			return behindEtherType(view, 0, 20);
		default:
			return { at: 0, reason: `link type ${linkType} is not known` };
	}
}

/** Behind a header of `octets` whose protocol stands at `typeAt`, and any VLAN tags. */
function behindEtherType(
	view: DataView,
	typeAt: number,
	octets: number,
): LinkPayload | LinkRefusal {
	if (view.byteLength < octets) {
		return { at: 0, reason: `a link header has ${octets} octets, found ${view.byteLength}` };
	}
	let foundAt = typeAt;
	let type = view.getUint16(foundAt);
	let at = octets;
	while (
		type === EtherType.Vlan ||
		type === EtherType.ServiceVlan ||
		type === EtherType.OldServiceVlan
	) {
		if (view.byteLength < at + 4) {
			return { at, reason: `a VLAN tag has 4 octets, found ${view.byteLength - at}` };
		}
		foundAt = at + 2;
		type = view.getUint16(foundAt);
		at += 4;
	}
	if (type !== EtherType.Ipv4 && type !== EtherType.Ipv6) {
		return { at: foundAt, reason: `EtherType 0x${type.toString(16).padStart(4, '0')} is not IP` };
	}
	return ipAt(view, at);
}

/** Behind an address family of four octets, in the byte order of the machine that captured. */
function behindFamily(view: DataView): LinkPayload | LinkRefusal {
	if (view.byteLength < 4) {
		return { at: 0, reason: `a loopback header has 4 octets, found ${view.byteLength}` };
	}
	const family = Math.min(view.getUint32(0, false), view.getUint32(0, true));
	if (family !== Family.Ipv4 && !IPV6_FAMILIES.includes(family)) {
		return { at: 0, reason: `address family ${family} is not IP` };
	}
	return ipAt(view, 4);
}

function ipAt(view: DataView, at: number): LinkPayload | LinkRefusal {
	const end = view.byteLength;
	if (fitsIpv4(view, at, end)) {
		const total = ipv4TotalLength(view, at);
		const octets = total < ipv4HeaderOctets(view, at) ? 0 : total;
		return { family: Family.Ipv4, at, end: namedEnd(end, at, octets) };
	}
	if (fitsIpv6(view, at, end)) {
		const payloadOctets = ipv6PayloadLength(view, at);
		const unsaid = payloadOctets === 0 && ipv6NextHeader(view, at) !== IpProto.NoNext;
		const octets = unsaid ? 0 : IPV6_HEADER_OCTETS + payloadOctets;
		return { family: Family.Ipv6, at, end: namedEnd(end, at, octets) };
	}
	if (at >= end) {
		return { at, reason: 'the frame ends before an IP header' };
	}
	const version = view.getUint8(at) >> 4;
	return {
		at,
		reason:
			version === 4 || version === 6
				? `an IPv${version} header does not fit into ${end - at} octets`
				: `IP version ${version} is neither 4 nor 6`,
	};
}

/**
 * The end that the IP header names: `octets` is 0 where it names none (left for the network device to
 * fill in, or nonsense), and reaches beyond the frame when the capture was cut short.
 */
function namedEnd(frameEnd: number, at: number, octets: number): number {
	return octets === 0 ? frameEnd : Math.min(frameEnd, at + octets);
}
