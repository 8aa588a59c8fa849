/**
 * The descriptors that a loop waits for (epoll(7)): the kernel keeps the list, so that waiting takes as long with many
 * as with one.
 */
import { viewOf } from '@xfrm/netlink';
import { EPOLL_EVENT, PollEvent } from './abi.ts';
import type { Native } from './seam.ts';

/** What a descriptor is waited for. */
interface Waiting {
	readonly fd: number;
	readonly whenReady: () => void;
	readonly whenBroken: () => void;
}

export class PollSet {
	readonly #native: Native;
	readonly #epoll: number;
	/** By the number that the kernel has; gaps are filled first. */
	readonly #waiting: (Waiting | undefined)[] = [];
	readonly #capacity: number;
	readonly #events: Uint8Array;
	readonly #view: DataView;
	/** Of one round: the kernel tells them in no order. */
	#readyCount: number = 0;
	readonly #order: Int32Array;
	readonly #ready: (() => void)[] = [];

	/**
	 * @param capacity how many descriptors there can be
	 * @throws RangeError when this process may have no more descriptors
	 */
	constructor(native: Native, capacity: number) {
		this.#native = native;
		this.#capacity = capacity;
		this.#epoll = native.epollCreate();
		if (this.#epoll < 0) {
			throw new RangeError('this process may have no more descriptors');
		}
		this.#events = new Uint8Array(capacity * EPOLL_EVENT.octets);
		this.#view = viewOf(this.#events);
		this.#order = new Int32Array(capacity);
	}

	/**
	 * Waits for something to read from `fd`.
	 *
	 * @param whenBroken called instead when it has an error, and in every round until it is removed
	 * @throws RangeError when there is no room
	 */
	add(fd: number, whenReady: () => void, whenBroken: () => void = whenReady): void {
		const gap = this.#waiting.indexOf(undefined);
		const number = gap < 0 ? this.#waiting.length : gap;
		if (number === this.#capacity) {
			throw new RangeError(`a poll set of ${this.#capacity} descriptors is full`);
		}
		this.#waiting[number] = { fd, whenReady, whenBroken };
		this.#native.epollControl(this.#epoll, fd, number);
	}

	/** Waits for `fd` no longer; to be called before it is closed. */
	remove(fd: number): void {
		const number = this.#waiting.findIndex((waiting) => waiting?.fd === fd);
		if (number >= 0) {
			this.#waiting[number] = undefined;
			this.#native.epollControl(this.#epoll, fd, -1);
		}
	}

	/** Waits until something is ready, at most so many milliseconds (-1: for ever). Answers how much, or an errno below 0. */
	wait(timeoutMs: number): number {
		const count = this.#native.epollWait(this.#epoll, this.#events, timeoutMs);
		this.#readyCount = Math.max(0, count);
		return count;
	}

	/**
	 * Calls back for every descriptor that was ready, in the order of adding, but for those that fill a gap: who has been
	 * answered by one may have sent something to another.
	 */
	dispatch(): void {
		const ready = this.#ready;
		const order = this.#order;
		const count = this.#readyCount;
		for (let i = 0; i < count; i++) {
			const number = this.#numberAt(i);
			let to = i;
			for (; to > 0 && this.#numberAt(order[to - 1] ?? 0) > number; to--) {
				order[to] = order[to - 1] ?? 0;
			}
			order[to] = i;
		}
		// Callbacks add and remove descriptors: those to call are written down first.
		for (let i = 0; i < count; i++) {
			const event = order[i] ?? 0;
			const waiting = this.#waiting[this.#numberAt(event)];
			const bits = this.#view.getUint32(event * EPOLL_EVENT.octets, true);
			const isBroken = (bits & PollEvent.Error) !== 0;
			ready[i] = (isBroken ? waiting?.whenBroken : waiting?.whenReady) ?? nothing;
		}
		for (let i = 0; i < count; i++) {
			ready[i]?.();
		}
	}

	#numberAt(event: number): number {
		return this.#view.getUint32(event * EPOLL_EVENT.octets + EPOLL_EVENT.numberAt, true);
	}

	close(): void {
		this.#native.close(this.#epoll);
	}
}

function nothing(): void {}
