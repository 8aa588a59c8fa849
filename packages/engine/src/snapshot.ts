/**
 * States and policies as values: what dumps, answers and events tell of them (xfrm_user.c:
 * copy_to_user_state_extra, copy_to_user_policy). A snapshot shares nothing that changes later, so it may
 * outlive its object.
 */
import type { PolicySnapshot, ReplayEsn, StateConfig, StateSnapshot } from '@xfrm/wire/xfrm';
import type { XfrmPolicy } from './policy.ts';
import { ReplayCounter, ReplayMode, type ReplayWindow } from './replay-window.ts';
import { Current, StateStat, type XfrmState } from './state.ts';

/** Directions of sockets' policies in dumps are 3 and 4 (P-19). */
const SOCKET_DIRECTION = 3;

function replayEsn(window: ReplayWindow): ReplayEsn {
	const { counters } = window;
	return {
		bmpLen: window.bitmap.length,
		oseq: (counters[ReplayCounter.Oseq] ?? 0) >>> 0,
		seq: (counters[ReplayCounter.Seq] ?? 0) >>> 0,
		oseqHi: (counters[ReplayCounter.OseqHi] ?? 0) >>> 0,
		seqHi: (counters[ReplayCounter.SeqHi] ?? 0) >>> 0,
		replayWindow: window.windowPackets,
		bmp: window.bitmap.slice(),
	};
}

/**
 * A state as it is now, keys copied: it stays whole when the state is deleted and its keys are wiped.
 *
 * @spec S-17 S-18
 */
export function snapshotState(state: XfrmState): StateSnapshot {
	const snapshot = describeState(state);
	const { aead, auth, crypt } = snapshot;
	return {
		...snapshot,
		...(aead === undefined ? {} : { aead: { ...aead, key: aead.key.slice() } }),
		...(auth === undefined ? {} : { auth: { ...auth, key: auth.key.slice() } }),
		...(crypt === undefined ? {} : { crypt: { ...crypt, key: crypt.key.slice() } }),
	};
}

/**
 * As `snapshotState`, but its keys are the state's own and will be zero once that is deleted: for events,
 * which tell no keys. `replay` is there without, `replayEsn` with a circular window, never both; `expiryTimer`
 * is in ticks, as stored.
 */
export function describeState(state: XfrmState): StateSnapshot {
	return { ...state.config, ...stateCurrent(state) };
}

/** What of a snapshot is not as the state's `config` says, or not in there. */
export type StateCurrent = Omit<StateSnapshot, keyof StateConfig> &
	Pick<
		StateSnapshot,
		| 'id'
		| 'seq'
		| 'flags'
		| 'replayWindow'
		| 'replayEsn'
		| 'replay'
		| 'replayThreshold'
		| 'expiryTimer'
		| 'mappingThresholdSeconds'
		| 'direction'
		| 'lifetimeCurrent'
	>;

/** Puts together with `config` what `describeState` tells: for who has written down the one already. */
export function stateCurrent(state: XfrmState): StateCurrent {
	const { config, lifetime, replay } = state;
	const { counters } = replay;
	const circular = replay.mode !== ReplayMode.Legacy;
	return {
		id: { daddr: config.id.daddr, spi: state.spi >>> 0, proto: state.proto },
		seq: state.seq >>> 0,
		flags: state.flags,
		replayWindow: circular ? config.replayWindow : replay.windowPackets,
		...(circular
			? { replayEsn: replayEsn(replay) }
			: {
					replay: {
						oseq: (counters[ReplayCounter.Oseq] ?? 0) >>> 0,
						seq: (counters[ReplayCounter.Seq] ?? 0) >>> 0,
						bitmap: replay.bitmap[0] ?? 0,
					},
				}),
		replayThreshold: replay.maxDiff,
		expiryTimer: replay.maxAgeTicks,
		mappingThresholdSeconds: state.mappingThresholdSeconds,
		direction: state.direction,
		lifetimeCurrent: {
			bytes: lifetime[Current.Bytes] ?? 0,
			packets: lifetime[Current.Packets] ?? 0,
			addTime: lifetime[Current.AddTime] ?? 0,
			useTime: lifetime[Current.UseTime] ?? 0,
		},
		lastUsed: lifetime[Current.LastUsed] ?? 0,
		stats: {
			replayWindow: state.statOf(StateStat.ReplayWindow),
			replay: state.statOf(StateStat.Replay),
			integrityFailed: state.statOf(StateStat.IntegrityFailed),
		},
		condition: state.condition,
		kernelOwned: state.kernelOwned,
	};
}

/** A policy as it is now. */
export function snapshotPolicy(policy: XfrmPolicy): PolicySnapshot {
	return {
		...policy.config,
		direction: policy.socketId === 0 ? policy.direction : policy.direction + SOCKET_DIRECTION,
		lifetimeCurrent: {
			bytes: 0,
			packets: 0,
			addTime: policy.addTime,
			useTime: policy.useTime,
		},
	};
}
