/** Lifetimes and statistics as `ip -s xfrm` prints them (spec 5.2). */
import type { LifetimeConfig, LifetimeCurrent, StateStats } from '@xfrm/wire/xfrm';
import type { Layout } from './layout.ts';

function limit(value: number): string {
	return value === Number.POSITIVE_INFINITY ? '(INF)' : String(BigInt(value));
}

/** Seconds of the largest u64 are no infinity here: they are printed in full. */
function seconds(value: number): string {
	return value === Number.POSITIVE_INFINITY ? '18446744073709551615' : String(BigInt(value));
}

/** The block of lifetimes, each line behind `prefix`. */
export function lifetimeLines(
	config: LifetimeConfig,
	current: LifetimeCurrent,
	prefix: string,
	layout: Layout,
): string {
	const pair = (soft: string, hard: string, unit: string): string =>
		`soft ${soft}(${unit}), hard ${hard}(${unit})`;
	const limits = (soft: number, hard: number, unit: string): string =>
		`  limit: ${pair(limit(soft), limit(hard), unit)}`;
	const expiries = (kind: string, soft: number, hard: number): string =>
		`  expire ${kind}: ${pair(seconds(soft), seconds(hard), 'sec')}`;
	const lines = [
		'lifetime config:',
		limits(config.softByteLimit, config.hardByteLimit, 'bytes'),
		limits(config.softPacketLimit, config.hardPacketLimit, 'packets'),
		expiries('add', config.softAddExpiresSeconds, config.hardAddExpiresSeconds),
		expiries('use', config.softUseExpiresSeconds, config.hardUseExpiresSeconds),
		'lifetime current:',
		`  ${seconds(current.bytes)}(bytes), ${seconds(current.packets)}(packets)`,
		`  add ${layout.time(current.addTime)} use ${layout.time(current.useTime)}`,
	];
	return lines.map((line) => `${prefix}${line}${layout.end}`).join('');
}

/** The two lines of a state's statistics. */
export function statsLines(stats: StateStats, prefix: string, layout: Layout): string {
	const { replayWindow, replay, integrityFailed } = stats;
	return (
		`${prefix}stats:${layout.end}` +
		`${prefix}  replay-window ${replayWindow} replay ${replay} failed ${integrityFailed}${layout.end}`
	);
}
