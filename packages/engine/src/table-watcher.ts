/**
 * Whoever keeps a copy of the tables elsewhere, such as a journal, is told of every change: by a call that
 * may not change anything itself. Nothing is told of what packets do to states and policies (counts,
 * numbers, times of use).
 */
import type { XfrmPolicy } from './policy.ts';
import type { XfrmState } from './state.ts';

export interface TableWatcher {
	/** It is new, or something of it has changed: larval ones and helpers of IPComp too. */
	stateChanged(state: XfrmState): void;
	/** It is out of the tables, its keys are about to be wiped. */
	stateGone(state: XfrmState): void;
	/** It is new, in the place of another or not, or its templates have changed. */
	policyChanged(policy: XfrmPolicy, replaced: XfrmPolicy | null): void;
	policyGone(policy: XfrmPolicy): void;
}
