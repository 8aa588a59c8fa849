/**
 * Moving one state: MIGRATE_STATE (net/xfrm/xfrm_user.c: xfrm_do_migrate_state, Linux 7.2; the kernel's
 * Documentation/networking/xfrm/xfrm_migrate_state.rst). No policy is involved: whoever moves the state
 * sees to them. No kernel at hand has it, so this follows its source and documentation, by reading only.
 *
 * The order is what makes it safe: everything that may fail comes first; then, in one step, the clone takes
 * over the sequence numbers and the window, the old state goes, and the clone is inserted. No number is
 * used twice, and there is never a moment with both or, for whoever calls the engine, with none.
 */
import {
	addressEquals,
	type Encap,
	EncapType,
	Errno,
	Family,
	type Refusal,
	SaDirection,
	type Selector,
	type StateConfig,
} from '@xfrm/wire/xfrm';
import { type Answer, answer, refuse } from './answer.ts';
import type { MigrateStateRequest } from './engine.ts';
import { attachHelper } from './helper-states.ts';
import { invariant } from './invariant.ts';
import { copyProgress } from './migrate.ts';
import type { Namespace } from './namespace.ts';
import { addressWords, SelectorMatcher } from './selector-match.ts';
import { StateCondition, type XfrmState } from './state.ts';
import { findBySpi, insertUnique } from './state-commands.ts';
import { initState } from './state-init.ts';
import { deleteState, disposeState, insertState } from './state-life.ts';

/**
 * Moves the state that SPI and mark name; what the request does not name is inherited. The answer is the
 * new state, of which the caller tells.
 *
 * @spec G-9
 */
export function migrateState(net: Namespace, request: MigrateStateRequest): Answer<XfrmState> {
	const { id, family, oldMark } = request;
	const old = findBySpi(net, { id, family, mark: oldMark.v & oldMark.m });
	if (old === null) {
		return refuse(Errno.ESRCH, 'Can not find state');
	}
	const selector = request.selector ?? hostSelector(old, request);
	if (selector === undefined) {
		return refuse(Errno.EINVAL, 'SA selector is not a single-host match for SA addresses');
	}
	const encap = request.encap === undefined ? old.encap : (request.encap ?? undefined);
	const refusal = checkEncap(request, encap, old.direction) ?? checkFree(net, request, old);
	if (refusal !== undefined) {
		return { refusal };
	}
	const made = cloneState(net, movedConfig(old, request, encap), selector);
	if (made.refusal !== undefined) {
		return made;
	}
	if (old.condition !== StateCondition.Valid) {
		disposeState(net, made.value);
		return refuse(Errno.ESRCH, 'State already deleted');
	}
	replace(net, old, made.value);
	return made;
}

/** A selector of one host a side follows the addresses; undefined when it is another. */
function hostSelector(old: XfrmState, request: MigrateStateRequest): Selector | undefined {
	const { selector, id, saddr } = old.config;
	const bits = hostBits(old.family);
	if (
		selector.prefixlenS !== bits ||
		selector.prefixlenD !== bits ||
		!addressEquals(selector.daddr, id.daddr, old.family) ||
		!addressEquals(selector.saddr, saddr, old.family)
	) {
		return undefined;
	}
	const { daddr, saddr: newSaddr, family } = request.to;
	const prefix = hostBits(family);
	return {
		...selector,
		family,
		daddr,
		saddr: newSaddr,
		prefixlenD: prefix,
		prefixlenS: prefix,
	};
}

function hostBits(family: number): number {
	return family === Family.Ipv6 ? 128 : 32;
}

/** Do encapsulation and what depends on it agree? `encap` is what the new state will have. */
function checkEncap(
	request: MigrateStateRequest,
	encap: Encap | undefined,
	direction: number,
): Refusal | undefined {
	const refused = (message: string): Refusal => ({ errno: Errno.EINVAL, message });
	const { encap: asked, mappingThresholdSeconds, natKeepaliveSeconds } = request;
	if (asked !== undefined && asked !== null && asked.type !== EncapType.EspInUdp) {
		return refused('Unsupported encapsulation type');
	}
	if (mappingThresholdSeconds !== undefined && encap === undefined) {
		return refused('MTIMER_THRESH requires encapsulation');
	}
	if (mappingThresholdSeconds !== undefined && direction === SaDirection.Out) {
		return refused('MTIMER_THRESH should not be set on output SA');
	}
	if ((natKeepaliveSeconds ?? 0) !== 0 && encap === undefined) {
		return refused('NAT_KEEPALIVE_INTERVAL requires encapsulation');
	}
	return undefined;
}

/**
 * Is the new identity nobody else's? The kernel's first version looks only when the destination changes, so
 * that a changed mark can make twins; that was called a fault, and nobody can want it: we look always.
 */
function checkFree(
	net: Namespace,
	{ to, mark, oldMark }: MigrateStateRequest,
	old: XfrmState,
): Refusal | undefined {
	const { v, m } = mark ?? oldMark;
	return net.sad.isTaken(to.family, addressWords(to.daddr, to.family), old, v & m)
		? { errno: Errno.EEXIST, message: 'New SA tuple already occupied' }
		: undefined;
}

/** The old configuration with what the request names; without encapsulation nothing of NAT is inherited. */
function movedConfig(
	old: XfrmState,
	request: MigrateStateRequest,
	encap: Encap | undefined,
): StateConfig {
	const { encap: _, natKeepaliveSeconds, mappingThresholdSeconds, ...kept } = old.config;
	const nat = {
		encap,
		mappingThresholdSeconds: request.mappingThresholdSeconds ?? old.mappingThresholdSeconds,
		natKeepaliveSeconds: request.natKeepaliveSeconds ?? natKeepaliveSeconds ?? 0,
	};
	const { outputMark, oldMark } = request;
	return {
		...kept,
		id: { ...kept.id, spi: old.spi >>> 0, daddr: request.to.daddr },
		saddr: request.to.saddr,
		family: request.to.family,
		reqid: request.reqid,
		...(nat.encap === undefined ? {} : { ...nat, encap: nat.encap }),
		mark: request.mark ?? oldMark,
		...(outputMark === undefined ? {} : { outputMark }),
	};
}

/** A VOID state of this configuration, in no table; its selector stays as it was asked for, family 0 too. */
function cloneState(net: Namespace, config: StateConfig, selector: Selector): Answer<XfrmState> {
	const refused = (message = 'State migration clone failed'): Answer<XfrmState> =>
		refuse(Errno.EINVAL, message);
	const made = initState(net, { ...config, selector });
	if (made.refusal !== undefined) {
		return refused(made.refusal.message);
	}
	const clone = made.value;
	clone.config = { ...clone.config, selector };
	clone.selector = new SelectorMatcher(selector);
	const refusal = attachHelper(net, clone);
	if (refusal !== undefined) {
		disposeState(net, clone);
		return refused(refusal.message);
	}
	return answer(clone);
}

/** The step that nothing comes between: numbers over, old state out, new one in. */
function replace(net: Namespace, old: XfrmState, clone: XfrmState): void {
	const isSamePlace =
		old.family === clone.family &&
		addressEquals(old.config.id.daddr, clone.config.id.daddr, old.family);
	copyProgress(old, clone);
	clone.condition = StateCondition.Valid;
	deleteState(net, old);
	if (isSamePlace) {
		insertState(net, clone);
	} else {
		const isInserted = insertUnique(net, clone);
		invariant(isInserted, 'the new place is free, or nothing was begun');
	}
}
