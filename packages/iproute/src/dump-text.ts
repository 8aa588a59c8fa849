/**
 * Text that `ip [-s|-d|-o] xfrm state|policy` printed (iproute2 6.1 to 7.x, and older where it is the same)
 * back into what the kernel's dump said. It is read as people paste it: prompts and commands between the
 * parts, headings, indentation gone, lines wrapped or quoted, line ends of any kind, keys hidden, several
 * hosts in one text, commands of `ip xfrm` among it.
 *
 * The text becomes objects (this file), objects become words (dump-lines.ts), words become messages
 * (dump-state.ts, dump-policy.ts). Which host is meant, and in which order things are to be loaded, is
 * rules-file.ts's business.
 */
import { StateFlag } from '@xfrm/wire/xfrm';
import type { CommandContext } from './command.ts';
import {
	beginsObject,
	type PastedLine,
	pastedLines,
	type Typed,
	typedLine,
	withoutEcho,
} from './dump-lines.ts';
import type { DumpedObject } from './dump-object.ts';
import { readDumpedPolicy } from './dump-policy.ts';
import { readDumpedState } from './dump-state.ts';
import { type DumpWord, DumpWords } from './dump-words.ts';
import { type Problem, Unreadable } from './problem.ts';

/** What a text consists of, in its order. */
export type DumpPiece =
	| DumpedObject
	/** Something was typed: a prompt, a command. */
	| ({ readonly kind: 'typed'; readonly line: number; readonly column: number } & Typed)
	/** Anything else that stands between objects. */
	| { readonly kind: 'heading'; readonly line: number; readonly text: string };

export type ParsedDump =
	| {
			readonly pieces: readonly DumpPiece[];
			/** What was mended or passed over, in words. */
			readonly notes: readonly string[];
			readonly problem?: undefined;
	  }
	| { readonly problem: Problem; readonly pieces?: undefined };

/** Lines of one object at most: those of the largest window and all attributes, each word in its own line. */
const OBJECT_LINES_MAX = 600;
const REPAIRS_MAX = 40;

/** Words that begin a line inside of an object and nowhere else. */
const INNER_WORDS = new Set([
	...['proto', 'replay-window', 'mark', 'output-mark', 'auth', 'auth-trunc', 'aead', 'enc', 'comp'],
	...['encap', 'coa', 'lastused', 'anti-replay', 'seq-hi', 'replay_window', 'crypto', 'if_id'],
	...['tfcpad', 'dir', 'pcpu-num', 'sel', 'lifetime', 'limit:', 'expire', 'stats:', 'security'],
	...['socket', 'tmpl', 'level', 'enc-mask', 'priority', 'index', 'spi', 'reqid', 'mode', 'dst'],
]);
const MONITOR = /^(\[?\S*\]?\s*)?(Deleted|Updated|Expired|Flushed|acquire proto|Async event)\b/;

/** What `ip xfrm policy getdefault` prints, and what each of its lines would be as a command. */
const DEFAULTS = /^Default policies:$/;
const DEFAULT = /^(in|fwd|out):\s+(accept|block)$/;

