/**
 * NETLINK_ROUTE, one request after the other: the kernel has answered when the send has returned, so
 * nothing waits (rtnetlink(7)).
 */
import {
	ControlType,
	MessageFlag,
	type MessageWriter,
	type RawMessage,
	splitMessages,
	viewOf,
} from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import type { Native, ReceivedMessage } from '../native/seam.ts';
import { AF_NETLINK, SOCKET_TYPE, sockaddrNl } from '../socket-abi.ts';

const NETLINK_ROUTE = 0;
const DATAGRAM_OCTETS = 0x8000;
/** Datagrams of one answer; a dump of links or addresses ends before. */
const DATAGRAMS_MAX = 4096;

/** How a request ended. */
export interface RouteAnswer {
	/** 0, or a positive errno. */
	readonly errno: number;
	readonly messages: readonly RawMessage[];
}

/** A message that recvmsg(2) fills in. */
export function emptyMessage(controlOctets: number): ReceivedMessage {
	return {
		name: new Uint8Array(12),
		nameOctets: 0,
		control: new Uint8Array(controlOctets),
		controlOctets: 0,
		flags: 0,
	};
}

/** Opens a bound NETLINK_ROUTE socket that hears these groups (bit `1 << (group - 1)`); fd or negative errno. */
export function openRouteSocket(native: Native, groups: number): number {
	const fd = native.socket(AF_NETLINK, SOCKET_TYPE, NETLINK_ROUTE);
	if (fd < 0) {
		return fd;
	}
	const address = sockaddrNl(0);
	viewOf(address).setUint32(8, groups, true);
	const bound = native.bind(fd, address);
	if (bound < 0) {
		native.close(fd);
		return bound;
	}
	return fd;
}

export class RtnetlinkSocket {
	readonly #native: Native;
	readonly #fd: number;
	readonly #scratch: Uint8Array = new Uint8Array(DATAGRAM_OCTETS);
	readonly #message: ReceivedMessage = emptyMessage(0);
	#seq: number = 0;

	/** @throws RangeError when no socket can be opened: there is no Linux without NETLINK_ROUTE */
	constructor(native: Native) {
		this.#native = native;
		this.#fd = openRouteSocket(native, 0);
		if (this.#fd < 0) {
			throw new RangeError(`no NETLINK_ROUTE socket: errno ${-this.#fd}`);
		}
	}

	/** Sends a request and takes all that comes back. */
	request(writer: MessageWriter): RouteAnswer {
		const bytes = writer.finish();
		const view = viewOf(bytes);
		this.#seq = (this.#seq + 1) >>> 0;
		view.setUint32(8, this.#seq, true);
		const sent = this.#native.send(this.#fd, bytes, sockaddrNl(0));
		if (sent < 0) {
			return { errno: -sent, messages: [] };
		}
		const isDump = (view.getUint16(6, true) & MessageFlag.Dump) === MessageFlag.Dump;
		const messages: RawMessage[] = [];
		for (let datagrams = 0; datagrams < DATAGRAMS_MAX; datagrams++) {
			const octets = this.#native.receive(this.#fd, this.#scratch, this.#message);
			if (octets < 0) {
				return { errno: -octets, messages };
			}
			for (const raw of splitMessages(this.#scratch.slice(0, octets))) {
				if (raw.seq !== this.#seq) {
					continue;
				}
				if (raw.type === ControlType.Error) {
					return { errno: -viewOf(raw.payload).getInt32(0, true), messages };
				}
				if (raw.type === ControlType.Done) {
					return { errno: 0, messages };
				}
				messages.push(raw);
				if (!isDump && (view.getUint16(6, true) & MessageFlag.Ack) === 0) {
					return { errno: 0, messages };
				}
			}
		}
		return { errno: Errno.EOVERFLOW, messages };
	}

	close(): void {
		this.#native.close(this.#fd);
	}
}
