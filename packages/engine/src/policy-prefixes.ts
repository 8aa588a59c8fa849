/**
 * The prefix lengths that the tuples of a table have, on one side: a lookup computes the address's part of the
 * hash once for each of them (policy-key.ts).
 *
 * @hotpath
 */
import { addressSum, PREFIX_COUNT } from './policy-key.ts';

export class PrefixesInUse {
	/** Tuples of each length. */
	private readonly counts: Int32Array = new Int32Array(PREFIX_COUNT);
	/** Lengths of which there are any, in no order. */
	private readonly lengths: Int32Array = new Int32Array(PREFIX_COUNT);
	private used: number = 0;

	/** One more tuple has this length. */
	add(prefix: number): void {
		const before = this.counts[prefix] ?? 0;
		this.counts[prefix] = before + 1;
		if (before === 0) {
			this.lengths[this.used++] = prefix;
		}
	}

	/** One tuple less has it. */
	drop(prefix: number): void {
		const left = (this.counts[prefix] ?? 0) - 1;
		this.counts[prefix] = left;
		if (left === 0) {
			this.lengths[this.lengths.indexOf(prefix)] = this.lengths[--this.used] ?? 0;
		}
	}

	/** Fills `sums`, by length, with what the asked address at `at` adds to hashes. */
	sum(at: number, sums: Int32Array): void {
		const { lengths, used } = this;
		for (let i = 0; i < used; i++) {
			const prefix = lengths[i] ?? 0;
			sums[prefix] = addressSum(at, prefix);
		}
	}
}
