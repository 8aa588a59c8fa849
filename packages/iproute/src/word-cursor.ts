/**
 * A cursor over the words of a command, with the three moves of iproute2's parsers: to the next word, which
 * has to be there; back to the one before; and the question whether there is a next one.
 */
import { Unreadable, type Word } from './problem.ts';

const INCOMPLETE = 'Command line is not complete. Try option "help"';

export class WordCursor {
	readonly #words: readonly Word[];
	#at: number;

	/** Begins at the word number `at`. */
	constructor(words: readonly Word[], at: number = 0) {
		this.#words = words;
		this.#at = at;
	}

	/** Are there words left, the current one included? */
	get more(): boolean {
		return this.#at < this.#words.length;
	}

	/** The current word; the end of the line is an empty one behind the last. */
	get word(): Word {
		return this.#words[this.#at] ?? this.#end();
	}

	/** Text of the current word. */
	get text(): string {
		return this.word.text;
	}

	/** Is there a word behind the current one? */
	get hasNext(): boolean {
		return this.#at + 1 < this.#words.length;
	}

	/** Goes to the next word, which has to be there; `expected` says what it would be. */
	next(expected: string): this {
		if (!this.hasNext) {
			throw new Unreadable(this.#end(), expected, INCOMPLETE, 255);
		}
		this.#at++;
		return this;
	}

	/** Leaves the current word behind, whether there is another or not. */
	pass(): this {
		this.#at++;
		return this;
	}

	/** Gives the current word back: the one before is current again. */
	back(): void {
		this.#at--;
	}

	#end(): Word {
		const last = this.#words[this.#words.length - 1];
		return last === undefined
			? { text: '', line: 1, column: 1 }
			: { text: '', line: last.line, column: last.column + last.text.length + 1 };
	}
}
