/** ALGO of states: `enc NAME KEY`, `auth NAME KEY`, `auth-trunc NAME KEY BITS`, `aead NAME KEY BITS`, `comp NAME`. */
import { attribute, type XfrmAttribute } from '@xfrm/netlink';
import { encodeUtf8 } from '@xfrm/wire';
import { U32_MAX } from './number-text.ts';
import { duplicateArgument, missingArgument, type Word, wrongArgument } from './problem.ts';
import type { Reading } from './reading.ts';

/** Room that `ip` has for a key. */
const KEY_OCTETS_MAX = 512;

export type AlgorithmWord = 'enc' | 'auth' | 'auth-trunc' | 'aead' | 'comp';

/** Is it the keyword of an algorithm? */
export function isAlgorithmWord(text: string): text is AlgorithmWord {
	return ['enc', 'auth', 'auth-trunc', 'aead', 'comp'].includes(text);
}

/** Which classes of algorithms a command has named. */
export interface AlgorithmClasses {
	enc: boolean;
	auth: boolean;
	aead: boolean;
	comp: boolean;
}

/** 0x with hexadecimal digits (an odd number gets a zero in front), or the octets of the text itself. */
function readKey(word: Word): Uint8Array {
	const { text } = word;
	const isHex = text.length > 2 && text.startsWith('0x');
	const digits = isHex ? text.slice(2).padStart(text.length - 2 + (text.length % 2), '0') : '';
	const raw = encodeUtf8(text);
	const octets = isHex ? digits.length / 2 : raw.length;
	if (octets > KEY_OCTETS_MAX) {
		const complaint = 'ALGO-KEYMAT value makes buffer overflow\n';
		wrongArgument(word, complaint, `a key of at most ${KEY_OCTETS_MAX} octets`);
	}
	if (!isHex) {
		return raw;
	}
	if (!/^[0-9a-fA-F]*$/.test(digits)) {
		wrongArgument(word, 'ALGO-KEYMAT value is invalid', '0x and hexadecimal digits');
	}
	return Uint8Array.from({ length: octets }, (_, i) =>
		Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16),
	);
}

/** Each class may be named once, and AEAD excludes ciphers and authentication that come before it. @spec C-2 */
function claim(word: Word, kind: AlgorithmWord, named: AlgorithmClasses): void {
	const taken = {
		aead: named.enc || named.auth || named.aead,
		enc: named.enc || named.aead,
		auth: named.auth || named.aead,
		'auth-trunc': named.auth || named.aead,
		comp: named.comp,
	}[kind];
	if (taken) {
		duplicateArgument(word, 'ALGO-TYPE');
	}
	named[kind === 'auth-trunc' ? 'auth' : kind] = true;
}

/** Goes to the next word of an algorithm. */
function nextWord(reading: Reading, what: string): Word {
	const { words } = reading;
	if (!words.hasNext) {
		missingArgument(words.word, what);
	}
	return words.next(what).word;
}

function readBits(reading: Reading, what: string): number {
	if (!reading.words.hasNext) {
		missingArgument(reading.words.word, what);
	}
	return reading.number(U32_MAX, `${what} value is invalid`);
}

/** Reads an algorithm; the cursor stands on its keyword. @throws Unreadable */
export function readAlgorithm(
	reading: Reading,
	kind: AlgorithmWord,
	named: AlgorithmClasses,
): XfrmAttribute {
	claim(reading.words.word, kind, named);
	const name = nextWord(reading, 'ALGO-NAME').text;
	if (kind === 'comp') {
		return attribute('algComp', { name, key: new Uint8Array(0), keyBits: 0 });
	}
	const keyWord = nextWord(reading, 'ALGO-KEYMAT');
	const algorithm = (): { name: string; key: Uint8Array; keyBits: number } => {
		const key = readKey(keyWord);
		return { name, key, keyBits: key.length * 8 };
	};
	switch (kind) {
		case 'enc':
			return attribute('algCrypt', algorithm());
		case 'auth':
			return attribute('algAuth', algorithm());
		case 'auth-trunc': {
			const truncBits = readBits(reading, 'ALGO-TRUNC-LEN');
			return attribute('algAuthTrunc', { ...algorithm(), truncBits });
		}
		case 'aead': {
			const icvBits = readBits(reading, 'ALGO-ICV-LEN');
			return attribute('algAead', { ...algorithm(), icvBits });
		}
	}
}
