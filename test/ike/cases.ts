/** All cases of the suite, in order of interest. */

import { commandCases } from './command-cases.ts';
import { execCases } from './exec-cases.ts';
import { lifeCases } from './life-cases.ts';
import { observedCases } from './observed-cases.ts';
import { pathCases } from './path-cases.ts';
import { safetyCases } from './safety-cases.ts';
import type { Case } from './scenario.ts';
import { startCases } from './start-cases.ts';
import { tunnelCases } from './tunnel-cases.ts';

export const cases: readonly Case[] = [
	...tunnelCases,
	...safetyCases,
	...startCases,
	...commandCases,
	...observedCases,
	...pathCases,
	...lifeCases,
	...execCases,
];
