/**
 * Answers about the addresses of the last packets, found without making anything: a table of some rows, each
 * question has one row that it can be in.
 *
 * @hotpath
 */
import type { Route } from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';

const ROWS = 64;
const ADDRESS_OCTETS = 16;

export class RecentRoutes {
	readonly #addresses: Uint8Array = new Uint8Array(ROWS * 2 * ADDRESS_OCTETS);
	/** 0 for a row without an answer. */
	readonly #families: Uint8Array = new Uint8Array(ROWS);
	readonly #marks: Int32Array = new Int32Array(ROWS);
	readonly #routes: (Route | undefined)[] = new Array<Route | undefined>(ROWS).fill(undefined);

	/**
	 * The row that has, or may be given, the answer for the addresses in a packet; `sourceAt` -1 for any source.
	 */
	rowOf(family: number, bytes: Uint8Array, destinationAt: number, sourceAt: number): number {
		const last = (family === Family.Ipv4 ? 4 : ADDRESS_OCTETS) - 1;
		const source = sourceAt < 0 ? 0 : (bytes[sourceAt + last] ?? 0);
		return ((bytes[destinationAt + last] ?? 0) * 7 + source) & (ROWS - 1);
	}

	/** Has the row an answer to this question? */
	knows(
		row: number,
		family: number,
		bytes: Uint8Array,
		destinationAt: number,
		sourceAt: number,
		mark: number,
	): boolean {
		if (this.#families[row] !== family || this.#marks[row] !== mark) {
			return false;
		}
		const octets = family === Family.Ipv4 ? 4 : ADDRESS_OCTETS;
		const at = row * 2 * ADDRESS_OCTETS;
		for (let i = 0; i < octets; i++) {
			const source = sourceAt < 0 ? 0 : bytes[sourceAt + i];
			if (
				this.#addresses[at + i] !== bytes[destinationAt + i] ||
				this.#addresses[at + ADDRESS_OCTETS + i] !== source
			) {
				return false;
			}
		}
		return true;
	}

	routeOf(row: number): Route | undefined {
		return this.#routes[row];
	}

	/** Keeps an answer; addresses of 16 octets. */
	keep(
		row: number,
		family: number,
		destination: Uint8Array,
		source: Uint8Array,
		mark: number,
		route: Route | undefined,
	): void {
		const at = row * 2 * ADDRESS_OCTETS;
		this.#addresses.set(destination, at);
		this.#addresses.set(source, at + ADDRESS_OCTETS);
		this.#families[row] = family;
		this.#marks[row] = mark;
		this.#routes[row] = route;
	}

	/** Forgets all answers. */
	forget(): void {
		this.#families.fill(0);
	}
}
