/**
 * `xfrm_address_t`: always 16 octets in network order, an IPv4 address in the first four. The family
 * stands beside it, never in it. Text goes in and out here and nowhere else.
 */
import { Family } from './constants.ts';

export type Address = Uint8Array;

export const ADDRESS_OCTETS = 16;

/** A fresh any-address. */
export function anyAddress(): Address {
	return new Uint8Array(ADDRESS_OCTETS);
}

/** Octets of an address of this family on the wire. */
export function addressOctets(family: number): number {
	return family === Family.Ipv4 ? 4 : 16;
}

/** Is it the any-address of its family (IPv4 looks at four octets, as the kernel)? */
export function isAnyAddress(address: Address, family: number): boolean {
	const octets = addressOctets(family);
	for (let i = 0; i < octets; i++) {
		if (address[i] !== 0) {
			return false;
		}
	}
	return true;
}

/** Equal under this family (the octets behind an IPv4 address do not count). */
export function addressEquals(a: Address, b: Address, family: number): boolean {
	const octets = addressOctets(family);
	for (let i = 0; i < octets; i++) {
		if (a[i] !== b[i]) {
			return false;
		}
	}
	return true;
}

/**
 * Do the first `prefix` bits agree? A prefix longer than the family's address never matches.
 *
 * @spec P-25
 */
export function prefixMatches(
	address: Address,
	network: Address,
	prefix: number,
	family: number,
): boolean {
	if (prefix > addressOctets(family) * 8) {
		return false;
	}
	const whole = prefix >> 3;
	for (let i = 0; i < whole; i++) {
		if (address[i] !== network[i]) {
			return false;
		}
	}
	const rest = prefix & 7;
	if (rest === 0) {
		return true;
	}
	return (((address[whole] ?? 0) ^ (network[whole] ?? 0)) & (0xff00 >> rest) & 0xff) === 0;
}

/** Copies an address out of packet bytes; `octets` is 4 or 16. */
export function addressFrom(bytes: Uint8Array, at: number, octets: number): Address {
	const address = anyAddress();
	address.set(bytes.subarray(at, at + octets));
	return address;
}

/** Prints as inet_ntop(3) does: dotted, or RFC 5952 with embedded IPv4 where glibc embeds it. */
export function formatAddress(address: Address, family: number): string {
	if (family === Family.Ipv4) {
		return `${address[0]}.${address[1]}.${address[2]}.${address[3]}`;
	}
	const words: number[] = [];
	for (let i = 0; i < 8; i++) {
		words.push(((address[2 * i] ?? 0) << 8) | (address[2 * i + 1] ?? 0));
	}
	let bestAt = -1;
	let bestCount = 1;
	for (let at = 0; at < 8; at++) {
		let count = 0;
		while (at + count < 8 && words[at + count] === 0) {
			count++;
		}
		if (count > bestCount) {
			bestAt = at;
			bestCount = count;
		}
	}
	const embedded = bestAt === 0 && (bestCount === 6 || (bestCount === 5 && words[5] === 0xffff));
	const tail = embedded ? [`${address[12]}.${address[13]}.${address[14]}.${address[15]}`] : [];
	const end = embedded ? 6 : 8;
	const text = (from: number, to: number): string =>
		[...words.slice(from, to).map((word) => word.toString(16)), ...(to === end ? tail : [])].join(
			':',
		);
	if (bestAt < 0) {
		return text(0, end);
	}
	return `${text(0, bestAt)}::${text(bestAt + bestCount, end)}`;
}

/** The octets of dotted text, or undefined. */
function parseIpv4(text: string): number[] | undefined {
	const parts = text.split('.');
	if (parts.length !== 4) {
		return undefined;
	}
	const octets: number[] = [];
	for (const part of parts) {
		if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) {
			return undefined;
		}
		octets.push(Number(part));
	}
	return octets;
}

/** Reads an address as text; undefined when it is none. Zones (`%eth0`) are not addresses. */
export function parseAddress(text: string): { address: Address; family: Family } | undefined {
	const address = anyAddress();
	if (!text.includes(':')) {
		const octets = parseIpv4(text);
		if (octets === undefined) {
			return undefined;
		}
		address.set(octets);
		return { address, family: Family.Ipv4 };
	}
	const halves = text.split('::');
	if (halves.length > 2) {
		return undefined;
	}
	const sides: number[][] = [];
	for (const [side, half] of halves.entries()) {
		const octets: number[] = [];
		const groups = half === '' ? [] : half.split(':');
		for (const [i, group] of groups.entries()) {
			if (group.includes('.') && i === groups.length - 1 && side === halves.length - 1) {
				const last = parseIpv4(group);
				if (last === undefined) {
					return undefined;
				}
				octets.push(...last);
			} else if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
				const word = Number.parseInt(group, 16);
				octets.push(word >> 8, word & 255);
			} else {
				return undefined;
			}
		}
		sides.push(octets);
	}
	const [head = [], rest] = sides;
	const length = head.length + (rest?.length ?? 0);
	if (rest === undefined ? length !== 16 : length > 14) {
		return undefined;
	}
	address.set(head);
	address.set(rest ?? [], 16 - (rest?.length ?? 0));
	return { address, family: Family.Ipv6 };
}
