/**
 * Which code of the project ran in a process that had NODE_V8_COVERAGE set: V8's counts of the transpiled
 * modules, brought back to the TypeScript sources by the source maps that Node writes beside them.
 *
 * A source map names points at which a piece of code begins; such a point ran or did not. A function that is
 * loaded only has points of its body that did not run.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decode } from '@jridgewell/sourcemap-codec';

/** Where a piece of code begins in its source, from 0. */
export interface CodePoint {
	readonly line: number;
	readonly column: number;
	ran: boolean;
}

interface Range {
	readonly startOffset: number;
	readonly endOffset: number;
	readonly count: number;
}

interface Report {
	readonly result: readonly {
		readonly url: string;
		readonly functions: readonly { readonly ranges: readonly Range[] }[];
	}[];
	readonly 'source-map-cache'?: Readonly<
		Record<
			string,
			{
				readonly lineLengths: readonly number[];
				readonly data: { readonly mappings: string; readonly sources: readonly string[] } | null;
			}
		>
	>;
}

/** Points of a source map by offset in the module that it is of; only modules of one source are met here. */
function mappedPoints(
	mappings: string,
	lineLengths: readonly number[],
): { offset: number; line: number; column: number }[] {
	let lineStart = 0;
	return decode(mappings).flatMap((segments, i) => {
		const start = lineStart;
		lineStart += (lineLengths[i] ?? 0) + 1;
		return segments.flatMap(([generated, , line, column]) =>
			line === undefined || column === undefined
				? []
				: [{ offset: start + generated, line, column }],
		);
	});
}

/** How often the code at each of these offsets, which ascend, ran: the innermost range decides. */
function* countsAt(offsets: readonly number[], ranges: readonly Range[]): Generator<number> {
	const sorted = [...ranges].sort(
		(a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset,
	);
	const open: Range[] = [];
	let next = 0;
	for (const offset of offsets) {
		for (let range = sorted[next]; range !== undefined && range.startOffset <= offset; ) {
			open.push(range);
			range = sorted[++next];
		}
		while ((open.at(-1)?.endOffset ?? Number.POSITIVE_INFINITY) <= offset) {
			open.pop();
		}
		yield open.at(-1)?.count ?? 0;
	}
}

/** Files by path, what several processes ran taken together. */
export type Coverage = Map<string, readonly CodePoint[]>;

function takeReport(coverage: Coverage, report: Report, wanted: (path: string) => boolean): void {
	for (const { url, functions } of report.result) {
		const map = report['source-map-cache']?.[url];
		const source = map?.data?.sources[0];
		if (map?.data === undefined || map.data === null || source === undefined) {
			continue;
		}
		const path = fileURLToPath(new URL(source, url));
		// Compiled packages have sources too, perhaps older ones.
		if (fileURLToPath(url) !== path || !wanted(path)) {
			continue;
		}
		const points = mappedPoints(map.data.mappings, map.lineLengths);
		const ranges = functions.flatMap((one) => one.ranges);
		const counts = [
			...countsAt(
				points.map(({ offset }) => offset),
				ranges,
			),
		];
		const fresh = points.map(({ line, column }, i) => ({
			line,
			column,
			ran: (counts[i] ?? 0) > 0,
		}));
		const known = coverage.get(path);
		coverage.set(path, known === undefined ? fresh : [...known, ...fresh]);
	}
}

/** Reads what the processes left in the folder of NODE_V8_COVERAGE, for the sources that are `wanted`. */
export function readCoverage(folder: string, wanted: (path: string) => boolean): Coverage {
	const coverage: Coverage = new Map();
	for (const name of readdirSync(folder).sort()) {
		const report = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Report;
		takeReport(coverage, report, wanted);
	}
	return coverage;
}

/** Lines of code in a file, and how many of them ran, even if not whole. */
export function lineCounts(points: readonly CodePoint[]): { lines: number; ran: number } {
	const lines = new Map<number, boolean>();
	for (const { line, ran } of points) {
		lines.set(line, ran || lines.get(line) === true);
	}
	return { lines: lines.size, ran: [...lines.values()].filter(Boolean).length };
}
