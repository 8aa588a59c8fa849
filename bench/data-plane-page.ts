/** Writes the figures of `npm run bench:data-plane` into docs/data-plane-speed.md, a table a section. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../packages/linux/src/native/addon.ts';
import { figure, type Row } from './report.ts';

const page: string = fileURLToPath(new URL('../docs/data-plane-speed.md', import.meta.url));
const MARK = /^<!-- figures of (\w+) -->$/m;

/** Whose arithmetic the addon has here; without a compiler there is none. */
function arithmetic(): string {
	try {
		return `AES-GCM by ${loadAddon().cryptoLibrary()}`;
	} catch {
		return 'no addon here';
	}
}

/** Rows are named `WHO: WHAT`: a line for each who, a column for each what. */
function tableOf(rows: readonly Row[]): string {
	const split = rows.map((row) => {
		const at = row.case.lastIndexOf(': ');
		return { who: row.case.slice(0, at), what: row.case.slice(at + 2), row };
	});
	const columns = [...new Set(split.map(({ what }) => what))];
	const unitOf = (what: string): string => split.find((cell) => cell.what === what)?.row.unit ?? '';
	const cellOf = (who: string, what: string): string => {
		const row = split.find((cell) => cell.who === who && cell.what === what)?.row;
		if (row === undefined) {
			return '–';
		}
		return row.against === '' ? figure(row.value) : `${figure(row.value)} (${figure(row.ratio)} ×)`;
	};
	const [{ against = '' } = {}] = rows.filter((row) => row.against !== '');
	const head = columns.map((what) => `${what}, ${unitOf(what)}`);
	const lines = [...new Set(split.map(({ who }) => who))].map(
		(who) => `| ${[who, ...columns.map((what) => cellOf(who, what))].join(' | ')} |`,
	);
	const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? ''}`;
	const beside = against === '' ? '' : ` In brackets: times ${against.replace(/, \d+$/, '')}.`;
	return [
		`${machine}, ${arithmetic()}.${beside}`,
		'',
		`| | ${head.join(' | ')} |`,
		`|---|${columns.map(() => '---:').join('|')}|`,
		...lines,
	].join('\n');
}

/** Puts each section's table between its mark and the next heading; those of sections that did not run stay. */
export function writePage(tables: ReadonlyMap<string, readonly Row[]>): void {
	const parts = readFileSync(page, 'utf8').split(/^(?=## )/m);
	const written = parts.map((part) => {
		const name = MARK.exec(part)?.[1] ?? '';
		const rows = tables.get(name);
		if (rows === undefined || rows.length === 0) {
			return part;
		}
		const mark = `<!-- figures of ${name} -->`;
		return `${part.slice(0, part.indexOf(mark))}${mark}\n\n${tableOf(rows)}\n\n`;
	});
	writeFileSync(page, `${written.join('').trimEnd()}\n`);
}
