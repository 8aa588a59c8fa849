/**
 * Questions about sets of flows, in words: `src 10.0.0.0/8,192.0.2.0/24 dst any proto tcp,udp dport 1-1023
 * mark 0x1/0xf dir out never pass`. A part that is not named is any; but if_id is 0 unless named.
 */
import { addressOctets, Direction, Family, parseAddress } from '@xfrm/wire/xfrm';
import {
	anyRegion,
	type Cubes,
	commonCubes,
	Dimension,
	narrowRegion,
	type Region,
	rangeCubes,
	wordsOf,
} from './box.ts';
import type { FlowContext } from './flow-sample.ts';
import { protocolNumber } from './flow-text.ts';
import { InputError, type Word } from './input.ts';

export const OUTCOMES = ['pass', 'transform', 'drop', 'acquire', 'consume'] as const;

export interface SetQuestion {
	/** For each family in question: what all flows have in common, and which they are. */
	readonly sets: readonly { readonly context: FlowContext; readonly regions: readonly Region[] }[];
	/** What is claimed; absent: nothing, everything is to be told. */
	readonly claim?: { readonly word: 'never' | 'always'; readonly outcomes: readonly string[] };
}

const KEYS = /^(src|dst|proto|sport|dport|type|code|mark|if_id|dev|dir|via|never|always)$/;
const DIRECTIONS: Readonly<Record<string, number>> = {
	in: Direction.In,
	out: Direction.Out,
	fwd: Direction.Fwd,
};
const SYNONYMS: Readonly<Record<string, string>> = {
	clear: 'pass',
	protected: 'transform',
	block: 'drop',
};

/**
 * Reads a question.
 *
 * @throws InputError with the column of the word
 */
export function parseSetQuestion(words: readonly Word[]): SetQuestion {
	const seen = new Map<string, Word[]>();
	for (let i = 0; i < words.length; ) {
		const key = words[i];
		if (key === undefined || !KEYS.test(key.text)) {
			throw refused(
				key,
				'src, dst, proto, sport, dport, type, code, mark, if_id, dev, dir, via, never or always',
			);
		}
		const values: Word[] = [];
		i++;
		while (
			i < words.length &&
			(values.length === 0 || key.text === 'via') &&
			!isKey(words[i], key.text)
		) {
			values.push(words[i] ?? key);
			i++;
		}
		if (values.length === 0) {
			const column = key.column + key.text.length;
			throw new InputError({
				column,
				found: 'the end of the question',
				expected: `a value for ${key.text}`,
			});
		}
		seen.set(key.text, values);
	}
	const claim = claimOf(seen);
	return { sets: setsOf(seen, words), ...(claim === undefined ? {} : { claim }) };
}

function isKey(word: Word | undefined, key: string): boolean {
	return key === 'via' && word !== undefined && KEYS.test(word.text);
}

function refused(word: Word | undefined, expected: string): InputError {
	const found = word === undefined ? 'the end of the question' : `"${word.text}"`;
	return new InputError({
		...(word === undefined ? {} : { column: word.column }),
		found,
		expected,
	});
}

function claimOf(seen: ReadonlyMap<string, readonly Word[]>): SetQuestion['claim'] {
	for (const word of ['never', 'always'] as const) {
		const value = seen.get(word)?.[0];
		if (value !== undefined) {
			const outcomes = value.text.split(',').map((one) => SYNONYMS[one] ?? one);
			if (!outcomes.every((one) => OUTCOMES.some((known) => known === one))) {
				throw refused(
					value,
					`${OUTCOMES.join(', ')} (or clear, protected), with commas between several`,
				);
			}
			return { word, outcomes };
		}
	}
	return undefined;
}

function setsOf(
	seen: ReadonlyMap<string, readonly Word[]>,
	words: readonly Word[],
): SetQuestion['sets'] {
	const dir = seen.get('dir')?.[0];
	const direction = DIRECTIONS[dir?.text ?? ''];
	if (direction === undefined) {
		throw refused(dir ?? words[words.length], 'dir in, dir out or dir fwd');
	}
	const ifId = seen.get('if_id')?.[0];
	const common = {
		direction,
		ifId: ifId === undefined ? 0 : numberOf(ifId, ifId.text, 0xffffffff),
		device: seen.get('dev')?.[0]?.text ?? '',
		via: (seen.get('via') ?? []).map((word) => numberOf(word, word.text, 0xffffffff)),
	};
	return [Family.Ipv4, Family.Ipv6].flatMap((family) => {
		const regions = regionsOf(seen, family);
		return regions.length === 0 ? [] : [{ context: { ...common, family }, regions }];
	});
}

