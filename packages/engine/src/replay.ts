/** Replay window: stub. */
import type { StateConfig } from '@xfrm/wire/xfrm';

/** What kind of window a state has. */
export const ReplayMode = { Legacy: 0, Bitmap: 1, Esn: 2 } as const;
export type ReplayMode = (typeof ReplayMode)[keyof typeof ReplayMode];

/** Places in `ReplayWindow.counters`. */
export const ReplayCounter = { Oseq: 0, OseqHi: 1, Seq: 2, SeqHi: 3 } as const;

export class ReplayWindow {
	readonly mode: ReplayMode;
	/** Window in packets; 0: no check, no advance. */
	windowPackets: number;
	/** oseq, oseqHi, seq, seqHi as int32. */
	readonly counters: Int32Array = new Int32Array(4);
	/** Legacy: one word. Otherwise the circular bitmap. */
	readonly bitmap: Uint32Array;
	/** Aevents: thresholds, last reported values, deferral. */
	maxDiff: number = 0;
	maxAgeUs: number = 0;

	constructor(config: StateConfig) {
		const esn = config.replayEsn;
		this.mode =
			esn === undefined
				? ReplayMode.Legacy
				: (config.flags & 128) !== 0
					? ReplayMode.Esn
					: ReplayMode.Bitmap;
		this.windowPackets = esn?.replayWindow ?? config.replayWindow;
		this.bitmap = new Uint32Array(esn?.bmpLen ?? 1);
	}
}
