/**
 * Requests and their answers over one transport (spec N-10, N-12, N-16b).
 *
 * Requests share a socket that is opened by the first one: each asks for an acknowledgement, and what
 * comes back with its sequence number before that is its answer. A dump has a socket of its own: a second
 * dump on the same socket would be EBUSY, and a dump that is given up ends by closing it.
 */
import { Errno } from '@xfrm/wire/xfrm';
import { type Ack, parseAck } from './ack.ts';
import { type CallOptions, Deadline } from './deadline.ts';
import { DUMP_ATTEMPTS_MAX, IN_FLIGHT_MAX, PENDING_MAX, REQUEST_OCTETS_MAX } from './limits.ts';
import { ControlType, MessageFlag, type RawMessage, splitMessages } from './message.ts';
import { NetlinkError } from './netlink-error.ts';
import { type NetlinkSocket, type NetlinkTransport, TransportError } from './transport.ts';
import type { XfrmAttribute } from './xfrm/attributes.ts';
import { encodeMessage, type MessageBodies, type MessageName } from './xfrm/messages.ts';

/** What is asked; sequence number and flags are the exchange's, but for `flags` on top. */
export interface Request<N extends MessageName = MessageName> {
	/** As `NetlinkError.operation` has it. */
	readonly operation: string;
	readonly name: N;
	readonly body: MessageBodies[N];
	readonly attributes?: readonly XfrmAttribute[];
	readonly flags?: number;
}

/** A request that waits for its acknowledgement. */
interface Pending {
	readonly operation: string;
	readonly datagram: Uint8Array;
	readonly answers: RawMessage[];
	readonly deadline: Deadline;
	resolve(answers: readonly RawMessage[]): void;
	reject(error: unknown): void;
}

/** A dump's member list as far as it has come. */
interface DumpProgress {
	readonly members: RawMessage[];
	interrupted: boolean;
	end: Ack | undefined;
}

export class Exchange {
	readonly #transport: NetlinkTransport;
	readonly #pending: Map<number, Pending> = new Map();
	/** Numbers of requests that are still to be sent, and of those that were and have no acknowledgement. */
	#unsent: number[] = [];
	readonly #inFlight: Set<number> = new Set();
	readonly #dumps: Set<NetlinkSocket> = new Set();
	#socket: NetlinkSocket | undefined;
	/** The socket that a loop reads from at the moment. */
	#reading: NetlinkSocket | undefined;
	#seq: number = 0;
	#closed: boolean = false;

	constructor(transport: NetlinkTransport) {
		this.#transport = transport;
	}

