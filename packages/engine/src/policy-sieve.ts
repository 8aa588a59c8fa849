/**
 * Which tuples may have something for a flow, told by its two addresses. In a table of twenty pairs of prefix
 * lengths most addresses have a policy of one or two of the lengths, so most pairs need not be asked:
 *
 *     rows[hash of a prefix of an address]: the columns of the tuples that have a policy of this prefix
 *
 * A lookup reads a row for each prefix length in use, of the destination and then of the source, and asks the
 * tuples whose column is there on both sides. In large tables every short prefix of a destination has some policy:
 * its hash is of the source too, as far as all tuples look at that. From the 33rd tuple on they share columns,
 * equal hashes share a row, and what went is forgotten only when the rows are made anew: a column that is there says
 * nothing, one that is not there says that there is nothing.
 *
 * @hotpath
 */
import { addressSum, asked, KeyWord, PREFIX_COUNT, wordPart } from './policy-key.ts';
import type { Tuple } from './policy-tuple.ts';

/** One bit each of a word. */
export const COLUMN_COUNT = 32;
const EVERY_COLUMN = -1;
/** To ask so many tuples takes no longer than to look which of them; until there are fewer than the other number. */
const UNSIFTED_MAX = 4;
const SIFTED_MIN = 2;
/** Of two rows; otherwise there are more. */
const SHIFT_UNSIFTED = 31;
const ROWS_LOG_MIN = 4;
/** When there are more, rows are made anew: one or two a policy, which sets its column in two of them. */
const POLICIES_A_ROW_MAX = 2;
/** A sum times this has something of all its bits in the upper ones, of which a row's number is made. */
const SPREAD = 0x9e37_79b1;

/** What the asked addresses add to hashes, by prefix length: set by `sift` for the tuples of the columns it answers. */
export const sumsD: Int32Array = new Int32Array(PREFIX_COUNT);
export const sumsS: Int32Array = new Int32Array(PREFIX_COUNT);

/** The prefix lengths that tuples have on one side, and of each length their columns. */
class Side {
	/** Where the address begins in the key. */
	private readonly at: number;
	private readonly sums: Int32Array;
	/** Rising. */
	private readonly lengths: Int32Array = new Int32Array(PREFIX_COUNT);
	private lengthCount: number = 0;
	private readonly columns: Int32Array = new Int32Array(PREFIX_COUNT);

	constructor(at: number, sums: Int32Array) {
		this.at = at;
		this.sums = sums;
	}

	/** The shortest length in use; only asked when there is one. */
	get shortest(): number {
		return this.lengths[0] ?? 0;
	}

	clear(): void {
		this.columns.fill(0);
		this.lengthCount = 0;
	}

	add(prefix: number, column: number): void {
		const { lengths, columns } = this;
		if (columns[prefix] === 0) {
			lengths[this.lengthCount++] = prefix;
			lengths.subarray(0, this.lengthCount).sort();
		}
		columns[prefix] = (columns[prefix] ?? 0) | column;
	}

	/**
	 * Which of the wanted columns are there for the asked address, and `common` of the other one? Words that count
	 * whole are added up once.
	 */
	sift(rows: Int32Array, shift: number, common: number, wanted: number): number {
		const { at, sums, lengths, lengthCount, columns } = this;
		let found = 0;
		let word = 0;
		let whole = 0;
		for (let i = 0; i < lengthCount; i++) {
			const prefix = lengths[i] ?? 0;
			const some = (columns[prefix] ?? 0) & wanted;
			if (some !== 0) {
				for (; word < prefix >> 5; word++) {
					whole = (whole + wordPart(asked[at + word] ?? 0, at + word)) | 0;
				}
				const bits = prefix & 31;
				const part =
					bits === 0 ? 0 : wordPart((asked[at + word] ?? 0) & (-1 << (32 - bits)), at + word);
				const sum = (whole + part) | 0;
				sums[prefix] = sum;
				found |= (rows[rowOf((sum + common) | 0, shift)] ?? 0) & some;
			}
		}
		return found;
	}
}

