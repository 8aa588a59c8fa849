/** Text as UTF-8 octets and back, as pure packages have no TextEncoder. Off the packet path. */

/** The octets of a text; a lone surrogate becomes U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
	const octets: number[] = [];
	for (const letter of text) {
		const point = letter.codePointAt(0) ?? 0;
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

/** Octets that follow a lead octet, or -1 for one that leads nothing. */
function trailCount(lead: number): number {
	if (lead < 0x80) {
		return 0;
	}
	if (lead >= 0xc2 && lead < 0xe0) {
		return 1;
	}
	if (lead >= 0xe0 && lead < 0xf0) {
		return 2;
	}
	return lead >= 0xf0 && lead < 0xf5 ? 3 : -1;
}

/** Least code point that a sequence of one, two, three, four octets may hold. */
const LEAST_BY_TRAIL = [0, 0x80, 0x800, 0x10000];

/** The text of octets; each octet that belongs to no valid sequence becomes U+FFFD. */
export function decodeUtf8(bytes: Uint8Array): string {
	let text = '';
	let at = 0;
	while (at < bytes.length) {
		const lead = bytes[at] ?? 0;
		const trail = trailCount(lead);
		let code = trail <= 0 ? lead : lead & (0x3f >> trail);
		let valid = trail >= 0 && at + trail < bytes.length;
		for (let i = 1; valid && i <= trail; i++) {
			const octet = bytes[at + i] ?? 0;
			valid = octet >> 6 === 2;
			code = (code << 6) | (octet & 63);
		}
		valid &&= code >= (LEAST_BY_TRAIL[trail] ?? 0) && code <= 0x10ffff;
		valid &&= code < 0xd800 || code > 0xdfff;
		text += valid ? String.fromCodePoint(code) : '\ufffd';
		at += valid ? trail + 1 : 1;
	}
	return text;
}

/** The text up to the first zero octet, as C strings in fixed fields are read. */
export function decodeCString(bytes: Uint8Array): string {
	const end = bytes.indexOf(0);
	return decodeUtf8(end < 0 ? bytes : bytes.subarray(0, end));
}
