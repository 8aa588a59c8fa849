/** A selector for the way back: source and destination exchanged. */
import type { Selector } from '@xfrm/wire/xfrm';

export function reversedSelector(selector: Selector): Selector {
	return {
		...selector,
		saddr: selector.daddr,
		daddr: selector.saddr,
		prefixlenS: selector.prefixlenD,
		prefixlenD: selector.prefixlenS,
		sport: selector.dport,
		sportMask: selector.dportMask,
		dport: selector.sport,
		dportMask: selector.sportMask,
	};
}