/** A command that changes something, a remark, or nothing. */
const COMMAND =
	/^\s*(?:#.*|(?:sudo\s+)?(?:ip\s+(?:-\S+\s+)*)?(?:xfrm\s+)?(?:state|policy)\s+(?:add|update|del(?:ete)?|flush|set(?:default)?)(?:\s.*[^\\\s])?\s*)?$/;

/** Does this text hold the first line of an object of a dump? */
export function looksLikeDump(text: string): boolean {
	// Most large files are commands alone: told without cleaning every line.
	if (text.split('\n').every((line) => COMMAND.test(line))) {
		return false;
	}
	let continued = false;
	for (const line of pastedLines(text)) {
		// A command that goes on in the next line may go on with `src`.
		const { text: own } = line;
		const isOther = MONITOR.test(own) || DEFAULTS.test(own) || withoutEcho(line) !== undefined;
		const isDump = beginsObject(line) || isOther;
		if (!continued && isDump) {
			return true;
		}
		continued = /^(?:\S*[#$%>]\s*)?(?:sudo\s+)?(?:ip|xfrm|state|sa|policy)\s.*\\$/.test(line.text);
	}
	return false;
}

/** Joins two neighbours across a line end where a word was broken; undefined when there is nothing to join. */
function joinAt(words: readonly DumpWord[], at: number): DumpWord[] | undefined {
	const word = words[at];
	const before = words[at - 1];
	const behind = words[at + 1];
	// What begins a line rightly is no part of a broken word.
	const begins = (one: DumpWord): boolean => one.first && !INNER_WORDS.has(one.text);
	if (word !== undefined && begins(word) && before !== undefined) {
		const joined = { ...before, text: before.text + word.text };
		return [...words.slice(0, at - 1), joined, ...words.slice(at + 1)];
	}
	if (word !== undefined && behind !== undefined && begins(behind)) {
		const joined = { ...word, text: word.text + behind.text };
		return [...words.slice(0, at), joined, ...words.slice(at + 2)];
	}
	return undefined;
}

type Attempt =
	| { readonly object: DumpedObject; readonly notes: readonly string[] }
	| { readonly object?: undefined; readonly problem: Problem; readonly at: number };

/** What mending came to: the words as they were joined, and the lines where that was done. */
interface Mended {
	readonly attempt: Attempt;
	readonly words: readonly DumpWord[];
	readonly lines: readonly number[];
}

/** An object whose end has not come yet. */
class OpenObject {
	readonly lines: PastedLine[];
	readonly #context: CommandContext;

	constructor(line: PastedLine, context: CommandContext) {
		this.lines = [line];
		this.#context = context;
	}

	get indent(): number {
		return this.lines[0]?.indent ?? 0;
	}

	get words(): readonly DumpWord[] {
		return this.lines.flatMap((line) => line.words);
	}

	get lastWord(): string {
		const { words } = this.lines[this.lines.length - 1] ?? { words: [] };
		return words[words.length - 1]?.text ?? '';
	}

	attempt(words: readonly DumpWord[]): Attempt {
		const isPolicy = words[1]?.text.includes('/') === true || words[3]?.text.includes('/') === true;
		const reading = {
			words: new DumpWords(words, isPolicy ? 'policy' : 'state'),
			context: this.#context,
			hiddenKeys: [],
			notes: [],
			statistics: false,
		};
		const line = this.lines[0]?.number ?? 1;
		const lastLine = this.lines[this.lines.length - 1]?.number ?? line;
		try {
			const body = isPolicy
				? ({ kind: 'policy', message: readDumpedPolicy(reading) } as const)
				: ({ kind: 'state', message: readDumpedState(reading) } as const);
			const { hiddenKeys, statistics, notes } = reading;
			const untold = { hiddenKeys, statistics };
			return { object: { ...body, line, lastLine, untold }, notes };
		} catch (error) {
			if (!(error instanceof Unreadable)) {
				throw error;
			}
			const { problem } = error;
			const at = words.findIndex(
				(word) => word.line === problem.line && word.column === problem.column,
			);
			return { problem, at: at < 0 ? words.length : at };
		}
	}

	/** Tries these words, and mends those that line ends have broken where that helps. */
	mend(broken: readonly DumpWord[]): Mended {
		let words = broken;
		let attempt = this.attempt(words);
		const lines: number[] = [];
		while (attempt.object === undefined && lines.length < REPAIRS_MAX) {
			const { at } = attempt;
			const joined = joinAt(words, at);
			const next = joined === undefined ? undefined : this.attempt(joined);
			if (joined === undefined || next === undefined) {
				break;
			}
			// The word that was joined may be the one before the fault.
			if (next.object === undefined && next.at <= at && !(words[at]?.first && next.at === at)) {
				break;
			}
			lines.push(words[at]?.line ?? 0);
			words = joined;
			attempt = next;
		}
		return { attempt, words, lines };
	}

	/** Reads the object, or says why it cannot be read. */
	read(notes: string[]): DumpedObject | Problem {
		const { attempt, lines } = this.mend(this.words);
		if (attempt.object === undefined) {
			return attempt.problem;
		}
		const { object } = attempt;
		notes.push(
			...lines.map((line) => `line ${line}: a word that the line end had broken was mended`),
		);
		notes.push(...attempt.notes.map((note) => `line ${object.line}: ${note}`));
		return object;
	}

	/** Do these words go on where the object stops? */
	goesOn(more: readonly DumpWord[]): boolean {
		const before = this.mend(this.words);
		if (before.attempt.object === undefined && before.attempt.at >= before.words.length - 1) {
			return true;
		}
		const [first] = more;
		const after = this.mend([...this.words, ...more]);
		const from = first === undefined ? -1 : after.words.indexOf(first);
		return after.attempt.object !== undefined || after.attempt.at > from;
	}
}

/** Goes through the lines and gathers the pieces. */
class DumpReader {
	readonly pieces: DumpPiece[] = [];
	readonly notes: string[] = [];
	problem: Problem | undefined;
	readonly #context: CommandContext;
	#open: OpenObject | undefined;
	/** Output of another command: passed over up to the next prompt or object. */
	#foreign: boolean = false;
	/** Lines of default policies follow. */
	#defaults: boolean = false;

	constructor(context: CommandContext) {
		this.#context = context;
	}

	/** Takes a line; false when it cannot be read. */
	take(whole: PastedLine): boolean {
		const line = withoutEcho(whole) ?? whole;
		const open = this.#open;
		const isInside = open !== undefined && /^(sel|tmpl)$/.test(open.lastWord);
		if (beginsObject(line) && !isInside) {
			this.#foreign = false;
			if (this.close()) {
				this.#open = new OpenObject(line, this.#context);
			}
			return this.problem === undefined;
		}
		if (open !== undefined && line.text.startsWith('#') && line.indent > open.indent) {
			return true; // a remark that somebody wrote into the dump
		}
		const typed = typedLine(line.text);
		if (typed !== undefined) {
			this.#takeTyped(line, typed);
		} else if (open !== undefined && this.#belongs(open, line)) {
			this.#append(open, line);
		} else {
			this.#takeOther(line);
		}
		return this.problem === undefined;
	}

	#takeTyped(line: PastedLine, typed: Typed): void {
		this.close();
		const column = line.indent + 1 + line.text.lastIndexOf(typed.command);
		this.pieces.push({ kind: 'typed', line: line.number, column, ...typed });
		this.#foreign = typed.command !== '' && !/^ip\s|^xfrm\s/.test(typed.command);
		this.#foreign ||= /^ip\s+(-\S+\s+)*[^x\s-]/.test(typed.command);
	}

	/** Is the line a part of the object that is open? */
	#belongs(open: OpenObject, line: PastedLine): boolean {
		const [first] = line.words;
		const isInner = INNER_WORDS.has(first?.text ?? '') || /^(sel|tmpl)$/.test(open.lastWord);
		if (isInner || line.indent > open.indent) {
			return true;
		}
		// Neither indented nor a keyword: the rest of a line that was wrapped, or not ours.
		return open.goesOn(line.words);
	}

	#append(open: OpenObject, line: PastedLine): void {
		if (open.lines.length >= OBJECT_LINES_MAX) {
			this.#refuse(line, 'Too many lines for one object', 'the first line of the next object');
			return;
		}
		open.lines.push(line);
	}

	/** A line between objects. */
	#takeOther(line: PastedLine): void {
		if (!this.close()) {
			return;
		}
		const { text, number } = line;
		if (this.#takeDefaults(line)) {
			return;
		}
		if (MONITOR.test(text)) {
			const expected = 'output of ip xfrm state or ip xfrm policy';
			this.#refuse(line, 'This is what ip xfrm monitor prints', expected);
		} else if (INNER_WORDS.has(line.words[0]?.text ?? '') && !this.#foreign) {
			this.#refuse(
				line,
				'A line of an object whose beginning is missing',
				'src ADDRESS dst ADDRESS, the first line of a state or a policy',
			);
		} else if (!this.#foreign) {
			this.pieces.push({ kind: 'heading', line: number, text });
		}
	}

	/** Default policies are set as by the command that sets them; false for another line. */
	#takeDefaults({ text, number, indent }: PastedLine): boolean {
		const [, direction, action] = (this.#defaults ? DEFAULT.exec(text) : null) ?? [];
		this.#defaults = direction !== undefined || DEFAULTS.test(text);
		if (direction !== undefined) {
			const command = `ip xfrm policy setdefault ${direction} ${action}`;
			const place = { line: number, column: indent + 1 };
			this.pieces.push({ kind: 'typed', host: undefined, command, prompted: false, ...place });
		}
		return this.#defaults;
	}

	#refuse(line: PastedLine, message: string, expected: string): void {
		const word = line.words[0] ?? { text: line.text, line: line.number, column: line.indent + 1 };
		this.problem ??= new Unreadable(word, expected, message, 1).problem;
	}

	/** Reads the object that is open, if one is; false when it cannot be read. */
	close(): boolean {
		const read = this.#open?.read(this.notes);
		this.#open = undefined;
		if (read === undefined) {
			return this.problem === undefined;
		}
		if ('kind' in read) {
			this.pieces.push(read);
			return true;
		}
		this.problem = read;
		return false;
	}
}

