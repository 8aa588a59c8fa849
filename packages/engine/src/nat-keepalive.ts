/**
 * States that send NAT keepalives (RFC 3948 §4; net/xfrm/xfrm_nat_keepalive.c), and the one timer that looks
 * at them. A state is here from its insertion to its deletion. What a look does is in
 * nat-keepalive-send.ts.
 */
import type { Namespace } from './namespace.ts';
import type { XfrmState } from './state.ts';
import { Timer, TimerKind } from './timer-table.ts';

/** What is remembered of a state that sends keepalives. */
export interface Keepalive {
	readonly intervalSeconds: number;
	/** Unix seconds: none is sent before, because the state sent something itself. */
	notBefore: number;
	/** IPv6 flow label; 0 until the first datagram. */
	flowLabel: number;
}

export class NatKeepalives {
	/** In order of insertion. */
	readonly states: Map<XfrmState, Keepalive> = new Map();
	readonly timer: Timer = new Timer(TimerKind.NatKeepalive, this);
}

/**
 * A state was inserted: if it sends keepalives, they are looked at now, unless a look is due anyway.
 *
 * @spec NT-9
 */
export function startKeepalive(net: Namespace, state: XfrmState): void {
	const intervalSeconds = state.config.natKeepaliveSeconds ?? 0;
	if (intervalSeconds === 0) {
		return;
	}
	net.keepalives.states.set(state, { intervalSeconds, notBefore: 0, flowLabel: 0 });
	lookSoon(net);
}

/** A state was deleted. */
export function stopKeepalive(net: Namespace, state: XfrmState): void {
	if (net.keepalives.states.size > 0 && net.keepalives.states.delete(state)) {
		lookSoon(net);
	}
}

function lookSoon(net: Namespace): void {
	const { timer } = net.keepalives;
	if (!timer.isSet) {
		net.timers.set(timer, net.now[0] ?? 0);
	}
}
