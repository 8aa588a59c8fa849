/**
 * When the guard is brought up to date with policies that have changed. Writing a filter takes milliseconds,
 * and longer with more entries, so that a batch of ten thousand policies cannot have it written for each:
 *
 * - while there are few policies, always before the request is answered: nothing leaves in clear behind an
 *   acknowledgement
 * - of more, for bursts of changes
 * - beyond, several changes are taken together: some times as long as the last writing took after it, or as
 *   soon as the requests pause
 */

/** Policies up to which the guard is written at once, whatever it takes. */
const AT_ONCE_POLICIES = 64;
/** Changes of a burst. One more comes back after so many times as long as a writing takes. */
const BURST = 64;
const BURST_INTERVALS = 8;
/** Writings are apart by so many times as long as they take: a fifth of the time goes into them. */
const SPACING = 4;
/** No request for so long: the batch is over. */
const PAUSE_US = 60_000;

export class GuardSchedule {
	#requestedUs: number = 0;
	#wroteUs: number = 0;
	#tookUs: number = 0;
	#burst: number = BURST;

	/** A request has come. */
	requested(nowUs: number): void {
		this.#requestedUs = nowUs;
	}

	/** The guard was written, from `beginUs` to `endUs`. */
	wrote(beginUs: number, endUs: number): void {
		this.#burst = this.#burstAt(beginUs) - 1;
		this.#wroteUs = endUs;
		this.#tookUs = endUs - beginUs;
	}

	/** Should changes that wait be carried out now? */
	isDue(nowUs: number, policies: number): boolean {
		return policies <= AT_ONCE_POLICIES || this.#burstAt(nowUs) >= 1 || nowUs >= this.deadlineUs;
	}

	/** When changes that wait are due at the latest, if no further request comes. */
	get deadlineUs(): number {
		return Math.min(this.#wroteUs + SPACING * this.#tookUs, this.#requestedUs + PAUSE_US);
	}

	#burstAt(nowUs: number): number {
		const interval = BURST_INTERVALS * Math.max(1, this.#tookUs);
		return Math.min(BURST, Math.max(0, this.#burst) + (nowUs - this.#wroteUs) / interval);
	}
}
