export * from './command.ts';
export * from './parse-command.ts';
export { formatProblem, type Problem } from './problem.ts';
export * from './rules.ts';
export * from './run-command.ts';
