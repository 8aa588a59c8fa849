export * from './command.ts';
export * from './problem.ts';
export * from './rules.ts';
