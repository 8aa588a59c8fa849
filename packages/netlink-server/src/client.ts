/**
 * A socket of NETLINK_XFRM as the server sees it: who it is, what it may do, which groups it listens to
 * and what waits to be read. The queue is bounded: a slow listener loses messages and learns it, and nobody
 * waits for it (net/netlink/af_netlink.c: netlink_overrun).
 */
import type { Dump } from './dump.ts';
import { QUEUE_MESSAGES_MAX, QUEUE_OCTETS_MAX } from './limits.ts';

/** What a socket wants to be told of a refusal. */
export interface AckOptions {
	/** NETLINK_EXT_ACK is on: refusals carry text and offset. */
	readonly extAck: boolean;
	/** NETLINK_CAP_ACK is on: refusals quote the request's header only. */
	readonly capAck: boolean;
}

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
	/** Asked in place of these two, where an answer depends on them; undefined for who cannot be asked any more. */
	readonly askAckOptions?: () => AckOptions | undefined;
	/** Notifications that may wait; default `QUEUE_MESSAGES_MAX`. */
	readonly queueMax?: number;
	/** Their octets together; default `QUEUE_OCTETS_MAX`. */
	readonly queueOctetsMax?: number;
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
	readonly #askAckOptions: (() => AckOptions | undefined) | undefined;
	readonly #queue: Uint8Array[] = [];
	readonly #queueMax: number;
	readonly #queueOctetsMax: number;
	#queueOctets: number = 0;
	/** Lost something, and has not read since what came before it: until then nothing more is queued. */
	#congested: boolean = false;

	constructor(options: ClientOptions) {
		this.portId = options.portId;
		this.privileged = options.privileged ?? true;
		this.extAck = options.extAck ?? true;
		this.capAck = options.capAck ?? false;
		this.#askAckOptions = options.askAckOptions;
		this.#queueMax = options.queueMax ?? QUEUE_MESSAGES_MAX;
		this.#queueOctetsMax = options.queueOctetsMax ?? QUEUE_OCTETS_MAX;
	}

	/** As they are now. */
	get ackOptions(): AckOptions {
		return this.#askAckOptions?.() ?? this;
	}

	/**
	 * Puts a notification in the queue, or notes the overrun when there is no room. What is lost is lost up to
	 * the moment when the queue was read to its end, so that a listener never sees a gap in the middle.
	 */
	deliver(message: Uint8Array): void {
		if (
			this.#congested ||
			this.#queue.length >= this.#queueMax ||
			this.#queueOctets + message.length > this.#queueOctetsMax
		) {
			this.overrun = true;
			this.#congested = this.#queue.length > 0;
			return;
		}
		this.#queue.push(message);
		this.#queueOctets += message.length;
	}

	/** The oldest notification that waits, a datagram of one message; undefined when none does. */
	receive(): Uint8Array | undefined {
		const message = this.#queue.shift();
		this.#queueOctets -= message?.length ?? 0;
		this.#congested = this.#congested && this.#queue.length > 0;
		return message;
	}

	/** Takes all notifications that wait, oldest first. */
	receiveAll(): Uint8Array[] {
		this.#queueOctets = 0;
		this.#congested = false;
		return this.#queue.splice(0);
	}

	/** Were notifications lost since this was last asked? */
	takeOverrun(): boolean {
		const overrun = this.overrun;
		this.overrun = false;
		return overrun;
	}
}
