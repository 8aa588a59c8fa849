/** What the cases of a run have reached: transforms, decisions of the engine, counters, notifications. */
import type { TraceEvent, Tracer, TransformTrace, XfrmPolicy, XfrmState } from '@xfrm/engine';
import type { VectorCase } from '../golden/vector-case.ts';
import { REQUIRED_ROWS, UNREACHABLE_ROWS } from './coverage-rows.ts';

/** What the engine was seen to do in one case. */
export class Seen {
	readonly rows: Set<string> = new Set();
	readonly tracer: Tracer = { note: (event) => this.#note(event) };

	#note(event: TraceEvent): void {
		for (const row of rowsOf(event)) {
			this.rows.add(row);
		}
	}
}

const PROTOS: Readonly<Record<number, string>> = {
	4: 'ipip',
	41: 'ip6ip6',
	43: 'route2',
	50: 'esp',
	51: 'ah',
	60: 'hao',
	108: 'comp',
};
const MODES = ['transport', 'tunnel', 'ro', 'in-trigger', 'beet', 'iptfs'] as const;
const DIRECTIONS = ['in', 'out', 'fwd'] as const;
const version = (family: number): string => (family === 2 ? 'v4' : 'v6');

function nameOf(state: XfrmState): string {
	const { config } = state;
	return `${PROTOS[state.proto] ?? state.proto} ${MODES[config.mode] ?? ''} ${version(config.family)}`;
}

function rowsOf(event: TraceEvent): string[] {
	switch (event.kind) {
		case 'policy': {
			const { table, direction, winner, embedded } = event;
			const what = winner === undefined ? 'none' : verb(winner);
			return [`policy ${DIRECTIONS[direction]} ${table}: ${what}${embedded ? ' embedded' : ''}`];
		}
		case 'default-policy':
			return [
				`policy ${DIRECTIONS[event.direction]} default: ${event.accepted ? 'accept' : 'block'}`,
			];
		case 'state-select':
			return [
				`select: ${event.outcome}${event.optional ? ' optional' : ''}`,
				...event.losers.map(({ field }) => `select loser: ${field}`),
			];
		case 'state-lookup':
			return [
				`lookup ${PROTOS[event.proto] ?? event.proto}: ${event.winner === undefined ? 'none' : 'found'}`,
			];
		case 'transform':
			return [
				...transformRows(event.operation, event.state),
				...(isCrossing(event) ? ['mode cross family'] : []),
			];
		case 'template-check':
			return [
				`template ${event.template.optional ? 'optional' : 'required'}: ` +
					`${event.passed ? (event.state === undefined ? 'passes by' : 'found') : 'missed'}`,
				...event.losers.map(({ field }) => `template loser: ${field}`),
			];
		case 'verdict':
			return [`reason ${event.code}`];
		case 'state-check':
		case 'template':
		case 'kept':
			return [];
	}
}

function verb(policy: XfrmPolicy): string {
	return policy.action !== 0 ? 'block' : policy.templates.length === 0 ? 'allow' : 'templates';
}

/** Was one IP version put around the other, or taken off? */
function isCrossing({ operation, before, after }: TransformTrace): boolean {
	return operation === 'mode' && (before[0] ?? 0) >> 4 !== (after[0] ?? 0) >> 4;
}

function transformRows(operation: string, state: XfrmState): string[] {
	const { config } = state;
	const { aead, auth, crypt, comp } = config;
	const names = [aead, auth, crypt, comp].flatMap((one) => (one === undefined ? [] : [one.name]));
	return [
		`${operation} ${nameOf(state)}`,
		...names.map((name) => `${operation} ${name}`),
		...(config.encap === undefined ? [] : [`${operation} esp in udp ${version(config.family)}`]),
		...(config.replayEsn === undefined ? [] : [`${operation} esn`]),
	];
}

export class Coverage {
	/** Cases by row. */
	readonly rows: Map<string, number> = new Map();

	count(answer: VectorCase, seen: Seen | undefined): void {
		const rows = new Set(seen?.rows);
		for (const step of answer.steps) {
			const { stat = {}, events = [], error } = step.expect;
			for (const name of Object.keys(stat)) {
				rows.add(`counter ${name}`);
			}
			for (const { msg } of events) {
				rows.add(`event ${msg}`);
			}
			if (error !== undefined) {
				rows.add(`errno ${error}`);
			}
		}
		for (const row of rows) {
			this.rows.set(row, (this.rows.get(row) ?? 0) + 1);
		}
	}

	/** Rows that have to be reached and were not. */
	missing(): string[] {
		return Object.values(REQUIRED_ROWS)
			.flat()
			.filter((row) => !this.rows.has(row));
	}

	/** The table: required rows under their headings, the others that were reached, what cannot be. */
	text(): string {
		const line = (row: string): string =>
			`  ${row.padEnd(46)} ${String(this.rows.get(row) ?? 0).padStart(7)}`;
		const required = new Set(Object.values(REQUIRED_ROWS).flat());
		const parts = Object.entries(REQUIRED_ROWS).map(
			([heading, rows]) => `${heading}: cases\n${rows.map(line).join('\n')}`,
		);
		const others = [...this.rows.keys()].filter((row) => !required.has(row)).sort();
		const never = Object.entries(UNREACHABLE_ROWS).map(
			([row, reason]) => `${line(row)}  ${reason}`,
		);
		return [
			...parts,
			`also seen: cases\n${others.map(line).join('\n')}`,
			`out of reach here: cases, and why\n${never.join('\n')}`,
		].join('\n');
	}
}
