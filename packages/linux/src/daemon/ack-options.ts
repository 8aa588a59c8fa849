/**
 * What a program wants to be told of a refusal, which it has told the kernel's end of its socket: NETLINK_EXT_ACK and
 * NETLINK_CAP_ACK (net/netlink/af_netlink.c: netlink_ack).
 */
import type { AckOptions } from '@xfrm/netlink-server';
import { Level } from '../native/abi.ts';
import type { Native } from '../native/seam.ts';
import { NetlinkOption } from '../socket-abi.ts';

/** The options of a socket. */
export function ackOptionsOf(native: Pick<Native, 'getOption'>, fd: number): AckOptions {
	const isOn = (name: number): boolean => {
		const value = new Uint8Array(4);
		return (
			native.getOption(fd, Level.Netlink, name, value) >= 0 && value.some((octet) => octet !== 0)
		);
	};
	return { extAck: isOn(NetlinkOption.ExtAck), capAck: isOn(NetlinkOption.CapAck) };
}
