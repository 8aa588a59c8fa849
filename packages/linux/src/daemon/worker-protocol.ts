/**
 * What the two threads of the daemon tell each other. The worker's loop never returns to Node's event
 * loop, so that it can send messages but gets none: it is told by a flag in shared memory, and woken by an
 * eventfd.
 */

import type { ProviderName } from '../native/providers.ts';
import type { InterfaceNames } from './interface-list.ts';

/** What the worker is started with. */
export interface WorkerOptions {
	readonly controlFd: number;
	readonly wakeFd: number;
	/** One `Command`, shared. */
	readonly command: Int32Array;
	/** Where the journal is kept. */
	readonly folder: string;
	readonly interfaces: InterfaceNames;
	readonly noGuard: boolean;
	readonly provider: ProviderName;
}

/** What the worker is to do when it is woken. */
export const Command = { None: 0, Stop: 1 } as const;

export type WorkerMessage =
	| { readonly kind: 'log'; readonly level: LogLevel; readonly text: string }
	/** Everything is up. */
	| { readonly kind: 'ready' }
	/** It could not start, and has left nothing behind. */
	| { readonly kind: 'refused'; readonly text: string }
	/** The loop has ended as it was told; the guard stays, or is gone. */
	| { readonly kind: 'stopped'; readonly guarded: boolean };

export type LogLevel = 'info' | 'warning' | 'error';
