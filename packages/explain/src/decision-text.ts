/**
 * Everything that a lookup's answer depends on behind a policy that wins, as text: in two worlds where it is
 * the same, flows are treated alike but for SPIs and keys. So a comparison only cuts up what differs.
 */
import type { XfrmPolicy, XfrmState } from '@xfrm/engine';
import { addressEquals, Direction, Mode, type Template } from '@xfrm/wire/xfrm';

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

/** @param serving the states that may serve a template, newest first */
export function policyDecisionText(
	policy: XfrmPolicy,
	serving: (template: Template) => readonly XfrmState[],
): string {
	const { action, flags, markValue, markMask, ifId, templates, direction, family } = policy;
	const demands = templates.map((template) => [
		template,
		// Inward a packet is checked against what it came through.
		...(direction === Direction.Out ? serving(template) : [])
			.filter((state) => endsThere(state, template, family))
			.map((state) => stateParts(state, template.id.spi !== 0)),
	]);
	return textOf([action, flags, markValue, markMask, ifId, demands]);
}

/** Could the state be the one of a template that names its own addresses? With others the flow decides. */
function endsThere(state: XfrmState, template: Template, family: number): boolean {
	const { mode, id } = template;
	const hasOwn = mode === Mode.Tunnel || mode === Mode.Beet || mode === Mode.Iptfs;
	const outer = template.family || family;
	return (
		!hasOwn || (state.family === outer && addressEquals(state.config.id.daddr, id.daddr, outer))
	);
}

/** The same of a state that flows came through; its SPI counts where templates name any. */
export function stateDecisionText(state: XfrmState, withSpi: boolean): string {
	return textOf(stateParts(state, withSpi));
}

function stateParts(state: XfrmState, withSpi: boolean): readonly unknown[] {
	const { id, ...rest } = state.config;
	const { condition, direction, kernelOwned } = state;
	return [rest, id.daddr, id.proto, withSpi ? id.spi : 0, condition, direction, kernelOwned];
}

function textOf(value: unknown): string {
	return JSON.stringify(value, (name, one: unknown) => (LEFT_OUT.has(name) ? undefined : one));
}
