/**
 * The indexes of the SAD against the one list of all states: same members, same order, nothing left behind.
 */
import { type EngineDoor, StateCondition, type XfrmState } from '@xfrm/engine';
import type { Machine } from '../machine.ts';
import type { Invariant } from './invariant.ts';

function nameOf(state: XfrmState): string {
	return `state 0x${(state.spi >>> 0).toString(16)} (order ${state.order})`;
}

/** Each state is once in each index, in the order of insertion, and no bucket has one that is gone. */
function wrongBucket(
	all: ReadonlySet<XfrmState>,
	bucketOf: (state: XfrmState) => readonly XfrmState[],
	name: string,
): string | undefined {
	const seen = new Set<readonly XfrmState[]>();
	const found = new Set<XfrmState>();
	for (const state of all) {
		const bucket = bucketOf(state);
		if (seen.has(bucket)) {
			continue;
		}
		seen.add(bucket);
		let last = 0;
		for (const other of bucket) {
			if (!all.has(other)) {
				return `the ${name} index holds ${nameOf(other)}, which is gone`;
			}
			if (found.has(other) || other.order < last) {
				return `${nameOf(other)} is twice, or not in order, in the ${name} index`;
			}
			found.add(other);
			last = other.order;
		}
	}
	const missing = [...all].find((state) => !found.has(state));
	return missing && `${nameOf(missing)} is not in the ${name} index`;
}

/** The newest of the list that answers for the same SPI, by identity as text. */
function newestBySpi(states: readonly XfrmState[]): ReadonlyMap<string, XfrmState> {
	const newest = new Map<string, XfrmState>();
	for (const state of states) {
		const key = identityOf(state);
		if (!newest.has(key)) {
			newest.set(key, state);
		}
	}
	return newest;
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
	let last = Number.POSITIVE_INFINITY;
	const newest = newestBySpi(states);
	for (const state of states) {
		if (state.order >= last || state.condition === StateCondition.Dead) {
			return `${nameOf(state)} is dead or out of order`;
		}
		last = state.order;
		const { family, daddr, spi, proto, markValue } = state;
		if (spi !== 0) {
			const found = sad.bySpi(family, daddr, spi, proto, markValue);
			if (found !== newest.get(identityOf(state)) || !sad.spiInUse(spi, proto)) {
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
		wrongBucket(
			all,
			({ family, daddr, saddr, reqid }) => sad.destinationBucket(family, daddr, saddr, reqid),
			'destination',
		) ??
		wrongBucket(all, ({ family, daddr, saddr }) => sad.pairBucket(family, daddr, saddr), 'pair') ??
		wrongBucket(withSeq, ({ seq }) => sad.seqBucket(seq), 'sequence')
	);
}

function isStillFound(engine: EngineDoor, state: XfrmState): boolean {
	const { family, daddr, spi, proto, markValue } = state;
	return engine.net.sad.bySpi(family, daddr, spi, proto, markValue) === state;
}

export const stateIndex: Invariant = { name: 'SAD indexes agree with a plain list', check };
