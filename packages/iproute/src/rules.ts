/** A file of `ip xfrm` commands, one a line: comments, shell quotes and empty lines allowed. */
import type { Command, CommandContext } from './command.ts';
import type { Problem } from './problem.ts';

/** A command and where it stands. */
export interface RuleItem {
	/** From 1. */
	readonly line: number;
	readonly text: string;
	readonly command: Command;
}

export type ParsedRules =
	| { readonly items: readonly RuleItem[]; readonly problem?: undefined }
	| { readonly problem: Problem; readonly items?: undefined };

/** Reads all lines, or says what is wrong with the first bad one; nothing is carried out. */
export function parseRules(_text: string, _context?: CommandContext): ParsedRules {
	throw new RangeError('not written yet');
}
