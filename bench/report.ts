/**
 * What all benches say, and how: a line a figure, as text or (`--json`) as JSON Lines. A figure has something
 * it is measured against, in the same run wherever possible, and the ratio to that.
 *
 * `--check` fails where a ratio misses its bound by half: noise does not, a lookup ten times as slow does.
 */

/** One figure. `against` is empty, and `ratio` 0, where there is nothing to compare with. */
export interface Row {
	readonly bench: string;
	readonly case: string;
	readonly value: number;
	readonly unit: string;
	readonly against: string;
	readonly ratio: number;
}

/** What a figure is compared with. */
export interface Comparison {
	readonly against: string;
	readonly ratio: number;
	/** The ratio is to be at most, or at least, this. */
	readonly most?: number;
	readonly least?: number;
	/** How far beside that `--check` lets it be; default `SLACK`. */
	readonly slack?: number;
}

/** What noise of times needs. */
const SLACK = 1.5;
const NOTHING: Comparison = { against: '', ratio: 0 };

export class Report {
	readonly #bench: string;
	readonly #json: boolean = process.argv.includes('--json');
	readonly #check: boolean = process.argv.includes('--check');
	readonly #missed: string[] = [];
	/** All that was added. */
	readonly rows: Row[] = [];

	constructor(bench: string) {
		this.#bench = bench;
	}

	add(name: string, value: number, unit: string, comparison: Comparison = NOTHING): void {
		const { against, ratio, most, least, slack = SLACK } = comparison;
		const row: Row = { bench: this.#bench, case: name, value, unit, against, ratio };
		this.rows.push(row);
		process.stdout.write(this.#json ? `${JSON.stringify(row)}\n` : textOf(row, comparison));
		if (against !== '' && (ratio > (most ?? ratio) * slack || ratio < (least ?? 0) / slack)) {
			this.#missed.push(`FAILED ${this.#bench}: ${name}: ${ratioText(comparison)}`);
		}
	}

	/** Says what missed its bound; the process then ends with 1 if that was asked for. */
	finish(): void {
		if (!this.#check) {
			return;
		}
		for (const line of this.#missed) {
			(this.#json ? process.stderr : process.stdout).write(`${line}\n`);
		}
		process.exitCode = this.#missed.length === 0 ? 0 : 1;
	}
}

function ratioText({ against, ratio, most, least }: Comparison): string {
	const wanted = most === undefined ? least : most;
	const bound =
		wanted === undefined ? '' : ` (${most === undefined ? 'at least' : 'at most'} ${wanted})`;
	return `${figure(ratio)} of ${against}${bound}`;
}

function textOf(row: Row, comparison: Comparison): string {
	const value = figure(row.value).padStart(11);
	const beside = row.against === '' ? '' : ratioText(comparison);
	return `${row.case.padEnd(44)}${value} ${row.unit.padEnd(10)}${beside}`.trimEnd().concat('\n');
}

/** Three digits that count, none behind the point of large numbers. */
export function figure(value: number): string {
	if (value === 0 || Math.abs(value) >= 100) {
		return Math.round(value).toLocaleString('en');
	}
	return String(Number(value.toPrecision(value < 0.01 ? 2 : 3)));
}

/** Nanoseconds a call of two things, the best of many short rounds, which alternate: noise meets both alike. */
export function bestOfBoth(
	rounds: number,
	first: () => number,
	second: () => number,
): [first: number, second: number] {
	let [a, b] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
	for (let round = 0; round < rounds; round++) {
		a = Math.min(a, first());
		b = Math.min(b, second());
	}
	return [a, b];
}

/**
 * A pass over many things in slices, each short enough to be let alone by the scheduler now and then. Called again
 * and again, it answers the nanoseconds a thing that the best time of each slice so far comes to.
 */
export function sliced<T>(
	things: readonly T[],
	slice: number,
	act: (thing: T) => void,
): () => number {
	const best = new Float64Array(Math.ceil(things.length / slice)).fill(Number.POSITIVE_INFINITY);
	return () => {
		let sum = 0;
		for (let i = 0; i < best.length; i++) {
			const part = things.slice(i * slice, (i + 1) * slice);
			const from = performance.now();
			for (const thing of part) {
				act(thing);
			}
			best[i] = Math.min(best[i] ?? 0, performance.now() - from);
			sum += best[i] ?? 0;
		}
		return (sum * 1e6) / things.length;
	};
}

/** Octets in use by V8's heap and by array buffers. */
export function octetsInUse(): number {
	const { gc } = globalThis;
	if (gc === undefined) {
		throw new RangeError('run with node --expose-gc');
	}
	// Twice: what the first one finishes off, the second one frees.
	gc();
	gc();
	const { heapUsed, arrayBuffers } = process.memoryUsage();
	return heapUsed + arrayBuffers;
}

/** Of each figure the lesser: what else a machine does only ever adds to them. */
export function leastOf<T extends Readonly<Record<keyof T, number>>>(a: T, b: T): T {
	const names = Object.keys(a) as (keyof T)[];
	return Object.fromEntries(names.map((name) => [name, Math.min(a[name], b[name])])) as T;
}
