/** Bytes as hexadecimal text and back. Off the packet path. */

const DIGITS = '0123456789abcdef';

/** Lower case, two digits an octet, nothing between them. */
export function formatHex(bytes: Uint8Array): string {
	let text = '';
	for (const octet of bytes) {
		text += (DIGITS[octet >> 4] ?? '') + (DIGITS[octet & 15] ?? '');
	}
	return text;
}

/** A 32-bit number as `0x` and eight digits, as SPIs and marks are printed. */
export function formatHex32(value: number): string {
	return `0x${(value >>> 0).toString(16).padStart(8, '0')}`;
}

/** Where text stopped being hex: `at` counts characters of the text as given. */
export interface HexError {
	readonly at: number;
	readonly found: string;
	readonly expected: string;
}

/**
 * Reads hex digits; blanks, colons and a leading `0x` are passed over, so that the output of tcpdump -x
 * columns and of `ip` can be pasted.
 */
export function parseHex(text: string): Uint8Array | HexError {
	const bytes = new Uint8Array(text.length >> 1);
	let count = 0;
	let high = -1;
	let at = /^\s*0[xX]/.exec(text)?.[0].length ?? 0;
	for (; at < text.length; at++) {
		const letter = text[at] ?? '';
		if (letter === ':' || /\s/.test(letter)) {
			continue;
		}
		const digit = DIGITS.indexOf(letter.toLowerCase());
		if (digit < 0) {
			return { at, found: letter, expected: 'a hexadecimal digit' };
		}
		if (high < 0) {
			high = digit;
		} else {
			bytes[count++] = (high << 4) | digit;
			high = -1;
		}
	}
	if (high >= 0) {
		return { at, found: 'the end', expected: 'a second digit for the last octet' };
	}
	return bytes.slice(0, count);
}
