/**
 * Answers NETLINK_XFRM requests from an engine, as net/xfrm/xfrm_user.c does (spec section 2).
 */
import type { EngineDoor } from '@xfrm/engine';
import { type ClientOptions, NetlinkClient } from './client.ts';

/** The namespace's end of NETLINK_XFRM. */
export class NetlinkServer {
	readonly engine: EngineDoor;
	readonly #clients: Set<NetlinkClient> = new Set();

	constructor(engine: EngineDoor) {
		this.engine = engine;
	}

	/** Opens a socket. */
	connect(options: ClientOptions): NetlinkClient {
		const client = new NetlinkClient(options);
		this.#clients.add(client);
		return client;
	}

	/** Closes a socket: it hears nothing any more, and its groups no longer count as listened to. */
	disconnect(client: NetlinkClient): void {
		this.#clients.delete(client);
		this.#updateListeners();
	}

	/** Subscribes a client to exactly these groups (bit `1 << (group - 1)`) and tells the engine. */
	subscribe(client: NetlinkClient, groups: number): void {
		client.groups = groups;
		this.#updateListeners();
	}

	/**
	 * Carries out one datagram (it may hold several messages, or none) and answers with all datagrams that
	 * come back, in order. Notifications of the same datagram are queued at the subscribed clients.
	 */
	request(_client: NetlinkClient, _datagram: Uint8Array, _nowUs: number): Uint8Array[] {
		return [];
	}

	/** Takes the engine's events and queues them, as notifications, at the clients that subscribed. */
	dispatchEvents(): void {}

	#updateListeners(): void {
		let groups = 0;
		for (const client of this.#clients) {
			groups |= client.groups;
		}
		this.engine.net.listeners = groups;
	}
}
