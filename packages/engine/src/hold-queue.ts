/**
 * Packets that wait for a state, with `xfrm_larval_drop` 0: a bounded queue a policy, and a timer that
 * tries again after 0.1, 0.2, 0.4 … seconds until a minute has been reached (net/xfrm/xfrm_policy.c:
 * xdst_queue_output, xfrm_policy_requeue). What happens when the timer is due is in hold-retry.ts.
 *
 * The queue keeps copies: the buffers of the packets given to the engine stay their owner's.
 */
import { PacketBuffer } from '@xfrm/wire';
import { Errno } from '@xfrm/wire/xfrm';
import type { Bundle } from './bundle.ts';
import { HOLD_QUEUE_PACKETS_MAX, HOLD_QUEUE_RETRY_FIRST_US } from './limits.ts';
import type { Namespace } from './namespace.ts';
import { noteVerdict } from './output-trace.ts';
import type { XfrmPolicy } from './policy.ts';
import { Timer, TimerKind } from './timer-table.ts';
import { PacketAction, Verdict } from './verdict.ts';

export class HoldQueue {
	readonly policy: XfrmPolicy;
	/** Oldest first. */
	packets: PacketBuffer[] = [];
	/** Wait before the next try; 0 while nothing is held. */
	waitUs: number = 0;
	readonly timer: Timer = new Timer(TimerKind.HoldQueue, this);

	constructor(policy: XfrmPolicy) {
		this.policy = policy;
	}
}

/**
 * Takes a copy of a packet whose bundle has no states yet. Refuses when more than 100 wait already.
 *
 * @spec O-8
 */
export function holdPacket(net: Namespace, packet: PacketBuffer, bundle: Bundle): void {
	const { policy } = bundle;
	const queue = queueOf(policy);
	packet.bundle = null;
	if (queue.packets.length > HOLD_QUEUE_PACKETS_MAX) {
		noteVerdict(net, Verdict.HoldQueueFull, null, policy, 'out.hold.full');
		packet.verdict = Verdict.HoldQueueFull;
		packet.error = Errno.EAGAIN;
		packet.action = PacketAction.Drop;
		return;
	}
	if (queue.waitUs === 0) {
		queue.waitUs = HOLD_QUEUE_RETRY_FIRST_US;
	}
	const dueUs = (net.now[0] ?? 0) + queue.waitUs;
	net.timers.set(queue.timer, Math.min(dueUs, queue.timer.deadlineUs));
	queue.packets.push(copyPacket(packet));
	packet.action = PacketAction.Consume;
}

/**
 * The packets of a replaced policy wait for the new one, which tries at once.
 *
 * @spec P-7
 */
export function requeueHeld(net: Namespace, old: XfrmPolicy, policy: XfrmPolicy): void {
	const from = old.holdQueue;
	if (!(from instanceof HoldQueue) || from.packets.length === 0) {
		return;
	}
	const queue = queueOf(policy);
	queue.packets = from.packets.concat(queue.packets);
	queue.waitUs = HOLD_QUEUE_RETRY_FIRST_US;
	net.timers.set(queue.timer, net.now[0] ?? 0);
	purgeHeld(net, old);
}

/** Forgets the packets that wait for a policy: it was deleted, or nobody came. */
export function purgeHeld(net: Namespace, policy: XfrmPolicy): void {
	const queue = policy.holdQueue;
	if (queue instanceof HoldQueue) {
		net.timers.stop(queue.timer);
		queue.packets = [];
		queue.waitUs = 0;
	}
}

function queueOf(policy: XfrmPolicy): HoldQueue {
	if (policy.holdQueue instanceof HoldQueue) {
		return policy.holdQueue;
	}
	const queue = new HoldQueue(policy);
	policy.holdQueue = queue;
	return queue;
}

function copyPacket(packet: PacketBuffer): PacketBuffer {
	const copy = PacketBuffer.from(packet.copy());
	copy.family = packet.family;
	copy.mark = packet.mark;
	copy.iif = packet.iif;
	copy.socketId = packet.socketId;
	copy.forwarded = packet.forwarded;
	copy.dontFragment = packet.dontFragment;
	copy.route = packet.route;
	return copy;
}
