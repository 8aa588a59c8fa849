/**
 * JSON text (RFC 8259) → values that know where they stand, so that a complaint about a document can name
 * line and column besides the path. Depth is bounded; nothing throws but `Unreadable`.
 */
import { Unreadable } from './problem.ts';

export type JsonValue =
	| null
	| boolean
	| number
	| string
	| readonly JsonValue[]
	| { readonly [name: string]: JsonValue };

/** Line and column, both from 1. */
export interface JsonPlace {
	readonly line: number;
	readonly column: number;
}

export interface JsonDocument {
	readonly value: JsonValue;
	/** Where the value of a path (`states[2].sel.src`) begins; of what is missing, where its parent does. */
	readonly placeOf: (path: string) => JsonPlace;
}

const DEPTH_MAX = 32;
const SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const LITERALS: readonly (readonly [string, JsonValue])[] = [
	['true', true],
	['false', false],
	['null', null],
];
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them in strings.
const STRING = /"((?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"/y;

/** Where lines begin. */
class LineStarts {
	readonly #starts: number[] = [0];

	constructor(text: string) {
		for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) {
			this.#starts.push(at + 1);
		}
	}

	place(offset: number): JsonPlace {
		let low = 0;
		let high = this.#starts.length;
		while (high - low > 1) {
			const middle = (low + high) >> 1;
			if ((this.#starts[middle] ?? 0) <= offset) {
				low = middle;
			} else {
				high = middle;
			}
		}
		return { line: low + 1, column: offset - (this.#starts[low] ?? 0) + 1 };
	}
}

class JsonReader {
	readonly text: string;
	readonly places: Map<string, number> = new Map();
	at: number;
	readonly #lines: LineStarts;

	constructor(text: string, from: number, lines: LineStarts) {
		this.text = text;
		this.at = from;
		this.#lines = lines;
	}

	place(offset: number): JsonPlace {
		return this.#lines.place(offset);
	}

	refuse(expected: string): never {
		const found = /[^\s,:{}[\]"]+|["{}[\],:]?/y;
		found.lastIndex = this.at;
		const text = (found.exec(this.text)?.[0] ?? '').slice(0, 40);
		throw new Unreadable({ text, ...this.place(this.at) }, expected, 'Not JSON', 1);
	}

	match(pattern: RegExp): RegExpExecArray | null {
		pattern.lastIndex = this.at;
		const match = pattern.exec(this.text);
		this.at += match?.[0].length ?? 0;
		return match;
	}

	space(): void {
		this.match(SPACE);
	}

	take(char: string): boolean {
		this.space();
		if (this.text[this.at] !== char) {
			return false;
		}
		this.at++;
		return true;
	}

	string(expected: string): string {
		const match = this.match(STRING);
		return match === null ? this.refuse(expected) : (JSON.parse(match[0]) as string);
	}

	value(path: string, depth: number): JsonValue {
		this.space();
		this.places.set(path, this.at);
		if (depth > DEPTH_MAX) {
			return this.refuse(`at most ${DEPTH_MAX} levels`);
		}
		if (this.take('{')) {
			return this.object(path, depth);
		}
		if (this.take('[')) {
			return this.array(path, depth);
		}
		if (this.text[this.at] === '"') {
			return this.string('a string that ends in its line');
		}
		const literal = LITERALS.find(([word]) => this.text.startsWith(word, this.at));
		if (literal !== undefined) {
			this.at += literal[0].length;
			return literal[1];
		}
		const number = this.match(NUMBER);
		return number === null ? this.refuse('a JSON value') : Number(number[0]);
	}

	object(path: string, depth: number): JsonValue {
		const members: [string, JsonValue][] = [];
		if (this.take('}')) {
			return {};
		}
		do {
			this.space();
			const name = this.string('a name in double quotes');
			if (!this.take(':')) {
				this.refuse('a colon');
			}
			members.push([name, this.value(path === '' ? name : `${path}.${name}`, depth + 1)]);
		} while (this.take(','));
		if (!this.take('}')) {
			this.refuse('a comma or }');
		}
		// Through entries, so that a member called __proto__ is one like any other.
		return Object.fromEntries(members);
	}

	array(path: string, depth: number): JsonValue {
		const items: JsonValue[] = [];
		if (this.take(']')) {
			return items;
		}
		do {
			items.push(this.value(`${path}[${items.length}]`, depth + 1));
		} while (this.take(','));
		if (!this.take(']')) {
			this.refuse('a comma or ]');
		}
		return items;
	}
}

/** Reads all values of a text, one behind the other: JSON, or JSON Lines. @throws Unreadable */
export function* readJsonValues(text: string): Generator<JsonDocument> {
	const lines = new LineStarts(text);
	let at = text.startsWith('\ufeff') ? 1 : 0;
	do {
		const reader = new JsonReader(text, at, lines);
		const value = reader.value('', 0);
		reader.space();
		const placeOf = (path: string): JsonPlace => {
			let known = path;
			while (known !== '' && !reader.places.has(known)) {
				known = known.replace(/(\.?[^.[\]]*|\[[0-9]*\])$/, '');
			}
			return reader.place(reader.places.get(known) ?? 0);
		};
		yield { value, placeOf };
		at = reader.at;
	} while (at < text.length);
}
