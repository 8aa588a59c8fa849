/**
 * Keys never leave the program unless asked for: in every text they stand as `key#1`, `key#2` … in order
 * of appearance, equal keys alike. Never a hash: short keys can be guessed from one.
 */

import { encodeUtf8, formatHex } from '@xfrm/wire';

/** Names behind which an algorithm's name and then its key follow in `ip xfrm` commands. */
const ALGORITHM_WORDS = /^(enc|auth|auth-trunc|aead)$/;

/** The octets of a key as `ip` reads it, in hex: digits behind 0x, else the text itself. */
function octetsOf(key: string): string {
	if (!/^0x[0-9a-f]+$/i.test(key)) {
		return formatHex(encodeUtf8(key));
	}
	const digits = key.slice(2).toLowerCase();
	return digits.length % 2 === 0 ? digits : `0${digits}`;
}

export class Secrets {
	readonly #names: Map<string, string> = new Map();
	readonly #show: boolean;

	/** @param show leave keys as they are */
	constructor(show: boolean) {
		this.#show = show;
	}

	/** What a key is called; the key itself where keys may be shown. */
	nameOf(key: Uint8Array): string {
		const octets = formatHex(key);
		if (this.#show) {
			return `0x${octets}`;
		}
		for (const [text, name] of this.#names) {
			if (octetsOf(text) === octets) {
				return name;
			}
		}
		const name = `key#${new Set(this.#names.values()).size + 1}`;
		this.#names.set(`0x${octets}`, name);
		return name;
	}

	/** Takes note of the keys in a command's words, so that they can be hidden wherever they turn up. */
	learn(words: readonly string[]): void {
		for (let i = 0; i + 2 < words.length; i++) {
			const key = words[i + 2] ?? '';
			if (ALGORITHM_WORDS.test(words[i] ?? '') && key !== '' && !this.#names.has(key)) {
				this.#names.set(key, this.#nameLike(key));
			}
		}
	}

	/** The name of the same octets written otherwise, or a new one. */
	#nameLike(key: string): string {
		const octets = octetsOf(key);
		for (const [text, name] of this.#names) {
			if (octetsOf(text) === octets) {
				return name;
			}
		}
		return `key#${new Set(this.#names.values()).size + 1}`;
	}

	/** The text with every known key replaced. */
	hide(text: string): string {
		if (this.#show) {
			return text;
		}
		let hidden = text;
		// Longest first: a short key may be a part of a long one.
		const keys = [...this.#names].sort((a, b) => b[0].length - a[0].length);
		for (const [key, name] of keys) {
			hidden = hidden.split(key).join(name);
			const bare = key.replace(/^0x/i, '');
			if (bare !== key && bare.length >= 8) {
				hidden = hidden.split(bare).join(name);
			}
		}
		return hidden;
	}
}
