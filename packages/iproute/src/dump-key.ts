/**
 * Algorithms in dumps, with what people and `nokeys` leave of their keys: `<<Keys hidden>>`,
 * `<<key#1 hidden>>`, `0xXXXXXXXX`, `[redacted]`, nothing at all. Such a key becomes zeros: of the length
 * that -s tells or the number of placeholders, else of the algorithm's usual length.
 */
import { findAead, findAuth, findCrypt, keyFits } from '@xfrm/crypto/algorithms';
import { attribute, type XfrmAttribute } from '@xfrm/netlink';
import type { DumpReading } from './dump-parts.ts';
import type { DumpWords } from './dump-words.ts';
import { U32_MAX } from './number-text.ts';

export type AlgorithmKeyword = 'auth' | 'auth-trunc' | 'aead' | 'enc' | 'comp';

/** Room that `ip` has for a key. */
const KEY_OCTETS_MAX = 512;

type Info = NonNullable<ReturnType<typeof findAead | typeof findAuth | typeof findCrypt>>;

function algorithmInfo(kind: AlgorithmKeyword, name: string, bits: number): Info | undefined {
	switch (kind) {
		case 'aead':
			return findAead(name, bits) ?? findAead(name, 128);
		case 'enc':
			return findCrypt(name);
		default:
			return findAuth(name);
	}
}

/** Octets of a key that nothing is known of. */
function usualOctets(info: Info | undefined): number {
	switch (info?.kind) {
		case 'aead':
			return info.keyOctets[0] ?? 0;
		case 'auth':
			return info.keyOctets?.[0] ?? info.icvFullBits / 8;
		case 'crypt':
			// The shortest that IKE negotiates: some ciphers would take fewer bits, or none.
			return Math.min(info.keyOctetsMax, Math.max(info.keyOctetsMin, 16));
		default:
			return 16;
	}
}

/** Bits of an ICV as IKE negotiates them. */
const ICV_BITS: Readonly<Record<string, number>> = {
	'hmac(sha256)': 128,
	'hmac(sha384)': 192,
	'hmac(sha512)': 256,
};

function usualBits(name: string): number {
	const isAead = findAead(name, 128) !== undefined;
	return isAead ? 128 : (ICV_BITS[name] ?? 96);
}

interface KeyText {
	/** The key in hexadecimal, undefined when it is hidden. */
	readonly hex: string | undefined;
	/** `(N bits)` of -s. */
	readonly bits: number | undefined;
	/** Length in octets that placeholders suggest. */
	readonly placeholders: number | undefined;
}

/** Words that end an algorithm's line, whatever was left of its key. */
const ENDS = new Set([
	...['mark', 'output-mark', 'auth-trunc', 'auth', 'aead', 'enc', 'comp', 'encap', 'coa'],
	...['lastused', 'anti-replay', 'crypto', 'if_id', 'tfcpad', 'dir', 'pcpu-num', 'sel', 'src'],
	...['lifetime', 'stats:', 'replay-window'],
]);

function endsKey(words: DumpWords): boolean {
	const { text } = words;
	return !words.more || ENDS.has(text) || (text === 'security' && words.nextText === 'context');
}

/** Does the current word go on with the key? In a new line only what a wrapped key's rest looks like does. */
function goesOn(words: DumpWords, parts: readonly string[]): boolean {
	if (!words.first || parts.length === 0) {
		return true;
	}
	const isOpen =
		parts.some((part) => part.startsWith('<<')) && !parts.some((part) => part.endsWith('>>'));
	return isOpen || /^(-?[0-9]+|[0-9a-fA-F]+|\([0-9]+|bits\))$/.test(words.text);
}

