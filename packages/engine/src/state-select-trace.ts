/**
 * Tells a tracer which state a template got, and of every other state by which field it lost: the fields
 * of xfrm_state_find in the kernel's order, named as `ip xfrm` names them. Used with a tracer only.
 */
import type { Flow } from '@xfrm/wire';
import { Family, formatAddress, StateFlag, type Template } from '@xfrm/wire/xfrm';
import type { Namespace } from './namespace.ts';
import type { XfrmPolicy } from './policy.ts';
import { wordsAny, wordsEqual } from './sad.ts';
import { wordsAddress } from './selector-match.ts';
import { type Mismatch, selectorMismatch } from './spd-scan.ts';
import { StateCondition, type XfrmState } from './state.ts';
import type { Loser, StateSelectTrace } from './trace.ts';

export type SelectOutcome = StateSelectTrace['outcome'];

/** Notes the choice that was made, or why there was none. */
export function traceSelect(
	net: Namespace,
	policy: XfrmPolicy,
	templateIndex: number,
	flow: Flow,
	family: number,
	daddr: Int32Array,
	saddr: Int32Array,
	winner: XfrmState | null,
	outcome: SelectOutcome,
): void {
	const template = policy.templates[templateIndex];
	if (net.tracer === null || template === undefined) {
		return;
	}
	const losers: Loser<XfrmState>[] = [];
	for (const state of net.sad.states()) {
		if (state !== winner && !state.kernelOwned) {
			const mismatch =
				stateMismatch(policy, template, state, daddr, saddr) ??
				conditionMismatch(net, state, flow, family, winner);
			losers.push({ object: state, ...mismatch });
		}
	}
	net.tracer.note({
		kind: 'state-select',
		template,
		winner: winner ?? undefined,
		losers,
		outcome,
		optional: template.optional !== 0,
	});
}

/**
 * The first field by which a state is no candidate for a template.
 *
 * @spec S-21
 */
export function stateMismatch(
	policy: XfrmPolicy,
	template: Template,
	state: XfrmState,
	daddr: Int32Array,
	saddr: Int32Array,
): Mismatch | undefined {
	const family = template.family === Family.Unspec ? policy.family : template.family;
	const address = (words: Int32Array): string => formatAddress(wordsAddress(words), family);
	if (state.family !== family) {
		return { field: 'family', want: `${family}`, have: `${state.family}` };
	}
	if (state.reqid !== (template.reqid | 0)) {
		return { field: 'reqid', want: `${template.reqid >>> 0}`, have: `${state.reqid >>> 0}` };
	}
	if (!state.markFits(policy.markValue)) {
		const have = `${hex(state.markValue)}/${hex(state.markMask)}`;
		return { field: 'mark', want: hex(policy.markValue), have };
	}
	if (state.ifId !== policy.ifId) {
		return { field: 'if_id', want: hex(policy.ifId), have: hex(state.ifId) };
	}
	if ((state.flags & StateFlag.WildRecv) !== 0) {
		return { field: 'flag', want: 'without wildrecv', have: 'wildrecv' };
	}
	if (!wordsEqual(state.daddr, daddr, family)) {
		return { field: 'dst', want: address(daddr), have: address(state.daddr) };
	}
	if (
		!wordsEqual(state.saddr, saddr, family) &&
		!wordsAny(state.saddr, family) &&
		!wordsAny(saddr, family)
	) {
		return { field: 'src', want: address(saddr), have: address(state.saddr) };
	}
	if (state.mode !== template.mode) {
		return { field: 'mode', want: `${template.mode}`, have: `${state.mode}` };
	}
	if (state.proto !== template.id.proto) {
		return { field: 'proto', want: `${template.id.proto}`, have: `${state.proto}` };
	}
	if (template.id.spi !== 0 && state.spi !== (template.id.spi | 0)) {
		return { field: 'spi', want: hex(template.id.spi), have: hex(state.spi) };
	}
	return undefined;
}

function familyName(family: number): string {
	return family === Family.Ipv4 ? 'IPv4' : 'IPv6';
}

/** Why a candidate was not taken. */
function conditionMismatch(
	net: Namespace,
	state: XfrmState,
	flow: Flow,
	family: number,
	winner: XfrmState | null,
): Mismatch {
	if (state.condition === StateCondition.Acq) {
		return { field: 'state', want: 'valid', have: 'acquire' };
	}
	if (state.selector.family !== Family.Unspec) {
		const mismatch =
			state.selector.family === family
				? selectorMismatch(state.selector, flow)
				: { field: 'family', want: familyName(state.selector.family), have: familyName(family) };
		if (mismatch !== undefined) {
			const { field, want, have } = mismatch;
			return { field: 'sel', want: `${field} ${want}`, have: `${field} ${have}` };
		}
	}
	if (state.condition !== StateCondition.Valid) {
		return { field: 'state', want: 'valid', have: 'expired' };
	}
	if (state.pcpu >= 0 && state.pcpu !== net.processor) {
		return { field: 'pcpu-num', want: `${net.processor}`, have: `${state.pcpu}` };
	}
	if (winner !== null && state.dying && !winner.dying) {
		return { field: 'limit', want: 'soft limit not reached', have: 'soft limit reached' };
	}
	// In a table that has grown an older one of the same second is met first (state-buckets.ts).
	return winner === null || isListedBefore(net, winner, state)
		? { field: 'order', want: 'added last', have: 'added before' }
		: { field: 'order', want: 'first of its bucket since the table grew', have: 'behind it' };
}

function isListedBefore(net: Namespace, newer: XfrmState, older: XfrmState): boolean {
	for (const state of net.sad.states()) {
		if (state === newer || state === older) {
			return state === newer;
		}
	}
	return false;
}

function hex(word: number): string {
	return `0x${(word >>> 0).toString(16)}`;
}
