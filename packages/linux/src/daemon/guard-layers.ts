/**
 * The order of the guard's entries, as layers that a packet meets one after the other: within a layer no two
 * entries that a packet could match both want different things, so that their order does not matter, and each
 * layer can be sets that are looked up by hash, however many entries they have.
 *
 *     layer(b) > layer(a)   for all a met before b, of another verdict, with a packet that both match
 *
 * Tables as people write them have two or three layers: bypasses in front of what protects, perhaps a block
 * behind it. A table that is made for it has a layer for each entry, and the kernel walks through them as it would
 * through a list of rules.
 *
 * Pure: what an insertion moves is told, and carried out by guard-table.ts.
 */
import { type GuardEntry, isBefore, isSafelyBefore, overlap } from './guard-entry.ts';

/** An entry that had to go from one layer to a later one. */
export interface Move {
	readonly entry: GuardEntry;
	readonly from: number;
}

/** Entries of a family that want the same. */
interface EntryList {
	readonly family: number;
	readonly verdict: number;
	readonly entries: GuardEntry[];
}

const NO_MOVES: readonly Move[] = [];
const NO_ENTRIES: readonly GuardEntry[] = [];

export class GuardLayers {
	/** There are as many verdicts as lanes, at most, and a few: nearly always two. */
	readonly #lists: EntryList[] = [];
	/** Priorities where the kernel's order has gone round in a circle: the safe one is kept instead. */
	readonly #circles: Set<number> = new Set();

	/** Is the order the kernel's? */
	get isExact(): boolean {
		return this.#circles.size === 0;
	}

	/**
	 * Puts an entry into the first layer where it can be.
	 *
	 * @returns the entries that it has moved, or undefined when there is no order of layers: then all have to be
	 * put in anew, behind a `restart`
	 */
	insert(entry: GuardEntry): readonly Move[] | undefined {
		let last = Number.POSITIVE_INFINITY;
		entry.layer = 0;
		for (const other of this.#rivals(entry)) {
			if (this.#isBefore(other, entry)) {
				entry.layer = Math.max(entry.layer, other.layer + 1);
			} else {
				last = Math.min(last, other.layer - 1);
			}
		}
		entry.place = this.#listOf(entry).push(entry) - 1;
		return entry.layer <= last ? NO_MOVES : this.#raiseBehind(entry);
	}

	remove(entry: GuardEntry): void {
		const list = this.#listOf(entry);
		const last = list.pop();
		if (last !== undefined && last !== entry) {
			list[entry.place] = last;
			last.place = entry.place;
		}
	}

	/** Takes all entries out, to be put in anew, those of this priority in the safe order. */
	restart(priority: number): void {
		this.#lists.length = 0;
		this.#circles.add(priority);
	}

	#listOf({ policy: { family }, verdict }: GuardEntry): GuardEntry[] {
		for (const list of this.#lists) {
			if (list.family === family && list.verdict === verdict) {
				return list.entries;
			}
		}
		const entries: GuardEntry[] = [];
		this.#lists.push({ family, verdict, entries });
		return entries;
	}

	/** Moves on what is met behind an entry, and what is met behind that. */
	#raiseBehind(first: GuardEntry): readonly Move[] | undefined {
		const from = new Map<GuardEntry, number>();
		const waiting = [first];
		for (let entry = waiting.pop(); entry !== undefined; entry = waiting.pop()) {
			for (const other of this.#rivals(entry)) {
				if (other.layer > entry.layer || this.#isBefore(other, entry)) {
					continue;
				}
				if (other === first) {
					return undefined;
				}
				if (!from.has(other)) {
					from.set(other, other.layer);
				}
				other.layer = entry.layer + 1;
				waiting.push(other);
			}
		}
		return [...from].map(([entry, layer]) => ({ entry, from: layer }));
	}

	/** Entries of another verdict that share a packet with this one. */
	#rivals(entry: GuardEntry): readonly GuardEntry[] {
		let rivals = NO_ENTRIES;
		for (const { family, verdict, entries } of this.#lists) {
			if (family === entry.policy.family && verdict !== entry.verdict) {
				const found = entries.filter((other) => overlap(entry, other));
				rivals = rivals.length === 0 ? found : rivals.concat(found);
			}
		}
		return rivals;
	}

	#isBefore(a: GuardEntry, b: GuardEntry): boolean {
		const { priority } = a.policy;
		return priority === b.policy.priority && this.#circles.has(priority)
			? isSafelyBefore(a, b)
			: isBefore(a.policy, b.policy);
	}
}
