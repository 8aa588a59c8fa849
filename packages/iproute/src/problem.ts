/** Why a command could not be read: where, what was found, what was expected; and what `ip` would print. */
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
	return `${file}:${problem.line}:${problem.column}: ${problem.message}; found ${found}, expected ${problem.expected}`;
}
