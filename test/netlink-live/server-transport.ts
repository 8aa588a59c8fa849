/** Our server in the same process as the transport of a client: what `@xfrm/linux` is for the kernel. */
import { nodeProvider } from '@xfrm/crypto/node';
import { type Available, Engine, type KernelProfile, linux619 } from '@xfrm/engine';
import {
	type Arrival,
	type NetlinkSocket,
	type NetlinkTransport,
	TransportError,
} from '@xfrm/netlink';
import { type NetlinkClient, NetlinkServer } from '@xfrm/netlink-server';
import { Errno } from '@xfrm/wire/xfrm';
import { seededRandom } from '../golden/laboratory.ts';

/** A namespace of its own: an engine without routes, and its server. */
export function newServer(options: {
	readonly profile?: KernelProfile;
	readonly available?: Available;
	readonly processors?: number;
}): NetlinkServer {
	const { profile = linux619, available, processors = 2 } = options;
	const engine = new Engine({
		profile,
		...(available === undefined ? {} : { available }),
		provider: nodeProvider(),
		random: seededRandom(1),
		processors,
		route: () => undefined,
	});
	return new NetlinkServer(engine);
}

/** Settings of the sockets that a transport opens. */
export interface ServerTransportOptions {
	readonly privileged?: boolean;
	/** Notifications that may wait. */
	readonly queueMax?: number;
	/** Microseconds since the Unix epoch. */
	now?(): number;
}

class ServerSocket implements NetlinkSocket {
	readonly portId: number;
	readonly #transport: ServerTransport;
	readonly #client: NetlinkClient;
	readonly #answers: Uint8Array[] = [];
	#wake: (() => void) | undefined;
	#closed: boolean = false;

	constructor(transport: ServerTransport, client: NetlinkClient) {
		this.#transport = transport;
		this.#client = client;
		this.portId = client.portId;
	}

	send(datagram: Uint8Array): void {
		this.#assertOpen();
		const { server } = this.#transport;
		this.#answers.push(...server.begin(this.#client, datagram, this.#transport.now()));
		this.#transport.wakeAll();
	}

	async receive(): Promise<Arrival> {
		for (;;) {
			this.#assertOpen();
			const arrival = this.#arrival();
			if (arrival !== undefined) {
				return arrival;
			}
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		}
	}

	join(groups: readonly number[]): void {
		this.#assertOpen();
		if (!this.#client.privileged) {
			throw new TransportError(Errno.EPERM, 'this client has not the right to listen');
		}
		const bits = groups.reduce((mask, group) => mask | (1 << (group - 1)), this.#client.groups);
		this.#transport.server.subscribe(this.#client, bits);
	}

	close(): void {
		if (!this.#closed) {
			this.#closed = true;
			this.#transport.server.disconnect(this.#client);
			this.#transport.forget(this);
			this.wake();
		}
	}

	wake(): void {
		this.#wake?.();
		this.#wake = undefined;
	}

	/** Answers first, a dump's next part after those, then notifications; one batch. */
	#arrival(): Arrival | undefined {
		const overrun = this.#client.takeOverrun();
		const part = this.#answers.length === 0 ? this.#continueDump() : [];
		const datagrams = [...this.#answers.splice(0), ...part, ...this.#client.receiveAll()];
		return datagrams.length === 0 && !overrun ? undefined : { datagrams, overrun };
	}

	#continueDump(): readonly Uint8Array[] {
		const part = this.#transport.server.continueDump(this.#client);
		return part === undefined ? [] : [part];
	}

	#assertOpen(): void {
		if (this.#closed) {
			throw new TransportError(Errno.EBADF, 'the socket was closed');
		}
	}
}

export class ServerTransport implements NetlinkTransport {
	readonly server: NetlinkServer;
	readonly #options: ServerTransportOptions;
	readonly #sockets: Set<ServerSocket> = new Set();
	#portId: number = 100;

	constructor(server: NetlinkServer, options: ServerTransportOptions = {}) {
		this.server = server;
		this.#options = options;
	}

	open(): NetlinkSocket {
		const { privileged = true, queueMax = 4096 } = this.#options;
		const client = this.server.connect({
			portId: this.#portId++,
			privileged,
			queueMax,
			capAck: true,
		});
		const socket = new ServerSocket(this, client);
		this.#sockets.add(socket);
		return socket;
	}

	after(milliseconds: number, fire: () => void): () => void {
		const timer = setTimeout(fire, milliseconds);
		return () => clearTimeout(timer);
	}

	now(): number {
		return this.#options.now?.() ?? Date.now() * 1000;
	}

	/** Sockets look again whether there is something for them. */
	wakeAll(): void {
		for (const socket of this.#sockets) {
			socket.wake();
		}
	}

	forget(socket: ServerSocket): void {
		this.#sockets.delete(socket);
	}
}
