/**
 * What happens when the timer of a hold queue is due (net/xfrm/xfrm_policy.c: xfrm_policy_queue_process):
 * the oldest packet is looked up again; if it may go, all are.
 */
import { Bundle } from './bundle.ts';
import { type HoldQueue, purgeHeld } from './hold-queue.ts';
import { HOLD_QUEUE_RETRY_LAST_US } from './limits.ts';
import type { Namespace } from './namespace.ts';
import { sealPlanned, transformPacket } from './output.ts';
import { lookupHeld } from './output-lookup.ts';
import { PacketAction } from './verdict.ts';

/**
 * Tries to send what a policy holds; `net.now` is the time. Packets that go are handed out by
 * `pollPacket`.
 *
 * @spec O-8
 */
export function retryHoldQueue(net: Namespace, queue: HoldQueue): void {
	const { policy } = queue;
	const oldest = queue.packets[0];
	if (oldest === undefined) {
		return;
	}
	net.outputRun.seconds = net.nowSeconds();
	lookupHeld(net, oldest, policy, true);
	if (oldest.action === PacketAction.Drop) {
		purgeHeld(net, policy);
		return;
	}
	if (oldest.bundle instanceof Bundle && oldest.bundle.first === null) {
		if (queue.waitUs >= HOLD_QUEUE_RETRY_LAST_US) {
			purgeHeld(net, policy);
			return;
		}
		queue.waitUs *= 2;
		net.timers.set(queue.timer, (net.now[0] ?? 0) + queue.waitUs);
		return;
	}
	const { packets } = queue;
	queue.packets = [];
	queue.waitUs = 0;
	for (const packet of packets) {
		lookupHeld(net, packet, policy, false);
		const { bundle } = packet;
		transformPacket(net, packet);
		sealPlanned(net);
		if (packet.action !== PacketAction.Drop) {
			net.outputRun.release(packet, bundle instanceof Bundle ? bundle : null);
		}
	}
}
