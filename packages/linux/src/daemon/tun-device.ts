/**
 * A TUN device of the daemon's (Documentation/networking/tuntap.txt): IP packets in and out, each behind a header
 * that says what is left to do (vnet-header.ts). The kernel hands over TCP, and UDP that asks for it, in large
 * pieces and without checksums, if it knows how to.
 */
import { writeFileSync } from 'node:fs';
import { Errno } from '@xfrm/wire/xfrm';
import { interfaceIndex } from '../interface-name.ts';
import { IFNAMSIZ, OpenFlag, TunFlag, TunOffload, TunRequest } from '../native/abi.ts';
import type { Native } from '../native/seam.ts';
import { setIpv4Settings, setLinkUp, setNoOwnAddresses } from '../rtnetlink/rtnetlink-message.ts';
import { RtnetlinkSocket } from '../rtnetlink/rtnetlink-socket.ts';
import { StartError } from './start-error.ts';

/**
 * Larger than any packet that comes: how long packets may be is the policies' matter, and told by the
 * daemon.
 */
const TUN_MTU = 9000;

const ENOTTY = 25;
/** `struct ifreq`. */
const IFREQ_OCTETS = 40;

/** It has no neighbours, and packets of any source come out of it. */
const IPV4_SETTINGS = { rp_filter: 0, accept_local: 1, send_redirects: 0 } as const;
/** The same for IPv6, which has sysctls only. */
const SYSCTLS: readonly (readonly [string, string])[] = [
	['accept_ra', '0'],
	['router_solicitations', '0'],
	['accept_dad', '0'],
];

export interface TunDevice {
	readonly fd: number;
	readonly name: string;
	readonly ifindex: number;
	/** Datagrams may be joined, both ways. */
	readonly joinsDatagrams: boolean;
}

/** Makes a device, up and ready; one that has stayed is taken over. @throws StartError */
export function openTun(native: Native, name: string, mtu: number = TUN_MTU): TunDevice {
	const fd = attachTun(native, name);
	if (fd < 0) {
		throw new StartError(deviceRefusal(-fd, name));
	}
	const joinsDatagrams = setOffload(native, fd);
	setSysctls(name);
	const ifindex = interfaceIndex(name) ?? 0;
	const socket = new RtnetlinkSocket(native);
	socket.request(setIpv4Settings(ifindex, IPV4_SETTINGS));
	// Refused where there is no IPv6. With a link-local address the kernel solicits routers by the device, and what is
	// for everybody on a link would be sent, come back, and be sent again.
	socket.request(setNoOwnAddresses(ifindex));
	const { errno } = socket.request(setLinkUp(ifindex, mtu));
	socket.close();
	if (errno !== 0) {
		native.close(fd);
		throw new StartError(`the device ${name} cannot be set up (errno ${errno})`);
	}
	return { fd, name, ifindex, joinsDatagrams };
}

/** From now on it stays when its descriptor is closed. */
export function makeTunPersistent(native: Native, { fd }: TunDevice): void {
	native.ioctlValue(fd, TunRequest.SetPersistent, 1);
}

/** The name that the device of a descriptor has, in whatever network namespace it is; undefined when it is gone. */
export function tunName(native: Native, fd: number): string | undefined {
	const request = new Uint8Array(IFREQ_OCTETS);
	if (native.ioctl(fd, TunRequest.GetInterface, request) < 0) {
		return undefined;
	}
	return new TextDecoder().decode(request.subarray(0, request.indexOf(0)));
}

/** Takes a persistent device away that nobody has open; any other device of the name stays. */
export function removeTun(native: Native, name: string): void {
	const fd = attachTun(native, name);
	if (fd >= 0) {
		native.ioctlValue(fd, TunRequest.SetPersistent, 0);
		native.close(fd);
	}
}

/** A descriptor for the device, or a negative errno. */
function attachTun(native: Native, name: string): number {
	const { ReadWrite, NonBlock, CloseOnExec } = OpenFlag;
	const fd = native.open('/dev/net/tun', ReadWrite | NonBlock | CloseOnExec);
	if (fd < 0) {
		throw new StartError(tunRefusal(-fd));
	}
	const request = new Uint8Array(IFREQ_OCTETS);
	request.set(new TextEncoder().encode(name).subarray(0, IFNAMSIZ - 1));
	const view = new DataView(request.buffer);
	view.setUint16(IFNAMSIZ, TunFlag.Tun | TunFlag.NoPacketInfo | TunFlag.VnetHeader, true);
	const made = native.ioctl(fd, TunRequest.SetInterface, request);
	if (made < 0) {
		native.close(fd);
		return made;
	}
	return fd;
}

/** As much as the kernel has: UDP came with 6.2, and then the answer is true. */
function setOffload(native: Native, fd: number): boolean {
	const { Checksum, Tcp4, Tcp6, TcpEcn, Udp4, Udp6 } = TunOffload;
	const tcp = Checksum | Tcp4 | Tcp6 | TcpEcn;
	if (native.ioctlValue(fd, TunRequest.SetOffload, tcp | Udp4 | Udp6) >= 0) {
		return true;
	}
	native.ioctlValue(fd, TunRequest.SetOffload, tcp);
	return false;
}

/** What of it cannot be set (no IPv6, /proc/sys read-only) is left: nothing asks for it where there is no address. */
function setSysctls(name: string): void {
	for (const [sysctl, value] of SYSCTLS) {
		try {
			writeFileSync(`/proc/sys/net/ipv6/conf/${name}/${sysctl}`, value);
		} catch (error) {
			if (!(error instanceof Error && 'code' in error)) {
				throw error;
			}
		}
	}
}

function tunRefusal(errno: number): string {
	switch (errno) {
		case Errno.ENOENT:
		case Errno.ENODEV:
			return (
				'there is no /dev/net/tun: load the module with "modprobe tun"; in a container, pass it with ' +
				'"--device /dev/net/tun"'
			);
		case Errno.EPERM:
		case Errno.EACCES:
			return '/dev/net/tun may not be opened: in a container, pass it with "--device /dev/net/tun"';
		default:
			return `/dev/net/tun cannot be opened (errno ${errno})`;
	}
}

function deviceRefusal(errno: number, name: string): string {
	if (errno === Errno.EPERM) {
		return 'a TUN device needs CAP_NET_ADMIN: run the daemon as root';
	}
	if (errno === ENOTTY) {
		return '/dev/net/tun is no TUN device: in a container, pass it with "--device /dev/net/tun"';
	}
	if (errno === Errno.EBUSY || errno === Errno.EINVAL) {
		return `the device ${name} is another program's: end that program, or remove the device`;
	}
	return `the device ${name} cannot be made (errno ${errno})`;
}
