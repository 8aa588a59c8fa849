/**
 * The sockets for outer packets in plain ESP, AH and IPComp, one raw socket a protocol and family, and two
 * that send whole packets of any protocol. All bear the bypass mark. As long as they are open the kernel
 * answers such packets with no ICMP error.
 *
 * Received from IPv4 is the whole packet, reassembled; from IPv6 what is behind its headers, so that the
 * header is written anew from what the kernel says beside.
 */
import { HEADROOM_OCTETS, IPV6_HEADER_OCTETS, type PacketBuffer, writeIpv6 } from '@xfrm/wire';
import { Errno, Family, IpProto } from '@xfrm/wire/xfrm';
import {
	AF_INET,
	AF_INET6,
	IpOption,
	Ipv6Option,
	intValue,
	Level,
	MtuDiscover,
	SocketKind,
	SocketOption,
	sockaddrAddressAt,
} from '../native/abi.ts';
import { LOCAL_OCTETS, type PacketBatch, PEER_OCTETS } from '../native/packet-batch.ts';
import type { Native } from '../native/seam.ts';
import { BYPASS_MARK } from './marks.ts';
import { StartError } from './start-error.ts';

/** Octets of a socket's queues: a burst of a few milliseconds at a gigabit. */
const QUEUE_OCTETS = 0x40_0000;
/** Of a raw socket that takes no packets: as small as the kernel lets it be. */
const NO_QUEUE_OCTETS = 1;

const PROTOCOLS = [IpProto.Esp, IpProto.Ah, IpProto.Comp] as const;

export interface OuterSocket {
	readonly fd: number;
	readonly family: number;
	readonly proto: number;
}

/**
 * Options of every socket that carries outer packets. What the kernel learns of paths is neither asked for nor
 * taught: the engine has cut its packets to the path, and knows better whose errors to believe.
 */
export function prepareOuterSocket(native: Native, fd: number, family: number): void {
	const set = (level: number, name: number, value: number): number =>
		native.setOption(fd, level, name, intValue(value));
	set(Level.Socket, SocketOption.Mark, BYPASS_MARK);
	// An older kernel refuses: then packets arrive without marks.
	set(Level.Socket, SocketOption.ReceiveMark, 1);
	set(Level.Socket, SocketOption.ReceiveBufferForce, QUEUE_OCTETS);
	set(Level.Socket, SocketOption.SendBufferForce, QUEUE_OCTETS);
	if (family === Family.Ipv4) {
		set(Level.Ip, IpOption.PacketInfo, 1);
		prepareForIpv4(native, fd);
	} else {
		set(Level.Ipv6, Ipv6Option.MtuDiscover, MtuDiscover.Omit);
		set(Level.Ipv6, Ipv6Option.ReceivePacketInfo, 1);
		set(Level.Ipv6, Ipv6Option.ReceiveTrafficClass, 1);
		set(Level.Ipv6, Ipv6Option.ReceiveHopLimit, 1);
	}
}

/** Options of a socket, of whatever family, that IPv4 comes and goes by. */
export function prepareForIpv4(native: Native, fd: number): void {
	native.setOption(fd, Level.Ip, IpOption.MtuDiscover, intValue(MtuDiscover.Omit));
	native.setOption(fd, Level.Ip, IpOption.ReceiveTos, intValue(1));
	native.setOption(fd, Level.Ip, IpOption.ReceiveTtl, intValue(1));
}

export class OuterSockets {
	readonly receivers: readonly OuterSocket[];
	readonly #native: Native;
	readonly #senders: ReadonlyMap<number, number>;

	/** @throws StartError without the right to open raw sockets */
	constructor(native: Native) {
		this.#native = native;
		const receivers: OuterSocket[] = [];
		const senders = new Map<number, number>();
		for (const family of [Family.Ipv4, Family.Ipv6]) {
			const sender = this.#open(family, IpProto.Raw);
			if (sender === undefined) {
				continue;
			}
			senders.set(family, sender);
			const level = family === Family.Ipv4 ? Level.Ip : Level.Ipv6;
			const { HeaderIncluded } = family === Family.Ipv4 ? IpOption : Ipv6Option;
			native.setOption(sender, level, HeaderIncluded, intValue(1));
			if (family === Family.Ipv6) {
				// As of IPv4: a source that is this host's no longer is the engine's to judge.
				native.setOption(sender, level, Ipv6Option.FreeBind, intValue(1));
			}
			const { ReceiveBuffer } = SocketOption;
			native.setOption(sender, Level.Socket, ReceiveBuffer, intValue(NO_QUEUE_OCTETS));
			for (const proto of PROTOCOLS) {
				const fd = this.#open(family, proto);
				if (fd !== undefined) {
					receivers.push({ fd, family, proto });
				}
			}
		}
		this.receivers = receivers;
		this.#senders = senders;
	}

