/**
 * By which device the kernel is given what came out of the engine:
 *
 *     if_id of the packet's last state   the device of that if_id, whose policies it then meets
 *     mark that a state has put on it    the lane of that mark, if there is one: the filter puts it on again
 *     else                               the first lane
 *
 * @hotpath
 */
import type { XfrmState } from '@xfrm/engine';
import type { PacketBuffer } from '@xfrm/wire';
import type { InterfaceList } from './interface-list.ts';
import type { Lane } from './outbound.ts';

export class ArrivalDevices {
	readonly #lanes: readonly Lane[];
	readonly #interfaces: InterfaceList;

	/** @param lanes grow as the daemon runs */
	constructor(lanes: readonly Lane[], interfaces: InterfaceList) {
		this.#lanes = lanes;
		this.#interfaces = interfaces;
	}

	/** Chooses, and says by which if_id the packet is checked. @spec X-5 X-6 */
	choose(packet: PacketBuffer, first: Lane): Lane {
		// Only the engine puts objects there, and only states.
		const state = packet.path[packet.pathCount - 1] as XfrmState | null | undefined;
		const ifId = state?.ifId ?? 0;
		const device = ifId === 0 ? undefined : this.#interfaces.find(ifId);
		packet.ifId = device === undefined ? 0 : ifId;
		return device ?? (packet.mark === 0 ? first : this.#laneOf(packet.mark, first));
	}

	#laneOf(mark: number, first: Lane): Lane {
		for (const lane of this.#lanes) {
			if (lane.mark === mark) {
				return lane;
			}
		}
		return first;
	}
}
