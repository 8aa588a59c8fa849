/**
 * Path MTUs learned from ICMP errors (RFC 1191, RFC 8201): exceptions to what routes say, each for one
 * destination by one way, for ten minutes.
 */
import { IPV6_MTU_MIN } from '@xfrm/wire';
import { type Address, addressOctets, Family } from '@xfrm/wire/xfrm';
import { PMTU_EXCEPTIONS_MAX, PMTU_EXPIRES_US, PMTU_MIN } from './limits.ts';

interface Exception {
	readonly mtu: number;
	readonly expiresUs: number;
}

/** Family, address and way as a key. */
function keyOf(family: number, daddr: Address, via: string): string {
	let key = `${via}${family === 2 ? '4' : '6'}`;
	for (let i = 0; i < addressOctets(family); i++) {
		key += String.fromCharCode(daddr[i] ?? 0);
	}
	return key;
}

/**
 * What an error that tells an MTU makes of a path's: IPv4 goes down to 552 octets, IPv6 to 1280 and hears
 * nothing below. undefined where the error changes nothing.
 *
 * @param least how far down IPv4 goes (net.ipv4.route.min_pmtu)
 * @spec U-7
 */
export function narrowedPathMtu(
	family: number,
	told: number,
	known: number,
	least: number = PMTU_MIN,
): number | undefined {
	if (family === Family.Ipv6) {
		return told < IPV6_MTU_MIN || told >= known ? undefined : told;
	}
	if (told > known) {
		return undefined;
	}
	return told < least ? Math.min(known, least) : told;
}

/** Where an exception holds, and for how long. */
export interface ExceptionScope {
	/** The way: that of another way to the same destination is another. */
	readonly via?: string;
	/** net.ipv4.route.mtu_expires, net.ipv6.route.mtu_expires. */
	readonly lifeUs?: number;
}

export class PathMtuTable {
	private readonly exceptions: Map<string, Exception> = new Map();
	/** No exception ends before this time. */
	private earliestUs = Number.POSITIVE_INFINITY;

	/** The learned MTU towards this destination by this way, undefined for none. */
	find(family: number, daddr: Address, nowUs: number, via: string = ''): number | undefined {
		if (this.exceptions.size === 0) {
			return undefined;
		}
		const found = this.exceptions.get(keyOf(family, daddr, via));
		return found === undefined || found.expiresUs <= nowUs ? undefined : found.mtu;
	}

	/** Learns; the oldest exception goes when the table is full. */
	learn(
		family: number,
		daddr: Address,
		mtu: number,
		nowUs: number,
		{ via = '', lifeUs = PMTU_EXPIRES_US }: ExceptionScope = {},
	): void {
		const key = keyOf(family, daddr, via);
		this.exceptions.delete(key);
		if (this.exceptions.size >= PMTU_EXCEPTIONS_MAX) {
			for (const oldest of this.exceptions.keys()) {
				this.exceptions.delete(oldest);
				break;
			}
		}
		const expiresUs = nowUs + lifeUs;
		this.exceptions.set(key, { mtu, expiresUs });
		this.earliestUs = Math.min(this.earliestUs, expiresUs);
	}

	/** Forgets what has ended; true when something had. */
	expire(nowUs: number): boolean {
		if (nowUs < this.earliestUs) {
			return false;
		}
		const before = this.exceptions.size;
		this.earliestUs = Number.POSITIVE_INFINITY;
		for (const [key, exception] of this.exceptions) {
			if (exception.expiresUs <= nowUs) {
				this.exceptions.delete(key);
			} else {
				this.earliestUs = Math.min(this.earliestUs, exception.expiresUs);
			}
		}
		return this.exceptions.size !== before;
	}

	/** Forgets everything (routes changed). */
	clear(): void {
		this.exceptions.clear();
		this.earliestUs = Number.POSITIVE_INFINITY;
	}
}
