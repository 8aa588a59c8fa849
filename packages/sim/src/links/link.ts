/**
 * A link between two ends, each a device of a host, a port of a NAT box, or nothing. What goes in at one
 * end comes out of the other as the nodes in between have it, each copy by an entry of the agenda. Who
 * listens sees everything that was put on the link, as a tap at the sender's end.
 */
import type { Agenda } from '../agenda.ts';
import { inRow, type LinkNode, type Partition, partition } from './link-node.ts';

/** Whoever gets the packets of one end. */
export interface LinkEnd {
	receive(packet: Uint8Array): void;
}

/** Whoever sees the packets that are put on the link; `from` is 0 or 1. */
export type LinkTap = (link: Link, packet: Uint8Array, from: number) => void;

export class Link {
	readonly name: string;
	/** Packets may be in clear here: a LAN. On others nothing secret may be seen. */
	readonly clear: boolean;
	readonly partition: Partition = { cut: false };
	readonly #agenda: Agenda;
	readonly #path: LinkNode;
	readonly #ends: (LinkEnd | undefined)[] = [undefined, undefined];
	readonly #taps: LinkTap[] = [];

	constructor(
		name: string,
		agenda: Agenda,
		options: { readonly clear: boolean; readonly nodes: readonly LinkNode[] },
	) {
		this.name = name;
		this.clear = options.clear;
		this.#agenda = agenda;
		this.#path = inRow([partition(this.partition), ...options.nodes]);
	}

	/** Puts somebody at an end, 0 or 1; the one before is unplugged. */
	plug(end: number, receiver: LinkEnd | undefined): void {
		this.#ends[end] = receiver;
	}

	tap(listener: LinkTap): void {
		this.#taps.push(listener);
	}

	/** The end `from` puts a packet on the link. */
	send(packet: Uint8Array, from: number): void {
		for (const listener of this.#taps) {
			listener(this, packet, from);
		}
		this.#path(packet, 0, (passed, afterUs) => this.inject(passed, 1 - from, afterUs));
	}

	/** A packet reaches an end, whoever sent it. */
	inject(packet: Uint8Array, to: number, afterUs: number): void {
		this.#agenda.after(afterUs, () => this.#ends[to]?.receive(packet));
	}
}
