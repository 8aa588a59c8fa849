/** Our server as an end, told what the running kernel has built in, and which SPIs it drew. */
import { nodeProvider } from '@xfrm/crypto/node';
import { type Available, Engine, type KernelProfile } from '@xfrm/engine';
import { decodeMessage, splitMessages } from '@xfrm/netlink';
import { type NetlinkClient, NetlinkServer } from '@xfrm/netlink-server';
import { ALL_GROUPS, type NetlinkEnd, type Sender, type Step, socketKind } from './netlink-end.ts';

const LISTENER_PORT = 1;

export interface ServerEndOptions {
	readonly profile: KernelProfile;
	readonly available: Available;
	readonly processors: number;
	/** Port ids by kind of socket, those of the other end. */
	readonly portIds: readonly number[];
}

export class ServerEnd implements NetlinkEnd {
	/** For what programs do by other ways than netlink: options of sockets. */
	readonly engine: Engine;
	readonly #server: NetlinkServer;
	readonly #clients: readonly NetlinkClient[];
	readonly #listener: NetlinkClient;
	/** What the next draws of an SPI shall be: numbers of 32 bits. */
	#draws: number[] = [];

	constructor(options: ServerEndOptions) {
		const { profile, available, processors, portIds } = options;
		this.engine = new Engine({
			profile,
			available,
			provider: nodeProvider(),
			random: (octets) => this.#draw(octets),
			processors,
			route: () => undefined,
		});
		this.#server = new NetlinkServer(this.engine);
		this.#listener = this.#server.connect({ portId: LISTENER_PORT, queueMax: 100_000 });
		this.#server.subscribe(this.#listener, 2 ** ALL_GROUPS - 1);
		this.#clients = portIds.map((portId, kind) =>
			this.#server.connect({ portId, extAck: (kind & 1) !== 0, capAck: (kind & 2) !== 0 }),
		);
	}

	portId(sender: Sender): number {
		return this.#client(sender).portId;
	}

	/** Makes ALLOCSPIs of the datagram draw what the kernel drew: it said so in its answers. */
	followDraws(step: Step, answers: readonly Uint8Array[]): void {
		const ranges = splitMessages(step.datagram).flatMap((raw) => {
			const message = decodeMessage(raw);
			return message?.name === 'allocspi' ? [{ ...message.body, seq: raw.seq }] : [];
		});
		const drawn = answers.flatMap(splitMessages).map((raw) => decodeMessage(raw));
		this.#draws = [];
		for (const { seq, min, max } of ranges) {
			const answer = drawn.find((message) => message?.name === 'newsa' && message.seq === seq);
			if (min < max && answer?.name === 'newsa') {
				const range = max - min + 1;
				this.#draws.push(Math.ceil(((answer.body.id.spi - min) * 2 ** 32) / range));
			}
		}
	}

	request(step: Step): Uint8Array[] {
		const client = this.#client(step);
		client.privileged = !step.unprivileged;
		return this.#server.request(client, step.datagram, Date.now() * 1000);
	}

	events(): Uint8Array[] {
		return this.#listener.receiveAll();
	}

	close(): void {
		// Nothing that would outlive it.
	}

	#client(sender: Sender): NetlinkClient {
		const client = this.#clients[socketKind(sender)];
		if (client === undefined) {
			throw new RangeError('four kinds of sockets, four clients');
		}
		return client;
	}

	#draw(octets: Uint8Array): void {
		const value = this.#draws.shift() ?? 0;
		new DataView(octets.buffer, octets.byteOffset).setUint32(0, value >>> 0);
	}
}
