/**
 * Two empty network namespaces of the running kernel, one for `ip` and one for `xfrm`. The main thread of
 * this process goes to and fro, so that sockets that it opens and programs that it starts are in the one
 * where it is.
 */
import { openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { KernelSocket } from '@xfrm/linux';
import { comparable } from '../kernel-netlink/comparable.ts';
import type { Step } from '../kernel-netlink/netlink-end.ts';
import { DUMP_POLICIES, DUMP_STATES, RESET } from '../kernel-netlink/trial.ts';
import { enterNamespace } from '../netlink-live/namespace.ts';

const CLONE_NEWNET = 0x4000_0000;

interface Koffi {
	load(path: null): { func(prototype: string): (fd: number, flags: number) => number };
}

/** What a namespace holds. */
export interface Tables {
	/** Both dumps in hexadecimal, a message a line, the present hidden. */
	readonly text: string;
	readonly states: number;
	readonly policies: number;
}

/** One namespace: where it is entered, and a socket in it that stays. */
class Side {
	readonly #fd: number;
	readonly #socket: KernelSocket = new KernelSocket();
	readonly #setns: (fd: number, flags: number) => number;

	/** Of the namespace in which the process is. */
	constructor(setns: (fd: number, flags: number) => number) {
		this.#setns = setns;
		this.#fd = openSync('/proc/thread-self/ns/net', 'r');
	}

	enter(): void {
		if (this.#setns(this.#fd, CLONE_NEWNET) !== 0) {
			throw new RangeError('setns failed');
		}
	}

	/** All states and policies as the kernel dumps them. */
	tables(): Tables {
		const [states, policies] = [
			comparable(this.#ask(DUMP_STATES)),
			comparable(this.#ask(DUMP_POLICIES)),
		];
		// Without the sequence number and port id of the socket: octets 8 to 15 of each message.
		const lines = [...states, ...policies].map((hex) => hex.slice(0, 16) + hex.slice(32));
		// The end of a dump is a message too.
		return { text: lines.join('\n'), states: states.length - 1, policies: policies.length - 1 };
	}

	/** Empties it. */
	reset(): void {
		for (const step of RESET) {
			this.#ask(step);
		}
	}

	#ask(step: Step): Uint8Array[] {
		this.#socket.send(step.datagram);
		const datagrams: Uint8Array[] = [];
		for (let got = this.#socket.receiveNow(); got; got = this.#socket.receiveNow()) {
			datagrams.push(...got.datagrams);
		}
		return datagrams;
	}
}

export interface TwoNamespaces {
	readonly ip: Side;
	readonly own: Side;
}

/** Opens both, or the sentence why they cannot be had. */
export function openTwoNamespaces(): TwoNamespaces | string {
	const refused = enterNamespace();
	if (refused !== undefined) {
		return refused;
	}
	const koffi = createRequire(import.meta.url)('koffi') as Koffi;
	const setns = koffi.load(null).func('int setns(int fd, int flags)');
	const ip = new Side(setns);
	const second = enterNamespace();
	return second ?? { ip, own: new Side(setns) };
}
