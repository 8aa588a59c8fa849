/** Policies as `ip xfrm` prints them (spec 5.2; iproute2's ip/ipxfrm.c: xfrm_policy_info_print). */
import type { AttributeSource, UserPolicyInfo } from '@xfrm/netlink';
import { Direction, PolicyAction } from '@xfrm/wire/xfrm';
import { POLICY_FLAG_WORDS } from './flag-words.ts';
import { attributeLines, labelLine, shareName } from './format-attributes.ts';
import { lifetimeLines } from './format-lifetime.ts';
import { selectorLine } from './format-selector.ts';
import { binary8, flagText, type Layout } from './layout.ts';

const DIRECTION_NAMES: Readonly<Record<number, string>> = {
	[Direction.In]: 'in',
	[Direction.Out]: 'out',
	[Direction.Fwd]: 'fwd',
};
/** A socket's policy has 3 more (P-19). */
const SOCKET_DIRECTION = 3;

/** `dir out`, `socket in` … */
export function directionText(direction: number): string {
	const isSocket = direction >= SOCKET_DIRECTION;
	const plain = isSocket ? direction - SOCKET_DIRECTION : direction;
	return `${isSocket ? 'socket' : 'dir'} ${DIRECTION_NAMES[plain] ?? plain}`;
}

function actionText(action: number, layout: Layout): string {
	if (action === PolicyAction.Allow) {
		return layout.stats > 0 ? 'action allow ' : '';
	}
	return `action ${action === PolicyAction.Block ? 'block' : action} `;
}

/** The name of a policy type. */
export function policyTypeName(type: number): string {
	return ['main', 'sub'][type] ?? String(type);
}

function headLine(
	policy: UserPolicyInfo,
	from: AttributeSource,
	prefix: string,
	layout: Layout,
): string {
	const stats = layout.stats > 0;
	const type = from.get('policyType');
	const flags =
		stats || policy.flags !== 0 ? `flag ${flagText(policy.flags, POLICY_FLAG_WORDS)}` : '';
	return [
		`${prefix}${directionText(policy.direction)} `,
		actionText(policy.action, layout),
		stats ? `index ${policy.index} ` : '',
		`priority ${policy.priority} `,
		type === undefined ? '' : `ptype ${policyTypeName(type.type)} `,
		stats ? `share ${shareName(policy.share)} ` : '',
		flags,
		stats ? ` (0x${binary8(policy.flags)})` : '',
		layout.end,
	].join('');
}

/**
 * All lines of a policy.
 *
 * @param prefix in front of every line but the first, a tab follows it
 * @param title in front of the first line
 */
export function policyLines(
	policy: UserPolicyInfo,
	from: AttributeSource,
	layout: Layout,
	prefix: string = '',
	title: string = '',
): string {
	const inner = `${prefix}\t`;
	const lifetime =
		layout.stats > 0 ? lifetimeLines(policy.lifetime, policy.lifetimeCurrent, inner, layout) : '';
	// Keys do not occur in policies, so hiding them makes no difference.
	return (
		title +
		selectorLine(policy.selector, layout.family, layout) +
		labelLine(from, layout) +
		headLine(policy, from, inner, layout) +
		lifetime +
		attributeLines(from, policy.selector.family, inner, false, layout)
	);
}
