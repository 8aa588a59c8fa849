/** Names for keys that are not shown: `key#1`, `key#2` … in order of appearance, equal keys alike. */
import { formatHex } from '@xfrm/wire';

export class KeyNames {
	readonly #names: Map<string, string> = new Map();

	/** The name of a key. */
	of(key: Uint8Array): string {
		const hex = formatHex(key);
		const name = this.#names.get(hex) ?? `key#${this.#names.size + 1}`;
		this.#names.set(hex, name);
		return name;
	}
}
