/**
 * What the kernel does for the daemon, and goes on doing when it is dead: marks packets that policies want
 * protected, leads them to the lanes' devices or, where these are gone, nowhere, and drops plaintext that
 * policies forbid. See capture-plan.ts for what, nft-text.ts for how.
 *
 *     filter    table inet xfrm: replaced as a whole
 *     rules     fwmark CAPTURE + lane → table CAPTURE + lane, for both families
 *     table     default by the lane's device; below it: unreachable
 */
import { spawnSync } from 'node:child_process';
import { Errno, Family } from '@xfrm/wire/xfrm';
import type { Native } from '../native/seam.ts';
import {
	addMarkRule,
	deleteDefaultRoute,
	deleteMarkRule,
	replaceDefaultRoute,
} from '../rtnetlink/rtnetlink-message.ts';
import { RtnetlinkSocket } from '../rtnetlink/rtnetlink-socket.ts';
import type { CapturePlan } from './capture-plan.ts';
import {
	CAPTURE_MARK,
	CAPTURE_PREFERENCE,
	CAPTURE_TABLE,
	DEVICE_METRIC,
	GUARD_METRIC,
	LANES_MAX,
} from './marks.ts';
import { GUARD_TABLE, nftRemoval, nftText } from './nft-text.ts';

const FAMILIES = [Family.Ipv4, Family.Ipv6] as const;

/** A start or a change that the kernel refused: a sentence for people. */
export class GuardError extends Error {
	constructor(message: string) {
		super(message);
		this.name = 'GuardError';
	}
}

export class Guard {
	readonly #socket: RtnetlinkSocket;
	/** Without: packets are captured, and plaintext may go when the daemon is dead. */
	readonly #drops: boolean;
	#applied: string = '';

	constructor(native: Native, drops: boolean) {
		this.#drops = drops;
		this.#socket = new RtnetlinkSocket(native);
	}

	/** Does one stand already, of this daemon's predecessor or of a forgotten one? */
	get stands(): boolean {
		return spawnSync('nft', ['list', 'table', 'inet', GUARD_TABLE]).status === 0;
	}

	/** Puts rules and the routes below the device's in place for a lane. @throws GuardError */
	prepareLane(lane: number): void {
		for (const family of FAMILIES) {
			const table = CAPTURE_TABLE + lane;
			if (this.#drops) {
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

	/** Leads a lane's packets to its device. @throws GuardError */
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
	}

	/** Makes the filter say what the plan says; false when it does already. @throws GuardError */
	apply(plan: CapturePlan): boolean {
		const text = nftText(plan, this.#drops);
		if (text === this.#applied) {
			return false;
		}
		runNft(text);
		this.#applied = text;
		return true;
	}

	/** Takes everything away: packets go as if the daemon had never been. @throws GuardError */
	remove(): void {
		for (let lane = 0; lane < LANES_MAX && this.#removeLane(lane); lane++) {}
		this.#applied = '';
		if (this.stands) {
			runNft(nftRemoval());
		}
	}

	close(): void {
		this.#socket.close();
	}

	/** False when there was nothing of this lane. */
	#removeLane(lane: number): boolean {
		let any = false;
		const table = CAPTURE_TABLE + lane;
		for (const family of FAMILIES) {
			const mark = CAPTURE_MARK | lane;
			const rule = { family, table, mark, priority: CAPTURE_PREFERENCE };
			any = this.#socket.request(deleteMarkRule(rule)).errno === 0 || any;
			const route = { family, table, oif: 0, metric: GUARD_METRIC };
			any = this.#socket.request(deleteDefaultRoute(route)).errno === 0 || any;
		}
		return any;
	}

	#carryOut(
		writer: Parameters<RtnetlinkSocket['request']>[0],
		what: string,
		harmless: readonly number[],
	): void {
		const { errno } = this.#socket.request(writer);
		if (errno !== 0 && !harmless.includes(errno)) {
			throw new GuardError(`${what} was refused (errno ${errno})`);
		}
	}
}

/** Hands a ruleset to nft(8). @throws GuardError */
function runNft(text: string): void {
	const { error, status, stderr } = spawnSync('nft', ['-f', '-'], { input: text });
	if (error !== undefined) {
		throw new GuardError(
			`nft cannot be run (${error.message}): install the package nftables, which the guard is made with`,
		);
	}
	if (status !== 0) {
		const [line = ''] = stderr.toString().split('\n');
		throw new GuardError(`nft refuses the guard: ${line}`);
	}
}