export class PolicySieve {
	private readonly sideD: Side = new Side(KeyWord.Daddr, sumsD);
	private readonly sideS: Side = new Side(KeyWord.Saddr, sumsS);
	private rows: Int32Array = everyRow();
	private shift: number = SHIFT_UNSIFTED;
	/** Bits of a source's first word by which rows of destinations are told apart: no tuple looks at fewer. */
	private sourceBits: number = 0;
	private sourceMask: number = 0;
	/** Policies in rows since these were made. */
	private noted: number = 0;

	/** The columns of tuples that may have a policy for the asked key; none that no tuple has. */
	sift(): number {
		const { rows, shift } = this;
		const found = this.sideD.sift(rows, shift, this.sourceSum(), EVERY_COLUMN);
		return found === 0 ? 0 : this.sideS.sift(rows, shift, 0, found);
	}

	/** A column for one more tuple: of those that the fewest have. */
	columnFor(tuples: readonly Tuple[]): number {
		const counts = new Int32Array(COLUMN_COUNT);
		for (const { column } of tuples) {
			const place = 31 - Math.clz32(column);
			counts[place] = (counts[place] ?? 0) + 1;
		}
		let least = 0;
		for (let place = 1; place < COLUMN_COUNT; place++) {
			least = (counts[place] ?? 0) < (counts[least] ?? 0) ? place : least;
		}
		return 1 << least;
	}

	/** Tuples came or went: these are all. Policies of those that came are still to be noted. */
	setTuples(tuples: readonly Tuple[]): void {
		const { sideD, sideS } = this;
		sideD.clear();
		sideS.clear();
		for (const { shape, column } of tuples) {
			sideD.add(shape.prefixD, column);
			sideS.add(shape.prefixS, column);
		}
		const isSifting = this.shift !== SHIFT_UNSIFTED;
		if (tuples.length < SIFTED_MIN) {
			this.rows = everyRow();
			this.shift = SHIFT_UNSIFTED;
			this.setSourceBits(0);
		} else if (isSifting ? sideS.shortest < this.sourceBits : tuples.length > UNSIFTED_MAX) {
			this.makeRows(tuples);
		}
	}

	/** One of the tuples has one more policy, whose key is the asked one. */
	note(tuples: readonly Tuple[], tuple: Tuple): void {
		if (this.shift === SHIFT_UNSIFTED) {
			return;
		}
		this.noted++;
		if (this.noted > POLICIES_A_ROW_MAX * this.rows.length) {
			this.makeRows(tuples);
		} else {
			this.setRows(tuple);
		}
	}

	private makeRows(tuples: readonly Tuple[]): void {
		this.setSourceBits(Math.min(32, this.sideS.shortest));
		this.noted = 0;
		for (const { count } of tuples) {
			this.noted += count;
		}
		const log = Math.max(ROWS_LOG_MIN, Math.ceil(Math.log2(this.noted)));
		this.rows = new Int32Array(1 << log);
		this.shift = 32 - log;
		for (const tuple of tuples) {
			for (let entry = 0; entry < tuple.entryCount; entry++) {
				if (tuple.owner(entry) !== null) {
					tuple.ask(entry);
					this.setRows(tuple);
				}
			}
		}
	}

	private setSourceBits(bits: number): void {
		this.sourceBits = bits;
		this.sourceMask = bits === 0 ? 0 : -1 << (32 - bits);
	}

	/** What the asked source adds to the sums of destinations. */
	private sourceSum(): number {
		return wordPart((asked[KeyWord.Saddr] ?? 0) & this.sourceMask, KeyWord.Saddr);
	}

	private setRows({ shape, column }: Tuple): void {
		const { rows, shift } = this;
		const rowD = rowOf(addressSum(KeyWord.Daddr, shape.prefixD) + this.sourceSum(), shift);
		rows[rowD] = (rows[rowD] ?? 0) | column;
		const rowS = rowOf(addressSum(KeyWord.Saddr, shape.prefixS), shift);
		rows[rowS] = (rows[rowS] ?? 0) | column;
	}
}

/** Two rows of all columns, for tables in which every tuple is asked. */
function everyRow(): Int32Array {
	return Int32Array.of(EVERY_COLUMN, EVERY_COLUMN);
}

function rowOf(sum: number, shift: number): number {
	return Math.imul(sum, SPREAD) >>> shift;
}
