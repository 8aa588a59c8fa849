/**
 * ESP in UDP on a port that belongs to an IKE daemon: a second socket is bound to the same address, and a
 * classic BPF program sends to it what begins with an SPI, to the owner what begins with the non-ESP
 * marker or is a keepalive. Nothing is asked of the owner: its socket is found in /proc, and made to share
 * its port by a copy of its descriptor (pidfd_getfd(2)).
 *
 * The second socket goes at once when its owner's process does (a pidfd tells), as the next owner could
 * not bind otherwise, and within a look around when only the socket has gone. Where the owner stays, its
 * port is its own again.
 */
import { readFileSync } from 'node:fs';
import {
	HEADROOM_OCTETS,
	IPV4_HEADER_OCTETS,
	IPV6_HEADER_OCTETS,
	type PacketBuffer,
	setIpv4Checksum,
	setIpv4Destination,
	setIpv4Source,
	UDP_HEADER_OCTETS,
	writeUdp,
} from '@xfrm/wire';
import { type Address, anyAddress, Family, IpProto, isAnyAddress } from '@xfrm/wire/xfrm';
import {
	AF_INET,
	AF_INET6,
	Ipv6Option,
	intValue,
	Level,
	MtuDiscover,
	SocketKind,
	SocketOption,
	sockaddr,
	sockaddrAddressAt,
	UdpOption,
} from '../native/abi.ts';
import { LOCAL_OCTETS, type PacketBatch, PEER_OCTETS } from '../native/packet-batch.ts';
import type { Native } from '../native/seam.ts';
import {
	arrivalMark,
	prepareForIpv4,
	prepareOuterSocket,
	writeOuterIpv6,
} from './outer-sockets.ts';
import { socketHolders, visibleProcesses } from './process-descriptors.ts';
import { type UdpSocketRow, udpSockets } from './socket-list.ts';

/** A socket beside its owner's. */
export interface EncapPort {
	readonly fd: number;
	readonly family: number;
	readonly port: number;
	/** Of the owner's socket. */
	readonly inode: number;
	/** Becomes readable when the owner's process has ended. */
	readonly pidfd: number;
	/** The owner had let others share its port before we did. */
	readonly wasShared: boolean;
	/** Address that it is bound to. */
	readonly address: Address;
	/** IPv4 comes and goes by it: its family is that, or it is bound to all addresses of both. */
	readonly takesIpv4: boolean;
	/** `MtuDiscover` that the socket has for IPv4. */
	discovery: number;
}

/** Opcodes of classic BPF: load a word, the packet's length; jump if equal, if greater or equal; return. */
const Bpf = {
	LoadWord: 0x20,
	LoadLength: 0x80,
	JumpEqual: 0x15,
	JumpNotBelow: 0x35,
	Return: 6,
} as const;

/** Indexes of the sockets of a port, in the order of their coming. */
const OWNER = 0;
const OURS = 1;

/**
 * Which socket a datagram is for. The program sees the UDP payload.
 *
 *     length < 4 → owner;  first word 0 (non-ESP marker) → owner;  else → ours
 */
function espFilter(): Uint8Array {
	const rows: readonly (readonly [number, number, number, number])[] = [
		[Bpf.LoadLength, 0, 0, 0],
		[Bpf.JumpNotBelow, 0, 3, 4],
		[Bpf.LoadWord, 0, 0, 0],
		[Bpf.JumpEqual, 1, 0, 0],
		[Bpf.Return, 0, 0, OURS],
		[Bpf.Return, 0, 0, OWNER],
	];
	const bytes = new Uint8Array(8 * rows.length);
	const view = new DataView(bytes.buffer);
	for (const [index, [code, jumpTrue, jumpFalse, value]] of rows.entries()) {
		view.setUint16(8 * index, code, true);
		view.setUint8(8 * index + 2, jumpTrue);
		view.setUint8(8 * index + 3, jumpFalse);
		view.setUint32(8 * index + 4, value, true);
	}
	return bytes;
}

export class EncapPorts {
	readonly ports: Map<number, EncapPort> = new Map();
	/** Found last: most packets in a row leave by one. */
	#last: EncapPort | undefined;
	readonly #native: Native;
	readonly #opened: (port: EncapPort) => void;
	readonly #closed: (port: EncapPort) => void;

	/** The callbacks tell which sockets come and go, to wait for or no longer. */
	constructor(
		native: Native,
		opened: (port: EncapPort) => void,
		closed: (port: EncapPort) => void,
	) {
		this.#native = native;
		this.#opened = opened;
		this.#closed = closed;
	}

	/** The socket that a packet from this address (of its octets, at an offset) and port leaves by. */
	find(family: number, port: number, bytes: Uint8Array, at: number): EncapPort | undefined {
		const last = this.#last;
		if (last !== undefined && serves(last, family, port, bytes, at)) {
			return last;
		}
		for (const known of this.ports.values()) {
			if (serves(known, family, port, bytes, at)) {
				this.#last = known;
				return known;
			}
		}
		return undefined;
	}

