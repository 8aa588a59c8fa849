/** Judges `xfrm explain` by real troubleshooting cases (golden/README.md): not written yet. */
import type { Difference } from './difference.ts';

export interface ExplainCase {
	readonly id: string;
}

/** Runs a case; undefined when everything agrees. */
export function runExplainCase(_case: ExplainCase): Difference | { skipped: string } | undefined {
	return { skipped: 'not judged yet' };
}
