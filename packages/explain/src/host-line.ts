/** Words of one line of `ip address|route|rule|link`, with errors that name the column. */
import { type Address, anyAddress, Family, parseAddress } from '@xfrm/wire/xfrm';
import { InputError, type Word } from './input.ts';

/** A value in the making. */
export type Draft<T> = { -readonly [K in keyof T]: T[K] };

const TABLES: Readonly<Record<string, number>> = { default: 253, main: 254, local: 255, all: 0 };

/** The word of `list` that `text` is or abbreviates; the first one as in `ip`. */
export function unabbreviate(text: string, list: readonly string[]): string | undefined {
	return text === '' ? undefined : list.find((word) => word.startsWith(text));
}

export interface Prefix {
	readonly address: Address;
	readonly family: number;
	readonly prefixLength: number;
}

/** Walks through the words of one line, with errors that name the column. */
export class Reader {
	readonly words: readonly Word[];
	at: number = 0;

	constructor(words: readonly Word[]) {
		this.words = words;
	}

	peek(): string | undefined {
		return this.words[this.at]?.text;
	}

	next(expected: string): string {
		const word = this.words[this.at];
		if (word === undefined) {
			const last = this.words[this.words.length - 1];
			const column = last === undefined ? 1 : last.column + last.text.length;
			throw new InputError({ column, found: 'the end of the line', expected });
		}
		this.at++;
		return word.text;
	}

	/** Takes the word when it is this one. */
	take(text: string): boolean {
		if (this.peek() === text) {
			this.at++;
			return true;
		}
		return false;
	}

	/** Refuses the word just taken. */
	refuse(expected: string): InputError {
		const word = this.words[this.at - 1];
		return new InputError({
			column: word?.column ?? 1,
			found: `"${word?.text ?? ''}"`,
			expected,
		});
	}

	number(expected: string): number {
		const text = this.next(expected);
		const value = /^(0[xX][0-9a-fA-F]+|[0-9]+)$/.test(text) ? Number(text) : Number.NaN;
		if (!(value <= 0xffffffff)) {
			throw this.refuse(expected);
		}
		return value;
	}

	/** An address with or without a prefix length, `default`, `any` or `all`. */
	prefix(family: number, expected: string): Prefix {
		const text = this.next(expected);
		if (text === 'default' || text === 'any' || text === 'all') {
			return { address: anyAddress(), family, prefixLength: 0 };
		}
		const [host = '', length, ...more] = text.split('/');
		// `ip route` prints 10.0.0.0/8 as "10/8" no more, but still takes a shortened IPv4 prefix.
		const full =
			/^[0-9]+(\.[0-9]+){0,2}$/.test(host) && length !== undefined ? padIpv4(host) : host;
		const parsed = parseAddress(full);
		const most = parsed?.family === Family.Ipv4 ? 32 : 128;
		const bits = length === undefined ? most : /^[0-9]{1,3}$/.test(length) ? Number(length) : -1;
		if (parsed === undefined || bits < 0 || bits > most || more.length > 0) {
			throw this.refuse(expected);
		}
		return { address: parsed.address, family: parsed.family, prefixLength: bits };
	}

	address(expected: string): { address: Address; family: number } {
		const parsed = parseAddress(this.next(expected).replace(/%.*$/, ''));
		if (parsed === undefined) {
			throw this.refuse(expected);
		}
		return parsed;
	}

	table(): number {
		const text = this.next('a routing table');
		const named = TABLES[text];
		if (named !== undefined) {
			return named;
		}
		if (!/^(0x[0-9a-fA-F]+|[0-9]+)$/.test(text)) {
			throw this.refuse('a routing table: a number, main, local or default');
		}
		return Number(text);
	}
}

function padIpv4(host: string): string {
	return [...host.split('.'), '0', '0', '0'].slice(0, 4).join('.');
}
