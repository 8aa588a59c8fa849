/**
 * The guard's policies in nf_tables: sets of keys by layer, shape and verdict, changed by as much as the policies
 * have changed, in one batch that the kernel carries out as a whole.
 *
 *     chain out               jump out-0 · jump out-1 · …       layers, in order (guard-layers.ts)
 *     chain out-0             a rule for each set: load, mask, look up in out-0-1, verdict
 *     set   out-0-1           keys of policies of one shape (guard-shape.ts) that want the same
 *
 * A change of one policy is an element more or less, microseconds whatever the table's size. Sets that have become
 * empty stay for those that come next; when there are too many the table is written anew, as it is when the kernel
 * refuses a change because somebody has taken the table away.
 *
 * Nothing here knows what a batch is for: guard.ts does.
 */
import type { NftBatch } from '../nftables/nft-batch.ts';
import { whenInSet } from '../nftables/nft-expression.ts';
import type { GuardEntry } from './guard-entry.ts';
import { LET_GO } from './guard-entry.ts';
import { decide, jump, policyChain } from './guard-rules.ts';
import { isSameShape, type Shape, ShapeKeys, shapeId, shapesOf } from './guard-shape.ts';

/** So many empty sets are nothing to write a table anew for. */
const EMPTY_SETS_MAX = 64;

interface KeySet {
	readonly name: string;
	readonly layer: number;
	readonly verdict: number;
	readonly keys: ShapeKeys;
	/** How many policies want a key, by its octets as text: addresses of different host bits have the same. */
	readonly wanted: Map<string, number>;
	/** The same, as the kernel knew it when it was first changed since. */
	readonly before: Map<string, boolean>;
}

/** A layer's sets, by shape and verdict. */
type Layer = Map<string, KeySet>;

/** Policies of one direction and type. */
export class GuardTable {
	readonly #direction: number;
	readonly #type: number;
	readonly #chain: string;
	readonly #layers: Layer[] = [];
	/** Sets whose keys have changed. */
	readonly #changed: Set<KeySet> = new Set();
	/** The set that was asked for last: policies in a row are often alike. */
	#last: KeySet | undefined;
	#setCount: number = 0;
	#emptyCount: number = 0;

	constructor(direction: number, type: number) {
		this.#direction = direction;
		this.#type = type;
		this.#chain = policyChain(direction, type);
	}

	/** Are there so many empty sets that the table should be written anew? */
	get isLoose(): boolean {
		return this.#emptyCount > EMPTY_SETS_MAX && 2 * this.#emptyCount > this.#setCount;
	}

	/** An entry's keys come into its layer. */
	add(batch: NftBatch, entry: GuardEntry): void {
		this.#change(batch, entry, entry.layer, 1);
	}

	/** And go from the one where they are. */
	remove(batch: NftBatch, entry: GuardEntry, layer: number): void {
		this.#change(batch, entry, layer, -1);
	}

	/** Writes what has changed of keys since the last time. */
	write(batch: NftBatch): void {
		for (const set of this.#changed) {
			// Gone first: the kernel then has room for as many.
			this.#writeKeys(batch, set);
		}
		this.#changed.clear();
	}

	#writeKeys(batch: NftBatch, { name, wanted, before }: KeySet): void {
		for (const [key, wasThere] of before) {
			if (wasThere && !wanted.has(key)) {
				batch.deleteElement(name, Buffer.from(key, 'latin1'));
			}
		}
		for (const [key, wasThere] of before) {
			if (!wasThere && wanted.has(key)) {
				batch.addElement(name, Buffer.from(key, 'latin1'));
			}
		}
		before.clear();
	}

	#note(set: KeySet, octets: Buffer, change: number): void {
		const key = octets.toString('latin1');
		const count = set.wanted.get(key) ?? 0;
		if (!set.before.has(key)) {
			set.before.set(key, count > 0);
		}
		const wasEmpty = set.wanted.size === 0;
		if (count + change > 0) {
			set.wanted.set(key, count + change);
		} else {
			set.wanted.delete(key);
		}
		this.#emptyCount += Number(set.wanted.size === 0) - Number(wasEmpty);
		this.#changed.add(set);
	}

	#change(batch: NftBatch, { policy, verdict }: GuardEntry, layer: number, change: 1 | -1): void {
		for (const shape of shapesOf(policy, verdict !== LET_GO)) {
			const set = this.#set(batch, layer, shape, verdict);
			this.#note(set, set.keys.keyOf(policy), change);
		}
	}

	#set(batch: NftBatch, layer: number, shape: Shape, verdict: number): KeySet {
		const last = this.#last;
		if (
			last !== undefined &&
			last.layer === layer &&
			last.verdict === verdict &&
			isSameShape(last.keys.shape, shape)
		) {
			return last;
		}
		const id = `${shapeId(shape)} ${verdict}`;
		const sets = this.#layer(batch, layer);
		let set = sets.get(id);
		if (set === undefined) {
			set = this.#makeSet(batch, layer, new ShapeKeys(shape), verdict);
			sets.set(id, set);
		}
		this.#last = set;
		return set;
	}

	#layer(batch: NftBatch, wanted: number): Layer {
		while (this.#layers.length <= wanted) {
			const name = `${this.#chain}-${this.#layers.length}`;
			batch.addChain(name);
			jump(batch, this.#chain, name);
			this.#layers.push(new Map());
		}
		// The loop has made it.
		return this.#layers[wanted] as Layer;
	}

	#makeSet(batch: NftBatch, layer: number, keys: ShapeKeys, verdict: number): KeySet {
		const chain = `${this.#chain}-${layer}`;
		const name = `${chain}-${++this.#setCount}`;
		this.#emptyCount++;
		batch.addSet(name, keys);
		batch.addRule(chain, (rule) => {
			keys.load(rule);
			whenInSet(rule, name);
			decide(rule, verdict, this.#direction, this.#type);
		});
		return { name, layer, verdict, keys, wanted: new Map(), before: new Map() };
	}
}
