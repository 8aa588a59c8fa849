/**
 * Inputs that are kept with the sources, a line of hex each: `corpus/NAME.txt` those that lead to different
 * things, `rows/NAME.txt` those that once did harm. Lines with `#` say what.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder: string = fileURLToPath(new URL('./', import.meta.url));

/** Inputs and octets of them that a corpus has at most: the repository is no place for all of them. */
const INPUTS_MAX = 250;
const OCTETS_MAX = 40_000;

function read(path: string): Uint8Array[] {
	if (!existsSync(path)) {
		return [];
	}
	return readFileSync(path, 'utf8')
		.split('\n')
		.filter((line) => line !== '' && !line.startsWith('#'))
		.map((line) => new Uint8Array(Buffer.from(line, 'hex')));
}

export function readCorpus(name: string): Uint8Array[] {
	return read(`${folder}corpus/${name}.txt`);
}

export function readRows(name: string): Uint8Array[] {
	return read(`${folder}rows/${name}.txt`);
}

export function rowsPath(name: string): string {
	return `${folder}rows/${name}.txt`;
}

/** Writes a corpus anew: as many inputs as there is room for, of all lengths. */
export function writeCorpus(name: string, inputs: readonly Uint8Array[]): number {
	const lines = new Set<string>();
	const sorted = [...inputs].sort((a, b) => a.length - b.length);
	let octets = 0;
	for (let i = 0; i < INPUTS_MAX && octets < OCTETS_MAX; i++) {
		const input = sorted[Math.floor((i * sorted.length) / INPUTS_MAX)];
		octets += input?.length ?? 0;
		lines.add(Buffer.from(input ?? []).toString('hex'));
	}
	mkdirSync(`${folder}corpus`, { recursive: true });
	writeFileSync(`${folder}corpus/${name}.txt`, [...lines, ''].join('\n'));
	return lines.size;
}

/** Adds an input that did harm, and what it was, to the rows of the tests. */
export function addRow(name: string, input: Uint8Array, fault: string): void {
	mkdirSync(`${folder}rows`, { recursive: true });
	const [first = ''] = fault.split('\n');
	appendFileSync(rowsPath(name), `# ${first}\n${Buffer.from(input).toString('hex')}\n`);
}
