/**
 * ICMP errors about outer packets. The kernel learns path MTUs from those that say "too big", for our raw
 * sockets as for any, but tells nobody: so the daemon listens too, and forgets its routes when an error
 * quotes a packet of a state that it has.
 *
 *     ICMP header 8 | IP header | ESP, AH: SPI 4 …
 *                               | IPComp: next header 1, flags 1, CPI 2
 *                               | UDP 8 | ESP: SPI 4 …
 */
import type { Engine } from '@xfrm/engine';
import {
	fitsIpv4,
	fitsIpv6,
	ICMP_HEADER_OCTETS,
	IcmpType,
	IcmpUnreachableCode,
	Icmpv6Type,
	IPV6_HEADER_OCTETS,
	ipv4HeaderOctets,
	ipv4Protocol,
	ipv6NextHeader,
	UDP_HEADER_OCTETS,
} from '@xfrm/wire';
import { addressFrom, Family, IpProto } from '@xfrm/wire/xfrm';
import { AF_INET, AF_INET6, SocketKind } from '../native/abi.ts';
import type { Native } from '../native/seam.ts';
import { emptyMessage } from '../rtnetlink/rtnetlink-socket.ts';

/** Longest error that is looked at: its quoted headers stand in front. */
const ERROR_OCTETS_MAX = 576;
/** Errors that are taken at once: what a flood brings beyond waits, and is then lost. */
const ERRORS_PER_TURN = 16;

const LEVEL_RAW = 255;
const LEVEL_ICMPV6 = 58;
/** `ICMP_FILTER` and `ICMPV6_FILTER`: a set bit keeps a type away. */
const FILTER_OPTION = 1;

export interface ErrorSocket {
	readonly fd: number;
	readonly family: number;
}

/** What an error quotes: by what the state of the packet is found. */
export interface QuotedPacket {
	readonly proto: number;
	readonly spi: number;
	readonly daddr: Uint8Array;
}

/** Opens sockets that hear "too big" only; none for a family that this host does not have. */
export function openErrorSockets(native: Native): ErrorSocket[] {
	const sockets: ErrorSocket[] = [];
	const four = native.socket(AF_INET, SocketKind.Raw, IpProto.Icmp);
	if (four >= 0) {
		const filter = new Uint8Array(4);
		new DataView(filter.buffer).setUint32(0, ~(1 << IcmpType.DestinationUnreachable), true);
		native.setOption(four, LEVEL_RAW, FILTER_OPTION, filter);
		sockets.push({ fd: four, family: Family.Ipv4 });
	}
	const six = native.socket(AF_INET6, SocketKind.Raw, IpProto.Icmpv6);
	if (six >= 0) {
		const filter = new Uint8Array(32).fill(0xff);
		new DataView(filter.buffer).setUint32(0, ~(1 << Icmpv6Type.PacketTooBig), true);
		native.setOption(six, LEVEL_ICMPV6, FILTER_OPTION, filter);
		sockets.push({ fd: six, family: Family.Ipv6 });
	}
	return sockets;
}

/** The quoted packet in what a raw ICMP socket received; undefined for all but "too big" about a transform. */
export function quotedInError(bytes: Uint8Array, family: number): QuotedPacket | undefined {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const end = bytes.length;
	// Raw IPv4 sockets get the IP header too.
	const icmpAt = family === Family.Ipv4 && fitsIpv4(view, 0, end) ? ipv4HeaderOctets(view, 0) : 0;
	const ipAt = icmpAt + ICMP_HEADER_OCTETS;
	if (ipAt > end || !saysTooBig(view, icmpAt, family)) {
		return undefined;
	}
	const ipv4 = family === Family.Ipv4;
	if (!(ipv4 ? fitsIpv4(view, ipAt, end) : fitsIpv6(view, ipAt, end))) {
		return undefined;
	}
	let proto = ipv4 ? ipv4Protocol(view, ipAt) : ipv6NextHeader(view, ipAt);
	let at = ipAt + (ipv4 ? ipv4HeaderOctets(view, ipAt) : IPV6_HEADER_OCTETS);
	if (proto === IpProto.Udp) {
		proto = IpProto.Esp;
		at += UDP_HEADER_OCTETS;
	}
	const spiAt = proto === IpProto.Ah ? at + 4 : at;
	if (spiAt + 4 > end) {
		return undefined;
	}
	const isTransform = proto === IpProto.Esp || proto === IpProto.Ah || proto === IpProto.Comp;
	const spi = proto === IpProto.Comp ? view.getUint16(at + 2) : view.getUint32(spiAt);
	const daddr = addressFrom(bytes, ipAt + (ipv4 ? 16 : 24), ipv4 ? 4 : 16);
	return isTransform ? { proto, spi, daddr } : undefined;
}

function saysTooBig(view: DataView, at: number, family: number): boolean {
	const type = view.getUint8(at);
	return family === Family.Ipv4
		? type === IcmpType.DestinationUnreachable &&
				view.getUint8(at + 1) === IcmpUnreachableCode.FragmentationNeeded
		: type === Icmpv6Type.PacketTooBig;
}

/** Takes what has come; true when some path of a state has become narrower. */
export function takeErrors(native: Native, engine: Engine, socket: ErrorSocket): boolean {
	const bytes = new Uint8Array(ERROR_OCTETS_MAX);
	const message = emptyMessage(0);
	let narrower = false;
	for (let turn = 0; turn < ERRORS_PER_TURN; turn++) {
		const octets = native.receive(socket.fd, bytes, message);
		if (octets <= 0) {
			break;
		}
		const received = bytes.subarray(0, Math.min(octets, bytes.length));
		const quoted = quotedInError(received, socket.family);
		if (quoted !== undefined) {
			const { daddr, spi, proto } = quoted;
			narrower = engine.knowsQuoted(socket.family, daddr, spi, proto, 0) || narrower;
		}
	}
	return narrower;
}
