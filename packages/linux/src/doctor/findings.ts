/**
 * All findings of `xfrm doctor`, in the order in which they are told among those of the same severity: what
 * comes first is the cause of what comes later. docs/doctor.md is this table for people.
 */
import { COUNTER_FINDINGS } from './counter-findings.ts';
import type { MachineFacts } from './facts.ts';
import { FILTER_FINDINGS } from './filter-findings.ts';
import type { Finding, FindingKind, Severity } from './finding.ts';
import { KERNEL_FINDINGS } from './kernel-findings.ts';
import { NETWORK_FINDINGS } from './network-findings.ts';
import { OTHER_FINDINGS } from './other-findings.ts';

/** All kinds of findings. */
export const FINDINGS: readonly FindingKind[] = [
	...KERNEL_FINDINGS,
	...NETWORK_FINDINGS,
	...FILTER_FINDINGS,
	...OTHER_FINDINGS,
	...COUNTER_FINDINGS,
];

const ORDER: readonly Severity[] = ['fail', 'warn', 'note'];

/** What was found, worst first, and what is in order. */
export interface Diagnosis {
	readonly findings: readonly Finding[];
	/** Titles of what was looked at and is in order. */
	readonly healthy: readonly string[];
	/** What could not be looked at, and why. */
	readonly unseen: readonly string[];
}

/** Looks for everything. */
export function diagnose(facts: MachineFacts): Diagnosis {
	const findings: Finding[] = [];
	const healthy: string[] = [];
	for (const { id, title, find } of FINDINGS) {
		const found = find(facts);
		findings.push(...found.map((one) => ({ id, ...one })));
		if (found.length === 0) {
			healthy.push(title);
		}
	}
	const ranked = ORDER.flatMap((severity) => findings.filter((one) => one.severity === severity));
	const unseen = [
		...(facts.untried === undefined ? [] : [`nothing was tried: ${facts.untried}`]),
		...facts.unseen,
	];
	return facts.refused === undefined
		? { findings: ranked, healthy, unseen }
		: // Without the tables nothing is known to be in order.
			{ findings: ranked, healthy: [], unseen };
}
