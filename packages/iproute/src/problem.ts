/**
 * Why a command could not be read: where, what was found, what was expected; and what `ip` would print.
 * Inside of this package a problem is thrown (`Unreadable`) and caught once, in command.ts.
 */

export interface Problem {
	/** Line in the file or text, from 1. */
	readonly line: number;
	/** Column of the word in question, from 1. */
	readonly column: number;
	/** The word, as written; empty at the end of the line. */
	readonly found: string;
	/** What could have stood there. */
	readonly expected: string;
	/** What `ip` prints on stderr, without the newline at its end. */
	readonly message: string;
	/** Exit status of `ip` (C-11): 1, or 255 for a bad argument. */
	readonly status: number;
}

/** A problem in one line, as compilers print them: `FILE:LINE:COLUMN: message; found …, expected …`. */
export function formatProblem(problem: Problem, file: string): string {
	const found = problem.found === '' ? 'the end of the line' : `"${problem.found}"`;
	const [message = ''] = problem.message.split('\n');
	const sentence = message.endsWith('.') ? message.slice(0, -1) : message;
	return `${file}:${problem.line}:${problem.column}: ${sentence}; found ${found}, expected ${problem.expected}`;
}

/** A word of a command and where it stands. */
export interface Word {
	readonly text: string;
	/** Both from 1. */
	readonly line: number;
	readonly column: number;
}

/** Thrown where a command cannot be read. */
export class Unreadable extends Error {
	readonly problem: Problem;

	constructor(word: Word, expected: string, message: string, status: number) {
		super(message);
		this.name = 'Unreadable';
		const { line, column, text } = word;
		this.problem = { line, column, found: text, expected, message, status };
	}
}

const ARGUMENT_STATUS = 255;

/** `ip`'s complaint about a value: `Error: argument "X" is wrong: …` (invarg). */
export function wrongArgument(word: Word, complaint: string, expected: string): never {
	const message = `Error: argument "${word.text}" is wrong: ${complaint}`;
	throw new Unreadable(word, expected, message, ARGUMENT_STATUS);
}

/** `ip`'s complaint about something that is not there: `Error: argument "X" is required` (missarg). */
export function missingArgument(word: Word, what: string): never {
	const message = `Error: argument "${what}" is required`;
	throw new Unreadable(word, what, message, ARGUMENT_STATUS);
}

/** `ip`'s complaint about a second value (duparg). */
export function duplicateArgument(word: Word, what: string): never {
	const message = `Error: duplicate "${what}": "${word.text}" is the second value.`;
	throw new Unreadable(word, `no second ${what}`, message, ARGUMENT_STATUS);
}

/** A refusal of `ip` in its own words. */
export function refuseCommand(
	word: Word,
	message: string,
	expected: string,
	status: number = 1,
): never {
	throw new Unreadable(word, expected, message, status);
}
