/**
 * One end of NETLINK_XFRM that takes datagrams and gives datagrams: the running kernel, or our server.
 * Each is a namespace of its own, fresh when it is made.
 */

/** How a request is sent. */
export interface Sender {
	/** NETLINK_EXT_ACK and NETLINK_CAP_ACK of the socket. */
	readonly extAck: boolean;
	readonly capAck: boolean;
	/** Without CAP_NET_ADMIN. */
	readonly unprivileged: boolean;
}

/** A datagram and how it is sent. */
export interface Step extends Sender {
	readonly datagram: Uint8Array;
}

/** Both ends answer at once: everything that a request causes is there when `request` returns. */
export interface NetlinkEnd {
	/** The port id of the socket that sends so; answers carry it. */
	portId(sender: Sender): number;
	/** Sends a datagram and gives all that came back, dumps to their end. */
	request(step: Step): Uint8Array[];
	/** What a listener to all groups got since it was last asked. */
	events(): Uint8Array[];
	close(): void;
}

/** The four kinds of sockets have a number each. */
export function socketKind(sender: Sender): number {
	return (sender.extAck ? 1 : 0) | (sender.capAck ? 2 : 0);
}

/** A privileged sender whose refusals carry everything. */
export const PLAIN_SENDER: Sender = { extAck: true, capAck: false, unprivileged: false };

/** All groups of NETLINK_XFRM. */
export const ALL_GROUPS = 8;
