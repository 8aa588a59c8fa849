/**
 * Near misses: of all that was not taken, the objects that came closest, with the one field that decided.
 * Rulesets have thousands of objects and a reader has a minute: the nearest are shown, the rest counted.
 */
import type {
	Loser,
	PolicyLookupTrace,
	StateLookupTrace,
	StateSelectTrace,
	XfrmPolicy,
	XfrmState,
} from '@xfrm/engine';
import { type Flow, formatHex32 } from '@xfrm/wire';
import { type Address, addressEquals, Direction, Family, formatAddress } from '@xfrm/wire/xfrm';
import type { NearMiss, ObjectRef } from './answer.ts';
import {
	directionName,
	hasSpi,
	modeName,
	policyName,
	policyText,
	policyTypeName,
	protocolName,
	stateName,
	stateProtoName,
	stateText,
} from './names.ts';

/** Losers that are told. */
export const NEAR_MAX = 6;

export function policyRef(policy: XfrmPolicy): ObjectRef {
	return {
		kind: 'policy',
		dir: directionName(policy.direction),
		ptype: policyTypeName(policy),
		...(policy.socketId === 0 ? { index: policy.index } : {}),
	};
}

export function stateRef(state: XfrmState): ObjectRef {
	const family = state.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	return {
		kind: 'state',
		proto: stateProtoName(state.proto),
		...(hasSpi(state) ? { spi: formatHex32(state.spi) } : {}),
		src: formatAddress(state.config.saddr, family),
		dst: formatAddress(state.config.id.daddr, family),
	};
}

/** How many of a policy's demands a flow does not meet: the fewer, the nearer. */
export function misses(policy: XfrmPolicy, flow: Flow, ifId: number): number {
	const { selector } = policy;
	const addressMisses = (have: Int32Array, want: Int32Array, masks: Int32Array): boolean =>
		have.some((word, i) => ((word ^ (want[i] ?? 0)) & (masks[i] ?? 0)) !== 0);
	let count = 0;
	count += policy.family === flow.family ? 0 : 4;
	count += policy.ifId === ifId ? 0 : 1;
	count += policy.markFits(flow.mark) ? 0 : 1;
	count += addressMisses(flow.daddr, selector.daddr, selector.daddrMask) ? 1.5 : 0;
	count += addressMisses(flow.saddr, selector.saddr, selector.saddrMask) ? 1.5 : 0;
	count += selector.proto === 0 || selector.proto === flow.proto ? 0 : 1;
	count += ((flow.sport ^ selector.sport) & selector.sportMask) === 0 ? 0 : 0.5;
	count += ((flow.dport ^ selector.dport) & selector.dportMask) === 0 ? 0 : 0.5;
	count += selector.ifindex === 0 || selector.ifindex === flow.oif ? 0 : 1;
	return count;
}

/** Losers shown beside a winner: only those that nearly won are of interest. */
const BESIDE_WINNER_MAX = 3;
/** Farther off than this, one loser is enough: neither address and something else, say. */
const MISSES_MAX = 2.5;

/** The nearest losers of a policy lookup, nearest first. */
export function nearPolicies(lookup: PolicyLookupTrace): readonly NearMiss[] {
	const { flow, ifId, winner } = lookup;
	const ranked = lookup.losers
		.map((loser) => ({ loser, misses: misses(loser.object, flow, ifId) }))
		.sort((a, b) => a.misses - b.misses || a.loser.object.priority - b.loser.object.priority);
	const near = ranked.filter((one) => one.misses <= MISSES_MAX);
	const shown = near.length === 0 && winner === undefined ? ranked.slice(0, 1) : near;
	return shown
		.slice(0, winner === undefined ? NEAR_MAX : BESIDE_WINNER_MAX)
		.map(({ loser }) => policyMiss(loser));
}

function policyMiss(loser: Loser<XfrmPolicy>): NearMiss {
	const { object, field } = loser;
	const [want, have] = [protocolText(field, loser.want), protocolText(field, loser.have)];
	return {
		object: policyRef(object),
		field,
		want,
		have,
		text: `${policyName(object)}  ${policyText(object)}`,
	};
}

/** Numbers of upper protocols as words. */
function protocolText(field: string, value: string): string {
	return field === 'proto' && /^[0-9]+$/.test(value) ? protocolName(Number(value)) : value;
}

