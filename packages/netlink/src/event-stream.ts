/**
 * Events as something to iterate over. A stream has a socket of its own, so a slow reader costs nobody
 * else anything: what it does not read waits in the socket's bounded queue, and when that overflows the
 * stream tells `resync` in the place of what was lost.
 */
import { Errno } from '@xfrm/wire/xfrm';
import { Deadline } from './deadline.ts';
import { EVENT_GROUPS, type EventGroup, eventOf, type XfrmEvent } from './event.ts';
import type { Exchange } from './exchange.ts';
import { splitMessages } from './message.ts';
import { NetlinkError } from './netlink-error.ts';
import {
	type Arrival,
	type CancelSignal,
	type NetlinkSocket,
	type NetlinkTransport,
	TransportError,
} from './transport.ts';
import { decodeMessage } from './xfrm/messages.ts';
import { optional } from './xfrm/state-config.ts';

const OPERATION = 'events';

/** How a stream is made. */
export interface StreamOptions {
	readonly signal?: CancelSignal;
	/** Called when it gives its socket back, perhaps more than once, perhaps within the constructor. */
	ended(): void;
}

export class EventStream implements AsyncIterableIterator<XfrmEvent> {
	readonly #exchange: Exchange;
	readonly #socket: NetlinkSocket;
	readonly #deadline: Deadline;
	readonly #ended: () => void;
	readonly #queue: XfrmEvent[] = [];
	/** Calls of `next` are answered in their order. */
	#last: Promise<unknown> = Promise.resolve();
	#failure: unknown;
	#closed: boolean = false;

	/**
	 * Made by `XfrmClient.events`: listens from now on.
	 *
	 * @throws NetlinkError EPERM without the right to listen
	 */
	constructor(
		transport: NetlinkTransport,
		exchange: Exchange,
		groups: readonly EventGroup[],
		options: StreamOptions,
	) {
		this.#exchange = exchange;
		this.#ended = options.ended;
		this.#socket = exchange.openSocket(OPERATION);
		try {
			this.#socket.join(groups.map((name) => EVENT_GROUPS[name]));
		} catch (error) {
			this.#socket.close();
			throw exchange.wrap(OPERATION, error);
		}
		const forever = { ...optional('signal', options.signal), timeoutMs: Number.POSITIVE_INFINITY };
		this.#deadline = new Deadline(transport, forever, ({ errno, detail }) => {
			this.#failure = new NetlinkError({ operation: OPERATION, errno, detail });
			this.#release();
		});
	}

	/** The next event; done once the stream is closed. @throws NetlinkError ECANCELED by the signal */
	next(): Promise<IteratorResult<XfrmEvent, undefined>> {
		const answer = this.#last.then(() => this.#pull());
		this.#last = answer.catch(() => undefined);
		return answer;
	}

	/** Stops to listen; a `next` that waits is done. `break` out of `for await` does it. */
	return(): Promise<IteratorResult<XfrmEvent, undefined>> {
		this.close();
		return Promise.resolve({ done: true, value: undefined });
	}

	/** Stops to listen. */
	close(): void {
		this.#closed = true;
		this.#queue.length = 0;
		this.#deadline.stop();
		this.#release();
	}

	[Symbol.asyncIterator](): this {
		return this;
	}

	async #pull(): Promise<IteratorResult<XfrmEvent, undefined>> {
		for (;;) {
			const event = this.#queue.shift();
			if (event !== undefined) {
				return { done: false, value: event };
			}
			if (this.#failure !== undefined) {
				throw this.#failure;
			}
			if (this.#closed) {
				return { done: true, value: undefined };
			}
			try {
				this.#take(await this.#socket.receive());
			} catch (error) {
				this.#failure ??= this.#endOf(error);
			}
		}
	}

	/** Closing is an end, everything else a failure. */
	#endOf(error: unknown): unknown {
		if (this.#closed && error instanceof TransportError && error.errno === Errno.EBADF) {
			return undefined;
		}
		this.#deadline.stop();
		this.#release();
		return this.#exchange.wrap(OPERATION, error);
	}

	#release(): void {
		this.#socket.close();
		this.#ended();
	}

	#take({ datagrams, overrun }: Arrival): void {
		if (overrun) {
			this.#queue.push({ kind: 'resync' });
		}
		for (const raw of datagrams.flatMap(splitMessages)) {
			const message = decodeMessage(raw);
			const event: XfrmEvent | undefined =
				message === undefined ? { kind: 'unknown', bytes: raw.bytes } : eventOf(message);
			if (event !== undefined) {
				this.#queue.push(event);
			}
		}
	}
}

/** Is it the name of a group? */
export function isEventGroup(name: string): name is EventGroup {
	return Object.hasOwn(EVENT_GROUPS, name);
}
