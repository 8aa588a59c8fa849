/**
 * What `xfrm top` shows, as values and as text: states by traffic, drops by cause, counters that moved. Pure;
 * top-command.ts reads and prints.
 */
import { markText, reasonTitle } from '@xfrm/explain';
import type { DropRow } from '@xfrm/linux';
import { attributeValue, type NamedMessage } from '@xfrm/netlink';
import { Direction, Family, formatAddress, IpProto } from '@xfrm/wire/xfrm';

/** What was read at one moment. */
export interface TopReading {
	/** Unix seconds, with fractions. */
	readonly time: number;
	readonly target: 'kernel' | 'daemon';
	readonly states: readonly NamedMessage<'newsa'>[];
	readonly policies: number;
	readonly counters: ReadonlyMap<string, number>;
	/** Of the daemon only. */
	readonly drops: readonly DropRow[];
	/** What else the daemon counts. */
	readonly own: ReadonlyMap<string, number>;
}

/** A state and its traffic; rates are null where there is nothing to compare with. */
export interface TopState {
	readonly proto: string;
	readonly spi: string;
	readonly src: string;
	readonly dst: string;
	readonly reqid: number;
	/** As `ip` prints it, null for none. */
	readonly mark: string | null;
	readonly packets: number;
	readonly octets: number;
	readonly packets_per_second: number | null;
	readonly bits_per_second: number | null;
	/** Packets that it refused: replayed, too old, or with a wrong ICV. */
	readonly refused: number;
}

/** Drops of one cause. */
export interface TopDrop {
	readonly counter: string;
	readonly policy: string | null;
	readonly state: string | null;
	readonly code: string;
	readonly reason: string;
	readonly packets: number;
	readonly packets_per_second: number | null;
}

/** One line of `xfrm top --json`. */
export interface TopFrame {
	readonly schema: 1;
	readonly object: 'top';
	readonly time: number;
	readonly target: 'kernel' | 'daemon';
	readonly counts: { readonly states: number; readonly policies: number };
	/** Most traffic first. */
	readonly states: readonly TopState[];
	/** Most packets first. */
	readonly drops: readonly TopDrop[];
	/** Those that are not zero. */
	readonly counters: Readonly<Record<string, number>>;
	readonly own: Readonly<Record<string, number>>;
}

const PROTOCOLS: Readonly<Record<number, string>> = {
	[IpProto.Esp]: 'esp',
	[IpProto.Ah]: 'ah',
	[IpProto.Comp]: 'comp',
};

function protocolName(proto: number): string {
	return PROTOCOLS[proto] ?? String(proto);
}

function spiText(spi: number): string {
	return `0x${spi.toString(16).padStart(8, '0')}`;
}

function markOf({ attributes }: NamedMessage<'newsa'>): string {
	const mark = attributeValue(attributes, 'mark');
	return mark === undefined ? '' : markText(mark.v, mark.m);
}

function keyOf(state: NamedMessage<'newsa'>): string {
	const { id, lifetimeCurrent } = state.body;
	return `${id.proto} ${id.spi} ${id.daddr.join('.')} ${markOf(state)} ${lifetimeCurrent.addTime}`;
}

function dropKey({ counter, code, policy, state }: DropRow): string {
	return JSON.stringify([counter, code, policy, state]);
}

/** By how much a second a number has gone up; null without an earlier one. */
function rate(now: number, before: number | undefined, seconds: number): number | null {
	return before === undefined || seconds <= 0 ? null : Math.max(0, (now - before) / seconds);
}

/** What a reading shows, with rates since the one before. */
export function topFrame(now: TopReading, before: TopReading | undefined): TopFrame {
	const seconds = before === undefined ? 0 : now.time - before.time;
	const earlier = new Map(before?.states.map((state) => [keyOf(state), state.body]));
	const dropped = new Map(before?.drops.map((row) => [dropKey(row), row.packets]));
	return {
		schema: 1,
		object: 'top',
		time: now.time,
		target: now.target,
		counts: { states: now.states.length, policies: now.policies },
		states: now.states
			.map((state) => stateRow(state, earlier.get(keyOf(state)), seconds))
			.sort((a, b) => (b.bits_per_second ?? 0) - (a.bits_per_second ?? 0) || b.octets - a.octets),
		drops: now.drops.map((row) => ({
			counter: row.counter,
			policy: policyText(row),
			state: stateText(row),
			code: row.code,
			reason: reasonTitle(row.code),
			packets: row.packets,
			// A cause that was not there had none.
			packets_per_second: rate(
				row.packets,
				dropped.get(dropKey(row)) ?? (before === undefined ? undefined : 0),
				seconds,
			),
		})),
		counters: Object.fromEntries([...now.counters].filter(([, value]) => value !== 0)),
		own: Object.fromEntries(now.own),
	};
}

function stateRow(
	state: NamedMessage<'newsa'>,
	before: NamedMessage<'newsa'>['body'] | undefined,
	seconds: number,
): TopState {
	const { body } = state;
	const family = body.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	const { bytes, packets } = body.lifetimeCurrent;
	const octetRate = rate(bytes, before?.lifetimeCurrent.bytes, seconds);
	const { replayWindow, replay, integrityFailed } = body.stats;
	return {
		proto: protocolName(body.id.proto),
		spi: spiText(body.id.spi),
		src: formatAddress(body.saddr, family),
		dst: formatAddress(body.id.daddr, family),
		reqid: body.reqid,
		mark: markOf(state) || null,
		packets,
		octets: bytes,
		packets_per_second: rate(packets, before?.lifetimeCurrent.packets, seconds),
		bits_per_second: octetRate === null ? null : octetRate * 8,
		refused: replayWindow + replay + integrityFailed,
	};
}

