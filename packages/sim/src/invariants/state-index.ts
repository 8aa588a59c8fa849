/**
 * The indexes of the SAD against the one list of all states: same members, same order, nothing left behind.
 *
 * @spec S-1 S-4 S-20
 */
import { StateCondition, type XfrmState } from '@xfrm/engine';
import type { Machine } from '../machine.ts';
import type { Invariant } from './invariant.ts';

function nameOf(state: XfrmState): string {
	return `state 0x${(state.spi >>> 0).toString(16)} (order ${state.order})`;
}

/** The first of the list, newest first, that answers for the same SPI. */
function bySpi(states: readonly XfrmState[], like: XfrmState): XfrmState | undefined {
	return states.find(
		(state) =>
			state.spi === like.spi &&
			state.proto === like.proto &&
			state.family === like.family &&
			state.daddr.every((word, i) => word === like.daddr[i]) &&
			state.markFits(like.markValue),
	);
}

/** Each index has a state exactly once, and no bucket has one that is not in the list. */
function wrongBucket(
	machine: Machine,
	all: ReadonlySet<XfrmState>,
	state: XfrmState,
): string | undefined {
	const { sad } = machine.engine.net;
	const { family, daddr, saddr, reqid, seq } = state;
	const buckets: Record<string, readonly XfrmState[]> = {
		destination: sad.destinationBucket(family, daddr, saddr, reqid),
		pair: sad.pairBucket(family, daddr, saddr),
		...(seq === 0 ? {} : { seq: sad.seqBucket(seq) }),
	};
	for (const [name, bucket] of Object.entries(buckets)) {
		if (bucket.filter((other) => other === state).length !== 1) {
			return `${nameOf(state)} is not once in its ${name} bucket`;
		}
		for (const [i, other] of bucket.entries()) {
			if (!all.has(other)) {
				return `the ${name} bucket of ${nameOf(state)} holds one that is gone, ${nameOf(other)}`;
			}
			const before = bucket[i - 1];
			if (before !== undefined && before.order > other.order && name !== 'seq') {
				return `the ${name} bucket of ${nameOf(state)} is not in the order of insertion`;
			}
		}
	}
	return undefined;
}

function check(machine: Machine): string | undefined {
	const { engine } = machine;
	const { sad } = engine.net;
	const states = [...engine.states()];
	const all = new Set(states);
	if (states.length !== sad.count) {
		return `the list has ${states.length} states, the count is ${sad.count}`;
	}
	let last = Number.POSITIVE_INFINITY;
	for (const state of states) {
		if (state.order >= last || state.condition === StateCondition.Dead) {
			return `${nameOf(state)} is dead or out of order`;
		}
		last = state.order;
		const wrong = wrongBucket(machine, all, state);
		if (wrong !== undefined) {
			return wrong;
		}
		if (state.spi !== 0) {
			const found = sad.bySpi(state.family, state.daddr, state.spi, state.proto, state.markValue);
			if (found !== bySpi(states, state) || !sad.spiInUse(state.spi, state.proto)) {
				return `the SPI index does not answer as the list does for ${nameOf(state)}`;
			}
		}
	}
	return machine.departed.some((state) => !all.has(state) && isStillFound(machine, state))
		? 'a deleted state is still found by its SPI'
		: undefined;
}

function isStillFound(machine: Machine, state: XfrmState): boolean {
	const { family, daddr, spi, proto, markValue } = state;
	return machine.engine.net.sad.bySpi(family, daddr, spi, proto, markValue) === state;
}

export const stateIndex: Invariant = { name: 'SAD indexes agree with a plain list', check };
