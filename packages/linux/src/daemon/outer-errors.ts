/**
 * ICMP errors about outer packets. The kernel would learn a path MTU from any that says "too big" and quotes the
 * addresses of a raw socket's packets (the sockets ask it not to); the daemon believes those that quote a packet
 * of a state that it has, as the kernel's own ESP does.
 *
 *     ICMP header 8, MTU in it | IP header | ESP, AH: SPI 4 …
 *                                          | IPComp: next header 1, flags 1, CPI 2
 *                                          | UDP 8 | ESP: SPI 4 …
 */
import type { Engine, XfrmState } from '@xfrm/engine';
import { viewOf } from '@xfrm/netlink';
import {
	fitsIpv4,
	fitsIpv6,
	HeaderChain,
	ICMP_HEADER_OCTETS,
	IcmpType,
	IcmpUnreachableCode,
	Icmpv6Type,
	icmpMtu,
	ipv4FragmentOffset,
	ipv4HeaderOctets,
	ipv4Protocol,
	startChain,
	stepChain,
	UDP_HEADER_OCTETS,
	udpDestinationPort,
	udpSourcePort,
} from '@xfrm/wire';
import { type Address, addressFrom, Family, IpProto } from '@xfrm/wire/xfrm';
import { AF_INET, AF_INET6, intValue, Level, SocketKind, SocketOption } from '../native/abi.ts';
import type { Native, ReceivedMessage } from '../native/seam.ts';
import type { KernelRoutes } from '../rtnetlink/kernel-routes.ts';
import { emptyMessage } from '../rtnetlink/rtnetlink-socket.ts';
import { controlValueAt } from './control-message.ts';

/** Longest error that is looked at: its quoted headers stand in front. */
const ERROR_OCTETS_MAX = 576;
/** Errors that are taken at once: what a flood brings beyond waits, and is then lost. */
const ERRORS_PER_TURN = 16;
/** Room for a mark. */
const CONTROL_OCTETS = 24;

const LEVEL_RAW = 255;
const LEVEL_ICMPV6 = 58;
/** `ICMP_FILTER` and `ICMPV6_FILTER`: a set bit keeps a type away. */
const FILTER_OPTION = 1;

export interface ErrorSocket {
	readonly fd: number;
	readonly family: number;
}

/** What an error says, and what it quotes: by what the state of the packet is found. */
export interface QuotedPacket {
	/** Octets that the path takes. */
	readonly mtu: number;
	readonly proto: number;
	readonly spi: number;
	readonly daddr: Address;
	/** Ports of a packet in UDP, else 0. */
	readonly sport: number;
	readonly dport: number;
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
	for (const { fd } of sockets) {
		native.setOption(fd, Level.Socket, SocketOption.ReceiveMark, intValue(1));
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
	if (!(ipv4 ? startIpv4(view, ipAt) : startIpv6(view, ipAt, end))) {
		return undefined;
	}
	let { proto, at } = chain;
	const inUdp = proto === IpProto.Udp && at + UDP_HEADER_OCTETS <= end;
	const sport = inUdp ? udpSourcePort(view, at) : 0;
	const dport = inUdp ? udpDestinationPort(view, at) : 0;
	if (inUdp) {
		proto = IpProto.Esp;
		at += UDP_HEADER_OCTETS;
	}
	const isTransform = proto === IpProto.Esp || proto === IpProto.Ah || proto === IpProto.Comp;
	const spiAt = proto === IpProto.Ah ? at + 4 : at;
	if (!isTransform || spiAt + 4 > end) {
		return undefined;
	}
	const mtu = icmpMtu(view, icmpAt, family);
	const spi = proto === IpProto.Comp ? view.getUint16(at + 2) : view.getUint32(spiAt);
	const daddr = addressFrom(bytes, ipAt + (ipv4 ? 16 : 24), ipv4 ? 4 : 16);
	return { mtu, proto, spi, daddr, sport, dport };
}

/** Where the header of the quoted packet's transform is. */
const chain: HeaderChain = new HeaderChain();

/** A later piece has no such header; false then. */
function startIpv4(view: DataView, ipAt: number): boolean {
	chain.proto = ipv4Protocol(view, ipAt);
	chain.at = ipAt + ipv4HeaderOctets(view, ipAt);
	return ipv4FragmentOffset(view, ipAt) === 0;
}

function startIpv6(view: DataView, ipAt: number, end: number): boolean {
	startChain(chain, view, ipAt);
	while (chain.proto !== IpProto.Ah && stepChain(chain, view, end)) {
		// Every step leads forward.
	}
	return !chain.broken && !chain.inFragment;
}

function saysTooBig(view: DataView, at: number, family: number): boolean {
	const type = view.getUint8(at);
	return family === Family.Ipv4
		? type === IcmpType.DestinationUnreachable &&
				view.getUint8(at + 1) === IcmpUnreachableCode.FragmentationNeeded
		: type === Icmpv6Type.PacketTooBig;
}

/**
 * The MTU that counts of an error's, by net.ipv4.ip_no_pmtu_disc: as it says (0); any error says that the path is as
 * narrow as can be (1); none is believed (2), and none that no connection's numbers verify (3). undefined for none.
 */
function believedMtu(family: number, mtu: number, noPmtuDisc: number): number | undefined {
	if (family !== Family.Ipv4 || noPmtuDisc === 0) {
		return mtu;
	}
	return noPmtuDisc === 2 || noPmtuDisc === 3 ? undefined : 0;
}

/** Takes what has come: those that quote a packet of a state of ours narrow its path. */
export function takeErrors(
	native: Native,
	engine: Engine,
	routes: KernelRoutes,
	socket: ErrorSocket,
	nowUs: number,
): void {
	const bytes = new Uint8Array(ERROR_OCTETS_MAX);
	const message = emptyMessage(CONTROL_OCTETS);
	for (let turn = 0; turn < ERRORS_PER_TURN; turn++) {
		const octets = native.receive(socket.fd, bytes, message);
		if (octets <= 0) {
			break;
		}
		const received = bytes.subarray(0, Math.min(octets, bytes.length));
		const quoted = quotedInError(received, socket.family);
		if (quoted === undefined) {
			continue;
		}
		const { ip_no_pmtu_disc } = engine.net.sysctl;
		const mtu = believedMtu(socket.family, quoted.mtu, ip_no_pmtu_disc);
		const state = stateOf(engine, quoted, socket.family, markOf(message));
		if (state !== undefined && mtu !== undefined) {
			const mark = state.outputMarkValue & state.outputMarkMask;
			routes.learnPathMtu(socket.family, quoted.daddr, mark, mtu, nowUs);
		}
	}
}

/** The mark that the host's filter has put on an error: states of a mark are found by it, as in the kernel. */
function markOf(message: ReceivedMessage): number {
	const at = controlValueAt(message, Level.Socket, SocketOption.Mark, 4);
	return at < 0 ? 0 : viewOf(message.control).getInt32(at, true);
}

/** The state that the packet may have left by, in UDP one with its ports; undefined when there is none. */
function stateOf(
	engine: Engine,
	quoted: QuotedPacket,
	family: number,
	mark: number,
): XfrmState | undefined {
	const { daddr, spi, proto, sport, dport } = quoted;
	const state = engine.findState({ family, id: { daddr, spi, proto }, mark });
	return (state?.encap?.sport ?? 0) === sport && (state?.encap?.dport ?? 0) === dport
		? state
		: undefined;
}
