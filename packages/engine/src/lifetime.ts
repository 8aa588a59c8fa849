/** Lifetimes of states and policies: signatures first, bodies follow. */
import type { Namespace } from './namespace.ts';
import type { XfrmState } from './state.ts';

/**
 * May one more packet go through this state (xfrm_state_check_expire)? Call it before counting the
 * packet; sets use_time. 0, or EINVAL when a hard limit is reached: then the state is EXPIRED and its
 * timer due at once.
 */
export function checkExpire(net: Namespace, state: XfrmState): number {
	void [net, state];
	return 0;
}
