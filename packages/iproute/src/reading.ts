/** The state of reading one command: its words, the family that addresses have to be of, and the outside. */
import { parseU64, parseUnsigned } from './number-text.ts';
import { type Word, wrongArgument } from './problem.ts';
import type { WordCursor } from './word-cursor.ts';

/** Whose grammar and texts are spoken: 6.1 knows neither directions nor processors of states. */
export type Release = '6.1' | '7.1';

export class Reading {
	readonly words: WordCursor;
	/** What `ip` calls the preferred family: set by -4 and -6, then by the first address; 0 for none. */
	family: number;
	readonly release: Release;
	readonly #interfaceIndex: (name: string) => number | undefined;

	constructor(
		words: WordCursor,
		family: number,
		release: Release,
		interfaceIndex: ((name: string) => number | undefined) | undefined,
	) {
		this.words = words;
		this.family = family;
		this.release = release;
		this.#interfaceIndex = interfaceIndex ?? (() => undefined);
	}

	/** The index of an interface, 0 when there is none; `if7` is 7 even where no interface has that name. */
	interfaceIndex(name: string): number {
		const known = this.#interfaceIndex(name);
		if (known !== undefined && known > 0) {
			return known;
		}
		const digits = /^if([0-9]+)/.exec(name)?.[1];
		return digits === undefined ? 0 : (parseUnsigned(digits, 0x7fff_ffff) ?? 0);
	}

	/** Goes to the next word and reads it as a number up to `max`; `complaint` is what `ip` says of others. */
	number(max: number, complaint: string): number {
		const { word } = this.words.next('a number');
		return parseUnsigned(word.text, max) ?? wrongArgument(word, complaint, `0 to ${max}`);
	}

	/** Goes to the next word and reads it as a u64, XFRM_INF as `Infinity`. */
	number64(complaint: string): number {
		const { word } = this.words.next('a number');
		return parseU64(word.text) ?? wrongArgument(word, complaint, 'a number up to 2^64 - 1');
	}

	/** Goes to the next word, which has to be a key of the table. */
	choice<T>(table: Readonly<Record<string, T>>, complaint: string): T {
		const { word } = this.words.next(Object.keys(table).join(' or '));
		return chooseWord(word, table, complaint);
	}
}

/** The value of a word in a table; anything else is wrong. */
export function chooseWord<T>(
	word: Word,
	table: Readonly<Record<string, T>>,
	complaint: string,
): T {
	const value = Object.hasOwn(table, word.text) ? table[word.text] : undefined;
	return value ?? wrongArgument(word, complaint, Object.keys(table).join(', '));
}

/** Is the word the beginning of the keyword (or the keyword itself)? `ip`'s matches(). */
export function abbreviates(word: string, keyword: string): boolean {
	return word !== '' && keyword.startsWith(word);
}

/**
 * Reads flags: one hexadecimal number, or names as long as they follow each other. The cursor stands on the
 * word before them and ends on the last one read; a first word that is no flag is given back.
 */
export function readFlags(
	reading: Reading,
	names: readonly (readonly [name: string, bit: number])[],
	max: number,
	complaint: string,
): number {
	const { words } = reading;
	words.next(names.map(([name]) => name).join(', '));
	if (words.text.length > 2 && words.text.startsWith('0x')) {
		const value = parseUnsigned(words.text, max);
		return value ?? wrongArgument(words.word, complaint, `0x0 to 0x${max.toString(16)}`);
	}
	let flags = 0;
	for (;;) {
		const bit = names.find(([name]) => name === words.text)?.[1];
		if (bit === undefined) {
			words.back();
			return flags;
		}
		flags |= bit;
		if (!words.hasNext) {
			return flags;
		}
		words.next('a flag');
	}
}
