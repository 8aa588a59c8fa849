/**
 * A NETLINK_XFRM socket of the running kernel, or one to the xfrm daemon that stands in for it, in the network
 * namespace of the process.
 *
 * @spec N-1
 *
 * It never blocks: whatever is there is read in batches, and when nothing is, the descriptor is watched
 * by Node's event loop. Datagrams that did not come from the kernel, or the daemon, are thrown away.
 */
import { type Arrival, type NetlinkSocket, TransportError } from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import { type CLibrary, loadCLibrary, type PollHandle } from './c-library.ts';
import { BATCH_MAX, DATAGRAM_OCTETS_MAX, RECEIVE_QUEUE_OCTETS } from './limits.ts';
import { groupRefusal, socketRefusal } from './requirement.ts';
import {
	AF_NETLINK,
	NETLINK_USERSOCK,
	NETLINK_XFRM,
	NetlinkOption,
	ReceiveFlag,
	SOCKADDR_NL_OCTETS,
	SOCKET_TYPE,
	SocketLevel,
	SocketOption,
	sockaddrNl,
	sockaddrNlPid,
} from './socket-abi.ts';

/** How a socket is opened; everything has a default. */
export interface KernelSocketOptions {
	/** Refusals carry text, offset and more; default true. */
	readonly extAck?: boolean;
	/** Refusals quote the request's header only; default true. */
	readonly capAck?: boolean;
	/** Port id of a daemon that is spoken to by NETLINK_USERSOCK, in place of the kernel. */
	readonly daemonPort?: number;
	/** Size of the kernel's queue; default 8 MiB. */
	readonly receiveQueueOctets?: number;
}

/** Where datagrams are received before they are copied out; calls do not overlap. */
let scratch: Uint8Array | undefined;

export class KernelSocket implements NetlinkSocket {
	/** As the kernel chose it. */
	readonly portId: number;
	readonly #library: CLibrary;
	readonly #fd: number;
	/** Whom is spoken to: 0 is the kernel. */
	readonly #peerPort: number;
	readonly #peer: Uint8Array;
	readonly #from: Uint8Array = sockaddrNl(0);
	readonly #fromOctets: Uint32Array = new Uint32Array(1);
	#poll: PollHandle | undefined;
	/** Whoever waits in `receive`. */
	#wake: (() => void) | undefined;
	#overrun: boolean = false;
	#closed: boolean = false;

	/** Opens and binds. @throws TransportError with the sentence what is missing */
	constructor(options: KernelSocketOptions = {}) {
		const library = loadCLibrary();
		this.#library = library;
		this.#peerPort = options.daemonPort ?? 0;
		this.#peer = sockaddrNl(this.#peerPort);
		const protocol = options.daemonPort === undefined ? NETLINK_XFRM : NETLINK_USERSOCK;
		this.#fd = library.socket(AF_NETLINK, SOCKET_TYPE, protocol);
		if (this.#fd < 0) {
			const errno = library.errno();
			throw new TransportError(errno, socketRefusal(errno));
		}
		try {
			this.#setReceiveQueue(options.receiveQueueOctets ?? RECEIVE_QUEUE_OCTETS);
			this.#setOption(NetlinkOption.ExtAck, options.extAck ?? true);
			this.#setOption(NetlinkOption.CapAck, options.capAck ?? true);
			this.portId = this.#bind();
		} catch (error) {
			library.close(this.#fd);
			throw error;
		}
	}

	/** Octets of the kernel's queue, as it counts them: twice what was granted. */
	get receiveQueueOctets(): number {
		const value = new Int32Array(1);
		const { Socket: level } = SocketLevel;
		const { ReceiveBuffer: name } = SocketOption;
		this.#library.getsockopt(this.#fd, level, name, value, new Uint32Array([4]));
		return value[0] ?? 0;
	}

	send(datagram: Uint8Array): void {
		this.#assertOpen();
		const { length } = datagram;
		const sent = this.#library.sendto(
			this.#fd,
			datagram,
			length,
			0,
			this.#peer,
			SOCKADDR_NL_OCTETS,
		);
		if (sent !== length) {
			throw new TransportError(
				this.#library.errno(),
				`a datagram of ${length} octets was not sent`,
			);
		}
	}

	async receive(): Promise<Arrival> {
		for (;;) {
			const arrival = this.receiveNow();
			if (arrival !== undefined) {
				return arrival;
			}
			await this.#readable();
		}
	}

