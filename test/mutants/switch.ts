/**
 * The switch that mutated code asks: which mutant is on, and which places were passed. As loops ask it too, it
 * also ends those that have no end.
 */

interface Switch {
	mutant(number: number): boolean;
	otherThan(value: unknown): unknown;
}

/** None is on. */
export const NONE = -1;
/** The processor's clock is read once in so many questions. */
const QUESTIONS_A_LOOK = 1 << 14;

/** Processor time of this process in milliseconds: a busy machine does not change it. */
export function processorMs(): number {
	const { user, system } = process.cpuUsage();
	return (user + system) / 1000;
}

export class MutantSwitch implements Switch {
	on: number = NONE;
	readonly passed: Set<number> = new Set();
	/** A test was ended because it came to no end by itself. */
	ranOut = false;
	#questions = 0;
	#until = 0;

	constructor() {
		this.mutant = this.mutant.bind(this);
		(globalThis as Record<symbol, unknown>)[Symbol.for('xfrm.mutants')] = this;
	}

	/** Gives what runs now so much processor time. */
	allow(ms: number): void {
		this.ranOut = false;
		this.#until = processorMs() + ms;
	}

	mutant(number: number): boolean {
		if (this.on === NONE) {
			this.passed.add(number);
			return false;
		}
		this.#questions++;
		if (this.#questions % QUESTIONS_A_LOOK === 0 && processorMs() > this.#until) {
			this.ranOut = true;
			throw new Error('no end');
		}
		return this.on === number;
	}

	/** Another constant in the place of a named one. */
	readonly otherThan = (value: unknown): unknown =>
		typeof value === 'number' ? value + 1 : typeof value === 'boolean' ? !value : undefined;
}