const DIRECTIONS: readonly string[] = ['in', 'out', 'fwd'];

function policyText({ policy }: DropRow): string | null {
	if (policy === null) {
		return null;
	}
	const direction = DIRECTIONS[policy.direction % 3] ?? DIRECTIONS[Direction.In];
	return `${direction} ${policy.index}${withMark(policy.mark)}`;
}

function stateText({ state }: DropRow): string | null {
	return state === null
		? null
		: `${protocolName(state.proto)} ${spiText(state.spi)}${withMark(state.mark)}`;
}

function withMark(mark: string): string {
	return mark === '' ? '' : ` mark ${mark}`;
}

/** 1234567 as 1.2M; null as a dash. */
export function scaled(value: number | null): string {
	if (value === null) {
		return '-';
	}
	let rest = value;
	for (const unit of ['', 'k', 'M', 'G']) {
		if (rest < 999.5) {
			return unit === '' || rest >= 99.5
				? `${Math.round(rest)}${unit}`
				: `${rest.toFixed(1)}${unit}`;
		}
		rest /= 1000;
	}
	return `${rest.toFixed(1)}T`;
}

/** A table with its columns aligned; numbers to the right. */
function aligned(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
	const widths = head.map((title, column) =>
		Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
	);
	const isNumber = head.map(
		(_, column) =>
			rows.every((row) => /^(?:\d+(?:\.\d)?[kMGT]?|-)$/.test(row[column] ?? '')) &&
			rows.some((row) => row[column] !== '-'),
	);
	return [head, ...rows].map((row) =>
		row
			.map((cell, column) => {
				const width = widths[column] ?? 0;
				return isNumber[column] === true ? cell.padStart(width) : cell.padEnd(width);
			})
			.join('  ')
			.trimEnd(),
	);
}

/** Rows behind those that are shown. */
function more(total: number, shown: number, what: string): string[] {
	return total > shown ? [`… ${total - shown} more ${what}`] : [];
}

/** What there is room for. */
export interface TopRoom {
	/** Of the whole frame: the rest is cut off. */
	readonly lines: number;
	/** Of each table. */
	readonly rows: number;
	/** Longer lines are cut, or go on in the next one. */
	readonly columns: number;
}

/** The time of day, by the clock of so many seconds east of UTC. */
export function topTime(time: number, utcOffset: number): string {
	return new Date((time + utcOffset) * 1000).toISOString().slice(11, 19);
}

/** Words behind a title, in as many lines as they need. */
function listed(title: string, words: readonly string[], columns: number): string[] {
	const lines = [title];
	words.forEach((word, index) => {
		const text = index + 1 < words.length ? `${word},` : word;
		const line = lines.at(-1) ?? '';
		if (line.length + 1 + text.length > columns && line !== title) {
			lines.push(`  ${text}`);
		} else {
			lines[lines.length - 1] = `${line} ${text}`;
		}
	});
	return lines;
}

/** Rows of two tables that share so many: each has half, but for what the other has no use for. */
function shared(rows: number, one: number, other: number): readonly [number, number] {
	const half = Math.max(1, Math.floor(rows / 2));
	const first = Math.min(one, Math.max(half, rows - other));
	return [first, Math.min(other, Math.max(1, rows - first))];
}

/**
 * The frame as lines for a terminal.
 *
 * @param utcOffset seconds east of UTC
 */
export function topText(frame: TopFrame, room: TopRoom, utcOffset: number): readonly string[] {
	const { counts, target, states, drops, counters, own } = frame;
	const { columns } = room;
	const named = Object.entries(counters).map(([name, value]) => `${name} ${value}`);
	const counted = Object.entries(own).map(([name, value]) => `${name} ${value}`);
	const above = [
		`${target}  ${topTime(frame.time, utcOffset)}  states ${counts.states}, policies ${counts.policies}`,
		...(counted.length === 0 ? [] : listed('packets:', counted, columns)),
		...listed('counters:', named.length === 0 ? ['all zero'] : named, columns),
		'',
	];
	// Titles, the blank line between the tables, and what is told of rows that are not shown.
	const titles = drops.length === 0 ? 2 : 5;
	const rows = shared(room.lines - above.length - titles, states.length, drops.length);
	const shown = states.slice(0, Math.min(room.rows, rows[0]));
	const causes = drops.slice(0, Math.min(room.rows, rows[1]));
	return [
		...above,
		...aligned(
			// What may be long stands last: it is what is cut.
			['state', 'reqid', 'pps', 'bit/s', 'packets', 'octets', 'refused', 'src', 'dst'],
			shown.map((one) => [
				`${one.proto} ${one.spi}${withMark(one.mark ?? '')}`,
				String(one.reqid),
				scaled(one.packets_per_second),
				scaled(one.bits_per_second),
				scaled(one.packets),
				scaled(one.octets),
				scaled(one.refused),
				one.src,
				one.dst,
			]),
		),
		...more(states.length, shown.length, 'of the states'),
		...(causes.length === 0
			? []
			: [
					'',
					...aligned(
						['dropped', 'pps', 'counter', 'policy', 'state', 'reason'],
						causes.map((one) => [
							String(one.packets),
							scaled(one.packets_per_second),
							one.counter,
							one.policy ?? '-',
							one.state ?? '-',
							one.reason,
						]),
					),
					...more(drops.length, causes.length, 'of the causes'),
				]),
	]
		.slice(0, Math.max(1, room.lines))
		.map((line) => (line.length > columns ? `${line.slice(0, columns - 1)}…` : line));
}
