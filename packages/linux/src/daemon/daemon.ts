/**
 * The daemon as its main thread sees it: takes the port id, starts the worker that does everything, waits
 * for signals, and ends in order. What the worker has left of Node's own habits that could tell keys is
 * switched off here.
 */
import { rmSync } from 'node:fs';
import { extname } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { Errno } from '@xfrm/wire/xfrm';
import { CompileError } from '../native/compiled.ts';
import { ffiNative } from '../native/ffi.ts';
import { chooseProvider, type ProviderName } from '../native/providers.ts';
import type { Native } from '../native/seam.ts';
import { hasNetAdmin } from '../requirement.ts';
import { openControlSocket } from './control-socket.ts';
import { guardStands, removeGuard } from './guard.ts';
import { type InterfaceNames, removeInterfaces } from './interface-list.ts';
import { hasJournal } from './journal.ts';
import { endKeepers, type PortHolders, portHolders, startKeeper } from './keeper.ts';
import { SourceCheck } from './source-check.ts';
import { StartError } from './start-error.ts';
import { discardStateFolder, stateFolder, stateFolderPath } from './state-folder.ts';
import {
	Command,
	type LogLevel,
	type WorkerMessage,
	type WorkerOptions,
} from './worker-protocol.ts';

/** `PR_SET_DUMPABLE`. */
const SET_DUMPABLE = 4;
/** A worker that does not end by itself is left behind: status 0 within 5 s of SIGTERM is promised. */
const STOP_MS_MAX = 4500;

export interface DaemonOptions {
	/** Under which the daemon has a folder for each boot and network namespace. */
	readonly stateDir: string;
	/** Names of devices by if_id, made at the start. */
	readonly interfaces: InterfaceNames;
	readonly noGuard: boolean;
	readonly provider: ProviderName;
	readonly log: (level: LogLevel, text: string) => void;
}

/**
 * For what the worker makes and soon forgets: packets make nothing, and a request a few kilobytes. By default there
 * would be 48, most of which it would fill before it looked what is still of use.
 */
const YOUNG_MEGABYTES = 6;

/**
 * Garbage among what has lived longer, of a hundred of what is in use, but 8 MB at least; then V8 collects. By default
 * it lets a heap become two to four times as large, and sees to that in the event loop when nothing is to be done: the
 * worker never returns there.
 */
const GARBAGE_PERCENT_MAX = 20;

/** How the daemon ended: as it was told (0), or by a failure (1). */
export type DaemonEnd = 0 | 1;

export class Daemon {
	readonly #worker: Worker;
	readonly #native: Native;
	readonly #wakeFd: number;
	readonly #command: Int32Array;
	readonly #keeperIsNew: boolean;
	readonly #log: DaemonOptions['log'];
	/** Resolves when everything is up; rejects with `StartError`. */
	readonly ready: Promise<void>;
	/** Resolves when it has ended. */
	readonly ended: Promise<DaemonEnd>;

