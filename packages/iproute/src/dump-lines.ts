/**
 * Lines of a paste: what terminals, mail programs and web pages added is taken off, and each line is told
 * apart: the beginning of an object, a prompt with or without a command, or anything else.
 */
import type { DumpWord } from './dump-words.ts';

/** A line that was cleaned, with its words. */
export interface PastedLine {
	readonly number: number;
	/** Blanks in front. */
	readonly indent: number;
	readonly text: string;
	readonly words: readonly DumpWord[];
}

// Colours and cursor movements of terminals, and characters that take no room.
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one.
const INVISIBLE = /\u001b\[[0-9;?]*[A-Za-z]|[\u200b\ufeff\u0007\u0008]/g;
/** In front of a line: marks of quotation, and of emphasis. */
const QUOTED = /^\s*>(?:\s?>)*\s?|^\s*[_*]{1,3}(?=src\s)/;
/** A diff whose added lines are of a dump: they count, removed ones do not. */
const DIFF = /^\+(?:src\s|\t)/m;
/** Emphasis behind the last number of a line. */
const EMPHASIS = /(?<=\s(?:0x[0-9a-f]+|[0-9]+))_+\s*$/;
const ENTITIES: readonly (readonly [RegExp, string])[] = [
	[/&lt;/g, '<'],
	[/&gt;/g, '>'],
	[/&amp;/g, '&'],
	[/&nbsp;/g, ' '],
];

function clean(raw: string, isDiff: boolean): string {
	let text = raw.replace(INVISIBLE, '');
	for (const [entity, char] of ENTITIES) {
		text = text.replace(entity, char);
	}
	const added = isDiff && text.startsWith('+');
	const quote = added ? 1 : (QUOTED.exec(text)?.[0].length ?? 0);
	// Columns are to stay those of the file.
	return ' '.repeat(quote) + text.slice(quote).replace(EMPHASIS, '');
}

/** Words of a line; the backslashes that -o joins lines with begin new lines, and are none themselves. */
function wordsOf(text: string, line: number): DumpWord[] {
	const words: DumpWord[] = [];
	let first = true;
	for (const { 0: part, index } of text.matchAll(/\\|[^\s\\]+/g)) {
		if (part === '\\') {
			first = true;
			continue;
		}
		const column = index + 1;
		// `flag esnextra_flag …`: ip puts no blank between.
		const glued = /^(.+)extra_flag$/.exec(part)?.[1] ?? '';
		if (glued !== '') {
			words.push({ text: glued, line, column, first });
		}
		const rest = part.slice(glued.length);
		words.push({ text: rest, line, column: column + glued.length, first: first && glued === '' });
		first = false;
	}
	return words;
}

/** All lines that are not empty, whatever their ends. */
export function pastedLines(text: string): PastedLine[] {
	const lines: PastedLine[] = [];
	const isDiff = DIFF.test(text);
	for (const [i, raw] of text.split(/\r\n|\n|\r/).entries()) {
		const cleaned = isDiff && /^(?:-|@@)/.test(raw) ? '' : clean(raw, isDiff);
		const trimmed = cleaned.trim();
		if (trimmed !== '') {
			const number = i + 1;
			const indent = cleaned.length - cleaned.trimStart().length;
			lines.push({ number, indent, text: trimmed, words: wordsOf(cleaned, number) });
		}
	}
	return lines;
}

/** Does an object begin here: `src ADDR …` where no `sel` or `tmpl` is open? */
export function beginsObject(line: PastedLine): boolean {
	const [keyword, value, next] = line.words;
	const isStart = keyword?.text === 'src' && value !== undefined && /[.:]|^\?\?\?/.test(value.text);
	return isStart && (next === undefined || next.text === 'dst');
}

/** A command and what it printed in one line, as it is when line ends got lost. */
const ECHOED =
	/^(?:\S*[#$%>]\s*)?(?:sudo\s+)?ip\s+(?:-\S+\s+)*x\S*\s+\S+\s+(?:(?:list|show|ls)\s+)?(?=src\s)/;

/** The line without the command in front of the object that it shows; undefined when there is none. */
export function withoutEcho(line: PastedLine): PastedLine | undefined {
	const echo = ECHOED.exec(line.text)?.[0].length ?? 0;
	if (
		echo === 0 ||
		!/\sreplay-window\s|\spriority\s/.test(line.text) ||
		/\s(add|update)\s/.test(line.text)
	) {
		return undefined;
	}
	const from = line.indent + echo;
	const [first, ...rest] = line.words.filter(({ column }) => column > from);
	return first && { ...line, words: [{ ...first, first: true }, ...rest] };
}

/** A prompt, or a command as it was typed. */
export interface Typed {
	/** The machine, as far as the prompt or the command names it. */
	readonly host: string | undefined;
	/** What was typed; empty for a bare prompt. */
	readonly command: string;
	/** A prompt stood in front of it. */
	readonly prompted: boolean;
}

const END = '[#$%>❯]';
const PROMPTS: readonly RegExp[] = [
	// user@host:path$ … and [user@host path]# …
	new RegExp(`^[[(]?[\\w.+-]+@([\\w.-]+)[^#$%>❯]{0,80}?${END}(?:\\s+(.*))?$`),
	// host# …, host:~# …, host>…, before a command that we know
	new RegExp(`^([A-Za-z][\\w.-]*)(?:[:~/ ][\\w~/.-]*)?\\s?${END}\\s*((?:sudo|ip|xfrm)\\s.*)?$`),
	// a bare # or $ or a path in front of it
	new RegExp(`^(?:[~/][\\w~/.-]*\\s+)?${END}(?:\\s+(.*))?$`),
];
/** Prompts that name a shell instead of a machine. */
const SHELL = /^(bash|sh|zsh|ash|ksh)(-[0-9.]+)?$/;

/** Commands that begin a line without a prompt. */
const COMMAND =
	/^(?:\++\s+)?(?:(?:sudo|doas|time|watch)\s+(?:-\S+\s+)*)*((?:\S*\/)?(?:ip|xfrm)\s+(?!xfrm\s*:).*)$/;
const REMOTE =
	/^(?:\++\s+)?(?:sudo\s+)?(?:ssh\s+(?:-\S+\s+)*([\w.@-]+)|(?:docker|podman|kubectl|lxc|incus)\s+exec\s+(?:-\S+\s+)*([\w./-]+)(?:\s+--)?)\s+(.*\bip\s.*)$/;

function typedCommand(text: string): { host: string | undefined; command: string } | undefined {
	const remote = REMOTE.exec(text);
	if (remote !== null) {
		const host = remote[1]?.replace(/^.*@/, '') ?? remote[2];
		return { host, command: remote[3]?.replace(/^['"]|['"]$/g, '') ?? '' };
	}
	const command = COMMAND.exec(text)?.[1]?.replace(/^\S*\/(?=ip\b|xfrm\b)/, '');
	if (command === undefined) {
		return undefined;
	}
	const namespace =
		/^ip\s+(?:netns\s+exec\s+(\S+)\s+(?:sudo\s+)?ip\b|-n(?:etns)?\s+(\S+))(.*)$/.exec(command);
	return namespace === null
		? { host: undefined, command }
		: { host: namespace[1] ?? namespace[2], command: `ip${namespace[3]}` };
}

/** Takes a line as typed: a prompt, a command, or both; undefined when it is neither. */
export function typedLine(text: string): Typed | undefined {
	for (const [i, pattern] of PROMPTS.entries()) {
		const match = pattern.exec(text);
		if (match !== null) {
			const [, first, second] = match;
			const named = i < 2 && first !== undefined && !SHELL.test(first) ? first : undefined;
			const typed = ((i < 2 ? second : first) ?? '').trim();
			const inner = typedCommand(typed);
			const command = inner?.command ?? typed;
			return { host: inner?.host ?? named, command, prompted: true };
		}
	}
	const inner = typedCommand(text);
	return inner === undefined ? undefined : { ...inner, prompted: false };
}
