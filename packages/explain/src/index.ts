export * from './answer.ts';
export * from './both-ways.ts';
export * from './counters.ts';
export * from './decrypt.ts';
export { diffRules, diffText, type FlowChange, type Rekeyed, type RulesDiff } from './diff.ts';
export { type Loaded, loadObject } from './dump-loader.ts';
export * from './event-text.ts';
export * from './explainer.ts';
export * from './fixes.ts';
export * from './flow-text.ts';
export * from './host-command.ts';
export * from './host-setup.ts';
export * from './input.ts';
export * from './json.ts';
export {
	type Finding,
	isAtLeast,
	type LintObject,
	lintRules,
	lintText,
	PAGES as LINT_PAGES,
	type RulePlace,
	RulePlaces,
	type Severity,
	sarifOf,
} from './lint/lint.ts';
export * from './lookup.ts';
export * from './lookup-text.ts';
export { markText, modeName, stateProtoName } from './names.ts';
export * from './packet-text.ts';
export { type FlowBox, type Proof, type ProveOptions, proofText, prove } from './prove.ts';
export { REASON_CODES, reasonTitle } from './reason-codes.ts';
export { REASON_PAGES, type ReasonPage } from './reason-pages.ts';
export * from './recorder.ts';
export * from './secrets.ts';
export * from './text.ts';
export * from './why-not.ts';
export * from './world.ts';
