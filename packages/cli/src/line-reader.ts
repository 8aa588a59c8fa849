/** Lines of a file of any length, without ever holding more than a piece of it. */
import { closeSync, openSync, readSync } from 'node:fs';
import { UsageError } from './usage.ts';

const PIECE_OCTETS = 1 << 18;

/**
 * Calls `each` with every line, its number from 1. A last line without newline counts.
 *
 * @param path `-` is stdin
 */
export function readLines(path: string, each: (line: string, number: number) => void): void {
	const file = open(path);
	const decoder = new TextDecoder();
	const piece = new Uint8Array(PIECE_OCTETS);
	let rest = '';
	let number = 0;
	try {
		for (;;) {
			const count = readPiece(file, piece);
			const text = rest + decoder.decode(piece.subarray(0, count), { stream: count > 0 });
			let from = 0;
			for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
				each(text.slice(from, text[end - 1] === '\r' ? end - 1 : end), ++number);
				from = end + 1;
			}
			rest = text.slice(from);
			if (count === 0) {
				break;
			}
		}
	} finally {
		if (path !== '-') {
			closeSync(file);
		}
	}
	if (rest !== '') {
		each(rest, ++number);
	}
}

function open(path: string): number {
	try {
		return path === '-' ? 0 : openSync(path, 'r');
	} catch (error) {
		const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
		throw new UsageError(`${path}: ${code === 'ENOENT' ? 'no such file' : code}`);
	}
}

/** Waits on a non-blocking stdin, such as a terminal's. */
const pause: Int32Array = new Int32Array(new SharedArrayBuffer(4));

function readPiece(file: number, piece: Uint8Array): number {
	for (;;) {
		try {
			return readSync(file, piece);
		} catch (error) {
			const code = error instanceof Error && 'code' in error ? error.code : '';
			if (code === 'EOF') {
				return 0;
			}
			if (code !== 'EAGAIN') {
				throw error;
			}
			Atomics.wait(pause, 0, 0, 5);
		}
	}
}
