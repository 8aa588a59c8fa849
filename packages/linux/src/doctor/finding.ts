/** What a finding of `xfrm doctor` is; the findings themselves are in *-findings.ts, all of them in findings.ts. */
import type { MachineFacts } from './facts.ts';

/**
 * `fail`: protected traffic cannot pass, or passes in clear. `warn`: something is likely wrong, or will be.
 * `note`: worth knowing when one looks for a reason.
 */
export type Severity = 'fail' | 'warn' | 'note';

/** One thing that is wrong. */
export interface Found {
	readonly severity: Severity;
	/** What is wrong and what follows from it, for people; one or two sentences. */
	readonly text: string;
	/** A command that mends it or shows more, ready to paste. */
	readonly command?: string;
}

/** A kind of finding: how it is found, and its page in docs/doctor.md. */
export interface FindingKind {
	/** Stable: never renamed, never used again for something else. */
	readonly id: string;
	/** What is looked at, as the list of what is in order names it. */
	readonly title: string;
	/** What it means. */
	readonly meaning: string;
	/** What to do about it. */
	readonly remedy: string;
	/** Looks for it. */
	find(facts: MachineFacts): readonly Found[];
}

/** A finding as it is told. */
export interface Finding extends Found {
	readonly id: string;
}
