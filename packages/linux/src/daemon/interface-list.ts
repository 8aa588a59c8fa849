/**
 * Devices by if_id: what `ip link add NAME type xfrm if_id N` is to the kernel. The daemon makes one when an
 * if_id is first heard of, `xfrm-N`, or at its start by the name that it was told; addresses and routes are
 * the administrator's or the key manager's to give.
 *
 *     sent by it      looked up by its if_id; without a policy and states it goes nowhere
 *     opened          a packet whose last state has the if_id comes in by it, and meets the policies of the if_id
 *
 * The devices outlive the daemon (TUNSETPERSIST), so that routes by them go on leading there, and nowhere: what
 * is sent meanwhile is lost, and does not leave by another route. Their names are kept in the state folder, by
 * which a successor finds them, and it or `--cleanup` takes them away when nobody needs them:
 *
 *     NAME IF_ID      a line each
 *
 * Like the kernel's they may be given another name, be moved to another network namespace, and be removed: then the
 * if_id has none until a state or policy of it comes.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Engine, TableWatcher, XfrmPolicy, XfrmState } from '@xfrm/engine';
import { interfaceIndex } from '../interface-name.ts';
import { INTERFACES_MAX } from '../limits.ts';
import type { Native } from '../native/seam.ts';
import { nowUs } from './clock.ts';
import type { Lane } from './outbound.ts';
import { StartError } from './start-error.ts';
import { replaceFile } from './state-folder.ts';
import { makeTunPersistent, openTun, removeTun, tunName } from './tun-device.ts';

/** As a device that has no link to take it from. */
const INTERFACE_MTU = 1500;

/** One that could not be made is tried again at the next state or policy of its if_id, but not sooner than this. */
const RETRY_US = 1_000_000;

const FILE = 'interfaces';

/** Names of devices by if_id, as unsigned numbers. */
export type InterfaceNames = ReadonlyMap<number, string>;

/** The name of a device that nobody has named. */
export function interfaceName(ifId: number): string {
	return `xfrm-${ifId >>> 0}`;
}

export interface InterfaceOptions {
	readonly native: Native;
	/** The daemon's state folder. */
	readonly folder: string;
	readonly names: InterfaceNames;
	/** A device is there: packets may come from it. */
	readonly opened: (lane: Lane, name: string) => void;
	/** It has another name now. */
	readonly renamed: (lane: Lane, name: string, before: string) => void;
	/** Somebody has removed it; its descriptor is closed next. */
	readonly removed: (lane: Lane, name: string) => void;
	/** One could not be made, or its name not be kept. */
	readonly failed: (text: string) => void;
}

export class InterfaceList implements TableWatcher {
	readonly #options: InterfaceOptions;
	readonly #clock: () => number;
	readonly #lanes: Map<number, Lane> = new Map();
	readonly #names: Map<number, string> = new Map();
	/** Were heard of, and have no device yet. */
	readonly #wanted: Set<number> = new Set();
	/** Could not be made, and why. */
	readonly #failed: Map<number, { readonly triedUs: number; readonly why: string }> = new Map();

	/** @param clock microseconds */
	constructor(options: InterfaceOptions, clock: () => number = nowUs) {
		this.#options = options;
		this.#clock = clock;
	}

	/** Makes those that were named, and those of what the engine has already. @throws StartError */
	begin(engine: Engine): void {
		for (const ifId of this.#options.names.keys()) {
			this.#make(ifId | 0);
		}
		for (const state of engine.states()) {
			this.#note(state.ifId);
		}
		for (const policy of engine.policies()) {
			this.#note(policy.ifId);
		}
		this.update();
	}

	stateChanged(state: XfrmState): void {
		this.#note(state.ifId);
	}
	stateGone(): void {}
	policyChanged(policy: XfrmPolicy): void {
		this.#note(policy.ifId);
	}
	policyGone(): void {}

	/** Makes devices for if_ids that were heard of since. */
	update(): void {
		if (this.#wanted.size === 0) {
			return;
		}
		for (const ifId of this.#wanted) {
			try {
				this.#make(ifId);
			} catch (error) {
				if (!(error instanceof StartError)) {
					throw error;
				}
				this.#noteFailure(ifId, error.message);
			}
		}
		this.#wanted.clear();
	}

