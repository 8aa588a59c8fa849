/** What every check has in common: it looks at one host after a step and answers a sentence, or nothing. */

import type { Machine } from '../machine.ts';
import type { SimRandom } from '../random.ts';

export interface Invariant {
	readonly name: string;
	/** Undefined when it holds. `random` is for checks that look at samples. */
	check(machine: Machine, random: SimRandom): string | undefined;
}