	/**
	 * Sends whole packets. Rows carry a socket address as peer, and what else of the header the kernel chooses a way by:
	 * source and traffic class; a hop limit too, of which it wants only that there is one.
	 */
	send(family: number, batch: PacketBatch): void {
		const fd = this.#senders.get(family);
		if (fd === undefined) {
			batch.status.fill(-Errno.EAFNOSUPPORT, 0, batch.count);
			return;
		}
		this.#native.sendPackets(fd, 'datagram', batch);
	}

	close(): void {
		for (const fd of [...this.#senders.values(), ...this.receivers.map((socket) => socket.fd)]) {
			this.#native.close(fd);
		}
	}

	/** undefined for a family that this host does not have. */
	#open(family: number, proto: number): number | undefined {
		const domain = family === Family.Ipv4 ? AF_INET : AF_INET6;
		const fd = this.#native.socket(domain, SocketKind.Raw, proto);
		if (fd === -Errno.EAFNOSUPPORT) {
			return undefined;
		}
		if (fd < 0) {
			const why = fd === -Errno.EPERM ? 'run the daemon as root' : `errno ${-fd}`;
			throw new StartError(`raw sockets need CAP_NET_RAW: ${why}`);
		}
		prepareOuterSocket(this.#native, fd, family);
		return fd;
	}
}

/** Octets in front of what a raw socket brings that are needed for the header. */
export function rawGap(family: number): number {
	return family === Family.Ipv4 ? 0 : IPV6_HEADER_OCTETS;
}

/** Makes a whole packet of what a raw socket has received into a row; false when it is none. */
export function takeRaw(
	packet: PacketBuffer,
	batch: PacketBatch,
	row: number,
	socket: OuterSocket,
): boolean {
	const octets = batch.octets[row] ?? 0;
	packet.family = socket.family;
	packet.proto = socket.proto;
	packet.iif = batch.ifindex[row] ?? 0;
	packet.mark = arrivalMark(batch, row);
	packet.start = HEADROOM_OCTETS;
	if (socket.family === Family.Ipv4) {
		packet.end = packet.start + octets;
		const headerOctets = (packet.view.getUint8(packet.start) & 15) * 4;
		packet.transportAt = packet.start + headerOctets;
		packet.nextHeaderAt = packet.start + 9;
		return headerOctets >= 20 && octets >= headerOctets;
	}
	packet.transportAt = packet.start + IPV6_HEADER_OCTETS;
	packet.nextHeaderAt = packet.start + 6;
	packet.end = packet.transportAt + octets;
	writeOuterIpv6(packet, batch, row, socket.proto);
	return true;
}

/** The mark that the host's filter has put on a packet; a daemon's own comes back by loopback only, and is none. */
export function arrivalMark({ mark }: PacketBatch, row: number): number {
	const value = mark[row] ?? 0;
	return value === BYPASS_MARK ? 0 : value;
}

/** The IPv6 header of a packet whose kernel has kept it, but for its flow label. */
export function writeOuterIpv6(
	packet: PacketBuffer,
	batch: PacketBatch,
	row: number,
	proto: number,
): void {
	const peerAt = row * PEER_OCTETS + sockaddrAddressAt(Family.Ipv6);
	const localAt = row * LOCAL_OCTETS;
	writeIpv6(packet.view, packet.start, {
		trafficClass: batch.trafficClass[row] ?? 0,
		flowLabel: 0,
		payloadLength: packet.end - packet.start - IPV6_HEADER_OCTETS,
		nextHeader: proto,
		hopLimit: batch.hopLimit[row] ?? 0,
		source: batch.peer.subarray(peerAt, peerAt + 16),
		destination: batch.local.subarray(localAt, localAt + LOCAL_OCTETS),
	});
}
