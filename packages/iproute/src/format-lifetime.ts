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
	const lines = [
		'lifetime config:',
		`  limit: soft ${limit(config.softByteLimit)}(bytes), hard ${limit(config.hardByteLimit)}(bytes)`,
		`  limit: soft ${limit(config.softPacketLimit)}(packets), hard ${limit(config.hardPacketLimit)}(packets)`,
		`  expire add: soft ${seconds(config.softAddExpiresSeconds)}(sec), hard ${seconds(config.hardAddExpiresSeconds)}(sec)`,
		`  expire use: soft ${seconds(config.softUseExpiresSeconds)}(sec), hard ${seconds(config.hardUseExpiresSeconds)}(sec)`,
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
