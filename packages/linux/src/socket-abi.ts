/**
 * Numbers and structs of netlink sockets (socket(7), netlink(7); include/uapi/linux/netlink.h). They are
 * the same on x86-64 and arm64, which is all we know.
 *
 *      struct sockaddr_nl    0       2     4     8       12
 *                           +-------+-----+-----+-------+
 *                           |family |pad  |pid  |groups |
 *                           +-------+-----+-----+-------+
 */
import { viewOf } from '@xfrm/netlink';

export const AF_NETLINK = 16;
export const NETLINK_XFRM = 6;
/** Between programs; see daemon/control-socket.ts. */
export const NETLINK_USERSOCK = 2;

/** `SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK`. */
export const SOCKET_TYPE: number = 3 | 0o2000000 | 0o4000;

export const SocketLevel = { Socket: 1, Netlink: 270 } as const;

/** `SO_*`. */
export const SocketOption = { ReceiveBuffer: 8, ReceiveBufferForce: 33 } as const;

/** `NETLINK_*` of level SOL_NETLINK. */
export const NetlinkOption = { AddMembership: 1, CapAck: 10, ExtAck: 11 } as const;

/** `MSG_*`: `Truncate` makes recvfrom(2) tell a datagram's whole length. */
export const ReceiveFlag = { Truncate: 0x20 } as const;

export const SOCKADDR_NL_OCTETS = 12;

/** An address of netlink: port 0 is the kernel, or, when binding, a choice of the kernel's. */
export function sockaddrNl(pid: number): Uint8Array {
	const bytes = new Uint8Array(SOCKADDR_NL_OCTETS);
	const view = viewOf(bytes);
	view.setUint16(0, AF_NETLINK, true);
	view.setUint32(4, pid, true);
	return bytes;
}

/** The port of an address. */
export function sockaddrNlPid(address: Uint8Array): number {
	return int32At(address, 4) >>> 0;
}

/** A 32-bit number of the machine's; for who reads so few of an array that a view would cost more. */
export function int32At(octets: Uint8Array, at: number): number {
	return (
		(octets[at] ?? 0) |
		((octets[at + 1] ?? 0) << 8) |
		((octets[at + 2] ?? 0) << 16) |
		((octets[at + 3] ?? 0) << 24)
	);
}

/** Of `unshare` and `setns`: the network namespace (uapi/linux/sched.h). */
export const CLONE_NEWNET: number = 0x4000_0000;