	/** Told once for each reason. */
	#noteFailure(ifId: number, why: string): void {
		const before = this.#failed.get(ifId);
		this.#failed.set(ifId, { triedUs: this.#clock(), why });
		if (before?.why !== why) {
			this.#options.failed(why);
		}
	}

	/** Sees what others have done to the devices. */
	follow(): void {
		const { native, renamed, removed } = this.#options;
		for (const [ifId, lane] of [...this.#lanes]) {
			const before = this.#names.get(ifId) ?? '';
			const name = tunName(native, lane.fd);
			if (name === undefined) {
				removed(lane, before);
				native.close(lane.fd);
				this.#lanes.delete(ifId);
				this.#names.delete(ifId);
				this.#keepInstead(before, undefined, ifId);
			} else if (name !== before && interfaceIndex(name) === lane.ifindex) {
				renamed(lane, name, before);
				this.#names.set(ifId, name);
				this.#keepInstead(before, name, ifId);
			}
		}
	}

	#keepInstead(before: string, name: string | undefined, ifId: number): void {
		const { folder, failed } = this.#options;
		try {
			const kept = keptNames(folder);
			kept.delete(before);
			if (name !== undefined) {
				kept.set(name, ifId >>> 0);
			}
			keepNames(folder, kept);
		} catch (error) {
			const why = error instanceof Error ? error.message : String(error);
			failed(`the names of devices by if_id cannot be kept (${why}): a successor would not know`);
		}
	}

	/** The name that it was told, that a predecessor's has, or of its own. */
	#nameFor(ifId: number): string {
		const { names, folder } = this.#options;
		const id = ifId >>> 0;
		const kept = [...keptNames(folder)].find(([, keptId]) => keptId === id);
		return names.get(id) ?? kept?.[0] ?? interfaceName(ifId);
	}

	/** The device of an if_id, if it has one. */
	find(ifId: number): Lane | undefined {
		return this.#lanes.get(ifId);
	}

	/** Of all devices. */
	names(): Iterable<string> {
		return this.#names.values();
	}

	/** Names by if_id. */
	named(): Iterable<readonly [ifId: number, name: string]> {
		return this.#names;
	}

	/** @param stay they are needed still: only their descriptors go */
	close(stay: boolean): void {
		for (const { fd } of this.#lanes.values()) {
			this.#options.native.close(fd);
		}
		if (!stay) {
			removeInterfaces(this.#options.native, this.#options.folder);
		}
	}

	#note(ifId: number): void {
		if (ifId !== 0 && !this.#lanes.has(ifId) && !this.#hasJustFailed(ifId)) {
			this.#wanted.add(ifId);
		}
	}

	#hasJustFailed(ifId: number): boolean {
		const failure = this.#failed.get(ifId);
		return failure !== undefined && this.#clock() - failure.triedUs < RETRY_US;
	}

	/** @throws StartError */
	#make(ifId: number): void {
		const { native, folder, opened } = this.#options;
		if (this.#lanes.size >= INTERFACES_MAX) {
			throw new StartError(
				`no device for if_id ${ifId >>> 0}: there are ${INTERFACES_MAX} already`,
			);
		}
		const name = this.#nameFor(ifId);
		const tun = openTun(native, name, INTERFACE_MTU);
		try {
			const kept = keptNames(folder);
			if (kept.get(name) !== ifId >>> 0) {
				keepNames(folder, kept.set(name, ifId >>> 0));
			}
		} catch (error) {
			// It goes with its descriptor: nobody would know whose it is.
			native.close(tun.fd);
			const why = error instanceof Error ? error.message : String(error);
			throw new StartError(`no device for if_id ${ifId >>> 0}: its name cannot be kept (${why})`);
		}
		makeTunPersistent(native, tun);
		const lane: Lane = { fd: tun.fd, ifindex: tun.ifindex, mark: 0, ifId };
		this.#lanes.set(ifId, lane);
		this.#names.set(ifId, name);
		this.#failed.delete(ifId);
		opened(lane, name);
	}
}

/** Takes away the devices that a daemon with this state folder has left. */
export function removeInterfaces(native: Native, folder: string): void {
	for (const name of keptNames(folder).keys()) {
		removeTun(native, name);
	}
	rmSync(join(folder, FILE), { force: true });
}

/** @throws Error of the file system */
function keepNames(folder: string, names: ReadonlyMap<string, number>): void {
	const lines = [...names].map(([name, ifId]) => `${name} ${ifId}\n`);
	replaceFile(join(folder, FILE), lines.join(''));
}

/** If_ids by name. */
function keptNames(folder: string): Map<string, number> {
	const names = new Map<string, number>();
	try {
		for (const line of readFileSync(join(folder, FILE), 'utf8').split('\n')) {
			const [name = '', ifId] = line.split(' ');
			if (name !== '') {
				names.set(name, Number(ifId));
			}
		}
	} catch {
		// There was none yet.
	}
	return names;
}
