/**
 * When the policy check is made at all: sockets with a policy of their own always, everything else
 * unless the device is exempt (include/net/xfrm.h, __xfrm_policy_check2). The check itself is the
 * engine's.
 */
import { PacketAction } from '@xfrm/engine';
import { Direction } from '@xfrm/wire/xfrm';
import type { Reception } from './reception.ts';
import type { Socket } from './socket.ts';
import type { Stack } from './stack.ts';

/**
 * May the packet go to this socket (or, without one, to the protocol's handler), or be forwarded?
 *
 * @spec P-18 P-29 I-21 I-22 X-14
 */
export function policyAccepts(
	stack: Stack,
	reception: Reception,
	direction: Direction,
	socket?: Socket,
): boolean {
	const { packet, exempt } = reception;
	const ownPolicy = socket?.hasInPolicy === true && direction === Direction.In;
	if (exempt && !ownPolicy) {
		return true;
	}
	packet.socketId = socket?.id ?? 0;
	packet.flow.oif = packet.route?.ifindex ?? 0;
	stack.engine.policyCheck(stack.batchOf(packet), direction);
	packet.socketId = 0;
	return packet.action === PacketAction.Pass;
}
