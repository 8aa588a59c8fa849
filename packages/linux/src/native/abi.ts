/**
 * Numbers of system calls, options and structs that the data plane uses (uapi headers; netdevice(7), ip(7),
 * udp(7), tun.txt). They are the same on x86-64 and arm64, which is all we know.
 *
 *      struct sockaddr_in      family u16 | port be16 | address 4 | zero 8
 *      struct sockaddr_in6     family u16 | port be16 | flow label 4 | address 16 | scope u32
 */
import { viewOf } from '@xfrm/netlink';
import type { Address } from '@xfrm/wire/xfrm';
import { Family } from '@xfrm/wire/xfrm';

export const AF_INET = 2;
export const AF_INET6 = 10;

/** `SOCK_*` with `SOCK_CLOEXEC | SOCK_NONBLOCK`. */
export const SocketKind = { Datagram: 0o2004002, Raw: 0o2004003 } as const;

/** `O_*`. */
export const OpenFlag = { ReadWrite: 2, NonBlock: 0o4000, CloseOnExec: 0o2000000 } as const;

/** Levels of socket options. */
export const Level = { Socket: 1, Ip: 0, Udp: 17, Ipv6: 41, Netlink: 270 } as const;

/** Options of `Level.Socket`; the control message of a packet's mark is `Mark`. */
export const SocketOption = {
	ReuseAddress: 2,
	SendBuffer: 7,
	ReceiveBuffer: 8,
	ReusePort: 15,
	PassCredentials: 16,
	SendBufferForce: 32,
	ReceiveBufferForce: 33,
	Mark: 36,
	AttachReusePortCbpf: 51,
	NetnsCookie: 71,
	/** Linux 5.19. */
	ReceiveMark: 75,
} as const;

/** Options of `Level.Ip`. */
export const IpOption = {
	HeaderIncluded: 3,
	ReceiveTtl: 12,
	ReceiveTos: 13,
	MtuDiscover: 10,
	PacketInfo: 8,
	Tos: 1,
	Ttl: 2,
} as const;

/** Options of `Level.Ipv6`; control messages have the numbers of the second half. */
export const Ipv6Option = {
	OnlyIpv6: 26,
	HeaderIncluded: 36,
	ReceivePacketInfo: 49,
	PacketInfo: 50,
	ReceiveHopLimit: 51,
	HopLimit: 52,
	ReceiveTrafficClass: 66,
	TrafficClass: 67,
	MtuDiscover: 23,
	FreeBind: 78,
} as const;

/** Options and control messages of `Level.Udp`. */
export const UdpOption = { Segment: 103, Gro: 104 } as const;

/**
 * `IP_PMTUDISC_*`, the same for IPv6: the device's MTU alone counts, with DF and without; by the second the kernel
 * learns nothing from ICMP errors either.
 */
export const MtuDiscover = { Probe: 3, Omit: 5 } as const;

/** Control messages of `Level.Socket`. */
export const SCM_CREDENTIALS = 2;

/** `TUNSETIFF` and what it takes; `TUNSETOFFLOAD`. */
export const TunRequest = {
	SetInterface: 0x4004_54ca,
	SetPersistent: 0x4004_54cb,
	SetOffload: 0x4004_54d0,
	GetInterface: 0x8004_54d2,
} as const;
/** What TUN takes off our hands; both halves of UDP segmentation or none. */
export const TunOffload = {
	Checksum: 1,
	Tcp4: 2,
	Tcp6: 4,
	TcpEcn: 8,
	Udp4: 0x20,
	Udp6: 0x40,
} as const;
export const TunFlag = { Tun: 1, NoPacketInfo: 0x1000, VnetHeader: 0x4000 } as const;

export const IFNAMSIZ = 16;

/** Events of poll(2) and epoll(7). */
export const PollEvent = { In: 1, Out: 4, Error: 8, HangUp: 0x10 } as const;

/** `struct epoll_event`: events u32, a number of the caller's u64; on x86-64 with no room between. */
export const EPOLL_EVENT: { readonly octets: number; readonly numberAt: number } =
	process.arch === 'x64' ? { octets: 12, numberAt: 4 } : { octets: 16, numberAt: 8 };
export const EpollControl = { Add: 1, Delete: 2 } as const;

export const SOCKADDR_OCTETS_MAX = 28;

/** Octets of a socket address of this family. */
export function sockaddrOctets(family: number): number {
	return family === Family.Ipv4 ? 16 : 28;
}

/** Where the address stands in a socket address of this family. */
export function sockaddrAddressAt(family: number): number {
	return family === Family.Ipv4 ? 4 : 8;
}

/** A socket address; `port` in host order. */
export function sockaddr(family: number, address: Address, port: number): Uint8Array {
	const bytes = new Uint8Array(sockaddrOctets(family));
	const view = viewOf(bytes);
	view.setUint16(0, family, true);
	view.setUint16(2, port);
	const octets = family === Family.Ipv4 ? 4 : 16;
	bytes.set(address.subarray(0, octets), sockaddrAddressAt(family));
	return bytes;
}

/** Four octets of an integer option. */
export function intValue(value: number): Uint8Array {
	const bytes = new Uint8Array(4);
	viewOf(bytes).setInt32(0, value, true);
	return bytes;
}