	/** Closes what has lost its owner, and opens what the states' ports have gained. */
	lookAround(wanted: ReadonlySet<number>): void {
		if (wanted.size === 0 && this.ports.size === 0) {
			return;
		}
		for (const [path, family] of [
			['/proc/net/udp', Family.Ipv4],
			['/proc/net/udp6', Family.Ipv6],
		] as const) {
			const rows = readRows(path).filter(({ port }) => wanted.has(port));
			this.#lookAt(family, rows);
		}
	}

	/** Its owner has ended. */
	drop(port: EncapPort): void {
		if (this.ports.delete(port.inode)) {
			this.#last = undefined;
			this.#closed(port);
			this.#native.close(port.fd);
			this.#native.close(port.pidfd);
		}
	}

	close(): void {
		for (const port of [...this.ports.values()]) {
			this.#leave(port);
		}
	}

	/** Its owner may go on. */
	#leave(port: EncapPort): void {
		this.drop(port);
		const owner = port.wasShared ? undefined : this.#copyOf(port.inode);
		if (owner !== undefined) {
			this.#native.setOption(owner.fd, Level.Socket, SocketOption.ReusePort, intValue(0));
			this.#native.close(owner.fd);
			this.#native.close(owner.pidfd);
		}
	}

	#lookAt(family: number, rows: readonly UdpSocketRow[]): void {
		const inodes = new Set(rows.map(({ inode }) => inode));
		for (const port of [...this.ports.values()]) {
			if (port.family === family && !inodes.has(port.inode)) {
				this.#leave(port);
			}
		}
		for (const row of rows) {
			if (!this.ports.has(row.inode) && !this.#isOurs(row)) {
				this.#share(family, row);
			}
		}
	}

	/** Is it the socket that we opened beside another? */
	#isOurs(row: UdpSocketRow): boolean {
		return socketHolders(row.inode, ['self']).length > 0;
	}

	/** A copy of a socket, and the process that has it. */
	#copyOf(inode: number): { readonly fd: number; readonly pidfd: number } | undefined {
		const [owner] = socketHolders(inode, visibleProcesses());
		if (owner === undefined) {
			return undefined;
		}
		const pidfd = this.#native.pidfdOpen(owner.pid);
		if (pidfd < 0) {
			return undefined;
		}
		const fd = this.#native.pidfdGetfd(pidfd, owner.fd);
		if (fd < 0) {
			this.#native.close(pidfd);
			return undefined;
		}
		return { fd, pidfd };
	}

	#share(family: number, row: UdpSocketRow): void {
		const owner = this.#copyOf(row.inode);
		if (owner === undefined) {
			return;
		}
		const { fd: copy, pidfd } = owner;
		const wasShared = this.#isSet(copy, Level.Socket, SocketOption.ReusePort);
		this.#native.setOption(copy, Level.Socket, SocketOption.ReusePort, intValue(1));
		const onlyIpv6 = family === Family.Ipv6 && this.#isSet(copy, Level.Ipv6, Ipv6Option.OnlyIpv6);
		const fd = this.#bindBeside(family, onlyIpv6, row);
		if (fd < 0 && !wasShared) {
			this.#native.setOption(copy, Level.Socket, SocketOption.ReusePort, intValue(0));
		}
		this.#native.close(copy);
		if (fd < 0) {
			this.#native.close(pidfd);
			return;
		}
		const address = anyAddress();
		address.set(row.address);
		const port: EncapPort = {
			fd,
			family,
			port: row.port,
			inode: row.inode,
			pidfd,
			wasShared,
			address,
			takesIpv4: !onlyIpv6 && (family === Family.Ipv4 || isAnyAddress(address, family)),
			discovery: MtuDiscover.Omit,
		};
		this.ports.set(row.inode, port);
		this.#opened(port);
	}

	#isSet(fd: number, level: number, option: number): boolean {
		const value = intValue(0);
		this.#native.getOption(fd, level, option, value);
		return value[0] !== 0;
	}

	/** Sockets share a port only with those that are, like them, for IPv6 alone or for both. */
	#bindBeside(family: number, onlyIpv6: boolean, row: UdpSocketRow): number {
		const native = this.#native;
		const domain = family === Family.Ipv4 ? AF_INET : AF_INET6;
		const fd = native.socket(domain, SocketKind.Datagram, 0);
		if (fd < 0) {
			return fd;
		}
		native.setOption(fd, Level.Socket, SocketOption.ReusePort, intValue(1));
		if (family === Family.Ipv6) {
			native.setOption(fd, Level.Ipv6, Ipv6Option.OnlyIpv6, intValue(onlyIpv6 ? 1 : 0));
		}
		native.setOption(fd, Level.Udp, UdpOption.Gro, intValue(1));
		prepareOuterSocket(native, fd, family);
		if (family === Family.Ipv6 && !onlyIpv6) {
			prepareForIpv4(native, fd);
		}
		const address = anyAddress();
		address.set(row.address);
		const bound = native.bind(fd, sockaddr(family, address, row.port));
		const filtered = bound < 0 ? bound : native.attachReusePortFilter(fd, espFilter());
		if (filtered < 0) {
			native.close(fd);
			return filtered;
		}
		return fd;
	}
}

