/**
 * What the kernel does for the daemon, and goes on doing when it is dead: marks packets that policies want
 * protected, leads them to the lanes' devices or, where these are gone, nowhere, and drops plaintext that
 * policies forbid.
 *
 *     filter    table inet xfrm (guard-filter.ts)
 *     rules     fwmark CAPTURE + lane → table CAPTURE + lane, for both families
 *     table     default by the lane's device; below it: unreachable
 *
 * A lane is for the packets of one mark. There are so many at most; packets of further marks get one without a
 * device, and go nowhere.
 */
import type { Engine } from '@xfrm/engine';
import { Errno, Family } from '@xfrm/wire/xfrm';
import type { Native } from '../native/seam.ts';
import { NftSocket } from '../nftables/nft-socket.ts';
import {
	addDefaultRoute,
	addMarkRule,
	deleteDefaultRoute,
	deleteMarkRule,
	replaceDefaultRoute,
} from '../rtnetlink/rtnetlink-message.ts';
import { RtnetlinkSocket } from '../rtnetlink/rtnetlink-socket.ts';
import { type CountTaker, GuardCounters } from './guard-counters.ts';
import { GUARD_TABLE, GuardFilter, removeFilter } from './guard-filter.ts';
import {
	CAPTURE_MARK,
	CAPTURE_PREFERENCE,
	CAPTURE_TABLE,
	DEVICE_METRIC,
	GUARD_METRIC,
	LANES_MAX,
} from './marks.ts';

const FAMILIES = [Family.Ipv4, Family.Ipv6] as const;

/** The lane without a device. */
const DEAD_LANE = LANES_MAX;

/** A start or a change that the kernel refused: a sentence for people. */
export class GuardError extends Error {
	constructor(message: string) {
		super(message);
		this.name = 'GuardError';
	}
}

/** Takes a guard away that nobody needs any more: packets go as if the daemon had never been. @throws GuardError */
export function removeGuard(native: Native): void {
	const routes = new RtnetlinkSocket(native);
	const socket = openFilter(native);
	try {
		removeAll(routes, socket);
	} finally {
		socket.close();
		routes.close();
	}
}

/** The table first, which its owner alone can take away: all of it goes, or nothing does. @throws GuardError */
function removeAll(routes: RtnetlinkSocket, socket: NftSocket): void {
	const errno = removeFilter(socket);
	if (errno !== 0) {
		throw new GuardError(filterRefusal(errno));
	}
	for (let lane = 0; lane <= DEAD_LANE; lane++) {
		removeLane(routes, lane);
	}
}

/** Is there a guard, of this daemon's predecessor or of a forgotten one? @throws GuardError without nf_tables */
export function guardStands(native: Native): boolean {
	const socket = openFilter(native);
	const errno = socket.findTable(GUARD_TABLE);
	socket.close();
	if (errno !== 0 && errno !== Errno.ENOENT) {
		throw new GuardError(filterRefusal(errno));
	}
	return errno === 0;
}

export class Guard {
	readonly #routes: RtnetlinkSocket;
	readonly #socket: NftSocket;
	readonly #counters: GuardCounters;
	readonly #taker: CountTaker | undefined;
	/** Without: packets are captured, and plaintext may go when the daemon is dead. */
	readonly #drops: boolean;
	/** To be told of changes of policies. */
	readonly filter: GuardFilter;
	/** Marks that packets of each lane had: the daemon gives it back to what it reads from the lane's device. */
	readonly lanes: number[] = [];
	#isLaneDead: boolean = false;

	/**
	 * @param taker is told what the guard has dropped
	 * @throws GuardError without nf_tables
	 */
	constructor(native: Native, engine: Engine, drops: boolean, taker?: CountTaker) {
		this.#drops = drops;
		this.#taker = taker;
		this.#routes = new RtnetlinkSocket(native);
		this.#socket = openFilter(native);
		this.#counters = new GuardCounters(this.#socket, GUARD_TABLE);
		this.filter = new GuardFilter(engine, this.#socket, drops, this.laneOf, this.#counters);
	}

	/** Makes the filter say what the policies do, and has routes for new lanes. @throws GuardError */
	update(nowUs: number): void {
		if (this.lanes.length === 0) {
			// Decapsulated packets come in by the first lane's device: it is there in any case.
			this.laneOf(0);
		}
		this.#mustFilter(this.filter.update(nowUs));
	}

	/**
	 * Somebody may have taken the table away: it is there again, and the answer true, if so. What it has dropped is told.
	 *
	 * @throws GuardError
	 */
	repair(): boolean {
		if (this.#drops && this.#taker !== undefined) {
			this.#counters.read();
			this.#counters.tell(this.#taker);
		}
		if (this.#socket.findTable(GUARD_TABLE) !== Errno.ENOENT) {
			return false;
		}
		this.#mustFilter(this.filter.writeAnew());
		return true;
	}

	/**
	 * Rules and routes may be gone: whoever manages a network takes away what it does not know, and a device that was
	 * down has lost its routes. They are there again, and the answer true, if so.
	 *
	 * @param ifindexes of the lanes' devices
	 */
	repairRoutes(ifindexes: readonly number[]): boolean {
		let missing = false;
		for (const [lane, ifindex] of ifindexes.entries()) {
			for (const family of FAMILIES) {
				const table = CAPTURE_TABLE + lane;
				const rule = { family, table, mark: CAPTURE_MARK | lane, priority: CAPTURE_PREFERENCE };
				const device = { family, table, oif: ifindex, metric: DEVICE_METRIC };
				const writers = [addMarkRule(rule), addDefaultRoute(device)];
				if (this.#drops) {
					writers.push(addDefaultRoute({ ...device, oif: 0, metric: GUARD_METRIC }));
				}
				for (const writer of writers) {
					// A family that this host does not have, or a device that is down, is no matter here.
					missing = this.#routes.request(writer).errno === 0 || missing;
				}
			}
		}
		return missing;
	}

	/** Leads the packets of the next lane to its device. @throws GuardError */
	openLane(lane: number, ifindex: number): void {
		for (const family of FAMILIES) {
			this.#carryOut(
				replaceDefaultRoute({
					family,
					table: CAPTURE_TABLE + lane,
					oif: ifindex,
					metric: DEVICE_METRIC,
				}),
				'a route to the device',
				[Errno.EAFNOSUPPORT, Errno.EOPNOTSUPP, Errno.EINVAL, Errno.EACCES],
			);
		}
		this.#mustFilter(this.filter.addLane(this.lanes[lane] ?? 0));
	}