/** Reads a text whole, or says what is wrong with its first bad line. Never throws. */
export function parseDump(text: string, context: CommandContext = {}): ParsedDump {
	const reader = new DumpReader(context);
	for (const line of pastedLines(text)) {
		if (!reader.take(line)) {
			break;
		}
	}
	reader.close();
	const { pieces, notes } = reader;
	const problem = reader.problem ?? cutShort(pieces);
	return problem === undefined ? { pieces, notes } : { problem };
}

/** Parts that a state has whenever the others of its dump have them. */
const REGULAR_PARTS = ['replayVal', 'sel'] as const;

function hasPart(piece: DumpedObject, part: (typeof REGULAR_PARTS)[number]): boolean {
	if (piece.kind === 'policy') {
		return true;
	}
	const { body, attributes } = piece.message;
	return part === 'sel'
		? body.selector.family !== 0 || (body.flags & StateFlag.AfUnspec) !== 0
		: attributes.some(({ name }) => name === 'replayVal' || name === 'replayEsnVal');
}

/** Does the text end in the middle of its last state, so that lines are missing which all others have? */
function cutShort(pieces: readonly DumpPiece[]): Problem | undefined {
	const states = pieces.filter((piece) => piece.kind === 'state');
	const last = states[states.length - 1];
	const proto = last?.message.body.id.proto;
	const others = states.slice(0, -1).filter(({ message }) => message.body.id.proto === proto);
	if (last === undefined || others.length === 0 || pieces[pieces.length - 1] !== last) {
		return undefined;
	}
	const missing = REGULAR_PARTS.filter(
		(part) => !hasPart(last, part) && others.every((other) => hasPart(other, part)),
	);
	const isLess = others.every((other) => other.untold.statistics) && !last.untold.statistics;
	if (missing.length === 0 && !isLess) {
		return undefined;
	}
	const expected =
		missing.length === 0 ? 'its lifetimes' : missing[0] === 'sel' ? 'sel' : 'anti-replay context';
	const word = { text: '', line: last.lastLine, column: 1 };
	const message = `The dump is cut in the middle of the state of line ${last.line}`;
	return new Unreadable(word, expected, message, 1).problem;
}
