/**
 * `@xfrm/iproute/commands`: commands read and carried out, events printed. A part of the whole that loads
 * without the readers of dumps and JSON: a start of `xfrm state` is mostly loading.
 */
export * from './batch.ts';
export * from './command.ts';
export { formatEvent } from './event-line.ts';
export { KeyNames } from './key-names.ts';
export * from './parse-command.ts';
export * from './run-command.ts';
