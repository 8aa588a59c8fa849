/**
 * What a state remembers of sequence numbers (struct xfrm_replay_state and xfrm_replay_state_esn). The
 * rules are in replay.ts. Bitmaps are laid out as the kernel's, since dumps show them:
 *
 *     legacy     bit d: "top - d was seen", one word
 *     circular   top is at bit (top - 1) mod window, older ones below it, modulo window
 */
import { type StateConfig, StateFlag } from '@xfrm/wire/xfrm';
import { LEGACY_WINDOW_MAX } from './limits.ts';
import { int32s, uint32s } from './small-arrays.ts';

/** What kind of window a state has. */
export const ReplayMode = { Legacy: 0, Bitmap: 1, Esn: 2 } as const;
export type ReplayMode = (typeof ReplayMode)[keyof typeof ReplayMode];

/** Places in `ReplayWindow.counters`. */
export const ReplayCounter = { Oseq: 0, OseqHi: 1, Seq: 2, SeqHi: 3 } as const;

/**
 * Counters and bitmap of one state, and what key managers were last told of them.
 *
 * @spec R-1 R-10 S-13
 */
export class ReplayWindow {
	readonly mode: ReplayMode;
	/** Window in packets; 0: no check, no advance. NEWAE may change it in a circular window. */
	windowPackets: number;
	/** oseq, oseqHi, seq, seqHi: u32 as int32. */
	readonly counters: Int32Array = int32s(4);
	/** Legacy: one word. Otherwise the circular bitmap. */
	readonly bitmap: Uint32Array;

	/** As last reported; null while that is nothing, as it is where nobody listens. */
	private reportedMade: { readonly counters: Int32Array; readonly bitmap: Uint32Array } | null =
		null;
	/** Report after so many packets, 0 for never. */
	maxDiff: number = 0;
	/** Report after so many ticks, 0 for never; ticks as in `TICKS_PER_SECOND`. */
	maxAgeTicks: number = 0;
	/** A timer ran out without news: the next packet is reported at once. */
	deferred: boolean = false;

	constructor(config: StateConfig) {
		const { replayEsn, replay } = config;
		if (replayEsn === undefined) {
			this.mode = ReplayMode.Legacy;
			this.windowPackets = Math.min(config.replayWindow, LEGACY_WINDOW_MAX);
			this.bitmap = uint32s(1);
			if (replay !== undefined) {
				this.setLegacy(replay.oseq, replay.seq, replay.bitmap);
			}
			return;
		}
		this.mode = (config.flags & StateFlag.Esn) !== 0 ? ReplayMode.Esn : ReplayMode.Bitmap;
		this.windowPackets = replayEsn.replayWindow;
		this.bitmap = uint32s(replayEsn.bmpLen);
		this.setCounters(replayEsn.oseq, replayEsn.oseqHi, replayEsn.seq, replayEsn.seqHi);
		// A client that sends no bitmap means an empty one.
		this.bitmap.set(replayEsn.bmp.subarray(0, replayEsn.bmpLen));
		this.markReported();
	}

	/** Takes over what a REPLAY_VAL says; it counts as reported. */
	setLegacy(oseq: number, seq: number, bitmap: number): void {
		this.setCounters(oseq, 0, seq, 0);
		this.bitmap[0] = bitmap;
		this.markReported();
	}

	/** Sets the four counters. */
	setCounters(oseq: number, oseqHi: number, seq: number, seqHi: number): void {
		this.counters[ReplayCounter.Oseq] = oseq;
		this.counters[ReplayCounter.OseqHi] = oseqHi;
		this.counters[ReplayCounter.Seq] = seq;
		this.counters[ReplayCounter.SeqHi] = seqHi;
	}

	get reportedCounters(): Int32Array {
		return this.reported().counters;
	}

	get reportedBitmap(): Uint32Array {
		return this.reported().bitmap;
	}

	/** Everything as it is now counts as reported. */
	markReported(): void {
		if (this.hasNews()) {
			const reported = this.reported();
			reported.counters.set(this.counters);
			reported.bitmap.set(this.bitmap);
		}
	}

	private reported(): { readonly counters: Int32Array; readonly bitmap: Uint32Array } {
		this.reportedMade ??= { counters: int32s(4), bitmap: uint32s(this.bitmap.length) };
		return this.reportedMade;
	}

	/** Has anything changed since it was last reported? */
	hasNews(): boolean {
		const reported = this.reportedMade;
		for (let i = 0; i < this.counters.length; i++) {
			if (this.counters[i] !== (reported === null ? 0 : reported.counters[i])) {
				return true;
			}
		}
		for (let i = 0; i < this.bitmap.length; i++) {
			if (this.bitmap[i] !== (reported === null ? 0 : reported.bitmap[i])) {
				return true;
			}
		}
		return false;
	}
}
