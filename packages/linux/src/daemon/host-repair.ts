/**
 * What others do to the host beside the daemon, and what is put right of it: a firewall that is loaded anew takes the
 * guard's table away, a network manager its rules and routes, somebody a device; and udev gives new devices a check of
 * sources. What costs a question to the kernel is done only where something has changed.
 */
import type { KernelRoutes } from '../rtnetlink/kernel-routes.ts';
import type { Guard } from './guard.ts';
import type { InterfaceList } from './interface-list.ts';
import type { LaneList } from './lane-list.ts';
import { SourceCheck, type SourceCheckMove } from './source-check.ts';

export interface HostRepairOptions {
	readonly log: (level: 'info' | 'warning', text: string) => void;
	/** The daemon's state folder. */
	readonly folder: string;
	readonly routes: KernelRoutes;
	readonly guard: Guard;
	readonly lanes: LaneList;
	readonly interfaces: InterfaceList;
}

export class HostRepair {
	/** Somebody has removed a device of ours. */
	isDeviceLost: boolean = false;
	readonly #options: HostRepairOptions;
	readonly #sourceCheck: SourceCheck;
	#sourceCheckMove: SourceCheckMove = 'none';
	/** Of routes, when the guard's were looked at last. */
	#routesSeen: number = 0;

	constructor(options: HostRepairOptions) {
		this.#options = options;
		this.#sourceCheck = new SourceCheck(options.folder);
	}

	/** Sees what others have done, and puts it right. */
	repair(): void {
		const { log, guard, lanes, interfaces, routes } = this.#options;
		if (guard.repair()) {
			log('warning', 'somebody had taken the table inet xfrm away: it is there again');
		}
		if (this.isDeviceLost || this.#routesSeen !== routes.generation) {
			this.isDeviceLost = false;
			this.#routesSeen = routes.generation;
			lanes.follow();
			interfaces.follow();
			if (guard.repairRoutes(lanes.lanes.map(({ ifindex }) => ifindex))) {
				log(
					'warning',
					'somebody had taken rules or routes of the guard away: they are there again',
				);
			}
		}
		this.moveSourceCheck();
	}

	/** What comes out of our devices is not to be checked by where its source would be reached. */
	moveSourceCheck(): void {
		const { log, lanes, interfaces } = this.#options;
		const answer = this.#sourceCheck.move(new Set([...lanes.names(), ...interfaces.names()]));
		const isNew = answer !== this.#sourceCheckMove;
		this.#sourceCheckMove = answer;
		if (answer === 'moved') {
			const text =
				'net.ipv4.conf.all.rp_filter is 0 now: what it was, each device but ours has of its own';
			log('info', text);
		} else if (answer === 'refused' && isNew) {
			const text =
				'net.ipv4.conf.*.rp_filter cannot be written: while it is not 0 for all and for xfrmd0, nothing comes ' +
				'out of IPv4 tunnels';
			log('warning', text);
		}
	}

	/** The daemon is needed no longer: the check of sources is what it was before. */
	putBack(): void {
		this.#sourceCheck.putBack();
	}
}