	/** What is there at this moment; undefined when nothing is. @throws TransportError */
	receiveNow(): Arrival | undefined {
		this.#assertOpen();
		const datagrams: Uint8Array[] = [];
		const overrun = this.#overrun;
		this.#overrun = false;
		while (datagrams.length < BATCH_MAX) {
			const datagram = this.#receiveOne();
			if (datagram === undefined || this.#overrun) {
				break;
			}
			if (sockaddrNlPid(this.#from) === this.#peerPort) {
				datagrams.push(datagram);
			}
		}
		if (datagrams.length > 0 || overrun) {
			return { datagrams, overrun };
		}
		if (this.#overrun) {
			this.#overrun = false;
			return { datagrams, overrun: true };
		}
		return undefined;
	}

	join(groups: readonly number[]): void {
		this.#assertOpen();
		const { AddMembership } = NetlinkOption;
		for (const group of groups) {
			const errno = this.#trySetOption(SocketLevel.Netlink, AddMembership, group);
			if (errno !== 0) {
				throw new TransportError(errno, groupRefusal(errno, group));
			}
		}
	}

	close(): void {
		if (this.#closed) {
			return;
		}
		this.#closed = true;
		this.#poll?.close();
		this.#poll = undefined;
		this.#library.close(this.#fd);
		this.#wake?.();
	}

	#assertOpen(): void {
		if (this.#closed) {
			throw new TransportError(Errno.EBADF, 'the socket was closed');
		}
	}

	/** Undefined when there is nothing, and when messages were lost: then `#overrun` is set. */
	#receiveOne(): Uint8Array | undefined {
		scratch ??= new Uint8Array(DATAGRAM_OCTETS_MAX);
		for (;;) {
			this.#fromOctets[0] = SOCKADDR_NL_OCTETS;
			const octets = this.#library.recvfrom(
				this.#fd,
				scratch,
				scratch.length,
				ReceiveFlag.Truncate,
				this.#from,
				this.#fromOctets,
			);
			if (octets > scratch.length) {
				// It is lost but for its beginning: as good as not received.
				this.#overrun = true;
				return undefined;
			}
			if (octets >= 0) {
				return scratch.slice(0, octets);
			}
			const errno = this.#library.errno();
			if (errno === Errno.ENOBUFS) {
				this.#overrun = true;
			}
			if (errno === Errno.ENOBUFS || errno === Errno.EAGAIN) {
				return undefined;
			}
			if (errno !== Errno.EINTR) {
				throw new TransportError(errno, 'receiving failed');
			}
		}
	}

	/** Waits until the descriptor is readable or has an error to tell, or the socket is closed. */
	#readable(): Promise<void> {
		this.#poll ??= this.#library.poll(this.#fd);
		const poll = this.#poll;
		return new Promise((resolve) => {
			this.#wake = () => {
				this.#wake = undefined;
				if (!this.#closed) {
					poll.stop();
				}
				resolve();
			};
			poll.start({ readable: true }, () => this.#wake?.());
		});
	}

	#bind(): number {
		const octets = new Uint32Array([SOCKADDR_NL_OCTETS]);
		const address = sockaddrNl(0);
		if (
			this.#library.bind(this.#fd, address, SOCKADDR_NL_OCTETS) < 0 ||
			this.#library.getsockname(this.#fd, address, octets) < 0
		) {
			const errno = this.#library.errno();
			throw new TransportError(errno, socketRefusal(errno));
		}
		return sockaddrNlPid(address);
	}

	#setReceiveQueue(octets: number): void {
		const { Socket: level } = SocketLevel;
		if (this.#trySetOption(level, SocketOption.ReceiveBufferForce, octets) !== 0) {
			this.#trySetOption(level, SocketOption.ReceiveBuffer, octets);
		}
	}

	#setOption(name: number, value: boolean): void {
		const errno = this.#trySetOption(SocketLevel.Netlink, name, value ? 1 : 0);
		if (errno !== 0) {
			throw new TransportError(errno, `option ${name} of netlink is refused: Linux 4.12 has it`);
		}
	}

	#trySetOption(level: number, name: number, value: number): number {
		const done = this.#library.setsockopt(this.#fd, level, name, new Int32Array([value]), 4);
		return done < 0 ? this.#library.errno() : 0;
	}
}
