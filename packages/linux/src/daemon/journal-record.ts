/**
 * The lines of a journal: JSON, one object a line, octets as hex. A journal tells which states and
 * policies there are; what packets do to sequence numbers is in the ledger (sequence-ledger.ts).
 *
 *     {"kind":"head","version":4}
 *     {"kind":"state","number":7,"slot":0,"config":{…},"current":{…}}
 *     {"kind":"policy","number":8,"body":"…"}
 *     {"kind":"gone","number":7}
 *     {"kind":"defaults","defaults":[2,2,2]}
 *
 * Numbers grow in the order in which objects came; a later line of the same number takes the place of an
 * earlier one, and the object its place in the order.
 */
import {
	SELECTOR_WORDS,
	type StateCurrent,
	stateCurrent,
	TEMPLATE_WORDS,
	unpackSelector,
	unpackTemplates,
	type XfrmPolicy,
	type XfrmState,
} from '@xfrm/engine';
import {
	isUnlimited,
	type LifetimeConfig,
	MAX_DEPTH,
	type PolicyConfig,
	type PolicySnapshot,
	type StateConfig,
	type StateSnapshot,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import type { JournalReader, LinePlace } from './journal-file.ts';

export const JOURNAL_VERSION = 4;

/** A policy in little: thousands are written one after the other, each before it is acknowledged. */
export interface PolicyLine {
	/** Words of 32 bits, low octet first, in base64: those of `HeadWord`, then selector and templates as the engine has them. */
	readonly body: string;
	/** What few policies have. */
	readonly rest?: Pick<PolicyConfig, 'mark' | 'ifId' | 'securityContext' | 'offload'> & {
		/** Absent: none. */
		readonly lifetime?: LifetimeConfig;
	};
}

/** Direction, action, flags and type are octets of one; times are of 64 bits, low word first. */
const HeadWord = { Priority: 0, Index: 1, Octets: 2, AddTime: 3, UseTime: 5 } as const;
const HEAD_WORDS = 7;

export type JournalRecord =
	| { readonly kind: 'head'; readonly version: number }
	| {
			readonly kind: 'state';
			readonly number: number;
			readonly slot: number;
			readonly config: StateConfig;
			readonly current: StateCurrent;
	  }
	| ({ readonly kind: 'policy'; readonly number: number } & PolicyLine)
	| { readonly kind: 'gone'; readonly number: number }
	| { readonly kind: 'defaults'; readonly defaults: readonly number[] };

/** Of a state or a policy. */
export type ObjectRecord = JournalRecord & { readonly kind: 'state' | 'policy' };

/** What a journal comes to. */
export interface JournalTables {
	/**
	 * States and policies in the order of their numbers, to be read one after the other (`readObject`): what all of them
	 * say at once takes several times the memory of what is made of it.
	 */
	readonly objects: readonly ObjectLine[];
	readonly defaults: readonly number[] | undefined;
}

/** The last line of a state or policy that is there. */
export interface ObjectLine extends LinePlace {
	readonly number: number;
	/** From 1. */
	readonly lineNumber: number;
}

const HEX: readonly string[] = Array.from({ length: 256 }, (_, octet) =>
	octet.toString(16).padStart(2, '0'),
);

function hexOf(octets: Uint8Array): string {
	let text = '';
	for (let i = 0; i < octets.length; i++) {
		text += HEX[octets[i] ?? 0];
	}
	return text;
}

/** As JSON.stringify, and what JSON cannot say otherwise; faster than a copy for that one would be. */
function jsonOf(value: unknown): string {
	if (typeof value === 'number') {
		return value === Number.POSITIVE_INFINITY ? '{"infinite":true}' : String(value);
	}
	if (typeof value !== 'object' || value === null) {
		return JSON.stringify(value);
	}
	if (value instanceof Uint8Array) {
		return `{"octets":"${hexOf(value)}"}`;
	}
	if (value instanceof Uint32Array) {
		return `{"words":[${value.join(',')}]}`;
	}
	if (Array.isArray(value)) {
		return `[${value.map(jsonOf).join(',')}]`;
	}
	let text = '';
	for (const key in value) {
		const member = (value as Record<string, unknown>)[key];
		if (member !== undefined) {
			text += `${text === '' ? '' : ','}"${key}":${jsonOf(member)}`;
		}
	}
	return `{${text}}`;
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

/** Room for the words of a policy, in the machine's order: low octet first, wherever the daemon runs. */
const bodyWords: Int32Array = new Int32Array(
	HEAD_WORDS + SELECTOR_WORDS + TEMPLATE_WORDS * MAX_DEPTH,
);
const bodyOctets: Buffer = Buffer.from(bodyWords.buffer);

function putTime(seconds: number, at: number): void {
	bodyWords[at] = seconds | 0;
	bodyWords[at + 1] = Math.floor(seconds / 2 ** 32);
}

function timeAt(octets: Buffer, at: number): number {
	return octets.readUInt32LE(4 * at + 4) * 2 ** 32 + octets.readUInt32LE(4 * at);
}

function bodyOf(policy: XfrmPolicy): string {
	const { words, direction, action, flags, type } = policy;
	bodyWords[HeadWord.Priority] = policy.priority;
	bodyWords[HeadWord.Index] = policy.index;
	bodyWords[HeadWord.Octets] = direction | (action << 8) | (flags << 16) | (type << 24);
	putTime(policy.addTime, HeadWord.AddTime);
	putTime(policy.useTime, HeadWord.UseTime);
	for (let i = 0; i < words.length; i++) {
		bodyWords[HEAD_WORDS + i] = words[i] ?? 0;
	}
	return bodyOctets.toString('base64', 0, 4 * (HEAD_WORDS + words.length));
}

/** The line of a policy: of most by a pattern, which is faster than what JSON.stringify finds out. */
export function writePolicy(policy: XfrmPolicy, number: number): string {
	const body = bodyOf(policy);
	if (isUnlimited(policy.limits) && policy.extras === null) {
		return `{"kind":"policy","number":${number},"body":"${body}"}\n`;
	}
	const rest = { lifetime: policy.limits, ...policy.extras };
	return `${jsonOf({ kind: 'policy', number, body, rest })}\n`;
}

/** The policy that was written. */
export function policyOf({ body, rest }: PolicyLine): PolicySnapshot {
	const octets = Buffer.from(body, 'base64');
	const words: number[] = [];
	for (let at = 4 * HEAD_WORDS; at < octets.length; at += 4) {
		words.push(octets.readInt32LE(at));
	}
	const addTime = timeAt(octets, HeadWord.AddTime);
	const useTime = timeAt(octets, HeadWord.UseTime);
	const [direction = 0, action = 0, flags = 0, type = 0] = octets.subarray(4 * HeadWord.Octets);
	return {
		lifetime: UNLIMITED,
		...rest,
		priority: octets.readUInt32LE(4 * HeadWord.Priority),
		index: octets.readUInt32LE(4 * HeadWord.Index),
		direction,
		action,
		flags,
		type,
		selector: unpackSelector(words),
		templates: unpackTemplates(words),
		share: 0,
		lifetimeCurrent: { bytes: 0, packets: 0, addTime, useTime },
	};
}

/** The line of a state, its end included, as all lines. */
export function writeState(state: XfrmState, number: number, slot: number): string {
	const current = stateCurrent(state);
	return `${jsonOf({ kind: 'state', number, slot, config: state.config, current })}\n`;
}

/** The state that was written. */
export function stateOf({ config, current }: JournalRecord & { kind: 'state' }): StateSnapshot {
	return { ...config, ...current };
}

/** Any other line. */
export function writeRecord(
	record: Exclude<JournalRecord, { kind: 'state' } | { kind: 'policy' }>,
): string {
	return `${JSON.stringify(record)}\n`;
}

/** How each line of a state, a policy, or of one that is gone begins. */
const NUMBERED = /^\{"kind":"(state|policy|gone)","number":(\d+)[,}]/;

/**
 * Reads a journal. A last line without its end was being written when the daemon died, and is as good as
 * not written.
 *
 * @returns the tables, or a sentence about why they can't be read
 */
export function readJournal(reader: JournalReader): JournalTables | string {
	const objects = new Map<number, ObjectLine>();
	let defaults: readonly number[] | undefined;
	let lineNumber = 0;
	for (const { at, octets, text } of reader.lines()) {
		lineNumber++;
		const [, kind, digits] = NUMBERED.exec(text) ?? [];
		const number = Number(digits);
		const record = kind === undefined ? parseLine(text) : undefined;
		const isHead = record?.kind === 'head';
		if (isHead !== (lineNumber === 1)) {
			return damagedLine(lineNumber);
		}
		if (isHead && record.version !== JOURNAL_VERSION) {
			return 'the journal is another version’s';
		}
		if (kind === 'gone') {
			objects.delete(number);
		} else if (kind !== undefined) {
			objects.set(number, { number, at, octets, lineNumber });
		} else if (record?.kind === 'defaults') {
			({ defaults } = record);
		} else if (!isHead) {
			return damagedLine(lineNumber);
		}
	}
	return { objects: [...objects.values()].sort((a, b) => a.number - b.number), defaults };
}

/** What a line of a journal says, or a sentence about why it can't be read. */
export function readObject(reader: JournalReader, object: ObjectLine): ObjectRecord | string {
	const record = parseLine(reader.textOf(object));
	return record?.kind === 'state' || record?.kind === 'policy'
		? record
		: damagedLine(object.lineNumber);
}

function damagedLine(lineNumber: number): string {
	return `line ${lineNumber} of the journal is damaged`;
}

function parseLine(text: string): JournalRecord | undefined {
	try {
		const value: unknown = JSON.parse(text, unpacked);
		// Written by us, into a folder of root's: its shape is taken for right.
		return typeof value === 'object' && value !== null && 'kind' in value
			? (value as JournalRecord)
			: undefined;
	} catch {
		return undefined;
	}
}
