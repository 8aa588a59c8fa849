/**
 * What no request of NETLINK_XFRM can say and a dump tells nevertheless: larval states, statistics, times of
 * use. For those who rebuild a kernel's tables from what it printed or from a snapshot; nothing here happens
 * in Linux.
 */
import type { LifetimeCurrent, StateConfig, StateStats } from '@xfrm/wire/xfrm';
import type { Namespace } from './namespace.ts';
import type { XfrmPolicy } from './policy.ts';
import { Current, StateStat, XfrmState } from './state.ts';
import { insertLarval } from './state-life.ts';

/**
 * Puts a larval state in place as an acquire left it; it goes when its hard limit after adding has come, or
 * the usual time when it tells none.
 */
export function restoreLarval(net: Namespace, config: StateConfig, nowUs: number): XfrmState {
	net.now[0] = nowUs;
	const state = new XfrmState(config);
	const addTime = config.lifetimeCurrent?.addTime ?? 0;
	const { hardAddExpiresSeconds } = config.lifetime;
	state.lifetime[Current.AddTime] = addTime === 0 ? net.nowSeconds() : addTime;
	insertLarval(net, state);
	if (addTime !== 0 && hardAddExpiresSeconds !== 0) {
		const endUs = (addTime + hardAddExpiresSeconds) * 1_000_000;
		net.timers.set(state.lifetimeTimer, Math.max(nowUs, endUs));
	}
	return state;
}

/** Sets the statistics of a state, and when it was used last (Unix seconds, 0 for never). */
export function restoreStateUse(state: XfrmState, stats: StateStats, lastUsed: number): void {
	state.stats[StateStat.ReplayWindow] = stats.replayWindow;
	state.stats[StateStat.Replay] = stats.replay;
	state.stats[StateStat.IntegrityFailed] = stats.integrityFailed;
	state.lifetime[Current.LastUsed] = lastUsed;
}

/** Sets when a policy was added and used. */
export function restorePolicyUse(policy: XfrmPolicy, current: LifetimeCurrent): void {
	policy.addTime = current.addTime;
	policy.useTime = current.useTime;
}
