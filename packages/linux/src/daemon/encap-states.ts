/**
 * States in UDP, and the ports that they have at this end: a socket that a new one needs is shared with its owner
 * before the state is acknowledged, and no change of any other has to look at all states for it.
 */
import type { TableWatcher, XfrmState } from '@xfrm/engine';
import type { Address } from '@xfrm/wire/xfrm';

/** Where a state begins or ends at this host. */
export interface OwnEnd {
	readonly family: number;
	readonly address: Address;
	readonly port: number;
}

const NONE: readonly OwnEnd[] = [];

export class EncapStates implements TableWatcher {
	readonly #ownEnd: (state: XfrmState) => OwnEnd | undefined;
	readonly #all: Set<XfrmState> = new Set();
	/** Those that have come, or changed, since ends were last taken. */
	readonly #fresh: Set<XfrmState> = new Set();

	/** @param ownEnd undefined of a state that is not in UDP */
	constructor(ownEnd: (state: XfrmState) => OwnEnd | undefined) {
		this.#ownEnd = ownEnd;
	}

	/** What was there before anybody watched. */
	begin(states: Iterable<XfrmState>): void {
		for (const state of states) {
			this.stateChanged(state);
		}
	}

	stateChanged(state: XfrmState): void {
		if (state.encap === undefined) {
			this.stateGone(state);
			return;
		}
		this.#all.add(state);
		this.#fresh.add(state);
	}

	stateGone(state: XfrmState): void {
		this.#all.delete(state);
		this.#fresh.delete(state);
	}

	policyChanged(): void {}
	policyGone(): void {}

	/** Ports of all. */
	get ports(): ReadonlySet<number> {
		const ports = new Set<number>();
		for (const state of this.#all) {
			const end = this.#ownEnd(state);
			if (end !== undefined) {
				ports.add(end.port);
			}
		}
		return ports;
	}

	/** Ends of those that are new since the last call. */
	takeNewEnds(): readonly OwnEnd[] {
		if (this.#fresh.size === 0) {
			return NONE;
		}
		const ends = [...this.#fresh].map(this.#ownEnd).filter((end) => end !== undefined);
		this.#fresh.clear();
		return ends;
	}
}
