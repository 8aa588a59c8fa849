/** `xfrm doctor`: what this machine can do, and what is wrong on it. */

export type { MachineFacts } from './facts.ts';
export type { Finding, FindingKind, Severity } from './finding.ts';
export { type Diagnosis, diagnose, FINDINGS } from './findings.ts';
export { countersOf, type GatherOptions, gatherFacts, withIfIds } from './gather.ts';
export { parseIptables, parseNft } from './packet-filter.ts';
