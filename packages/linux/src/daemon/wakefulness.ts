/**
 * Whether to sleep behind a request: who waits for each answer sends the next request within microseconds, and
 * would have to wait until the loop is awake again. Where nothing comes that soon, as on a machine whose
 * processors are busy with other things, it is tried more and more seldom.
 */

/** So long behind a request the loop stays awake. */
const AWAKE_US = 100;
/** So many requests at most pass without a trial. */
const PASSED_MAX = 63;

export class Wakefulness {
	readonly #isPossible: boolean;
	/** 0: asleep. */
	#untilUs: number = 0;
	/** Requests to pass without a trial, now and behind the next one that is in vain. */
	#passing: number = 0;
	#passed: number = 0;

	/** @param processors who asks needs one, too */
	constructor(processors: number) {
		this.#isPossible = processors > 1;
	}

	/** A request has been answered. */
	answered(nowUs: number): void {
		if (nowUs < this.#untilUs) {
			this.#passed = 0;
		}
		this.#untilUs = 0;
		if (this.#passing > 0) {
			this.#passing--;
		} else if (this.#isPossible) {
			this.#untilUs = nowUs + AWAKE_US;
		}
	}

	/** Is it too early to sleep? */
	isAwake(nowUs: number): boolean {
		if (nowUs < this.#untilUs) {
			return true;
		}
		if (this.#untilUs > 0) {
			this.#untilUs = 0;
			this.#passed = Math.min(PASSED_MAX, 2 * this.#passed + 1);
			this.#passing = this.#passed;
		}
		return false;
	}
}