/** Policies that would match, were they for this direction: the in policy that should have been fwd. */
export function otherDirections(
	lookup: PolicyLookupTrace,
	policies: Iterable<XfrmPolicy>,
): readonly NearMiss[] {
	const { flow, ifId, direction } = lookup;
	const near: NearMiss[] = [];
	for (const policy of policies) {
		const other = policy.socketId === 0 && confusable(direction, policy.direction);
		if (other && policy.action === 0 && misses(policy, flow, ifId) === 0) {
			near.push(
				policyMiss({
					object: policy,
					field: 'dir',
					want: `dir ${directionName(policy.direction)}`,
					have: `dir ${directionName(direction)}`,
				}),
			);
		}
	}
	return near.slice(0, NEAR_MAX);
}

/** Is a policy of this direction one that somebody may have meant for the other? `out` never is for input. */
function confusable(direction: number, other: number): boolean {
	return direction !== other && (direction === Direction.Out || other !== Direction.Out);
}

/** The nearest states that did not satisfy a template: `want` is what the template demands. */
export function nearStates(losers: readonly Loser<XfrmState>[]): readonly NearMiss[] {
	return losers.slice(0, NEAR_MAX).map(stateMiss);
}

/** The nearest states that were not selected for a template: first those to the same destination. */
export function nearSelections(select: StateSelectTrace, daddr: Address): readonly NearMiss[] {
	const { winner, losers } = select;
	const there = losers.filter((loser) => {
		return addressEquals(loser.object.config.id.daddr, daddr, loser.object.family);
	});
	if (winner !== undefined) {
		return there.slice(0, BESIDE_WINNER_MAX).map(stateMiss);
	}
	return (there.length > 0 ? there : losers).slice(0, NEAR_MAX).map(stateMiss);
}

/** The nearest states that did not take an incoming packet: `want` is what the state demands of it. */
export function nearLookups(lookup: StateLookupTrace): readonly NearMiss[] {
	const { winner, losers } = lookup;
	return losers
		.filter(({ object }) => winner === undefined || lookupMisses(object, lookup) <= 1)
		.slice(0, winner === undefined ? NEAR_MAX : BESIDE_WINNER_MAX)
		.map((loser) => stateMiss({ ...loser, want: loser.have, have: loser.want }));
}

/** How many parts of a state's identity a lookup does not meet. */
function lookupMisses(state: XfrmState, lookup: StateLookupTrace): number {
	const { proto, spi, family, daddr, mark } = lookup;
	return (
		(state.proto === proto ? 0 : 1) +
		(state.spi >>> 0 === spi ? 0 : 1) +
		(state.family === family ? 0 : 1) +
		(addressEquals(state.config.id.daddr, daddr, family) ? 0 : 1) +
		(state.markFits(mark) ? 0 : 1)
	);
}

function stateMiss(loser: Loser<XfrmState>): NearMiss {
	const { object, field, want, have } = loser;
	return {
		object: stateRef(object),
		field,
		want: valueText(field, want),
		have: valueText(field, have),
		text: `${stateName(object)}  ${stateText(object)}`,
	};
}

/** Numbers of protocols, families and modes as words. */
function valueText(field: string, value: string): string {
	if (!/^[0-9]+$/.test(value)) {
		return value;
	}
	switch (field) {
		case 'proto':
			return stateProtoName(Number(value));
		case 'mode':
			return modeName(Number(value));
		case 'spi':
			return formatHex32(Number(value));
		case 'family':
			return value === '2' ? 'ipv4' : value === '10' ? 'ipv6' : value;
		default:
			return value;
	}
}

/** A loser inside of a sentence. */
export function missInSentence(miss: NearMiss): string {
	const [name = '', ...rest] = miss.text.split('  ');
	return `${name} (${rest.join(' ')})`;
}

/** `src: want 10.1.0.0/16, have 10.9.0.1`. */
export function missText(miss: Pick<NearMiss, 'field' | 'want' | 'have'>): string {
	return `${miss.field}: want ${miss.want}, have ${miss.have}`;
}

/** A policy in a sentence. */
export function policyInSentence(policy: XfrmPolicy): string {
	return `${policyName(policy)} (${policyText(policy)})`;
}
