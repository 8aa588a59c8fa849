/**
 * The devices of lanes, `xfrmd0` and on: they come with a policy's mark, and go with the daemon. One that somebody
 * removes, or gives another name, is made anew: the guard and its routes know it by its name, and nothing else leads
 * packets to the daemon.
 */
import { interfaceIndex } from '../interface-name.ts';
import type { Native } from '../native/seam.ts';
import { laneDevice } from './marks.ts';
import type { Lane } from './outbound.ts';
import { StartError } from './start-error.ts';
import { openTun, type TunDevice } from './tun-device.ts';

export interface LaneOptions {
	readonly native: Native;
	/** A lane has a device: packets may come from it. */
	readonly opened: (lane: Lane, device: TunDevice) => void;
	/** It is the lane's no more; its descriptor is closed next. */
	readonly lost: (lane: Lane) => void;
	readonly warn: (text: string) => void;
}

export class LaneList {
	/** In their order; what has no device has the descriptor -1. */
	readonly lanes: Lane[] = [];
	readonly #options: LaneOptions;

	constructor(options: LaneOptions) {
		this.#options = options;
	}

	/** Makes the device of the next lane. @throws StartError */
	add(mark: number): Lane {
		return this.#open(this.lanes.length, mark);
	}

	/** Sees what others have done to the devices. */
	follow(): void {
		for (const [index, lane] of this.lanes.entries()) {
			if (interfaceIndex(laneDevice(index)) !== lane.ifindex) {
				this.#openAnew(index, lane);
			}
		}
	}

	/** Of all devices. */
	names(): readonly string[] {
		return this.lanes.map((_, index) => laneDevice(index));
	}

	close(): void {
		for (const { fd } of this.lanes) {
			this.#options.native.close(fd);
		}
	}

	#openAnew(index: number, lane: Lane): void {
		const { native, lost, warn } = this.#options;
		const name = laneDevice(index);
		const { fd, mark } = lane;
		if (fd >= 0) {
			lost(lane);
			native.close(fd);
		}
		try {
			this.#open(index, mark);
			warn(`somebody had taken the device ${name} away: it is there again`);
		} catch (error) {
			if (!(error instanceof StartError)) {
				throw error;
			}
			this.lanes[index] = { fd: -1, ifindex: 0, mark, ifId: 0 };
			// It is tried again with whatever changes next.
			if (fd >= 0) {
				warn(`the device ${name} is gone, and no other can be made: ${error.message}`);
			}
		}
	}

	#open(index: number, mark: number): Lane {
		const device = openTun(this.#options.native, laneDevice(index));
		const { fd, ifindex } = device;
		const lane: Lane = { fd, ifindex, mark: mark | 0, ifId: 0 };
		this.lanes[index] = lane;
		this.#options.opened(lane, device);
		return lane;
	}
}
