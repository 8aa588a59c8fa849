/** A file of `ip xfrm` commands, one a line: comments, shell quotes and empty lines allowed. */
import type { Command, CommandContext } from './command.ts';
import { splitWords } from './lexer.ts';
import { parseCommand } from './parse-command.ts';
import { type Problem, Unreadable } from './problem.ts';

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

/** Is there nothing to carry out on this line? */
function isBlank(text: string, line: number): boolean {
	try {
		return splitWords(text, line).length === 0;
	} catch (error) {
		if (error instanceof Unreadable) {
			return false;
		}
		throw error;
	}
}

/** Reads all lines, or says what is wrong with the first bad one; nothing is carried out. */
export function parseRules(text: string, context: CommandContext = {}): ParsedRules {
	const items: RuleItem[] = [];
	for (const [i, lineText] of text.split(/\r?\n/).entries()) {
		const line = i + 1;
		if (isBlank(lineText, line)) {
			continue;
		}
		const parsed = parseCommand(lineText, { ...context, line });
		if (parsed.problem !== undefined) {
			return { problem: parsed.problem };
		}
		items.push({ line, text: lineText.trim(), command: parsed.command });
	}
	return { items };
}
