/**
 * Whose dump is it? A paste may hold those of several hosts, told apart by prompts, by commands that name a
 * machine (`ssh moon ip xfrm state`, `ip netns exec left …`) and by headings; and the same host's twice.
 */
import type { DumpedObject } from './dump-object.ts';
import type { DumpPiece } from './dump-text.ts';

/** A command among the dumps. */
export type TypedPiece = Extract<DumpPiece, { readonly kind: 'typed' }>;

/** What belongs to one host, in the order of the text. */
export interface DumpSection {
	/** Empty when nothing names it. */
	name: string;
	/** A prompt or a command named it, not only a heading. */
	readonly certain: boolean;
	readonly line: number;
	readonly pieces: (DumpedObject | TypedPiece)[];
}

/** Words of headings that name no host. */
const COMMON_WORDS =
	/\b(ip|xfrm|states?|sa|sas|sad|spd|polic(y|ies)|output|outputs|of|the|is|are|here|from|on|at|in|for|and|list|show|ls|sudo|dump|statistics|stats|host|node|machine|server|side|snip|snipped|cut|more|then|now|my|this|looks?|like|with|result|results|ipsec|text|console|code|bash|shell|sh|ip-xfrm|database|security|associations?|command|output:)\b|-s\b/gi;

/** What a heading names, when its common words are gone; empty for none. */
export function headingName(text: string): string {
	const bare = text.replace(/^[\s#*=\-_~`>+.:[\]()]+|[\s#*=\-_~`<+.:[\]()]+$/g, '');
	const rest = bare.replace(COMMON_WORDS, ' ').replace(/[^\p{L}\p{N}@]+/gu, '');
	if (rest === '') {
		return '';
	}
	return bare
		.replace(/\s+/g, ' ')
		.replace(/^(on|output (of|from|on)|host|node)\s+/i, '')
		.slice(0, 60);
}

function kindsOf(section: DumpSection): ReadonlySet<string> {
	return new Set(section.pieces.map(({ kind }) => kind).filter((kind) => kind !== 'typed'));
}

/**
 * A section that only a heading begins goes on with what is before it, when that lacks what it has; one of commands
 * alone, when nothing names the one before.
 */
function continues(before: DumpSection, section: DumpSection): boolean {
	const has = kindsOf(before);
	const more = kindsOf(section);
	if (before.name === '' && has.size > 0 && more.size === 0) {
		return true;
	}
	return !section.certain && more.size > 0 && [...more].every((kind) => !has.has(kind));
}

/** What names an object within its host. */
function identityOf(object: DumpedObject): string {
	if (object.kind === 'state') {
		const { id, saddr, family } = object.message.body;
		return `state ${family} ${id.daddr} ${id.proto} ${id.spi} ${id.spi === 0 ? saddr : ''}`;
	}
	const { selector, direction } = object.message.body;
	const { daddr, saddr, ...rest } = selector;
	const { attributes } = object.message;
	const mark = attributes.map((one) =>
		one.name === 'mark' ? `${one.value.v}/${one.value.m}` : one.name === 'ifId' ? one.value : '',
	);
	const type = attributes.find((one) => one.name === 'policyType');
	return `policy ${direction} ${daddr} ${saddr} ${Object.values(rest)} ${mark} ${JSON.stringify(type)}`;
}

/** Where a second dump of the same objects begins: those are two moments, not one table. */
function splitRepeats(section: DumpSection): DumpSection[] {
	const parts: DumpSection[] = [];
	let part: DumpSection = { ...section, pieces: [] };
	let seen = new Map<string, string>();
	let broken = false;
	let last = '';
	for (const piece of section.pieces) {
		if (piece.kind === 'typed') {
			broken = true;
		} else {
			const identity = identityOf(piece);
			const isNew = broken || piece.kind !== last;
			const run = isNew ? `${piece.kind}${piece.line}` : (seen.get('run') ?? '');
			const before = seen.get(identity);
			if (before !== undefined && before !== run) {
				parts.push(part);
				part = { ...section, line: piece.line, pieces: [] };
				seen = new Map();
			}
			seen.set(identity, run);
			seen.set('run', run);
			broken = false;
			last = piece.kind;
		}
		part.pieces.push(piece);
	}
	parts.push(part);
	return parts;
}

/** Sorts the pieces by host, in order of appearance; a host without objects and commands is none. */
export function sectionsOf(pieces: readonly DumpPiece[]): readonly DumpSection[] {
	const sections: DumpSection[] = [];
	let current: DumpSection | undefined;
	const enter = (name: string, certain: boolean, line: number): DumpSection => {
		const known = sections.find((section) => section.name === name);
		const section = known ?? { name, certain, line, pieces: [] };
		if (known === undefined) {
			sections.push(section);
		}
		return section;
	};
	for (const piece of pieces) {
		if (piece.kind === 'heading') {
			const name = headingName(piece.text);
			current = name === '' ? current : enter(name, false, piece.line);
			continue;
		}
		if (piece.kind === 'typed' && piece.host !== undefined) {
			current = enter(piece.host, true, piece.line);
		}
		current ??= enter('', false, piece.line);
		current.pieces.push(piece);
	}
	const merged: DumpSection[] = [];
	for (const section of sections) {
		const before = merged[merged.length - 1];
		if (before !== undefined && continues(before, section)) {
			before.pieces.push(...section.pieces);
			before.name ||= section.name;
		} else if (section.pieces.some((piece) => piece.kind !== 'typed' || piece.command !== '')) {
			merged.push(section);
		}
	}
	const withObjects = merged.filter((section) => kindsOf(section).size > 0);
	const kept = withObjects.length > 0 ? withObjects : merged;
	return kept.flatMap((section) => {
		const parts = splitRepeats(section);
		return parts.length === 1
			? parts
			: parts.map((part, i) => ({ ...part, name: `${section.name} ${i + 1}`.trim() }));
	});
}
