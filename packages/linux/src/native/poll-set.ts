/**
 * The descriptors that a loop waits for, in the memory of `struct pollfd`:
 *
 *     0          4        6         8
 *     | fd s32   | events | revents |
 */
import { viewOf } from '@xfrm/netlink';
import { PollEvent } from './abi.ts';

const POLLFD_OCTETS = 8;

export class PollSet {
	readonly bytes: Uint8Array;
	readonly #view: DataView;
	readonly #whenReady: (() => void)[] = [];
	readonly #whenBroken: ((() => void) | undefined)[] = [];
	/** Of one round. */
	readonly #ready: (() => void)[] = [];

	/** @param capacity how many descriptors there can be */
	constructor(capacity: number) {
		this.bytes = new Uint8Array(capacity * POLLFD_OCTETS);
		this.#view = viewOf(this.bytes);
	}

	get count(): number {
		return this.#whenReady.length;
	}

	/**
	 * Waits for something to read from `fd`.
	 *
	 * @param whenBroken called instead when it has an error, and in every round until it is removed
	 * @throws RangeError when there is no room
	 */
	add(fd: number, whenReady: () => void, whenBroken?: () => void): void {
		if ((this.count + 1) * POLLFD_OCTETS > this.bytes.length) {
			throw new RangeError(`a poll set of ${this.count} descriptors is full`);
		}
		const at = this.count * POLLFD_OCTETS;
		this.#view.setInt32(at, fd, true);
		this.#view.setUint16(at + 4, PollEvent.In, true);
		this.#view.setUint16(at + 6, 0, true);
		this.#whenReady.push(whenReady);
		this.#whenBroken.push(whenBroken);
	}

	/** Waits for `fd` no longer; to be called before it is closed. */
	remove(fd: number): void {
		for (let index = 0; index < this.count; index++) {
			const at = index * POLLFD_OCTETS;
			if (this.#view.getInt32(at, true) === fd) {
				this.bytes.copyWithin(at, at + POLLFD_OCTETS, this.count * POLLFD_OCTETS);
				this.#whenReady.splice(index, 1);
				this.#whenBroken.splice(index, 1);
				return;
			}
		}
	}

	/** Calls back for every descriptor that poll(2) found ready, in the order of adding. */
	dispatch(): void {
		const ready = this.#ready;
		let count = 0;
		// Callbacks add and remove descriptors: those to call are written down first.
		for (let index = 0; index < this.count; index++) {
			const events = this.#view.getUint16(index * POLLFD_OCTETS + 6, true);
			const whenReady = this.#whenReady[index];
			if (events !== 0 && whenReady !== undefined) {
				const isBroken = (events & PollEvent.Error) !== 0;
				ready[count++] = (isBroken ? this.#whenBroken[index] : undefined) ?? whenReady;
			}
		}
		for (let i = 0; i < count; i++) {
			ready[i]?.();
		}
	}
}
