/**
 * `struct xfrm_lifetime_cfg` and `xfrm_lifetime_cur` as values. Limits are doubles (exact to 2^53);
 * XFRM_INF (2^64 - 1) is `Infinity`. Seconds of 0 mean "no limit"; a byte limit of 0 is expired at once.
 */
export interface LifetimeConfig {
	readonly softByteLimit: number;
	readonly hardByteLimit: number;
	readonly softPacketLimit: number;
	readonly hardPacketLimit: number;
	readonly softAddExpiresSeconds: number;
	readonly hardAddExpiresSeconds: number;
	readonly softUseExpiresSeconds: number;
	readonly hardUseExpiresSeconds: number;
}

/** Times are Unix seconds, 0 for never. */
export interface LifetimeCurrent {
	readonly bytes: number;
	readonly packets: number;
	readonly addTime: number;
	readonly useTime: number;
}

/** No limit at all: what `ip` sends by default (C-5). */
export const UNLIMITED: LifetimeConfig = {
	softByteLimit: Number.POSITIVE_INFINITY,
	hardByteLimit: Number.POSITIVE_INFINITY,
	softPacketLimit: Number.POSITIVE_INFINITY,
	hardPacketLimit: Number.POSITIVE_INFINITY,
	softAddExpiresSeconds: 0,
	hardAddExpiresSeconds: 0,
	softUseExpiresSeconds: 0,
	hardUseExpiresSeconds: 0,
};

/** Is there no limit at all? */
export function isUnlimited(limits: LifetimeConfig): boolean {
	return (
		limits.softByteLimit === Number.POSITIVE_INFINITY &&
		limits.hardByteLimit === Number.POSITIVE_INFINITY &&
		limits.softPacketLimit === Number.POSITIVE_INFINITY &&
		limits.hardPacketLimit === Number.POSITIVE_INFINITY &&
		!hasTimeLimits(limits)
	);
}

/** Is there a limit that time alone can bring about? */
export function hasTimeLimits(limits: LifetimeConfig): boolean {
	return (
		limits.softAddExpiresSeconds !== 0 ||
		limits.hardAddExpiresSeconds !== 0 ||
		limits.softUseExpiresSeconds !== 0 ||
		limits.hardUseExpiresSeconds !== 0
	);
}

/** Nothing counted yet. */
export const UNUSED: LifetimeCurrent = { bytes: 0, packets: 0, addTime: 0, useTime: 0 };
