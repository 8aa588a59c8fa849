/** Choosing a state for a template (xfrm_state_find): signature first, body follows. */
import type { Flow } from '@xfrm/wire';
import type { Template } from '@xfrm/wire/xfrm';
import type { Namespace } from './namespace.ts';
import type { XfrmPolicy } from './policy.ts';
import type { XfrmState } from './state.ts';

/**
 * The VALID state that a template is to be served by, or null with the reason in `net.selectErrno`: EAGAIN
 * (one has been or is being asked for, a larval state stands in the table), ESRCH (nobody listens, or a
 * fitting state is EXPIRED or in ERROR), EEXIST (S-26). `daddr` and `saddr` are what the state must have
 * (for transport the flow's addresses, for tunnels the template's, source filled in), `family` is the
 * flow's; the state's is the template's. Makes the larval state and the acquire event by itself.
 */
export function selectState(
	net: Namespace,
	policy: XfrmPolicy,
	templateIndex: number,
	template: Template,
	flow: Flow,
	family: number,
	daddr: Int32Array,
	saddr: Int32Array,
): XfrmState | null {
	void [policy, templateIndex, template, flow, family, daddr, saddr];
	net.selectErrno = 3;
	return null;
}
