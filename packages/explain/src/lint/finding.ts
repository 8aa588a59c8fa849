/** What lint says of rules: the contract of its JSON (schema 1), and the objects it names. */
import type { XfrmPolicy, XfrmState } from '@xfrm/engine';
import type { ObjectRef } from '../answer.ts';
import { policyName, policyText, stateName, stateText } from '../names.ts';
import { policyRef, stateRef } from '../near-miss.ts';
import { PAGES } from './pages.ts';

export type Severity = 'error' | 'warning' | 'info';

/** An object that a finding is about. */
export interface LintObject extends ObjectRef {
	/** As `ip xfrm` would print it, in one line. */
	readonly text: string;
	/** Where it was made, if a file did: its name and lines, counted from 1. */
	readonly file?: string;
	readonly line?: number;
	readonly last_line?: number;
}

export interface Finding {
	readonly schema: 1;
	/** Stable; its page is docs/lint.md#id. */
	readonly id: string;
	readonly severity: Severity;
	readonly objects: readonly LintObject[];
	/** What was found, with the values that decide. */
	readonly reason: string;
	/** What Linux does because of it. */
	readonly consequence: string;
	/** What to do. */
	readonly advice: string;
}

/** A policy that should be there. */
export interface MissingPolicy {
	readonly missing: 'in' | 'fwd';
	readonly selector: string;
}

/** A finding of this id; what its page says of every such finding is taken from there. */
export function finding(
	id: string,
	objects: readonly (XfrmPolicy | XfrmState | MissingPolicy | undefined)[],
	reason: string,
	advice?: string,
): Finding {
	const page = PAGES[id];
	if (page === undefined) {
		throw new RangeError(`lint has no page for ${id}`);
	}
	return {
		schema: 1,
		id,
		severity: page.severity,
		objects: objects.filter((one) => one !== undefined).map(lintObject),
		reason,
		consequence: page.consequence,
		advice: advice ?? page.advice,
	};
}

/** An object as findings name it. */
export function lintObject(object: XfrmPolicy | XfrmState | MissingPolicy): LintObject {
	if ('missing' in object) {
		const { missing, selector } = object;
		return { kind: 'policy', dir: missing, text: `missing: policy ${missing} ${selector}` };
	}
	return 'templates' in object
		? { ...policyRef(object), text: `${policyName(object)}: ${policyText(object)}` }
		: { ...stateRef(object), text: `${stateName(object)}: ${stateText(object)}` };
}
