/**
 * A file of rules of any form, found out by looking: commands of `ip xfrm`, dumps of `ip xfrm state` and
 * `policy`, both, or JSON; as what is to be carried out, in order. Dumps are newest first and are turned
 * round, so that loading them makes the same order of ages.
 */
import type { CommandContext } from './command.ts';
import { type DumpSection, sectionsOf } from './dump-hosts.ts';
import type { DumpedObject } from './dump-object.ts';
import { looksLikeDump, parseDump } from './dump-text.ts';
import { looksLikeJson, parseJsonRules } from './json-file.ts';
import { parseCommand } from './parse-command.ts';
import { type Problem, Unreadable } from './problem.ts';
import { parseRules, type RuleItem } from './rules.ts';

/** Something to carry out: a command, or an object to load. */
export type RulesStep = ({ readonly kind: 'command' } & RuleItem) | DumpedObject;

export type RulesForm = 'commands' | 'dump' | 'json';

export type RulesFile =
	| {
			readonly form: RulesForm;
			readonly steps: readonly RulesStep[];
			/** What the text left open and how it was taken, in words. */
			readonly assumed: readonly string[];
			readonly problem?: undefined;
	  }
	| {
			readonly problem: Problem;
			readonly form?: undefined;
			readonly steps?: undefined;
			readonly assumed?: undefined;
	  };

export interface RulesFileContext extends CommandContext {
	/** Which host of a dump of several: its name, a part of it, or its number from 1. */
	readonly host?: string;
	/** What `utcOffsetSeconds` is called, told where times were read by it; default UTC. */
	readonly timeZone?: string;
}

/** Actions that only ask. */
const ASKING = new Set(['list', 'get', 'count', 'getdefault', 'monitor', 'help']);

/** Reads a file of rules, or says what is wrong with its first bad line; nothing is carried out. */
export function parseRulesFile(text: string, context: RulesFileContext = {}): RulesFile {
	if (looksLikeJson(text)) {
		return parseJsonFile(text, context);
	}
	if (looksLikeDump(text)) {
		return parseDumpFile(text, context);
	}
	const { items, problem } = parseRules(text, context);
	return items === undefined
		? { problem }
		: { form: 'commands', steps: items.map((item) => ({ kind: 'command', ...item })), assumed: [] };
}

function parseJsonFile(text: string, context: RulesFileContext): RulesFile {
	const parsed = parseJsonRules(text, context);
	if ('problem' in parsed) {
		return parsed;
	}
	// As dumps: newest first.
	const steps: RulesStep[] = [
		...parsed.objects.filter(({ kind }) => kind === 'state').reverse(),
		...parsed.objects.filter(({ kind }) => kind === 'policy').reverse(),
		...parsed.commands.map((item) => ({ kind: 'command' as const, ...item })),
	];
	return { form: 'json', steps, assumed: assumptions(steps) };
}

function parseDumpFile(text: string, context: RulesFileContext): RulesFile {
	const { pieces, notes = [], problem } = withNotes(parseDump(text, context));
	if (pieces === undefined) {
		return { problem };
	}
	try {
		const section = chooseSection(sectionsOf(pieces), context.host);
		const steps = section === undefined ? [] : loadOrder(section, context);
		return {
			form: 'dump',
			steps,
			assumed: [...notes, ...timesRead(steps, context), ...assumptions(steps)],
		};
	} catch (error) {
		if (error instanceof Unreadable) {
			return { problem: error.problem };
		}
		throw error;
	}
}

/** The same value with both shapes' fields, for destructuring. */
function withNotes(parsed: ReturnType<typeof parseDump>):
	| {
			readonly pieces: NonNullable<typeof parsed.pieces>;
			readonly notes: readonly string[];
			readonly problem?: undefined;
	  }
	| { readonly problem: Problem; readonly pieces?: undefined; readonly notes?: undefined } {
	return parsed.problem === undefined ? parsed : { problem: parsed.problem };
}

function titleOf(section: DumpSection, i: number): string {
	return section.name === '' ? `${i + 1}` : section.name;
}

