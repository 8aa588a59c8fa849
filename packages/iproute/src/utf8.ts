/** Text as octets, without the platform's TextEncoder. */

/** The UTF-8 octets of a text; lone surrogates become U+FFFD. */
export function utf8Octets(text: string): Uint8Array {
	const octets: number[] = [];
	for (const char of text) {
		const point = char.codePointAt(0) ?? 0;
		const code = point >= 0xd800 && point <= 0xdfff ? 0xfffd : point;
		if (code < 0x80) {
			octets.push(code);
		} else if (code < 0x800) {
			octets.push(0xc0 | (code >> 6), 0x80 | (code & 63));
		} else if (code < 0x10000) {
			octets.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
		} else {
			octets.push(
				0xf0 | (code >> 18),
				0x80 | ((code >> 12) & 63),
				0x80 | ((code >> 6) & 63),
				0x80 | (code & 63),
			);
		}
	}
	return Uint8Array.from(octets);
}
