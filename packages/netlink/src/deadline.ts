/** When a caller no longer waits: its time is up, or its signal says so. */
import { Errno } from '@xfrm/wire/xfrm';
import { TIMEOUT_MS } from './limits.ts';
import type { CancelSignal, NetlinkTransport } from './transport.ts';

/** How long a call may take. */
export interface CallOptions {
	/** Gives up when it aborts: ECANCELED. An `AbortSignal` fits. */
	readonly signal?: CancelSignal;
	/** Gives up after so many milliseconds without news: ETIMEDOUT; default 10 s, Infinity for never. */
	readonly timeoutMs?: number;
}

/** Why it was given up. */
export interface Lapse {
	readonly errno: number;
	readonly detail: string;
}

const CANCELLED: Lapse = { errno: Errno.ECANCELED, detail: 'given up by the caller' };

/** Watches over one call until `stop`; tells of the lapse at most once. */
export class Deadline {
	readonly #transport: NetlinkTransport;
	readonly #signal: CancelSignal | undefined;
	readonly #timeoutMs: number;
	readonly #lapsed: (lapse: Lapse) => void;
	readonly #abort: () => void = () => this.#tell(CANCELLED);
	#takeBack: (() => void) | undefined;

	/** Begins to watch. A signal that has aborted before tells at once, within the constructor. */
	constructor(transport: NetlinkTransport, options: CallOptions, lapsed: (lapse: Lapse) => void) {
		this.#transport = transport;
		this.#signal = options.signal;
		this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
		this.#lapsed = lapsed;
		if (this.#signal?.aborted === true) {
			this.#tell(CANCELLED);
			return;
		}
		this.#signal?.addEventListener('abort', this.#abort);
		this.#arm();
	}

	/** There was news: the time begins anew. */
	extend(): void {
		this.#takeBack?.();
		this.#arm();
	}

	/** The call has ended. */
	stop(): void {
		this.#takeBack?.();
		this.#takeBack = undefined;
		this.#signal?.removeEventListener('abort', this.#abort);
	}

	#arm(): void {
		const milliseconds = this.#timeoutMs;
		if (milliseconds !== Number.POSITIVE_INFINITY) {
			const lapse = { errno: Errno.ETIMEDOUT, detail: `no answer for ${milliseconds} ms` };
			this.#takeBack = this.#transport.after(milliseconds, () => this.#tell(lapse));
		}
	}

	#tell(lapse: Lapse): void {
		this.stop();
		this.#lapsed(lapse);
	}
}
