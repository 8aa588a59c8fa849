/** All cases of the suite, in order of interest. */
import type { Case } from './scenario.ts';
import { tunnelCases } from './tunnel-cases.ts';

export const cases: readonly Case[] = [...tunnelCases];
