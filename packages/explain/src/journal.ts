/**
 * What an explainer went through, so that it can be gone through once more in another world: to try an edit
 * of the rules behind the last of them, with every packet since.
 */
import type { XfrmPolicy } from '@xfrm/engine';
import type { Answer, Outcome } from './answer.ts';
import type { Digest } from './digest.ts';

/** Something that was done to an explainer, and how to do it again to another one. */
interface Entry<T> {
	/** Rules and settings change what is there; waits and packets only use it. */
	readonly kind: 'setting' | 'event';
	readonly again: (other: T) => void;
	/** The policy that it added: most of a large table has nothing to do with a packet. */
	readonly made: XfrmPolicy | undefined;
	/** Of a packet. */
	outcome?: Outcome;
}

/** The last question, and what is known of its answer. */
export interface Question<Options> {
	readonly packet: Uint8Array;
	/** With what was guessed filled in. */
	readonly options: Options;
	readonly answer: Answer;
	readonly digest: Digest;
}

/** More than this is not gone through again. */
const ENTRIES_MAX = 60_000;

export class Journal<T> {
	readonly #entries: Entry<T>[] = [];
	#full: boolean = false;

	/** How many entries there are: what one more trial costs. */
	get length(): number {
		return this.#entries.length;
	}

	note(kind: Entry<T>['kind'], again: (other: T) => void, made?: XfrmPolicy): void {
		if (this.#entries.length >= ENTRIES_MAX) {
			this.#full = true;
			return;
		}
		this.#entries.push({ kind, again, made });
	}

	/** What became of the packet just noted. */
	noteOutcome(outcome: Outcome): void {
		const last = this.#entries[this.#entries.length - 1];
		if (last !== undefined) {
			last.outcome = outcome;
		}
	}

	/** Outcomes of the packets before the last one, behind the last setting. */
	earlierOutcomes(): readonly Outcome[] {
		return this.#entries
			.slice(this.#editAt(), -1)
			.flatMap(({ outcome }) => (outcome === undefined ? [] : [outcome]));
	}

	/**
	 * Does everything but the last entry, a packet, again.
	 *
	 * @param edit done behind the last setting; false ends it
	 * @param isWanted the policies that are added again; default all
	 * @returns false when the edit failed, or there is too much to do again
	 */
	replay(
		other: T,
		edit: (other: T) => boolean,
		isWanted: (policy: XfrmPolicy) => boolean = () => true,
	): boolean {
		if (this.#full) {
			return false;
		}
		const at = this.#editAt();
		for (const [i, entry] of this.#entries.slice(0, -1).entries()) {
			if (i === at && !edit(other)) {
				return false;
			}
			if (entry.made === undefined || entry.made.dead || isWanted(entry.made)) {
				entry.again(other);
			}
		}
		return at < this.#entries.length - 1 || edit(other);
	}

	/** Does all settings again and lets look after each of them. */
	watch(other: T, look: (other: T) => void): void {
		for (const entry of this.#entries) {
			if (entry.kind === 'setting') {
				entry.again(other);
				look(other);
			}
		}
	}

	#editAt(): number {
		return this.#entries.findLastIndex(({ kind }) => kind === 'setting') + 1;
	}
}
