/**
 * Choosing the state that a template is served by on output (xfrm_state.c: xfrm_state_find,
 * xfrm_state_look_at). With a tracer, state-select-trace.ts tells why the others lost.
 *
 * @hotpath
 */
import type { Flow } from '@xfrm/wire';
import { Errno, PolicyFlag, StateFlag, type Template } from '@xfrm/wire/xfrm';
import { acquireState, hasKeyManager } from './acquire.ts';
import { NONE } from './hash-chains.ts';
import type { Namespace } from './namespace.ts';
import type { XfrmPolicy } from './policy.ts';
import { destinationHash, wordsAny, wordsEqual } from './sad.ts';
import { Current, StateCondition, type XfrmState } from './state.ts';
import { type SelectOutcome, traceSelect } from './state-select-trace.ts';

/** What a search has found so far. One object: nothing of it outlives a call. */
class Search {
	best: XfrmState | null = null;
	/** A larval candidate was met. */
	acquiring: boolean = false;
	/** A candidate in ERROR or EXPIRED fits the flow. */
	failed: boolean = false;

	clear(): void {
		this.best = null;
		this.acquiring = false;
		this.failed = false;
	}
}

const search: Search = new Search();
const anySource: Int32Array = new Int32Array(4);

/**
 * The VALID state that a template is to be served by, or null with the reason in `net.selectErrno`: EAGAIN
 * (one has been or is being asked for, a larval state stands in the table), ESRCH (nobody listens, or a
 * fitting state is EXPIRED or in ERROR), EEXIST (S-26). Makes larval state and acquire event by itself. A
 * state with EAGAIN is good for this packet only: the processor's own was asked for (S-24).
 *
 * @param templateIndex place of the template in its policy, for the tracer
 * @param family the flow's; the state's is the template's
 * @param daddr what the state must have: for transport the flow's, for tunnels the template's
 * @param saddr likewise, source filled in
 * @spec S-21 T-56 S-22 S-23 S-24 S-25 S-26 S-27 S-28 S-29 A-2
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
	const stateFamily = template.family === 0 ? policy.family : template.family;
	search.clear();
	lookThrough(net, policy, template, flow, family, stateFamily, daddr, saddr);
	if (search.best === null && !search.acquiring) {
		lookThrough(net, policy, template, flow, family, stateFamily, daddr, anySource);
	}
	const { best } = search;
	search.best = null;
	const wantsOwn = net.profile.perProcessor && (policy.flags & PolicyFlag.CpuAcquire) !== 0;
	const isFound = best !== null && (!wantsOwn || best.pcpu === net.processor);
	net.selectErrno = 0;
	const outcome = isFound ? 'found' : missing(net, template, stateFamily, daddr, policy);
	// What is not the processor's own stands in for this one packet, while its own is asked for.
	const winner = isFound || outcome === 'acquire' ? best : null;
	if (net.tracer !== null) {
		traceSelect(net, policy, templateIndex, flow, family, daddr, saddr, winner, outcome);
	}
	if (outcome === 'acquire') {
		net.rehearsedAcquire = true;
		if (!net.rehearsing) {
			acquireState(net, policy, template, flow, daddr, saddr, best === null ? -1 : net.processor);
		}
		net.selectErrno = Errno.EAGAIN;
	}
	return winner;
}

/** What to do without a state; sets the reason. */
function missing(
	net: Namespace,
	template: Template,
	stateFamily: number,
	daddr: Int32Array,
	policy: XfrmPolicy,
): SelectOutcome {
	if (search.acquiring) {
		net.selectErrno = Errno.EAGAIN;
		return 'larval';
	}
	if (search.failed) {
		net.selectErrno = Errno.ESRCH;
		return 'error';
	}
	const { spi, proto } = template.id;
	if (spi !== 0 && net.sad.bySpi(stateFamily, daddr, spi | 0, proto, policy.markValue) !== null) {
		net.selectErrno = Errno.EEXIST;
		return 'exists';
	}
	if (!hasKeyManager(net)) {
		net.selectErrno = Errno.ESRCH;
		return 'no-listener';
	}
	return 'acquire';
}

/** Looks at the candidates of one hash, newest first; with `anySource` at those without a source. */
function lookThrough(
	net: Namespace,
	policy: XfrmPolicy,
	template: Template,
	flow: Flow,
	family: number,
	stateFamily: number,
	daddr: Int32Array,
	saddr: Int32Array,
): void {
	const reqid = template.reqid | 0;
	const spi = template.id.spi | 0;
	const { byDestination: index } = net.sad;
	for (
		let entry = index.first(destinationHash(stateFamily, daddr, saddr, reqid));
		entry !== NONE;
		entry = index.next(entry)
	) {
		const state = index.owner(entry);
		if (
			state !== null &&
			state.family === stateFamily &&
			state.reqid === reqid &&
			state.markFits(policy.markValue) &&
			state.ifId === policy.ifId &&
			(state.flags & StateFlag.WildRecv) === 0 &&
			wordsEqual(state.daddr, daddr, stateFamily) &&
			sourceFits(state, saddr, stateFamily) &&
			state.mode === template.mode &&
			state.proto === template.id.proto &&
			(spi === 0 || state.spi === spi)
		) {
			lookAt(net, state, flow, family);
		}
	}
}

/** Equal, or one of them is the any-address. */
function sourceFits(state: XfrmState, saddr: Int32Array, family: number): boolean {
	return (
		wordsEqual(state.saddr, saddr, family) ||
		wordsAny(state.saddr, family) ||
		wordsAny(saddr, family)
	);
}

/**
 * Weighs one candidate against the best so far.
 *
 * @spec S-23 S-24 S-25
 */
function lookAt(net: Namespace, state: XfrmState, flow: Flow, family: number): void {
	const { best } = search;
	if (state.condition === StateCondition.Valid) {
		if (!selectorFits(state, flow, family)) {
			return;
		}
		if (state.pcpu >= 0 && state.pcpu !== net.processor) {
			return;
		}
		if (best === null || isBetter(net, state, best)) {
			search.best = state;
		}
	} else if (state.condition === StateCondition.Acq) {
		if (!net.profile.perProcessor || best === null || state.pcpu === net.processor) {
			search.acquiring = true;
		}
	} else if (state.condition !== StateCondition.Dead && selectorFits(state, flow, family)) {
		search.failed = true;
	}
}

/** A candidate beats an older one if it is bound to this processor, less dying, or added later. */
function isBetter(net: Namespace, state: XfrmState, best: XfrmState): boolean {
	if (best.pcpu < 0 && state.pcpu === net.processor) {
		return true;
	}
	if (best.dying !== state.dying) {
		return best.dying;
	}
	return (best.lifetime[Current.AddTime] ?? 0) < (state.lifetime[Current.AddTime] ?? 0);
}

/** A selector without family fits every flow. */
export function selectorFits(state: XfrmState, flow: Flow, family: number): boolean {
	const { selector } = state;
	return selector.family === 0 || (selector.family === family && selector.matches(flow));
}
