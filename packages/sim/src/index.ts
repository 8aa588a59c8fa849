export type { Failure } from './history.ts';
export * from './outcome.ts';
export type { Scenario } from './scenarios/scenario.ts';
export { scenarios } from './scenarios/scenarios.ts';
export * from './seed.ts';