	/** @throws StartError when it is clear at once that it can't */
	constructor(options: DaemonOptions) {
		this.#log = options.log;
		if (!hasNetAdmin()) {
			throw new StartError('the daemon needs CAP_NET_ADMIN and CAP_NET_RAW: run it as root');
		}
		this.#native = tryProvider(options);
		// Keys are in this memory: no core dumps, no debugger of another user's.
		this.#native.prctl(SET_DUMPABLE, 0);
		const folder = stateFolder(this.#native, options.stateDir);
		const { controlFd, isNew } = takeControlSocket(this.#native, folder);
		if (isNew) {
			startKeeper(controlFd);
		}
		this.#keeperIsNew = isNew;
		this.#wakeFd = this.#native.eventfd();
		this.#command = new Int32Array(new SharedArrayBuffer(4));
		const workerData: WorkerOptions = {
			controlFd,
			wakeFd: this.#wakeFd,
			command: this.#command,
			folder,
			interfaces: options.interfaces,
			noGuard: options.noGuard,
			provider: options.provider,
		};
		const path = new URL(`./data-plane-worker${extname(import.meta.url)}`, import.meta.url);
		setFlagsFromString(`--heap-growing-percent=${GARBAGE_PERCENT_MAX}`);
		this.#worker = new Worker(path, {
			workerData,
			resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MEGABYTES },
		});
		const { ready, ended } = this.#follow();
		this.ready = ready;
		this.ended = ended;
	}

	/** Ends it in order; `ended` tells. */
	stop(): void {
		Atomics.store(this.#command, 0, Command.Stop);
		this.#native.write(this.#wakeFd, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));
		const late = setTimeout(() => {
			this.#log('warning', 'the data plane does not end in time and is left behind');
			this.#worker.terminate();
		}, STOP_MS_MAX);
		late.unref();
	}

	#follow(): { readonly ready: Promise<void>; readonly ended: Promise<DaemonEnd> } {
		let end: DaemonEnd = 1;
		const worker = this.#worker;
		const ready = new Promise<void>((resolve, reject) => {
			worker.on('message', (message: WorkerMessage) => {
				switch (message.kind) {
					case 'log':
						this.#log(message.level, message.text);
						return;
					case 'ready':
						resolve();
						return;
					case 'refused':
						if (this.#keeperIsNew) {
							endKeepers();
						}
						reject(new StartError(message.text));
						return;
					case 'stopped':
						if (!message.guarded) {
							endKeepers();
						}
						end = 0;
						return;
				}
			});
			worker.on('error', (error: Error) => {
				this.#log('error', `the data plane has failed: ${error.stack ?? error.message}`);
				reject(error);
			});
		});
		const ended = new Promise<DaemonEnd>((resolve) => {
			worker.on('exit', () => resolve(Atomics.load(this.#command, 0) === Command.Stop ? 0 : end));
		});
		return { ready, ended };
	}
}

/** The control socket, opened or taken over from a predecessor's keeper. @throws StartError */
function takeControlSocket(
	native: Native,
	folder: string,
): { readonly controlFd: number; readonly isNew: boolean } {
	const controlFd = openControlSocket(native);
	if (controlFd >= 0) {
		return { controlFd, isNew: true };
	}
	const holders = controlFd === -Errno.EADDRINUSE ? portHolders() : undefined;
	const [keeper] = holders?.others.length === 0 ? holders.keepers : [];
	if (keeper === undefined) {
		discardStateFolder(folder);
		throw new StartError(controlRefusal(-controlFd, holders));
	}
	const pidfd = native.pidfdOpen(keeper.pid);
	const copy = native.pidfdGetfd(pidfd, keeper.fd);
	native.close(pidfd);
	if (copy < 0) {
		throw new StartError(
			`the keeper's socket (process ${keeper.pid}) cannot be taken over (errno ${-copy}): ` +
				'CAP_SYS_PTRACE is needed for it; or forget the predecessor with "xfrm daemon --cleanup"',
		);
	}
	return { controlFd: copy, isNew: false };
}

/** The provider that the worker will choose too: what has to be compiled is compiled here. @throws StartError */
function tryProvider({ provider, log }: DaemonOptions): Native {
	try {
		const { native, note } = chooseProvider(provider);
		if (note !== undefined) {
			log('info', `no addon: ${note}; the slower provider is used`);
		}
		log('info', `provider ${native.name}`);
		return native;
	} catch (error) {
		if (error instanceof CompileError) {
			throw new StartError(`${error.message}: see to that, or use --provider ffi`);
		}
		throw error;
	}
}

/** Forgets all that a daemon has left in this network namespace. @throws StartError while one runs, GuardError */
export function cleanUp(stateDir: string, log: DaemonOptions['log']): void {
	const native = ffiNative();
	const holders = portHolders();
	const [other] = holders?.others ?? [];
	if (other !== undefined) {
		throw new StartError(`a daemon runs (process ${other.pid}): end it first`);
	}
	if (holders?.keepers.length === 0) {
		throw new StartError(
			'a daemon runs, or has run, whose processes cannot be seen from here: clean up where it was started',
		);
	}
	const folder = stateFolderPath(native, stateDir);
	if (guardStands(native) && !hasJournal(folder)) {
		log(
			'warning',
			`the guard’s journal is not in ${stateDir}: what the daemon kept elsewhere stays, devices by if_id and what ` +
				'rp_filter was among it; "xfrm daemon --cleanup --state-dir DIR" once more, with the folder that it had',
		);
	}
	removeGuard(native);
	endKeepers();
	removeInterfaces(native, folder);
	new SourceCheck(folder).putBack();
	rmSync(folder, { recursive: true, force: true });
}

function controlRefusal(errno: number, holders: PortHolders | undefined): string {
	switch (errno) {
		case Errno.EADDRINUSE:
			return (
				`another xfrm daemon runs in this network namespace${holderText(holders)}: end it first, or run ` +
				'this one in a namespace of its own ("ip netns exec NAME xfrm daemon")'
			);
		case Errno.EPERM:
		case Errno.EACCES:
			return 'the daemon needs CAP_NET_ADMIN in this network namespace: run it as root';
		default:
			return `the netlink socket cannot be opened (errno ${errno})`;
	}
}

function holderText(holders: PortHolders | undefined): string {
	const [first] = holders?.others ?? [];
	return first === undefined ? '' : ` (process ${first.pid})`;
}
