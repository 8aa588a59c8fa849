/** A file of `ip xfrm` commands, one a line: comments, shell quotes and empty lines allowed. */
import type { Command, CommandContext } from './command.ts';
import { parseCommand } from './parse-command.ts';
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

/** A line with nothing to carry out. */
const BLANK = /^\s*(?:#|$)/;

/** Reads all lines, or says what is wrong with the first bad one; nothing is carried out. */
export function parseRules(text: string, context: CommandContext = {}): ParsedRules {
	const items: RuleItem[] = [];
	for (const [i, lineText] of text.split(/\r?\n/).entries()) {
		const line = i + 1;
		if (BLANK.test(lineText)) {
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
