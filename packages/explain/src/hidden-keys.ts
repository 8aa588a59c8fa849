/**
 * States whose keys a dump does not show. Everything but the octets stays exact: what such a state seals has
 * the right length, and what it would open is refused or not by everything that comes before the key. From
 * there on the answer is not known.
 */
import type { XfrmState } from '@xfrm/engine';
import type { Digest } from './digest.ts';
import type { Fact } from './recorder.ts';

/** What the engine finds out with the key in hand, besides the integrity check. */
const BEHIND_KEY = new Set(['in.esp.padding', 'in.esp.dummy', 'in.mode']);

export class HiddenKeys {
	/** By state: is the key of its integrity check among the hidden ones? */
	readonly #states: Map<XfrmState, boolean> = new Map();

	/** Takes note of a state; `hidden` are its algorithms without key, keyword first. */
	note(state: XfrmState, hidden: readonly string[]): void {
		if (hidden.length > 0) {
			const integrity = hidden.some((algorithm) => /^(auth|aead)/.test(algorithm));
			this.#states.set(state, integrity);
		}
	}

	has(state: XfrmState): boolean {
		return this.#states.has(state);
	}

	/** The state with a hidden key that decides what becomes of the packet, undefined when none does. */
	deciding(digest: Digest, facts: readonly Fact[]): XfrmState | undefined {
		for (const { code, state } of digest.verdicts) {
			const integrity = state === undefined ? undefined : this.#states.get(state);
			if (integrity !== undefined && (code === 'in.icv' || BEHIND_KEY.has(code))) {
				// With a known key of the integrity check, its failure is a fact.
				return integrity || code !== 'in.icv' ? state : undefined;
			}
		}
		const opened = facts.find(
			(fact) =>
				fact.kind === 'transform' && fact.operation === 'open' && this.#states.has(fact.state),
		);
		return opened?.kind === 'transform' ? opened.state : undefined;
	}
}
