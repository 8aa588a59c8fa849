/** A selector for the way back: source and destination exchanged. */
import type { Flow } from '@xfrm/wire';
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

/** The selector with its one port on the other side; undefined where it would not be a flow's then. */
export function withPortExchanged(selector: Selector, flow: Flow): Selector | undefined {
	const { sport, sportMask, dport, dportMask } = selector;
	const single = (sportMask === 0) !== (dportMask === 0);
	const fits = sportMask === 0 ? dport === flow.sport : sport === flow.dport;
	return single && fits
		? { ...selector, sport: dport, sportMask: dportMask, dport: sport, dportMask: sportMask }
		: undefined;
}
