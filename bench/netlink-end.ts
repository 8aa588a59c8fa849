/** The two ends that bench/netlink.ts compares: our server in this process, and the running kernel. */
import type { CryptoProvider } from '@xfrm/crypto/provider';
import { Engine, linux619 } from '@xfrm/engine';
import { KernelSocket } from '@xfrm/linux';
import { ControlType, splitMessages, viewOf } from '@xfrm/netlink';
import { type NetlinkClient, NetlinkServer } from '@xfrm/netlink-server';

/** Whom requests are put to. */
export interface End {
	/** Puts a datagram in and gives what came back; a dump's rest comes by `rest`. */
	request(datagram: Uint8Array): readonly Uint8Array[];
	/** The next parts of a dump; empty when there are none. */
	rest(): readonly Uint8Array[];
}

/** Our server on an engine of its own. */
export class ServerEnd implements End {
	readonly engine: Engine;
	readonly #server: NetlinkServer;
	readonly #client: NetlinkClient;
	#nowUs: number = 1_764_000_000_000_000;

	constructor(provider: CryptoProvider) {
		this.engine = new Engine({
			profile: linux619,
			provider,
			random: (bytes) => bytes.fill(7),
			route: () => undefined,
		});
		this.#server = new NetlinkServer(this.engine);
		this.#client = this.#server.connect({ portId: 1 });
	}

	request(datagram: Uint8Array): readonly Uint8Array[] {
		this.#nowUs += 10;
		return this.#server.begin(this.#client, datagram, this.#nowUs);
	}

	rest(): readonly Uint8Array[] {
		const part = this.#server.continueDump(this.#client);
		return part === undefined ? [] : [part];
	}
}

/** The kernel, in the namespace of this process. */
export class KernelEnd implements End {
	readonly #socket: KernelSocket = new KernelSocket({ receiveQueueOctets: 64 << 20 });

	request(datagram: Uint8Array): readonly Uint8Array[] {
		this.#socket.send(datagram);
		return this.rest();
	}

	/** The kernel answers while it is sent to, so nothing has to be waited for. */
	rest(): readonly Uint8Array[] {
		return this.#socket.receiveNow()?.datagrams ?? [];
	}
}

/** Puts requests in that have to succeed: nothing comes back but acknowledgements, if they were asked for. */
export function putAll(end: End, datagrams: readonly Uint8Array[]): void {
	for (const datagram of datagrams) {
		for (const answer of end.request(datagram)) {
			if (viewOf(answer).getInt32(16, true) !== 0) {
				refuse(answer);
			}
		}
	}
}

function refuse(answer: Uint8Array): never {
	const view = viewOf(answer);
	const errno = -view.getInt32(16, true);
	throw new RangeError(`a request was refused: type ${view.getUint16(4, true)}, errno ${errno}`);
}

/** Puts requests in that have to be answered by one message each. */
export function askAll(end: End, datagrams: readonly Uint8Array[]): void {
	for (const datagram of datagrams) {
		const [answer] = end.request(datagram);
		if (answer === undefined || viewOf(answer).getUint16(4, true) < ControlType.Min) {
			refuse(answer ?? new Uint8Array(20));
		}
	}
}

/** Reads a dump to its end; answers its datagrams, the end not among them. */
export function dump(end: End, request: Uint8Array): Uint8Array[] {
	const parts: Uint8Array[] = [];
	for (let got = end.request(request); got.length > 0; got = end.rest()) {
		for (const part of got) {
			if (viewOf(part).getUint16(4, true) === ControlType.Done) {
				return parts;
			}
			parts.push(part);
		}
	}
	throw new RangeError('a dump without end');
}

/** Indexes of the policies of a dump. */
export function indexesOf(parts: readonly Uint8Array[]): number[] {
	const indexAt = 156;
	return parts
		.flatMap(splitMessages)
		.map(({ payload }) => viewOf(payload).getUint32(indexAt, true));
}
