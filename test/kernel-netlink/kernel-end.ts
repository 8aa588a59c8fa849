/** The running kernel as an end: a network namespace of its own, which nothing else sees. */
import { KernelSocket } from '@xfrm/linux';
import { enterNamespace, setEffectiveUser } from '../netlink-live/namespace.ts';
import { ALL_GROUPS, type NetlinkEnd, type Sender, type Step, socketKind } from './netlink-end.ts';

const NOBODY = 65534;

/** Everything that is there now. */
function drain(socket: KernelSocket): Uint8Array[] {
	const datagrams: Uint8Array[] = [];
	for (let arrival = socket.receiveNow(); arrival !== undefined; arrival = socket.receiveNow()) {
		if (arrival.overrun) {
			throw new RangeError('the kernel lost messages: its queue is too small for this test');
		}
		datagrams.push(...arrival.datagrams);
	}
	return datagrams;
}

class KernelEnd implements NetlinkEnd {
	readonly #sockets: readonly KernelSocket[];
	readonly #listener: KernelSocket = new KernelSocket();

	constructor() {
		this.#sockets = [0, 1, 2, 3].map(
			(kind) => new KernelSocket({ extAck: (kind & 1) !== 0, capAck: (kind & 2) !== 0 }),
		);
		this.#listener.join(Array.from({ length: ALL_GROUPS }, (_, i) => i + 1));
	}

	portId(sender: Sender): number {
		return this.#socket(sender).portId;
	}

	request(step: Step): Uint8Array[] {
		const socket = this.#socket(step);
		if (step.datagram.length === 0) {
			return []; // such a send fails before it reaches anybody
		}
		if (step.unprivileged) {
			setEffectiveUser(NOBODY);
		}
		try {
			socket.send(step.datagram);
		} finally {
			if (step.unprivileged) {
				setEffectiveUser(0);
			}
		}
		return drain(socket);
	}

	events(): Uint8Array[] {
		return drain(this.#listener);
	}

	close(): void {
		this.#listener.close();
		for (const socket of this.#sockets) {
			socket.close();
		}
	}

	#socket(sender: Sender): KernelSocket {
		const socket = this.#sockets[socketKind(sender)];
		if (socket === undefined) {
			throw new RangeError('four kinds of sockets, four sockets');
		}
		return socket;
	}
}

/** A fresh namespace of the running kernel, or the sentence why there is none. */
export function openKernelEnd(): NetlinkEnd | string {
	return enterNamespace() ?? new KernelEnd();
}
