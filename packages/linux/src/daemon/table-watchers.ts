/** Tells several of what the engine tells one. */
import type { TableWatcher, XfrmPolicy, XfrmState } from '@xfrm/engine';

export class TableWatchers implements TableWatcher {
	readonly #watchers: readonly TableWatcher[];

	constructor(watchers: readonly TableWatcher[]) {
		this.#watchers = watchers;
	}

	stateChanged(state: XfrmState): void {
		for (const watcher of this.#watchers) {
			watcher.stateChanged(state);
		}
	}

	stateGone(state: XfrmState): void {
		for (const watcher of this.#watchers) {
			watcher.stateGone(state);
		}
	}

	policyChanged(policy: XfrmPolicy, replaced: XfrmPolicy | null): void {
		for (const watcher of this.#watchers) {
			watcher.policyChanged(policy, replaced);
		}
	}

	policyGone(policy: XfrmPolicy): void {
		for (const watcher of this.#watchers) {
			watcher.policyGone(policy);
		}
	}
}
