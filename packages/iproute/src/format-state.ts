/** States as `ip xfrm` prints them (spec 5.2; iproute2's ip/ipxfrm.c: xfrm_state_info_print). */
import type { AttributeSource, UserSaInfo } from '@xfrm/netlink';
import { EXTRA_FLAG_WORDS, STATE_FLAG_WORDS } from './flag-words.ts';
import { attributeLines, identityLines, labelLine } from './format-attributes.ts';
import { lifetimeLines, statsLines } from './format-lifetime.ts';
import { isZeroSelector, selectorLine } from './format-selector.ts';
import { binary8, decimal8, flagText, type Layout } from './layout.ts';
import { isIpsec } from './protocol-names.ts';

const PREFIX = '\t';

function windowLine(state: UserSaInfo, from: AttributeSource, layout: Layout): string {
	const stats = layout.stats > 0;
	const seq = stats ? `seq 0x${decimal8(state.seq)} ` : '';
	const flags = stats || state.flags !== 0 ? `flag ${flagText(state.flags, STATE_FLAG_WORDS)}` : '';
	const extra = from.get('saExtraFlags');
	const extraText =
		stats && extra !== undefined ? `extra_flag ${flagText(extra, EXTRA_FLAG_WORDS)}` : '';
	const bits = stats ? ` (0x${binary8(state.flags)})` : '';
	return `${PREFIX}replay-window ${state.replayWindow} ${seq}${flags}${extraText}${bits}${layout.end}`;
}

/** All lines of a state. */
export function stateLines(state: UserSaInfo, from: AttributeSource, layout: Layout): string {
	const selector = isZeroSelector(state.selector)
		? ''
		: `${PREFIX}sel ${selectorLine(state.selector, state.family, layout)}`;
	const more =
		layout.stats > 0
			? lifetimeLines(state.lifetime, state.lifetimeCurrent, PREFIX, layout) +
				statsLines(state.stats, PREFIX, layout)
			: '';
	return (
		identityLines(state, isIpsec(state.id.proto), '', layout) +
		windowLine(state, from, layout) +
		attributeLines(from, state.family, PREFIX, true, layout) +
		selector +
		more +
		labelLine(from, layout)
	);
}