/** The flows of one family: a region for each combination of addresses. */
function regionsOf(seen: ReadonlyMap<string, readonly Word[]>, family: number): readonly Region[] {
	let regions: Region[] = [anyRegion()];
	for (const [key, dimension] of [
		['src', Dimension.Source],
		['dst', Dimension.Destination],
	] as const) {
		const word = seen.get(key)?.[0];
		const prefixes = word === undefined ? undefined : prefixesOf(word, family);
		if (prefixes !== undefined) {
			regions = regions.flatMap((region) =>
				prefixes.flatMap((prefix) => withPrefix(region, dimension, prefix, family)),
			);
		}
	}
	const rest: readonly (readonly [string, number, (word: Word) => Cubes])[] = [
		['proto', Dimension.Proto, protoCubes],
		['sport', Dimension.Sport, portCubes],
		['type', Dimension.Sport, portCubes],
		['dport', Dimension.Dport, portCubes],
		['code', Dimension.Dport, portCubes],
		['mark', Dimension.Mark, markCubes],
	];
	for (const [key, dimension, read] of rest) {
		const word = seen.get(key)?.[0];
		if (word !== undefined && word.text !== 'any') {
			const cubes = read(word);
			regions = regions.flatMap((region) => {
				const narrowed = narrowRegion(region, dimension, cubes);
				return narrowed === undefined ? [] : [narrowed];
			});
		}
	}
	return regions;
}

interface Prefix {
	readonly words: Int32Array;
	readonly length: number;
}

/** Prefixes of this family in a list; undefined for `any`. */
function prefixesOf(word: Word, family: number): Prefix[] | undefined {
	if (word.text === 'any') {
		return undefined;
	}
	return disjoint(
		word.text.split(',').flatMap((text) => {
			const [address = '', length] = text.split('/');
			const parsed = parseAddress(address);
			if (parsed === undefined) {
				throw refused(word, 'a prefix, several with commas between them, or any');
			}
			const bits = 8 * addressOctets(parsed.family);
			const told = length === undefined ? bits : numberOf(word, length, bits);
			return parsed.family === family
				? [{ words: wordsOf(parsed.address, family), length: told }]
				: [];
		}),
	);
}

/** Prefixes without those that lie in others. */
function disjoint(prefixes: readonly Prefix[]): Prefix[] {
	return prefixes.filter(
		(one, i) =>
			!prefixes.some(
				(other, j) => i !== j && covers(other, one) && (other.length < one.length || j < i),
			),
	);
}

function covers(wide: Prefix, narrow: Prefix): boolean {
	if (wide.length > narrow.length) {
		return false;
	}
	for (let i = 0; 32 * i < wide.length; i++) {
		const mask = maskOf(Math.min(32, wide.length - 32 * i));
		if ((((wide.words[i] ?? 0) ^ (narrow.words[i] ?? 0)) & mask) !== 0) {
			return false;
		}
	}
	return true;
}

function maskOf(bits: number): number {
	return bits === 0 ? 0 : -1 << (32 - bits);
}

function withPrefix(region: Region, dimension: number, prefix: Prefix, family: number): Region[] {
	let narrowed: Region | undefined = region;
	for (let i = 0; 32 * i < prefix.length && i * 4 < addressOctets(family); i++) {
		const mask = maskOf(Math.min(32, prefix.length - 32 * i));
		narrowed =
			narrowed && narrowRegion(narrowed, dimension + i, [(prefix.words[i] ?? 0) & mask, mask]);
	}
	return narrowed === undefined ? [] : [narrowed];
}

function protoCubes(word: Word): Cubes {
	const protos = word.text.split(',').map((name) => {
		const proto = protocolNumber(name);
		if (proto === undefined) {
			throw refused(word, 'protocols: udp, tcp, icmp, ipv6-icmp, … or numbers to 255');
		}
		return proto;
	});
	return [...new Set(protos)].flatMap((proto) => [proto, 0xff]);
}

function portCubes(word: Word): Cubes {
	const ranges = word.text.split(',').map((text) => {
		const [from = '', to = from] = text.split('-');
		return [numberOf(word, from, 0xffff), numberOf(word, to, 0xffff)] as const;
	});
	const sorted = [...ranges].sort((a, b) => a[0] - b[0]);
	let next = 0;
	return sorted.flatMap(([from, to]) => {
		const cubes = rangeCubes(Math.max(from, next), to, 16);
		next = Math.max(next, to + 1);
		return cubes;
	});
}

function markCubes(word: Word): Cubes {
	const [value = '', mask = '0xffffffff'] = word.text.split('/');
	const bits = numberOf(word, mask, 0xffffffff) | 0;
	return commonCubes(null, [(numberOf(word, value, 0xffffffff) | 0) & bits, bits]) ?? [];
}

function numberOf(word: Word, text: string, max: number): number {
	const value = /^(0[xX][0-9a-fA-F]+|[0-9]+)$/.test(text) ? Number(text) : Number.NaN;
	if (!(value <= max)) {
		throw refused(word, `numbers to ${max}`);
	}
	return value;
}
