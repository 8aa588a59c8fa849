/**
 * What a client needs of the world: sockets of NETLINK_XFRM, and a timer. The running kernel is behind
 * the one of `@xfrm/linux`; a server in the same process can be behind another. Nothing here knows how.
 *
 * A socket is pulled: what nobody receives stays in its own bounded queue (the kernel's receive buffer),
 * and when that overflows the next `receive` says so.
 */

/** A wish to stop, as an `AbortSignal` has it (pure packages do not know that name). */
export interface CancelSignal {
	readonly aborted: boolean;
	addEventListener(type: 'abort', listener: () => void): void;
	removeEventListener(type: 'abort', listener: () => void): void;
}

/** What one `receive` brought. */
export interface Arrival {
	/** Whole datagrams, oldest first, memory of the receiver's own. */
	readonly datagrams: readonly Uint8Array[];
	/** Messages were lost since the last one (ENOBUFS). What is in `datagrams` came before or after the gap. */
	readonly overrun: boolean;
}

/** One socket, bound, with NETLINK_EXT_ACK on. */
export interface NetlinkSocket {
	readonly portId: number;
	/** Sends a datagram of requests. @throws TransportError */
	send(datagram: Uint8Array): void;
	/**
	 * Waits until there is something to tell, and tells it. One call at a time. Rejects with a
	 * `TransportError`; EBADF once the socket is closed, also while waiting.
	 */
	receive(): Promise<Arrival>;
	/** Listens to these groups (`Group`) too. @throws TransportError */
	join(groups: readonly number[]): void;
	/** Gives everything back; may be called again. */
	close(): void;
}

/** Where sockets and timers come from. */
export interface NetlinkTransport {
	/** Opens a socket. @throws TransportError */
	open(): NetlinkSocket;
	/** Calls `fire` after so many milliseconds; the answer takes that back. */
	after(milliseconds: number, fire: () => void): () => void;
	/** What a person can do about a kernel's refusal, a sentence; undefined when there is nothing to say. */
	explain?(errno: number): string | undefined;
}

/** A socket refused: its error number, and a sentence. */
export class TransportError extends Error {
	/** Positive. */
	readonly errno: number;

	constructor(errno: number, message: string) {
		super(message);
		this.name = 'TransportError';
		this.errno = errno;
	}
}
