/**
 * The indexes of the SAD against the one list of all states: same members, same order, nothing left behind.
 */
import {
	destinationHash,
	type EngineDoor,
	type HashChains,
	NONE,
	pairHash,
	StateCondition,
	seqHash,
	type XfrmState,
} from '@xfrm/engine';
import type { Machine } from '../machine.ts';
import type { Invariant } from './invariant.ts';

function nameOf(state: XfrmState): string {
	return `state 0x${(state.spi >>> 0).toString(16)} (order ${state.order})`;
}

/** Each state is once in each index, by falling order, and no hash leads to one that is gone. */
function wrongIndex(
	all: ReadonlySet<XfrmState>,
	index: HashChains<XfrmState>,
	hashOf: (state: XfrmState) => number,
	name: string,
): string | undefined {
	const seen = new Set<number>();
	const found = new Set<XfrmState>();
	for (const state of all) {
		const hash = hashOf(state);
		if (seen.has(hash)) {
			continue;
		}
		seen.add(hash);
		let last = Number.POSITIVE_INFINITY;
		for (let entry = index.first(hash); entry !== NONE; entry = index.next(entry)) {
			const other = index.owner(entry);
			if (other === null || !all.has(other)) {
				return `the ${name} index holds ${other === null ? 'nothing' : nameOf(other)}, which is gone`;
			}
			if (found.has(other) || other.order > last) {
				return `${nameOf(other)} is twice, or not in order, in the ${name} index`;
			}
			found.add(other);
			last = other.order;
		}
	}
	const missing = [...all].find((state) => !found.has(state));
	return missing && `${nameOf(missing)} is not in the ${name} index`;
}

/** That of the list which is met first of those that answer for the same SPI, by identity as text. */
function firstBySpi(states: readonly XfrmState[]): ReadonlyMap<string, XfrmState> {
	const first = new Map<string, XfrmState>();
	for (const state of states) {
		const key = identityOf(state);
		if (state.order > (first.get(key)?.order ?? 0)) {
			first.set(key, state);
		}
	}
	return first;
}

function identityOf({ family, daddr, spi, proto, markValue, markMask }: XfrmState): string {
	return [family, daddr.join('.'), spi, proto, markValue, markMask].join(' ');
}

function check({ engine, departed }: Machine): string | undefined {
	const { sad } = engine.net;
	const states = [...engine.states()];
	const all = new Set(states);
	if (states.length !== sad.count) {
		return `the list has ${states.length} states, the count is ${sad.count}`;
	}
	const orders = new Set(states.map(({ order }) => order));
	if (orders.size !== states.length) {
		return 'two states have one order';
	}
	const first = firstBySpi(states);
	for (const state of states) {
		if (state.condition === StateCondition.Dead) {
			return `${nameOf(state)} is dead`;
		}
		const { family, daddr, spi, proto, markValue } = state;
		if (spi !== 0) {
			const found = sad.bySpi(family, daddr, spi, proto, markValue);
			if (found !== first.get(identityOf(state)) || !sad.spiInUse(spi, proto)) {
				return `the SPI index does not answer as the list does for ${nameOf(state)}`;
			}
		}
	}
	const revenant = departed.find((state) => !all.has(state) && isStillFound(engine, state));
	if (revenant !== undefined) {
		return `${nameOf(revenant)} was deleted and is still found by its SPI`;
	}
	const withSeq = new Set(states.filter(({ seq }) => seq !== 0));
	return (
		wrongIndex(
			all,
			sad.byDestination,
			({ family, daddr, saddr, reqid }) => destinationHash(family, daddr, saddr, reqid),
			'destination',
		) ??
		wrongIndex(
			all,
			sad.byPair,
			({ family, daddr, saddr }) => pairHash(family, daddr, saddr),
			'pair',
		) ??
		wrongIndex(withSeq, sad.bySeqNumber, ({ seq }) => seqHash(seq), 'sequence')
	);
}

function isStillFound(engine: EngineDoor, state: XfrmState): boolean {
	const { family, daddr, spi, proto, markValue } = state;
	return engine.net.sad.bySpi(family, daddr, spi, proto, markValue) === state;
}

export const stateIndex: Invariant = { name: 'SAD indexes agree with a plain list', check };
