/**
 * The lines of a journal: JSON, one object a line, octets as hex. A journal tells which states and policies
 * there are; what packets do to sequence numbers is in the ledger (sequence-ledger.ts).
 *
 *     {"kind":"head","version":1}
 *     {"kind":"state","number":7,"slot":0,"state":{…}}
 *     {"kind":"policy","number":8,"policy":{…}}
 *     {"kind":"gone","number":7}
 *     {"kind":"defaults","defaults":[2,2,2]}
 *
 * Numbers grow in the order in which objects came; a later line of the same number takes the place of an
 * earlier one, and the object its place in the order.
 */
import type { PolicySnapshot, StateSnapshot } from '@xfrm/wire/xfrm';

export const JOURNAL_VERSION = 1;

export type JournalRecord =
	| { readonly kind: 'head'; readonly version: number }
	| {
			readonly kind: 'state';
			readonly number: number;
			readonly slot: number;
			readonly state: StateSnapshot;
	  }
	| { readonly kind: 'policy'; readonly number: number; readonly policy: PolicySnapshot }
	| { readonly kind: 'gone'; readonly number: number }
	| { readonly kind: 'defaults'; readonly defaults: readonly number[] };

/** What a journal comes to, objects in order. */
export interface JournalTables {
	readonly objects: ReadonlyMap<number, JournalRecord & { kind: 'state' | 'policy' }>;
	readonly defaults: readonly number[] | undefined;
}

function packed(_key: string, value: unknown): unknown {
	if (value instanceof Uint8Array) {
		return { octets: Buffer.from(value).toString('hex') };
	}
	if (value instanceof Uint32Array) {
		return { words: [...value] };
	}
	return value === Number.POSITIVE_INFINITY ? { infinite: true } : value;
}

function unpacked(_key: string, value: unknown): unknown {
	if (typeof value !== 'object' || value === null) {
		return value;
	}
	if ('octets' in value && typeof value.octets === 'string') {
		return new Uint8Array(Buffer.from(value.octets, 'hex'));
	}
	if ('words' in value && Array.isArray(value.words)) {
		return Uint32Array.from(value.words);
	}
	return 'infinite' in value ? Number.POSITIVE_INFINITY : value;
}

/** A line, its end included. */
export function writeRecord(record: JournalRecord): string {
	return `${JSON.stringify(record, packed)}\n`;
}

/**
 * Reads a journal. A last line without its end was being written when the daemon died, and is as good as
 * not written.
 *
 * @returns the tables, or a sentence about why they can't be read
 */
export function readJournal(text: string): JournalTables | string {
	const objects = new Map<number, JournalRecord & { kind: 'state' | 'policy' }>();
	let defaults: readonly number[] | undefined;
	const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
	lines.pop();
	for (const [index, line] of lines.entries()) {
		const record = parseLine(line);
		if (record === undefined) {
			return `line ${index + 1} of the journal is damaged`;
		}
		if (index === 0 && (record.kind !== 'head' || record.version !== JOURNAL_VERSION)) {
			return 'the journal is another version’s';
		}
		if (record.kind === 'state' || record.kind === 'policy') {
			objects.set(record.number, record);
		} else if (record.kind === 'gone') {
			objects.delete(record.number);
		} else if (record.kind === 'defaults') {
			({ defaults } = record);
		}
	}
	return { objects: new Map([...objects].sort(([a], [b]) => a - b)), defaults };
}

function parseLine(line: string): JournalRecord | undefined {
	try {
		const value: unknown = JSON.parse(line, unpacked);
		// Written by us, into a folder of root's: its shape is taken for right.
		return typeof value === 'object' && value !== null && 'kind' in value
			? (value as JournalRecord)
			: undefined;
	} catch {
		return undefined;
	}
}
