/**
 * Keys never leave the program unless asked for: in every text they stand as `key#1`, `key#2` … in order
 * of appearance, equal keys alike. Never a hash: short keys can be guessed from one. There may be ten thousand
 * of them, so that a text is gone through once, not once for each.
 */

import { encodeUtf8, formatHex } from '@xfrm/wire';

/** Names behind which an algorithm's name and then its key follow in `ip xfrm` commands. */
const ALGORITHM_WORDS = /^(enc|auth|auth-trunc|aead)$/;

/** Fewer digits than this may be anything: they are a key only where they are written as one. */
const BARE_DIGITS_MIN = 8;
const DIGITS = /(?:0x)?[0-9a-f]{8,}/gi;

/** The octets of a key as `ip` reads it, in hex: digits behind 0x, else the text itself. */
function octetsOf(key: string): string {
	if (!/^0x[0-9a-f]+$/i.test(key)) {
		return formatHex(encodeUtf8(key));
	}
	const digits = key.slice(2).toLowerCase();
	return digits.length % 2 === 0 ? digits : `0${digits}`;
}

export class Secrets {
	/** By the octets in hex. */
	readonly #names: Map<string, string> = new Map();
	/** Keys whose text is no row of digits, or of few: the text itself. */
	readonly #texts: Map<string, string> = new Map();
	/** The others by their digits; how the digits begin, and how many there are, most first. */
	readonly #digits: Map<string, string> = new Map();
	readonly #starts: Set<string> = new Set();
	#lengths: readonly number[] = [];
	readonly #show: boolean;

	/** @param show leave keys as they are */
	constructor(show: boolean) {
		this.#show = show;
	}

	/** What a key is called; the key itself where keys may be shown. */
	nameOf(key: Uint8Array): string {
		const text = `0x${formatHex(key)}`;
		return this.#show ? text : this.#learnKey(text);
	}

	/** Takes note of the keys in a command's words, so that they can be hidden wherever they turn up. */
	learn(words: readonly string[]): void {
		for (let i = 0; i + 2 < words.length; i++) {
			const key = words[i + 2] ?? '';
			if (ALGORITHM_WORDS.test(words[i] ?? '') && key !== '') {
				this.#learnKey(key);
			}
		}
	}

	/** The name of a key: of the same octets written otherwise, or a new one. */
	#learnKey(key: string): string {
		const octets = octetsOf(key);
		let name = this.#names.get(octets);
		if (name === undefined) {
			name = `key#${this.#names.size + 1}`;
			this.#names.set(octets, name);
		}
		const [, digits = ''] = /^0x([0-9a-f]+)$/i.exec(key) ?? [];
		if (digits.length < BARE_DIGITS_MIN) {
			this.#texts.set(key, name);
			return name;
		}
		const lower = digits.toLowerCase();
		this.#digits.set(lower, name);
		this.#starts.add(lower.slice(0, BARE_DIGITS_MIN));
		if (!this.#lengths.includes(lower.length)) {
			this.#lengths = [...this.#lengths, lower.length].sort((a, b) => b - a);
		}
		return name;
	}

	/** The text with every known key replaced. */
	hide(text: string): string {
		if (this.#show || this.#names.size === 0) {
			return text;
		}
		let hidden =
			this.#digits.size === 0 ? text : text.replace(DIGITS, (run) => this.#hideDigits(run));
		// Longest first: a short key may be a part of a long one.
		const texts = [...this.#texts].sort((a, b) => b[0].length - a[0].length);
		for (const [key, name] of texts) {
			hidden = hidden.split(key).join(name);
		}
		return hidden;
	}

	/** A row of digits without the keys in it, and the 0x before one. */
	#hideDigits(run: string): string {
		const lower = run.toLowerCase();
		let hidden = '';
		let from = 0;
		for (let at = 0; at + BARE_DIGITS_MIN <= lower.length; ) {
			const digits = this.#keyAt(lower, at);
			if (digits === undefined) {
				at++;
				continue;
			}
			const end = at === 2 && lower.startsWith('0x') ? 0 : at;
			hidden += run.slice(from, Math.max(from, end)) + this.#digits.get(digits);
			at += digits.length;
			from = at;
		}
		return from === 0 ? run : hidden + run.slice(from);
	}

	/** The longest key that begins there. */
	#keyAt(lower: string, at: number): string | undefined {
		if (!this.#starts.has(lower.slice(at, at + BARE_DIGITS_MIN))) {
			return undefined;
		}
		for (const length of this.#lengths) {
			const digits = lower.slice(at, at + length);
			if (this.#digits.has(digits)) {
				return digits;
			}
		}
		return undefined;
	}
}
