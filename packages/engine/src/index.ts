export * from './answer.ts';
export * from './available.ts';
export * from './batch.ts';
export { Bundle, type BundleStep } from './bundle.ts';
export type { DropWatcher } from './drop-watcher.ts';
export * from './engine.ts';
export * from './events.ts';
export { HashChains, NONE } from './hash-chains.ts';
export * from './kernel-profile.ts';
export { TICKS_PER_SECOND } from './limits.ts';
export * from './namespace.ts';
export * from './policy.ts';
export { comesBefore } from './policy-order.ts';
export {
	familyOf,
	packPolicy,
	SELECTOR_WORDS,
	SelectorWord,
	TEMPLATE_WORDS,
	TemplateWord,
	unpackSelector,
	unpackTemplates,
} from './policy-words.ts';
export { Rehearsal, rehearseCheck, rehearsedFlow, rehearseOutput } from './rehearsal.ts';
export * from './replay-window.ts';
export { restoreLarval, restorePolicyUse, restoreStateUse } from './restore.ts';
export { destinationHash, pairHash, seqHash } from './sad.ts';
export { type StateCurrent, stateCurrent } from './snapshot.ts';
export { Spd } from './spd.ts';
export * from './state.ts';
export type { TableWatcher } from './table-watcher.ts';
export * from './trace.ts';
export * from './verdict.ts';
