/**
 * Addresses of states, kept once where many have them: one end of a gateway's states is the gateway, and a
 * peer's states of both directions come one after the other. What was asked for lately is remembered, in a
 * table of fixed size, so that nothing has to be counted or given back.
 *
 * What is answered here is shared: nobody writes to it.
 */
import { ADDRESS_OCTETS, type Address } from '@xfrm/wire/xfrm';
import { addressWords } from './selector-match.ts';
import { int32s, uint8s } from './small-arrays.ts';

/** Places of the table: a burst of states has fewer addresses that it shares. */
const PLACES = 256;

const addresses: (Address | null)[] = new Array<Address | null>(PLACES).fill(null);
const words: (Int32Array | null)[] = new Array<Int32Array | null>(PLACES).fill(null);

/** An address of equal octets, which nobody else changes. */
export function sharedAddress(address: Address): Address {
	let hash = 0;
	for (let i = 0; i < ADDRESS_OCTETS; i++) {
		hash = Math.imul(hash ^ (address[i] ?? 0), 0x01000193);
	}
	const place = (hash ^ (hash >>> 16)) & (PLACES - 1);
	const known = addresses[place] ?? null;
	if (known !== null && hasOctets(known, address)) {
		return known;
	}
	const made = uint8s(ADDRESS_OCTETS);
	made.set(address);
	addresses[place] = made;
	return made;
}

function hasOctets(a: Address, b: Address): boolean {
	for (let i = 0; i < ADDRESS_OCTETS; i++) {
		if (a[i] !== b[i]) {
			return false;
		}
	}
	return true;
}

/** As `addressWords`, shared. */
export function sharedWords(address: Address, family: number): Int32Array {
	const wanted = addressWords(address, family);
	const [first = 0, second = 0, third = 0, fourth = 0] = wanted;
	const hash = Math.imul(first ^ Math.imul(second ^ third ^ fourth, 0x85ebca6b), 0xc2b2ae35);
	const place = (hash >>> 16) & (PLACES - 1);
	const known = words[place] ?? null;
	if (
		known !== null &&
		known[0] === first &&
		known[1] === second &&
		known[2] === third &&
		known[3] === fourth
	) {
		return known;
	}
	const made = int32s(4);
	made.set(wanted);
	words[place] = made;
	return made;
}
