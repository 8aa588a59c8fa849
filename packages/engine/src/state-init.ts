/** Making a state ready (xfrm_state_construct, __xfrm_init_state): signatures first, bodies follow. */
import type { StateConfig } from '@xfrm/wire/xfrm';
import type { Answer } from './answer.ts';
import { answer } from './answer.ts';
import type { Namespace } from './namespace.ts';
import { XfrmState } from './state.ts';

/** A state made of a configuration, its transform ready, in no table yet; or why Linux refuses. */
export function initState(net: Namespace, config: StateConfig): Answer<XfrmState> {
	void net;
	return answer(new XfrmState(config));
}
