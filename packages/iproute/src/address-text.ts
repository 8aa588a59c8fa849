/**
 * Addresses and prefixes as `ip` takes them (iproute2 lib/utils.c: get_addr_1, get_prefix_1): IPv4 with
 * fewer than four parts (`10.1` is 10.1.0.0) and parts in octal or hexadecimal, `any`, `all`, `default`.
 */
import { type Address, anyAddress, Family, parseAddress } from '@xfrm/wire/xfrm';
import { parseUnsigned, U32_MAX } from './number-text.ts';
import { refuseCommand, type Word } from './problem.ts';

/** An address with the length of its prefix. */
export interface Prefix {
	readonly address: Address;
	/** 0 for `any` where no family is preferred. */
	readonly family: number;
	readonly prefixLength: number;
}

const ANY = new Set(['any', 'all', 'default']);

/** How `ip` names a family in complaints. */
function familyName(family: number): string {
	if (family === Family.Ipv4) {
		return 'inet';
	}
	return family === Family.Ipv6 ? 'inet6' : 'any valid';
}

function parseIpv4(text: string): Address | undefined {
	const parts = text.split('.');
	if (parts.length > 4) {
		return undefined;
	}
	const address = anyAddress();
	for (const [i, part] of parts.entries()) {
		const octet = parseUnsigned(part, 255);
		if (octet === undefined) {
			return undefined;
		}
		address[i] = octet;
	}
	return address;
}

/** Reads an address of this family, 0 for either. */
function parseAnyAddress(
	text: string,
	family: number,
): { readonly address: Address; readonly family: number } | undefined {
	if (text.includes(':')) {
		const parsed = family === Family.Ipv4 ? undefined : parseAddress(text);
		return parsed?.family === Family.Ipv6 ? parsed : undefined;
	}
	const address = family === Family.Ipv6 ? undefined : parseIpv4(text);
	return address && { address, family: Family.Ipv4 };
}

/** Leading ones of a dotted netmask, undefined when it has holes. */
function netmaskLength(text: string): number | undefined {
	const mask = text.includes('.') ? parseIpv4(text) : undefined;
	if (mask === undefined) {
		return undefined;
	}
	const word = new DataView(mask.buffer).getUint32(0, false);
	const length = Math.clz32(~word);
	return (length === 0 ? 0 : (U32_MAX << (32 - length)) >>> 0) === word ? length : undefined;
}

function parsePrefix(text: string, family: number): Prefix | undefined {
	if (ANY.has(text)) {
		return { address: anyAddress(), family, prefixLength: 0 };
	}
	const slash = text.indexOf('/');
	const parsed = parseAnyAddress(slash < 0 ? text : text.slice(0, slash), family);
	if (parsed === undefined) {
		return undefined;
	}
	const bits = parsed.family === Family.Ipv4 ? 32 : 128;
	if (slash < 0) {
		return { ...parsed, prefixLength: bits };
	}
	const length = text.slice(slash + 1);
	const prefixLength = parseUnsigned(length, bits) ?? netmaskLength(length);
	return prefixLength === undefined ? undefined : { ...parsed, prefixLength };
}

/** Reads a prefix of this family, 0 for either. @throws Unreadable */
export function readPrefix(word: Word, family: number): Prefix {
	const prefix = parsePrefix(word.text, family);
	if (prefix === undefined) {
		const message = `Error: ${familyName(family)} prefix is expected rather than "${word.text}".`;
		return refuseCommand(word, message, 'an address, with or without /LENGTH');
	}
	return prefix;
}

/** Reads an address of either family. @throws Unreadable */
export function readAddress(word: Word): Address {
	const { text } = word;
	const address = ANY.has(text) ? anyAddress() : parseAnyAddress(text, 0)?.address;
	if (address === undefined) {
		const message = `Error: any valid address is expected rather than "${text}".`;
		return refuseCommand(word, message, 'an address');
	}
	return address;
}

/** Reads a dotted quad as a number (GRE keys). @throws Unreadable */
export function readDottedQuad(word: Word): number {
	const address = parseIpv4(word.text);
	if (address === undefined) {
		const message = `Error: an IP address is expected rather than "${word.text}"`;
		return refuseCommand(word, message, 'a number or A.B.C.D');
	}
	return new DataView(address.buffer).getUint32(0, false);
}