	/**
	 * Sends a request and waits for its acknowledgement.
	 *
	 * @returns the messages that came before it
	 * @throws NetlinkError
	 */
	request<N extends MessageName>(
		request: Request<N>,
		options: CallOptions,
	): Promise<readonly RawMessage[]> {
		return new Promise((resolve, reject) => {
			const { operation } = request;
			if (this.#pending.size >= PENDING_MAX) {
				reject(this.#error(operation, Errno.ENOBUFS, `${PENDING_MAX} requests have no answer yet`));
				return;
			}
			let given = false;
			const seq = this.#nextSeq();
			let datagram: Uint8Array;
			try {
				datagram = this.#encode(request, seq, MessageFlag.Ack);
			} catch (error) {
				reject(this.wrap(operation, error));
				return;
			}
			const deadline = new Deadline(this.#transport, options, ({ errno, detail }) => {
				given = true;
				reject(this.#error(operation, errno, detail));
				this.#forget(seq);
			});
			if (given) {
				return;
			}
			this.#pending.set(seq, { operation, datagram, answers: [], deadline, resolve, reject });
			this.#unsent.push(seq);
			this.#sendMore();
		});
	}

	/**
	 * Lists a table, anew if it changed while it was read (NLM_F_DUMP_INTR).
	 *
	 * @returns the members, in the kernel's order: newest first
	 * @throws NetlinkError EINTR when it changed each time
	 */
	async dump<N extends MessageName>(
		request: Request<N>,
		options: CallOptions,
	): Promise<readonly RawMessage[]> {
		const { operation } = request;
		let lapsed: NetlinkError | undefined;
		let socket: NetlinkSocket | undefined;
		const deadline = new Deadline(this.#transport, options, ({ errno, detail }) => {
			lapsed = this.#error(operation, errno, detail);
			socket?.close();
		});
		try {
			if (lapsed !== undefined) {
				throw lapsed;
			}
			socket = this.#openNew();
			this.#dumps.add(socket);
			for (let attempt = 1; attempt <= DUMP_ATTEMPTS_MAX; attempt++) {
				const progress = await this.#readDump(request, socket, deadline);
				if (!progress.interrupted) {
					return progress.members;
				}
			}
			throw this.#error(
				operation,
				Errno.EINTR,
				`the table changed while it was read, ${DUMP_ATTEMPTS_MAX} times`,
			);
		} catch (error) {
			throw lapsed ?? this.wrap(operation, error);
		} finally {
			deadline.stop();
			if (socket !== undefined) {
				this.#dumps.delete(socket);
				socket.close();
			}
		}
	}

	/** Everything that waits is refused with EBADF, and so is everything later. */
	close(): void {
		this.#closed = true;
		for (const socket of this.#dumps) {
			socket.close();
		}
		this.#drop(new TransportError(Errno.EBADF, 'the client was closed'));
	}

	/** Opens a socket of its own for somebody. @throws NetlinkError */
	openSocket(operation: string): NetlinkSocket {
		try {
			return this.#openNew();
		} catch (error) {
			throw this.wrap(operation, error);
		}
	}

	/** What a transport throws, as the client's error; a mistake of ours stays what it is. */
	wrap(operation: string, error: unknown): unknown {
		return error instanceof TransportError
			? this.#error(operation, error.errno, error.message)
			: error;
	}

	async #readDump<N extends MessageName>(
		request: Request<N>,
		socket: NetlinkSocket,
		deadline: Deadline,
	): Promise<DumpProgress> {
		const seq = this.#nextSeq();
		const progress: DumpProgress = { members: [], interrupted: false, end: undefined };
		socket.send(this.#encode(request, seq, MessageFlag.Dump));
		while (progress.end === undefined) {
			const { datagrams, overrun } = await socket.receive();
			if (overrun) {
				throw new TransportError(Errno.ENOBUFS, 'members of the list were lost');
			}
			deadline.extend();
			for (const message of datagrams.flatMap(splitMessages)) {
				if (message.seq === seq) {
					takeMember(progress, message);
				}
			}
		}
		if (progress.end.errno !== 0) {
			throw this.#refusal(request.operation, progress.end);
		}
		return progress;
	}

	#encode<N extends MessageName>(request: Request<N>, seq: number, flags: number): Uint8Array {
		const { name, body, attributes = [] } = request;
		const datagram = encodeMessage({
			name,
			body,
			attributes,
			flags: MessageFlag.Request | flags | (request.flags ?? 0),
			seq,
			pid: 0,
			// Name and payload belong together by the parameter; the union is not distributed over it.
		} as Parameters<typeof encodeMessage>[0]);
		if (datagram.length > REQUEST_OCTETS_MAX) {
			throw new TransportError(Errno.EMSGSIZE, `the request has ${datagram.length} octets`);
		}
		return datagram;
	}

	/** Sequence numbers are never 0, which notifications have. */
	#nextSeq(): number {
		do {
			this.#seq = (this.#seq + 1) >>> 0;
		} while (this.#seq === 0 || this.#pending.has(this.#seq));
		return this.#seq;
	}

	#openNew(): NetlinkSocket {
		if (this.#closed) {
			throw new TransportError(Errno.EBADF, 'the client was closed');
		}
		return this.#transport.open();
	}

	/** Sends what waits, as far as its acknowledgements have room in the socket's queue. */
	#sendMore(): void {
		while (this.#inFlight.size < IN_FLIGHT_MAX) {
			const seq = this.#unsent.shift();
			if (seq === undefined) {
				break;
			}
			const pending = this.#pending.get(seq);
			if (pending === undefined) {
				continue; // given up before it was sent
			}
			try {
				this.#socket ??= this.#openNew();
				this.#socket.send(pending.datagram);
				this.#inFlight.add(seq);
			} catch (error) {
				pending.deadline.stop();
				this.#pending.delete(seq);
				pending.reject(this.wrap(pending.operation, error));
			}
		}
		if (this.#socket !== undefined) {
			void this.#readAll(this.#socket);
		}
	}

	/** Reads until nobody waits any more; one reader a socket. */
	async #readAll(socket: NetlinkSocket): Promise<void> {
		if (this.#reading === socket) {
			return;
		}
		this.#reading = socket;
		try {
			while (this.#pending.size > 0 && this.#socket === socket) {
				const { datagrams, overrun } = await socket.receive();
				if (overrun) {
					throw new TransportError(Errno.ENOBUFS, 'answers were lost');
				}
				for (const message of datagrams.flatMap(splitMessages)) {
					this.#take(message);
				}
				this.#sendMore();
			}
		} catch (error) {
			if (this.#socket === socket) {
				this.#drop(error);
			}
		} finally {
			if (this.#reading === socket) {
				this.#reading = undefined;
			}
		}
	}
	#take(message: RawMessage): void {
		if (message.type === ControlType.Error) {
			this.#inFlight.delete(message.seq);
		}
		const pending = this.#pending.get(message.seq);
		if (pending === undefined) {
			return; // the late answer of a request that was given up
		}
		if (message.type !== ControlType.Error) {
			pending.answers.push(message);
			return;
		}
		this.#pending.delete(message.seq);
		pending.deadline.stop();
		const ack = parseAck(message);
		if (ack === undefined) {
			pending.reject(this.#error(pending.operation, Errno.EPROTO, 'acknowledgement cut short'));
		} else if (ack.errno !== 0) {
			pending.reject(this.#refusal(pending.operation, ack));
		} else {
			pending.resolve(pending.answers);
		}
	}

	/** A request was given up. The last one takes the socket along, so that nobody waits for its answer. */
	#forget(seq: number): void {
		if (this.#pending.delete(seq) && this.#pending.size === 0) {
			this.#closeSocket();
		}
	}

	/** The socket is of no use any more: whoever waits learns why. */
	#drop(error: unknown): void {
		this.#closeSocket();
		const waiting = [...this.#pending.values()];
		this.#pending.clear();
		for (const pending of waiting) {
			pending.deadline.stop();
			pending.reject(this.wrap(pending.operation, error));
		}
	}

	#closeSocket(): void {
		this.#socket?.close();
		this.#socket = undefined;
		this.#unsent = [];
		this.#inFlight.clear();
	}

	#refusal(operation: string, { errno, extended }: Ack): NetlinkError {
		return this.#error(operation, errno, extended.message, extended);
	}

	#error(
		operation: string,
		errno: number,
		detail?: string,
		extended?: Ack['extended'],
	): NetlinkError {
		// A transport that refuses has its own sentence; this is about what the kernel answered.
		const advice = extended && this.#transport.explain?.(errno);
		return new NetlinkError({
			operation,
			errno,
			...(detail === undefined ? {} : { detail }),
			...(extended === undefined ? {} : { extended }),
			...(advice === undefined ? {} : { advice }),
		});
	}
}

function takeMember(progress: DumpProgress, message: RawMessage): void {
	progress.interrupted ||= (message.flags & MessageFlag.DumpInterrupted) !== 0;
	if (message.type === ControlType.Done || message.type === ControlType.Error) {
		const ack = parseAck(message);
		progress.end = ack ?? { errno: Errno.EPROTO, extended: {} };
	} else {
		progress.members.push(message);
	}
}
