/**
 * Words of a command line, by the rules of a shell as far as they make sense here: single and double
 * quotes, backslashes, comments from `#` at the start of a word to the end of the line. Nothing is expanded.
 */
import { Unreadable, type Word } from './problem.ts';

const BLANKS = /\s*/y;
/** Characters that stand for themselves. */
const PLAIN = /[^\s\\'"]+/y;
/** What a backslash protects inside of double quotes. */
const ESCAPABLE = new Set(['"', '\\', '$', '`']);

/**
 * Splits one line into words.
 *
 * @param line number of the line, for places
 * @throws Unreadable when a quote does not end
 */
export function splitWords(text: string, line: number = 1): Word[] {
	const words: Word[] = [];
	for (let at = endOf(BLANKS, text, 0); at < text.length; at = endOf(BLANKS, text, at)) {
		if (text[at] === '#') {
			break;
		}
		const column = at + 1;
		const [word, end] = readWord(text, at, line);
		words.push({ text: word, line, column });
		at = end;
	}
	return words;
}

/** Where a run that matches from `at` on ends. */
function endOf(run: RegExp, text: string, at: number): number {
	run.lastIndex = at;
	return run.test(text) ? run.lastIndex : at;
}

/** Reads the word that begins at `from`; returns it and where it ended. */
function readWord(text: string, from: number, line: number): readonly [string, number] {
	let at = endOf(PLAIN, text, from);
	let word = text.slice(from, at);
	for (;;) {
		const char = text[at];
		if (char === '\\') {
			word += text[at + 1] ?? '';
			at += 2;
		} else if (char === "'" || char === '"') {
			const [quoted, end] = readQuoted(text, at, char, line);
			word += quoted;
			at = end;
		} else {
			const end = endOf(PLAIN, text, at);
			if (end === at) {
				return [word, at];
			}
			word += text.slice(at, end);
			at = end;
		}
	}
}

function readQuoted(
	text: string,
	from: number,
	quote: string,
	line: number,
): readonly [string, number] {
	let quoted = '';
	let at = from + 1;
	for (;;) {
		const char = text[at];
		if (char === undefined) {
			const word = { text: text.slice(from), line, column: from + 1 };
			throw new Unreadable(word, `a closing ${quote}`, 'Error: unterminated quoted string', 1);
		}
		if (char === quote) {
			return [quoted, at + 1];
		}
		const next = text[at + 1] ?? '';
		if (char === '\\' && quote === '"' && ESCAPABLE.has(next)) {
			quoted += next;
			at += 2;
		} else {
			quoted += char;
			at++;
		}
	}
}
