/**
 * Keys never leave the program unless asked for: in every text they stand as `key#1`, `key#2` … in order
 * of appearance, equal keys alike. Never a hash: short keys can be guessed from one.
 */

/** Names behind which an algorithm's name and then its key follow in `ip xfrm` commands. */
const ALGORITHM_WORDS = /^(enc|auth|auth-trunc|aead)$/;

export class Secrets {
	readonly #names: Map<string, string> = new Map();
	readonly #show: boolean;

	/** @param show leave keys as they are */
	constructor(show: boolean) {
		this.#show = show;
	}

	/** Takes note of the keys in a command's words, so that they can be hidden wherever they turn up. */
	learn(words: readonly string[]): void {
		for (let i = 0; i + 2 < words.length; i++) {
			const key = words[i + 2] ?? '';
			if (ALGORITHM_WORDS.test(words[i] ?? '') && key !== '' && !this.#names.has(key)) {
				this.#names.set(key, `key#${this.#names.size + 1}`);
			}
		}
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
