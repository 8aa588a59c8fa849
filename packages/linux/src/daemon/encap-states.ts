/**
 * States in UDP, and the ports that they have at this end: a port that a new one needs is shared with its owner
 * before the state is acknowledged, and no change of any other has to look at all states for it.
 */
import type { TableWatcher, XfrmState } from '@xfrm/engine';

/** The port of a state's own end; undefined of a state that is not in UDP. */
type OwnPort = (state: XfrmState) => number | undefined;

const NONE: ReadonlySet<number> = new Set();

export class EncapStates implements TableWatcher {
	readonly #ownPort: OwnPort;
	readonly #all: Set<XfrmState> = new Set();
	/** Those that have come, or changed, since ports were last taken. */
	readonly #fresh: Set<XfrmState> = new Set();

	constructor(ownPort: OwnPort) {
		this.#ownPort = ownPort;
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
		return this.#portsOf(this.#all);
	}

	/** Ports of those that are new since the last call. */
	takeNewPorts(): ReadonlySet<number> {
		if (this.#fresh.size === 0) {
			return NONE;
		}
		const ports = this.#portsOf(this.#fresh);
		this.#fresh.clear();
		return ports;
	}

	#portsOf(states: Iterable<XfrmState>): ReadonlySet<number> {
		const ports = new Set<number>();
		for (const state of states) {
			const port = this.#ownPort(state);
			if (port !== undefined) {
				ports.add(port);
			}
		}
		return ports;
	}
}
