/**
 * The words of one object of a dump, read in order. Line ends count for nothing but repairs, so that lines
 * may be wrapped anywhere and indentation may be gone; what may follow is always told by a keyword.
 */
import { type Address, anyAddress, Family, parseAddress } from '@xfrm/wire/xfrm';
import { parseUnsigned, U32_MAX } from './number-text.ts';
import { Unreadable, type Word } from './problem.ts';

/** A word and whether it is the first of its line. */
export interface DumpWord extends Word {
	readonly first: boolean;
}

export class DumpWords {
	readonly #words: readonly DumpWord[];
	readonly #what: string;
	#at: number = 0;

	/** @param what "state" or "policy", for complaints */
	constructor(words: readonly DumpWord[], what: string) {
		this.#words = words;
		this.#what = what;
	}

	get more(): boolean {
		return this.#at < this.#words.length;
	}

	/** Text of the current word, empty at the end. */
	get text(): string {
		return this.#words[this.#at]?.text ?? '';
	}

	/** Text of the word behind the current one, empty at the end. */
	get nextText(): string {
		return this.#words[this.#at + 1]?.text ?? '';
	}

	/** Does the current word begin a line? */
	get first(): boolean {
		return this.#words[this.#at]?.first ?? true;
	}

	/** Complains of the current word. */
	refuse(expected: string): never {
		const word = this.#words[this.#at];
		if (word === undefined) {
			const last = this.#words[this.#words.length - 1] ?? { text: '', line: 1, column: 1 };
			const end = { text: '', line: last.line, column: last.column + last.text.length };
			const message = `The dump is cut in the middle of a ${this.#what}`;
			throw new Unreadable(end, expected, message, 1);
		}
		throw new Unreadable(word, expected, `Not what ip prints of a ${this.#what}`, 1);
	}

	/** Complains of the word before the current one. */
	refuseLast(expected: string): never {
		this.#at--;
		return this.refuse(expected);
	}

	/** Takes the current word, which has to be there. */
	take(expected: string): string {
		const word = this.#words[this.#at] ?? this.refuse(expected);
		this.#at++;
		return word.text;
	}

	/** Takes the current word if it is this one. */
	takeIf(keyword: string): boolean {
		if (this.more && this.text === keyword) {
			this.#at++;
			return true;
		}
		return false;
	}

	/** Takes these words, which have to be there. */
	expect(...keywords: readonly string[]): void {
		for (const keyword of keywords) {
			if (!this.takeIf(keyword)) {
				this.refuse(keyword);
			}
		}
	}

	/** Takes a number with or without 0x; a comma, or a repetition in parentheses, may follow in the word. */
	number(expected: string, max: number = U32_MAX): number {
		const text = this.take(expected);
		const bare = text.replace(/\([0-9a-fx]+\)$/, '').replace(/,$/, '');
		return parseUnsigned(bare, max) ?? this.refuseLast(expected);
	}

	/** Takes a keyword and the number behind it. */
	named(keyword: string, max: number = U32_MAX): number {
		this.expect(keyword);
		return this.number(`a number behind ${keyword}`, max);
	}

	/** Takes a word of a table. */
	choice(table: Readonly<Record<string, number>>, max: number): number {
		const expected = Object.keys(table).join(', ');
		const text = this.take(expected);
		const known = Object.hasOwn(table, text) ? table[text] : undefined;
		const number = known ?? (/^[0-9]+$/.test(text) ? parseUnsigned(text, max) : undefined);
		return number ?? this.refuseLast(expected);
	}

	/** Takes an address; `???` is what ip prints of a family that it does not know. */
	address(): { readonly address: Address; readonly family: Family } {
		const text = this.take('an address');
		return parseDumpedAddress(text) ?? this.refuseLast('an address');
	}

	/** Takes `ADDRESS/LENGTH`. */
	prefix(): { readonly address: Address; readonly family: Family; readonly length: number } {
		const [host = '', length = '', ...more] = this.take('ADDRESS/LENGTH').split('/');
		const parsed = parseDumpedAddress(host);
		const bits = /^[0-9]+$/.test(length) ? parseUnsigned(length, 255) : undefined;
		if (parsed === undefined || bits === undefined || more.length > 0) {
			return this.refuseLast('ADDRESS/LENGTH');
		}
		return { ...parsed, length: bits };
	}
}

function parseDumpedAddress(
	text: string,
): { readonly address: Address; readonly family: Family } | undefined {
	return text === '???' ? { address: anyAddress(), family: Family.Unspec } : parseAddress(text);
}
