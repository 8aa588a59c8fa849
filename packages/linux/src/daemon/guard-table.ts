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
	/**
	 * By a key's octets as characters: `WANTED` for each policy that wants it, as addresses of different host bits have
	 * the same key, and `KNOWN` where the kernel has it.
	 */
	readonly counts: Map<string, number>;
	/** Keys whose count has changed, some perhaps several times. */
	readonly changed: string[];
	isEmpty: boolean;
}

/** Of a key's count. */
const KNOWN = 1;
const WANTED = 2;

/** A layer's sets, by shape and verdict. */
type Layer = Map<string, KeySet>;

/** Policies of one direction and type. */
export class GuardTable {
	readonly #direction: number;
	readonly #type: number;
	readonly #chain: string;
	readonly #layers: Layer[] = [];
	/** Sets whose keys have changed. */
	readonly #changed: KeySet[] = [];
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
			this.#writeKeys(batch, set);
		}
		this.#changed.length = 0;
	}

	#writeKeys(batch: NftBatch, set: KeySet): void {
		const { name, counts, changed, isEmpty } = set;
		// Gone first: the kernel then has room for as many.
		for (const key of changed) {
			const count = counts.get(key);
			if (count === KNOWN) {
				batch.deleteElement(name, key);
			}
			if (count === KNOWN || count === 0) {
				counts.delete(key);
			}
		}
		for (const key of changed) {
			const count = counts.get(key) ?? KNOWN;
			if ((count & KNOWN) === 0) {
				batch.addElement(name, key);
				counts.set(key, count | KNOWN);
			}
		}
		changed.length = 0;
		set.isEmpty = counts.size === 0;
		this.#emptyCount += Number(set.isEmpty) - Number(isEmpty);
	}

	#change(batch: NftBatch, { policy, verdict }: GuardEntry, layer: number, change: 1 | -1): void {
		for (const shape of shapesOf(policy, verdict !== LET_GO)) {
			const set = this.#set(batch, layer, shape, verdict);
			const key = set.keys.keyOf(policy).toString('latin1');
			set.counts.set(key, (set.counts.get(key) ?? 0) + change * WANTED);
			if (set.changed.push(key) === 1) {
				this.#changed.push(set);
			}
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
		return { name, layer, verdict, keys, counts: new Map(), changed: [], isEmpty: true };
	}
}
