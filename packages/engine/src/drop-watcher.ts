/**
 * Whoever attributes losses is told of every packet that the engine drops, as it counts it: by a call that
 * may not change anything, and on no other packet's way. What a tracer is told besides is not told here.
 */
import type { XfrmPolicy } from './policy.ts';
import type { XfrmState } from './state.ts';

export interface DropWatcher {
	/**
	 * @param verdict the engine's; who attributes may have numbers of its own above
	 * @param state that refused the packet, null when none did
	 * @param policy that decided, null when none did or it is not known any more
	 * @param code one of docs/reasons.md
	 */
	dropped(verdict: number, state: XfrmState | null, policy: XfrmPolicy | null, code: string): void;
}
