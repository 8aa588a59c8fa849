/**
 * Selectors made ready for matching: addresses as words with masks, so that a match is a few integer
 * operations (net/xfrm/xfrm_policy.c: __xfrm4_selector_match, __xfrm6_selector_match).
 *
 * @hotpath
 */
import type { Flow } from '@xfrm/wire';
import { type Address, anyAddress, type Selector } from '@xfrm/wire/xfrm';

/** The address as four words in network order of octets; an IPv4 address fills the first. */
export function addressWords(address: Address, family: number): Int32Array {
	const words = new Int32Array(4);
	const count = family === 2 ? 1 : 4;
	for (let i = 0; i < count; i++) {
		words[i] =
			((address[4 * i] ?? 0) << 24) |
			((address[4 * i + 1] ?? 0) << 16) |
			((address[4 * i + 2] ?? 0) << 8) |
			(address[4 * i + 3] ?? 0);
	}
	return words;
}

/** The address whose words these are. */
export function wordsAddress(words: Int32Array): Address {
	const address = anyAddress();
	for (let i = 0; i < 16; i++) {
		address[i] = (words[i >> 2] ?? 0) >>> (24 - 8 * (i & 3));
	}
	return address;
}

/** Masks of a prefix, a word each. */
function prefixMasks(prefix: number): Int32Array {
	const masks = new Int32Array(4);
	for (let i = 0; i < 4; i++) {
		const bits = Math.min(32, Math.max(0, prefix - 32 * i));
		masks[i] = bits === 0 ? 0 : -1 << (32 - bits);
	}
	return masks;
}

const PREFIX_MAX = 128;

function masksOfAll(): readonly Int32Array[] {
	const all: Int32Array[] = [];
	for (let prefix = 0; prefix <= PREFIX_MAX; prefix++) {
		all.push(prefixMasks(prefix));
	}
	return all;
}

/** By prefix. Shared, as thousands of states have the same few, and each array takes two hundred octets. */
const MASKS: readonly Int32Array[] = masksOfAll();
/** Of no address: most states' selectors are for any. */
const NO_WORDS: Int32Array = new Int32Array(4);

function masksOf(prefix: number): Int32Array {
	return MASKS[Math.min(prefix, PREFIX_MAX)] ?? NO_WORDS;
}

function isZero(word: number): boolean {
	return word === 0;
}

function networkWords(address: Address, family: number): Int32Array {
	const words = addressWords(address, family);
	return words.every(isZero) ? NO_WORDS : words;
}

/** Its arrays may be shared: nobody writes into them. */
export class SelectorMatcher {
	readonly family: number;
	readonly daddr: Int32Array;
	readonly daddrMask: Int32Array;
	readonly saddr: Int32Array;
	readonly saddrMask: Int32Array;
	readonly dport: number;
	readonly dportMask: number;
	readonly sport: number;
	readonly sportMask: number;
	readonly proto: number;
	readonly ifindex: number;
	readonly prefixlenD: number;
	readonly prefixlenS: number;
	/** A prefix longer than its family's address matches nothing (P-25). */
	readonly impossible4: boolean;
	readonly impossible6: boolean;

	constructor(selector: Selector) {
		this.family = selector.family;
		// A selector of family 0 is matched by the flow's family: keep all octets it has.
		const family = selector.family === 2 ? 2 : 10;
		this.daddr = networkWords(selector.daddr, family);
		this.saddr = networkWords(selector.saddr, family);
		this.daddrMask = masksOf(selector.prefixlenD);
		this.saddrMask = masksOf(selector.prefixlenS);
		this.dport = selector.dport;
		this.dportMask = selector.dportMask;
		this.sport = selector.sport;
		this.sportMask = selector.sportMask;
		this.proto = selector.proto;
		this.ifindex = selector.ifindex;
		this.prefixlenD = selector.prefixlenD;
		this.prefixlenS = selector.prefixlenS;
		this.impossible4 = selector.prefixlenD > 32 || selector.prefixlenS > 32;
		this.impossible6 = selector.prefixlenD > 128 || selector.prefixlenS > 128;
	}

	/**
	 * Does the flow fall under the selector, seen as one of the flow's family? The caller compares
	 * families where that matters (P-2, S-23).
	 *
	 * @spec P-25
	 */
	matches(flow: Flow): boolean {
		if (
			((flow.dport ^ this.dport) & this.dportMask) !== 0 ||
			((flow.sport ^ this.sport) & this.sportMask) !== 0 ||
			(this.proto !== 0 && this.proto !== flow.proto) ||
			(this.ifindex !== 0 && this.ifindex !== flow.oif) ||
			(flow.family === 2 ? this.impossible4 : this.impossible6)
		) {
			return false;
		}
		return (
			wordsMatch(flow.daddr, this.daddr, this.daddrMask, flow.family) &&
			wordsMatch(flow.saddr, this.saddr, this.saddrMask, flow.family)
		);
	}
}

function wordsMatch(
	address: Int32Array,
	network: Int32Array,
	masks: Int32Array,
	family: number,
): boolean {
	if ((((address[0] ?? 0) ^ (network[0] ?? 0)) & (masks[0] ?? 0)) !== 0) {
		return false;
	}
	if (family === 2) {
		return true;
	}
	return (
		((((address[1] ?? 0) ^ (network[1] ?? 0)) & (masks[1] ?? 0)) |
			(((address[2] ?? 0) ^ (network[2] ?? 0)) & (masks[2] ?? 0)) |
			(((address[3] ?? 0) ^ (network[3] ?? 0)) & (masks[3] ?? 0))) ===
		0
	);
}