/** The one section, or the one that was asked for. @throws Unreadable */
function chooseSection(
	sections: readonly DumpSection[],
	wanted: string | undefined,
): DumpSection | undefined {
	const titles = sections.map((section, i) => `"${titleOf(section, i)}" (line ${section.line})`);
	if (wanted === undefined) {
		const second = sections[1];
		if (second !== undefined) {
			const word = { text: `${sections.length} dumps`, line: second.line, column: 1 };
			const message = `The text holds dumps of several hosts or moments: ${titles.join(', ')}`;
			throw new Unreadable(word, 'one of them to be named: FILE#NAME or FILE#NUMBER', message, 1);
		}
		return sections[0];
	}
	const names = sections.map((section, i) => titleOf(section, i).toLowerCase());
	const lower = wanted.toLowerCase();
	const exact = names.indexOf(lower);
	const parts = names.flatMap((name, i) => (name.includes(lower) ? [i] : []));
	const numbered = /^[1-9][0-9]*$/.test(wanted) ? Number(wanted) - 1 : -1;
	const at = exact >= 0 ? exact : parts.length === 1 ? (parts[0] ?? -1) : numbered;
	const section = sections[at];
	if (section === undefined) {
		const word = { text: wanted, line: 1, column: 1 };
		throw new Unreadable(word, titles.join(', '), 'No such host, or more than one', 1);
	}
	return section;
}

/** Runs of dumped objects newest first become oldest first; commands stay where they are. */
function loadOrder(section: DumpSection, context: CommandContext): RulesStep[] {
	const steps: RulesStep[] = [];
	let run: DumpedObject[] = [];
	const flush = (): void => {
		steps.push(...run.reverse());
		run = [];
	};
	for (const [i, piece] of section.pieces.entries()) {
		if (piece.kind !== 'typed') {
			if (run[0] !== undefined && run[0].kind !== piece.kind) {
				flush();
			}
			run.push(piece);
			continue;
		}
		flush();
		for (const text of piece.command.split(/;|&&|\|\|?/)) {
			const item = commandOf(text.trim(), piece.line, piece.column, context);
			// What was typed before the dump shows in it.
			const shown = section.pieces.slice(i).some(({ kind }) => kind === item?.command.object);
			if (item !== undefined && !(piece.prompted && shown)) {
				steps.push({ kind: 'command', ...item });
			}
		}
	}
	flush();
	return steps;
}

/** A command that changes something; whatever else was typed is passed over. @throws Unreadable */
function commandOf(
	text: string,
	line: number,
	column: number,
	context: CommandContext,
): RuleItem | undefined {
	if (!/^(?:ip\s+(?:-\S+\s+)*)?xfrm\s/.test(text)) {
		return undefined;
	}
	const parsed = parseCommand(text, { ...context, line });
	if (parsed.problem !== undefined) {
		const { problem } = parsed;
		const word = { text: problem.found, line, column: column + problem.column - 1 };
		throw new Unreadable(word, problem.expected, problem.message, problem.status);
	}
	const { command } = parsed;
	return ASKING.has(command.action) ? undefined : { line, text, command };
}

/** Printed times do not tell their zone. */
function timesRead(steps: readonly RulesStep[], context: RulesFileContext): string[] {
	const zone = context.timeZone ?? 'UTC';
	const told = newestTime(steps) !== undefined;
	return told ? [`times of the dump: read in the time zone ${zone} (TZ chooses another)`] : [];
}

/** What dumps leave open. */
function assumptions(steps: readonly RulesStep[]): string[] {
	const dumped = steps.filter((step) => step.kind !== 'command');
	const assumed: string[] = [];
	if (dumped.some(({ kind, untold }) => kind === 'policy' && !untold.statistics)) {
		assumed.push('indexes of policies: the dump was made without -s and does not tell them');
	}
	if (dumped.some(({ untold }) => !untold.statistics)) {
		assumed.push(
			'lifetimes and counters: the dump was made without -s, so there are no limits and nothing is counted yet',
		);
	}
	if (dumped.length > 1) {
		assumed.push('order of age: dumps are newest first; updates since may have changed it');
	}
	const hidden = dumped.filter(({ untold }) => untold.hiddenKeys.length > 0).length;
	if (hidden > 0) {
		const which = hidden === 1 ? 'one state' : `${hidden} states`;
		assumed.push(
			`keys of ${which} are hidden in the dump: only what they seal or open is not known`,
		);
	}
	return assumed;
}

/** Newest time (Unix seconds) that the steps tell of, undefined when they tell none. */
export function newestTime(steps: readonly RulesStep[]): number | undefined {
	let newest = 0;
	for (const step of steps) {
		if (step.kind !== 'command') {
			const { addTime, useTime } = step.message.body.lifetimeCurrent;
			const used = step.message.attributes.find((one) => one.name === 'lastused');
			newest = Math.max(newest, addTime, useTime, used?.value ?? 0);
		}
	}
	return newest === 0 ? undefined : newest;
}
