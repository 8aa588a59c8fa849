/**
 * What is going to happen, earliest first; what is due at the same time in the order in which it was
 * entered. The virtual clock is the time of the entry that was taken last.
 */

interface Entry {
	readonly atUs: number;
	readonly order: number;
	readonly action: () => void;
}

function isBefore(a: Entry, b: Entry): boolean {
	return a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order);
}

export class Agenda {
	/** Microseconds since the Unix epoch. */
	nowUs: number;
	/** A binary heap. */
	readonly #heap: Entry[] = [];
	#order: number = 0;

	constructor(startUs: number) {
		this.nowUs = startUs;
	}

	get size(): number {
		return this.#heap.length;
	}

	/** Enters an action at a time; one that has passed means now. */
	at(atUs: number, action: () => void): void {
		const entry = { atUs: Math.max(atUs, this.nowUs), order: this.#order++, action };
		let place = this.#heap.push(entry) - 1;
		while (place > 0) {
			const parentPlace = (place - 1) >> 1;
			const parent = this.#heap[parentPlace];
			if (parent === undefined || !isBefore(entry, parent)) {
				break;
			}
			this.#heap[place] = parent;
			place = parentPlace;
		}
		this.#heap[place] = entry;
	}

	after(us: number, action: () => void): void {
		this.at(this.nowUs + us, action);
	}

	/** Takes out the next action that is due until `endUs`, and moves the clock to its time. */
	take(endUs: number): (() => void) | undefined {
		const first = this.#heap[0];
		if (first === undefined || first.atUs > endUs) {
			return undefined;
		}
		const last = this.#heap.pop();
		if (last !== undefined && last !== first) {
			this.#sink(last);
		}
		this.nowUs = first.atUs;
		return first.action;
	}

	/** Puts an entry in at the top. */
	#sink(entry: Entry): void {
		let place = 0;
		for (;;) {
			let childPlace = 2 * place + 1;
			let child = this.#heap[childPlace];
			const right = this.#heap[childPlace + 1];
			if (child !== undefined && right !== undefined && isBefore(right, child)) {
				child = right;
				childPlace++;
			}
			if (child === undefined || !isBefore(child, entry)) {
				break;
			}
			this.#heap[place] = child;
			place = childPlace;
		}
		this.#heap[place] = entry;
	}
}