	/** A device of an if_id is there. @throws GuardError */
	openInterface(name: string): void {
		this.#mustFilter(this.filter.addInterface(name));
	}

	/** It is gone, or has another name. @throws GuardError */
	closeInterface(name: string): void {
		this.#mustFilter(this.filter.removeInterface(name));
	}

	/** Takes everything away. @throws GuardError */
	remove(): void {
		removeAll(this.#routes, this.#socket);
	}

	close(): void {
		this.#routes.close();
		this.#socket.close();
	}

	/** The lane of packets of a mark, made ready if need be. @throws GuardError */
	readonly laneOf = (mark: number): number => {
		const known = this.lanes.indexOf(mark);
		if (known >= 0) {
			return known;
		}
		if (this.lanes.length === LANES_MAX) {
			if (!this.#isLaneDead) {
				this.#isLaneDead = true;
				this.#prepareLane(DEAD_LANE, true);
			}
			return DEAD_LANE;
		}
		this.#prepareLane(this.lanes.length, this.#drops);
		return this.lanes.push(mark) - 1;
	};

	/** Puts rules and the routes below the device's in place for a lane. */
	#prepareLane(lane: number, drops: boolean): void {
		for (const family of FAMILIES) {
			const table = CAPTURE_TABLE + lane;
			if (drops) {
				this.#carryOut(
					replaceDefaultRoute({ family, table, oif: 0, metric: GUARD_METRIC }),
					'a route of the guard',
					[Errno.EAFNOSUPPORT, Errno.EOPNOTSUPP],
				);
			}
			this.#carryOut(
				addMarkRule({
					family,
					table,
					mark: CAPTURE_MARK | lane,
					priority: CAPTURE_PREFERENCE,
				}),
				'a rule of the guard',
				[Errno.EEXIST, Errno.EAFNOSUPPORT, Errno.EOPNOTSUPP],
			);
		}
	}

	#carryOut(
		writer: Parameters<RtnetlinkSocket['request']>[0],
		what: string,
		harmless: readonly number[],
	): void {
		const { errno } = this.#routes.request(writer);
		if (errno !== 0 && !harmless.includes(errno)) {
			throw new GuardError(`${what} was refused (errno ${errno})`);
		}
	}

	#mustFilter(errno: number): void {
		if (errno !== 0) {
			throw new GuardError(filterRefusal(errno));
		}
	}
}

function removeLane(routes: RtnetlinkSocket, lane: number): void {
	const table = CAPTURE_TABLE + lane;
	const mark = CAPTURE_MARK | lane;
	for (const family of FAMILIES) {
		routes.request(deleteMarkRule({ family, table, mark, priority: CAPTURE_PREFERENCE }));
		routes.request(deleteDefaultRoute({ family, table, oif: 0, metric: GUARD_METRIC }));
	}
}

function openFilter(native: Native): NftSocket {
	try {
		return new NftSocket(native);
	} catch (error) {
		throw error instanceof RangeError ? new GuardError(NO_NFTABLES) : error;
	}
}

const NO_NFTABLES =
	'this kernel has no nf_tables, which the guard is made with: try "modprobe nf_tables", or take one with CONFIG_NF_TABLES';

function filterRefusal(errno: number): string {
	switch (errno) {
		case Errno.EINVAL:
		case Errno.EOPNOTSUPP:
			return NO_NFTABLES;
		case Errno.ENOENT:
			return 'this kernel’s nf_tables lacks what the guard needs: try "modprobe -a nft_fib_inet nft_socket"';
		case Errno.EPERM:
			return `the table inet ${GUARD_TABLE} of nf_tables belongs to another program`;
		default:
			return `the kernel refuses the guard (nf_tables, errno ${errno})`;
	}
}
