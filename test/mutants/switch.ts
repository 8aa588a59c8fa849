/** The switch that mutated code asks: which mutant is on, and which places were passed. */

interface Switch {
	mutant(number: number): boolean;
	otherThan(value: unknown): unknown;
}

/** None is on. */
export const NONE = -1;

export class MutantSwitch implements Switch {
	on: number = NONE;
	readonly passed: Set<number> = new Set();

	constructor() {
		this.mutant = this.mutant.bind(this);
		(globalThis as Record<symbol, unknown>)[Symbol.for('xfrm.mutants')] = this;
	}

	mutant(number: number): boolean {
		if (this.on === NONE) {
			this.passed.add(number);
			return false;
		}
		return this.on === number;
	}

	/** Another constant in the place of a named one. */
	readonly otherThan = (value: unknown): unknown =>
		typeof value === 'number' ? value + 1 : typeof value === 'boolean' ? !value : undefined;
}
