/**
 * `npm run bench`: all benches one after the other, each in a process of its own, in at most ten minutes.
 *
 *     npm run bench [-- NAME…] [-- --json] [-- --check] [-- --docs]
 *
 * `--json` prints JSON Lines, `--check` ends with 1 where a ratio misses its bound by half, `--docs` writes the
 * figures into docs/benches.md. How to read them is told there.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { figure, type Row } from './report.ts';

const root: string = fileURLToPath(new URL('../', import.meta.url));
const page: string = fileURLToPath(new URL('../docs/benches.md', import.meta.url));

/** By name, with what they need; benches of inner parts run on sources, the others on the built packages. */
const BENCHES: ReadonlyMap<string, readonly string[]> = new Map([
	['engine', []],
	['lookup', []],
	['lookup-kernel', []],
	['million', ['--max-old-space-size=4096']],
	['netlink', []],
	['replay', ['--conditions=@xfrm/source']],
	['sim', []],
]);

const words: string[] = process.argv.slice(2);
const options: string[] = words.filter((word) => word.startsWith('--'));
const names: string[] = words.filter((word) => !word.startsWith('--'));
const docs: boolean = options.includes('--docs');

function run(name: string, needs: readonly string[]): { failed: boolean; rows: Row[] } {
	const passed = docs ? [...options, '--json'] : options;
	const { status, stdout } = spawnSync(
		process.execPath,
		['--expose-gc', ...needs, '--import', 'tsx', `bench/${name}.ts`, ...passed],
		{ cwd: root, stdio: ['ignore', docs ? 'pipe' : 'inherit', 'inherit'], encoding: 'utf8' },
	);
	const lines = (stdout ?? '').split('\n').filter((line) => line.startsWith('{'));
	return { failed: status !== 0, rows: lines.map((line) => JSON.parse(line) as Row) };
}

function tableOf(name: string, rows: readonly Row[]): string {
	const lines = rows.map(({ case: what, value, unit, against, ratio }) => {
		const beside = against === '' ? '' : `${figure(ratio)} of ${against}`;
		return `| ${what} | ${figure(value)} ${unit} | ${beside} |`;
	});
	const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? ''}`;
	return [
		`### ${name}`,
		'',
		`${machine}.`,
		'',
		'| what | figure | ratio |',
		'|---|---:|---|',
		...lines,
		'',
	].join('\n');
}

/** Puts the tables between the two marks of the page; those of benches that did not run stay. */
function writePage(tables: ReadonlyMap<string, string>): void {
	const text = readFileSync(page, 'utf8');
	const [before, figures, after] = text.split(/^<!-- figures -->$/m);
	if (before === undefined || figures === undefined || after === undefined) {
		throw new RangeError('docs/benches.md: expected two lines "<!-- figures -->"');
	}
	const old = new Map(
		figures
			.split(/^(?=### )/m)
			.map((section) => [/^### (.*)$/m.exec(section)?.[1] ?? '', section.trim()] as const),
	);
	const sections = [...BENCHES.keys()].map((name) =>
		(tables.get(name) ?? old.get(name) ?? '').trim(),
	);
	const whole = sections.filter((section) => section !== '').join('\n\n');
	writeFileSync(page, `${before}<!-- figures -->\n\n${whole}\n\n<!-- figures -->${after}`);
}

function main(): void {
	const unknown = names.find((name) => !BENCHES.has(name));
	if (unknown !== undefined) {
		process.stderr.write(
			`bench: no bench ${unknown}; there are ${[...BENCHES.keys()].join(', ')}\n`,
		);
		process.exitCode = 2;
		return;
	}
	const tables = new Map<string, string>();
	for (const [name, needs] of BENCHES) {
		if (names.length > 0 && !names.includes(name)) {
			continue;
		}
		if (!options.includes('--json')) {
			process.stdout.write(`\n${name}\n`);
		}
		const { failed, rows } = run(name, needs);
		tables.set(name, tableOf(name, rows));
		process.exitCode = failed ? 1 : (process.exitCode ?? 0);
	}
	if (docs) {
		writePage(tables);
	}
}

main();
