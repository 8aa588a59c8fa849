/**
 * The states of a bundle, compared with what a plain walk over all states would choose: of those that are
 * valid and fit the template, one that is not dying, then the one added last. Of several added in one second any may
 * be right: which is met first changes when the table grows, and bundles that were made before stay. Knows nothing of
 * indexes, bundles kept or flows remembered.
 */
import { type Bundle, type EngineDoor, StateCondition, type XfrmState } from '@xfrm/engine';
import { type Flow, flowAddress } from '@xfrm/wire';
import { addressEquals, isAnyAddress, Mode, type Template } from '@xfrm/wire/xfrm';

/** Place in `XfrmState.lifetime`. */
const ADD_TIME = 2;

/** What is wrong with the states of a bundle; undefined when nothing is. */
export function wrongState(engine: EngineDoor, bundle: Bundle, flow: Flow): string | undefined {
	if (bundle.first === null || bundle.policy.type !== 0) {
		return undefined;
	}
	let daddr = flowAddress(flow.daddr, flow.family);
	let saddr = flowAddress(flow.saddr, flow.family);
	let step: Bundle['first'] = bundle.first;
	for (const template of bundle.policy.templates) {
		if (template.mode !== Mode.Transport) {
			daddr = template.id.daddr;
			if (!isAnyAddress(template.saddr, template.family)) {
				saddr = template.saddr;
			}
		}
		const taken = step?.state;
		const expected = choose(engine, bundle, template, daddr, saddr, flow, taken);
		if (expected === undefined && template.optional !== 0) {
			continue;
		}
		if (expected === undefined || step === null || step.state !== expected) {
			const have = step === null ? 'none' : nameOf(step.state);
			const want = expected === undefined ? 'none' : nameOf(expected);
			return `policy ${bundle.policy.index} took state ${have}, a plain scan takes ${want}`;
		}
		step = step.next;
	}
	return undefined;
}

function nameOf(state: XfrmState): string {
	return `0x${(state.spi >>> 0).toString(16)}`;
}

function choose(
	engine: EngineDoor,
	bundle: Bundle,
	template: Template,
	daddr: Uint8Array,
	saddr: Uint8Array,
	flow: Flow,
	taken: XfrmState | undefined,
): XfrmState | undefined {
	let best: XfrmState | undefined;
	for (const state of engine.states()) {
		const { config } = state;
		const fits =
			state.condition === StateCondition.Valid &&
			config.family === template.family &&
			config.reqid === template.reqid &&
			config.mode === template.mode &&
			config.id.proto === template.id.proto &&
			(template.id.spi === 0 || config.id.spi === template.id.spi) &&
			addressEquals(config.id.daddr, daddr, config.family) &&
			addressEquals(config.saddr, saddr, config.family) &&
			state.markFits(bundle.policy.markValue) &&
			state.ifId === bundle.policy.ifId &&
			(state.selector.family === 0 || state.selector.matches(flow));
		if (fits && (best === undefined || isBetter(state, best, state === taken))) {
			best = state;
		}
	}
	return best;
}

function isBetter(state: XfrmState, best: XfrmState, winsTies: boolean): boolean {
	if (state.dying !== best.dying) {
		return best.dying;
	}
	const [time = 0, bestTime = 0] = [state.lifetime[ADD_TIME], best.lifetime[ADD_TIME]];
	return time > bestTime || (time === bestTime && winsTies);
}
