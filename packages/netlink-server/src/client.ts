/**
 * A socket of NETLINK_XFRM as the server sees it: who it is, what it may do, which groups it listens to
 * and what waits to be read. The queue is bounded: a slow listener loses messages and learns it.
 */
import type { Dump } from './dump.ts';

/** Who connects. Everything has the default of a privileged program's fresh socket. */
export interface ClientOptions {
	/** Port id that answers carry and the credential check is for. */
	readonly portId: number;
	/** Has CAP_NET_ADMIN in the namespace's owner (N-5); default true. */
	readonly privileged?: boolean;
	/** NETLINK_EXT_ACK is on: refusals carry text and offset; default true. */
	readonly extAck?: boolean;
	/** NETLINK_CAP_ACK is on: refusals quote the request's header only; default false. */
	readonly capAck?: boolean;
	/** Notifications that may wait; default 4096. */
	readonly queueMax?: number;
}

/** One connected socket; made by `NetlinkServer.connect`. */
export class NetlinkClient {
	readonly portId: number;
	privileged: boolean;
	extAck: boolean;
	capAck: boolean;
	/** Subscribed groups, bit `1 << (group - 1)`. */
	groups: number = 0;
	/** Notifications were lost since the last `takeOverrun` (ENOBUFS on a real socket). */
	overrun: boolean = false;
	/** The dump that it is reading, if any (N-12). */
	dump: Dump | undefined = undefined;
	readonly #queue: Uint8Array[] = [];
	readonly #queueMax: number;

	constructor(options: ClientOptions) {
		this.portId = options.portId;
		this.privileged = options.privileged ?? true;
		this.extAck = options.extAck ?? true;
		this.capAck = options.capAck ?? false;
		this.#queueMax = options.queueMax ?? 4096;
	}

	/** Puts a notification in the queue, or notes the overrun when there is no room. */
	deliver(message: Uint8Array): void {
		if (this.#queue.length >= this.#queueMax) {
			this.overrun = true;
			return;
		}
		this.#queue.push(message);
	}

	/** The oldest notification that waits, a datagram of one message; undefined when none does. */
	receive(): Uint8Array | undefined {
		return this.#queue.shift();
	}

	/** Takes all notifications that wait, oldest first. */
	receiveAll(): Uint8Array[] {
		return this.#queue.splice(0);
	}

	/** Were notifications lost since this was last asked? */
	takeOverrun(): boolean {
		const overrun = this.overrun;
		this.overrun = false;
		return overrun;
	}
}
