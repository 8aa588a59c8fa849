/**
 * Everything that a lookup's answer depends on behind the policies that win, as text: in two worlds where it
 * is the same, flows are treated alike but for SPIs and keys. So a comparison only cuts up what differs.
 */
import type { XfrmPolicy, XfrmState } from '@xfrm/engine';
import type { Template } from '@xfrm/wire/xfrm';

/** What every rekey changes. */
const LEFT_OUT: ReadonlySet<string> = new Set([
	'key',
	'lifetime',
	'lifetimeCurrent',
	'replay',
	'replayEsn',
	'replayWindow',
	'replayThreshold',
	'seq',
	'expiryTimer',
]);

/**
 * @param winners table by table
 * @param defaults those that decide because no policy does
 * @param via states that the flows came through
 * @param serving the states that may serve a template, newest first
 */
export function decisionText(
	winners: readonly (XfrmPolicy | null)[],
	defaults: readonly (number | undefined)[],
	via: readonly XfrmState[],
	serving: (template: Template, policy: XfrmPolicy) => readonly XfrmState[],
): string {
	const namesSpi = winners.some((policy) => policy?.templates.some(({ id }) => id.spi !== 0));
	const policies = winners.map((policy) => (policy === null ? null : policyParts(policy, serving)));
	return textOf([policies, defaults, via.map((state) => stateParts(state, namesSpi))]);
}

function policyParts(
	policy: XfrmPolicy,
	serving: (template: Template, policy: XfrmPolicy) => readonly XfrmState[],
): readonly unknown[] {
	const { action, flags, markValue, markMask, ifId, templates } = policy;
	const demands = templates.map((template) => [
		template,
		serving(template, policy).map((state) => stateParts(state, template.id.spi !== 0)),
	]);
	return [action, flags, markValue, markMask, ifId, demands];
}

function stateParts(state: XfrmState, withSpi: boolean): readonly unknown[] {
	const { id, ...rest } = state.config;
	const { condition, direction, kernelOwned } = state;
	return [rest, id.daddr, id.proto, withSpi ? id.spi : 0, condition, direction, kernelOwned];
}

function textOf(value: unknown): string {
	return JSON.stringify(value, (name, one: unknown) => (LEFT_OUT.has(name) ? undefined : one));
}
