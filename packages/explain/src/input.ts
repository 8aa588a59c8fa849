/**
 * Input that a person wrote: words of a line with their columns, and the one error for what cannot be
 * read. It says file, line, column, what was found and what was expected.
 */

/** A word of a line, shell quotes taken off; `column` counts from 1. */
export interface Word {
	readonly text: string;
	readonly column: number;
}

export interface InputFault {
	readonly file?: string | undefined;
	readonly line?: number | undefined;
	readonly column?: number | undefined;
	readonly found: string;
	readonly expected: string;
}

/** Input that cannot be read: nothing of it was applied. */
export class InputError extends Error {
	readonly fault: InputFault;

	constructor(fault: InputFault) {
		super(describeFault(fault));
		this.name = 'InputError';
		this.fault = fault;
	}

	/** The same fault at a place that only the caller knew. */
	at(place: { file?: string; line?: number }): InputError {
		return new InputError({ ...this.fault, ...place });
	}
}

function describeFault(fault: InputFault): string {
	const place = [fault.file, fault.line, fault.column]
		.filter((part) => part !== undefined)
		.join(':');
	return `${place === '' ? '' : `${place}: `}found ${fault.found}, expected ${fault.expected}`;
}

/**
 * Splits a line as a shell does: blanks, single and double quotes, backslashes; `#` at the start of a
 * word begins a comment.
 *
 * @throws InputError when a quote is not closed
 */
export function splitWords(line: string): readonly Word[] {
	const words: Word[] = [];
	let text: string | undefined;
	let column = 0;
	let quote = '';
	for (let i = 0; i < line.length; i++) {
		const c = line[i] ?? '';
		if (quote !== '') {
			if (c === quote) {
				quote = '';
			} else if (c === '\\' && quote === '"' && /["\\$`]/.test(line[i + 1] ?? '')) {
				text += line[++i] ?? '';
			} else {
				text += c;
			}
			continue;
		}
		if (/\s/.test(c)) {
			if (text !== undefined) {
				words.push({ text, column });
				text = undefined;
			}
			continue;
		}
		if (text === undefined) {
			if (c === '#') {
				return words;
			}
			column = i + 1;
			text = '';
		}
		if (c === '"' || c === "'") {
			quote = c;
		} else if (c === '\\' && i + 1 < line.length) {
			text += line[++i] ?? '';
		} else {
			text += c;
		}
	}
	if (quote !== '') {
		throw new InputError({ column, found: 'a quote that is not closed', expected: quote });
	}
	if (text !== undefined) {
		words.push({ text, column });
	}
	return words;
}