/** Do packets from this address and port leave by it? */
function serves(
	known: EncapPort,
	family: number,
	port: number,
	bytes: Uint8Array,
	at: number,
): boolean {
	const { address } = known;
	return (
		(known.family === family || (family === Family.Ipv4 && known.takesIpv4)) &&
		known.port === port &&
		(isAnyAddress(address, known.family) || startsWith(address, family, bytes, at))
	);
}

function startsWith(address: Address, family: number, bytes: Uint8Array, at: number): boolean {
	for (let i = 0; i < (family === Family.Ipv4 ? 4 : 16); i++) {
		if (address[i] !== bytes[at + i]) {
			return false;
		}
	}
	return true;
}

function readRows(path: string): UdpSocketRow[] {
	try {
		return udpSockets(readFileSync(path, 'latin1'));
	} catch {
		// A kernel without IPv6 has no such file.
		return [];
	}
}

/** Octets in front of a datagram's payload that are needed for its headers. */
export function udpGap(family: number): number {
	return (family === Family.Ipv4 ? IPV4_HEADER_OCTETS : IPV6_HEADER_OCTETS) + UDP_HEADER_OCTETS;
}

/** Octets of ::ffff:0:0/96 in front of an IPv4 address (RFC 4291 §2.5.5.2). */
const MAPPED_PREFIX_OCTETS = 12;

/**
 * Makes a whole packet of a datagram: headers as they were, as far as the kernel tells. What comes over IPv4 by a
 * socket of both families has room for an IPv6 header in front, and addresses of ::ffff:0:0/96.
 */
export function takeDatagram(
	packet: PacketBuffer,
	batch: PacketBatch,
	row: number,
	payloadOctets: number,
	port: EncapPort,
): void {
	const octets = UDP_HEADER_OCTETS + payloadOctets;
	const peerAt = row * PEER_OCTETS + sockaddrAddressAt(port.family);
	const localAt = row * LOCAL_OCTETS;
	const isMapped = port.family === Family.Ipv6 && port.takesIpv4 && isMappedAt(batch, peerAt);
	packet.family = isMapped ? Family.Ipv4 : port.family;
	packet.proto = IpProto.Udp;
	packet.iif = batch.ifindex[row] ?? 0;
	packet.mark = arrivalMark(batch, row);
	packet.start = HEADROOM_OCTETS + udpGap(port.family) - udpGap(packet.family);
	packet.transportAt = HEADROOM_OCTETS + udpGap(port.family) - UDP_HEADER_OCTETS;
	packet.end = packet.transportAt + octets;
	const sport = batch.peerView.getUint16(row * PEER_OCTETS + 2);
	writeUdp(packet.view, packet.transportAt, sport, port.port, octets);
	if (packet.family === Family.Ipv6) {
		packet.nextHeaderAt = packet.start + 6;
		writeOuterIpv6(packet, batch, row, IpProto.Udp);
		return;
	}
	packet.nextHeaderAt = packet.start + 9;
	const skipped = isMapped ? MAPPED_PREFIX_OCTETS : 0;
	const sourceAt = peerAt + skipped;
	const destinationAt = localAt + skipped;
	const { view, start } = packet;
	view.setInt32(start, 0x4500_0000 | ((batch.trafficClass[row] ?? 0) << 16) | (packet.end - start));
	view.setInt32(start + 4, 0);
	view.setInt32(start + 8, ((batch.hopLimit[row] ?? 0) << 24) | (IpProto.Udp << 16));
	setIpv4Source(view, start, batch.peerView.getInt32(sourceAt));
	setIpv4Destination(view, start, batch.localView.getInt32(destinationAt));
	setIpv4Checksum(view, start);
}

function isMappedAt({ peerView }: PacketBatch, at: number): boolean {
	return (
		peerView.getInt32(at) === 0 &&
		peerView.getInt32(at + 4) === 0 &&
		peerView.getInt32(at + 8) === 0xffff
	);
}

/** Makes a whole packet of a datagram that is like another, whose headers are whole, in all but its payload. */
export function takeTwin(packet: PacketBuffer, other: PacketBuffer): void {
	packet.family = other.family;
	packet.proto = other.proto;
	packet.iif = other.iif;
	packet.mark = other.mark;
	packet.start = other.start;
	packet.transportAt = other.transportAt;
	packet.nextHeaderAt = other.nextHeaderAt;
	packet.end = other.end;
	const { view } = packet;
	const from = other.view;
	const end = other.transportAt + UDP_HEADER_OCTETS;
	for (let at = other.start; at < end; at += 4) {
		view.setInt32(at, from.getInt32(at));
	}
}
