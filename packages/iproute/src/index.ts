export * from './command.ts';
export * from './dump-load.ts';
export * from './dump-object.ts';
export { type DumpPiece, looksLikeDump, type ParsedDump, parseDump } from './dump-text.ts';
export * from './parse-command.ts';
export { formatProblem, type Problem } from './problem.ts';
export * from './rules.ts';
export * from './rules-file.ts';
export * from './run-command.ts';