/** Takes what stands between an algorithm's name and the next keyword; the last number is its own. */
function takeKey(
	reading: DumpReading,
	name: string,
	numbered: boolean,
): KeyText & { readonly number: number } {
	const { words } = reading;
	const parts: string[] = [];
	let bits: number | undefined;
	while (!endsKey(words) && goesOn(words, parts)) {
		const text = words.take('a key');
		const count = /^\(([0-9]+)$/.exec(text)?.[1];
		if (count !== undefined && words.text === 'bits)') {
			words.take('bits)');
			bits = Number(count);
			reading.statistics = true;
		} else {
			parts.push(text);
		}
	}
	const last = numbered ? (parts.pop() ?? '') : '0';
	let number: number | undefined = /^-?[0-9]{1,10}$/.test(last) ? Number(last) : undefined;
	if (number === undefined && last !== '' && !/^0x[0-9a-fA-F]*$/.test(last)) {
		// Whoever took the key away took the number with it.
		parts.push(last);
		number = usualBits(name);
		reading.notes.push(`${name} has an ICV of ${number} bits, as IKE has it: the text tells none`);
	}
	if (number === undefined) {
		return words.refuse('the number of bits behind the key');
	}
	const joined = parts.join('');
	const hex = /^(?:0x((?:[0-9a-fA-F]{2})*))?$/.exec(joined);
	return {
		hex: hex === null ? undefined : (hex[1] ?? ''),
		bits,
		placeholders: /^0x(.)\1+$/.test(joined) ? (joined.length - 2) / 2 : undefined,
		number: number >>> 0,
	};
}

function hiddenOctets(key: KeyText, info: Info | undefined): number {
	if (key.bits !== undefined) {
		return Math.min(KEY_OCTETS_MAX, Math.ceil(key.bits / 8));
	}
	const { placeholders } = key;
	const fits = placeholders !== undefined && Number.isInteger(placeholders);
	return fits && info !== undefined && keyFits(info, placeholders)
		? Math.min(KEY_OCTETS_MAX, placeholders)
		: usualOctets(info);
}

function needsKey(kind: AlgorithmKeyword, name: string, number: number): boolean {
	const info = algorithmInfo(kind, name, number & U32_MAX);
	return info !== undefined && (name.startsWith('hmac(') || !keyFits(info, 0));
}

/** The octets of a key as text; one more of zeros where its last bits were not printed. */
function keyOf(
	key: KeyText,
	info: Info | undefined,
): { readonly key: Uint8Array; readonly keyBits: number } {
	if (key.hex === undefined) {
		const octets = hiddenOctets(key, info);
		return { key: new Uint8Array(octets), keyBits: key.bits ?? octets * 8 };
	}
	const { hex } = key;
	const keyBits = key.bits ?? hex.length * 4;
	const octets = new Uint8Array(Math.ceil(keyBits / 8));
	for (let i = 0; i < octets.length && 2 * i < hex.length; i++) {
		octets[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16);
	}
	return { key: octets, keyBits };
}

/** A dump has names of the kernel's own table only, which are made of these. */
const NAME = /^[A-Za-z0-9_(),-]{1,63}$/;

/** Reads an algorithm; the current word is its keyword. */
export function readDumpedAlgorithm(reading: DumpReading, kind: AlgorithmKeyword): XfrmAttribute {
	const { words } = reading;
	words.expect(kind);
	const name = words.take('the name of an algorithm');
	if (!NAME.test(name)) {
		words.refuseLast('the name of an algorithm');
	}
	if (kind === 'comp') {
		// It has none, though `nokeys` says that it is hidden.
		takeKey(reading, name, false);
		return attribute('algComp', { name, key: new Uint8Array(0), keyBits: 0 });
	}
	const told = takeKey(reading, name, kind === 'aead' || kind === 'auth-trunc');
	// Nothing at all is what somebody leaves who takes keys away, unless the algorithm does without.
	const taken = told.hex === '' && told.bits === undefined && needsKey(kind, name, told.number);
	const text = taken ? { ...told, hex: undefined } : told;
	const long = text.hex !== undefined && text.hex.length > 2 * KEY_OCTETS_MAX;
	const wrong = text.hex !== undefined && text.bits !== undefined;
	if (long || (wrong && text.hex.length / 2 !== Math.floor(text.bits / 8))) {
		words.refuseLast(`a key of ${text.bits ?? `at most ${KEY_OCTETS_MAX * 8}`} bits`);
	}
	const info = algorithmInfo(kind, name, text.number & U32_MAX);
	if (text.hex === undefined) {
		reading.hiddenKeys.push(`${kind} ${name}`);
	}
	const algorithm = { name, ...keyOf(text, info) };
	switch (kind) {
		case 'aead':
			return attribute('algAead', { ...algorithm, icvBits: text.number });
		case 'auth-trunc':
			return attribute('algAuthTrunc', { ...algorithm, truncBits: text.number });
		case 'auth':
			return attribute('algAuth', algorithm);
		case 'enc':
			return attribute('algCrypt', algorithm);
	}
}
