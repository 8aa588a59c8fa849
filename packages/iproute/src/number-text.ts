/** Numbers as strtoul(3) with base 0 reads them: decimal, 0x hexadecimal, 0 octal; a whole word or nothing. */

const DECIMAL = /^\+?[1-9][0-9]*$/;
const HEXADECIMAL = /^\+?0[xX][0-9a-fA-F]+$/;
const OCTAL = /^\+?0[0-7]*$/;

function magnitude(text: string): bigint | undefined {
	const digits = text.startsWith('+') ? text.slice(1) : text;
	if (DECIMAL.test(text) || HEXADECIMAL.test(text)) {
		return BigInt(digits);
	}
	if (OCTAL.test(text)) {
		return digits === '0' ? 0n : BigInt(`0o${digits.slice(1)}`);
	}
	return undefined;
}

/** A number from 0 to `max`, undefined when it is none. */
export function parseUnsigned(text: string, max: number): number | undefined {
	const value = magnitude(text);
	return value === undefined || value > BigInt(max) ? undefined : Number(value);
}

const U64_MAX = 0xffff_ffff_ffff_ffffn;

function limitOf(value: bigint): number {
	return value === U64_MAX ? Number.POSITIVE_INFINITY : Number(value);
}

/** A u64: the largest one is `Infinity` (XFRM_INF), and so is -1; above 2^53 it is rounded. */
export function parseU64(text: string): number | undefined {
	if (text.startsWith('-')) {
		const value = magnitude(text.slice(1));
		return value === undefined ? undefined : limitOf(BigInt.asUintN(64, -value));
	}
	const value = magnitude(text);
	return value === undefined || value > U64_MAX ? undefined : limitOf(value);
}

export const U8_MAX = 0xff;
export const U16_MAX = 0xffff;
export const U32_MAX = 0xffff_ffff;
