/**
 * What a policy looks at of a flow, and what the flow has there: thirteen words, of which masks say what
 * counts. To fall under a policy is to have these bits equal, so a hash of them finds it.
 *
 *     0–3 daddr   4–7 saddr   8 ports   9 mark   10 protocol   11 interface   12 if_id
 *
 * The hash is a sum of its words' parts with one final mix: so the part of each prefix length is computed once
 * a lookup, for however many tuples have it.
 *
 * @hotpath
 */
import type { Flow } from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';
import type { XfrmPolicy } from './policy.ts';
import { SelectorWord } from './policy-words.ts';

export const KEY_WORDS = 13;
/** Places in the key, of addresses the first. */
export const KeyWord = {
	Daddr: 0,
	Saddr: 4,
	Ports: 8,
	Mark: 9,
	Proto: 10,
	Ifindex: 11,
	IfId: 12,
} as const;
/** Ports, mark, protocol and interface: what selectors look at besides addresses. */
export const KIND_WORDS = 4;
/** Prefix lengths there are: 0 to 128. */
export const PREFIX_COUNT = 129;

/** An odd number a word of the key, without any pattern. */
const MULTIPLIERS: Int32Array = Int32Array.of(
	0xc9caa919,
	0xdeabcc3d,
	0x499cf83f,
	0x07125015,
	0xb153ad6d,
	0xa24c6eb9,
	0x25b696cf,
	0xf245ed05,
	0x4c9d81fb,
	0xbc2cec41,
	0x393c6b59,
	0x2a7c7abd,
	0x480e7dbd,
);

/** Four masks a prefix length. */
const PREFIX_MASKS: Int32Array = makePrefixMasks();

function makePrefixMasks(): Int32Array {
	const masks = new Int32Array(4 * PREFIX_COUNT);
	for (let i = 0; i < masks.length; i++) {
		masks[i] = prefixMask(i >> 2, i & 3);
	}
	return masks;
}

/** Mask of one of the four words of an address, of a prefix of so many bits. */
function prefixMask(prefix: number, word: number): number {
	const bits = Math.min(32, Math.max(0, prefix - 32 * word));
	return bits === 0 ? 0 : -1 << (32 - bits);
}

/** The key that is looked for; set once a lookup, for all tuples. */
export const asked: Int32Array = new Int32Array(KEY_WORDS);

/** Makes this flow's key the one that is looked for. */
export function askFlow(flow: Flow, ifId: number): void {
	const { daddr, saddr } = flow;
	asked[0] = daddr[0] ?? 0;
	asked[1] = daddr[1] ?? 0;
	asked[2] = daddr[2] ?? 0;
	asked[3] = daddr[3] ?? 0;
	asked[4] = saddr[0] ?? 0;
	asked[5] = saddr[1] ?? 0;
	asked[6] = saddr[2] ?? 0;
	asked[7] = saddr[3] ?? 0;
	asked[KeyWord.Ports] = (flow.sport << 16) | flow.dport;
	asked[KeyWord.Mark] = flow.mark;
	asked[KeyWord.Proto] = flow.proto;
	asked[KeyWord.Ifindex] = flow.oif;
	asked[KeyWord.IfId] = ifId;
}

/** Makes this policy's key the one that is looked for. */
export function askPolicy(policy: XfrmPolicy): void {
	const { words } = policy;
	for (let word = 0; word < 8; word++) {
		asked[word] = words[SelectorWord.Daddr + word] ?? 0;
	}
	asked[KeyWord.Ports] = words[SelectorWord.Ports] ?? 0;
	asked[KeyWord.Mark] = policy.markValue;
	asked[KeyWord.Proto] = words[SelectorWord.Proto] ?? 0;
	asked[KeyWord.Ifindex] = words[SelectorWord.Ifindex] ?? 0;
	asked[KeyWord.IfId] = policy.ifId;
}

/**
 * What a word adds to a hash. The bits of a short prefix are the upper ones, and a product's upper bits alone
 * would make equal sums of many pairs: they are brought down before and after.
 */
export function wordPart(masked: number, word: number): number {
	const product = Math.imul(masked ^ (masked >>> 16), MULTIPLIERS[word] ?? 0);
	return product ^ (product >>> 15);
}

/** What the asked address at `KeyWord.Daddr` or `Saddr` adds to a hash, of a prefix of so many bits. */
export function addressSum(at: number, prefix: number): number {
	let sum = 0;
	for (let word = 0; word < 4 && 32 * word < prefix; word++) {
		const masked = (asked[at + word] ?? 0) & (PREFIX_MASKS[4 * prefix + word] ?? 0);
		sum = (sum + wordPart(masked, at + word)) | 0;
	}
	return sum;
}

/** Likewise ports, mark, protocol and interface, by the four masks at `at`. */
export function kindSum(masks: Int32Array, at: number): number {
	let sum = 0;
	for (let i = 0; i < KIND_WORDS; i++) {
		const mask = masks[at + i] ?? 0;
		if (mask !== 0) {
			const word = KeyWord.Ports + i;
			sum = (sum + wordPart((asked[word] ?? 0) & mask, word)) | 0;
		}
	}
	return sum;
}

/** Likewise if_id, which always counts. */
export function ifIdSum(): number {
	return wordPart(asked[KeyWord.IfId] ?? 0, KeyWord.IfId);
}

/** The hash of a sum. */
export function hashOfSum(sum: number): number {
	const hash = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
	return Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
}

/** What policies of one tuple look at. */
export interface Shape {
	readonly prefixD: number;
	readonly prefixS: number;
	/** No flow falls under it: a prefix longer than an address (P-25). */
	readonly impossible: boolean;
	/** A mask a word of the key. */
	readonly masks: Int32Array;
}

/** Masks of the policy at hand; set once for all tuples. */
const askedMasks: Int32Array = new Int32Array(KEY_WORDS);

/** Makes this the policy that `askedShape` and `hasAskedShape` are about; answers a hash of its shape. */
export function askShape(policy: XfrmPolicy): number {
	const { words } = policy;
	const [prefixD, prefixS] = prefixesOf(policy);
	for (let word = 0; word < 4; word++) {
		askedMasks[word] = PREFIX_MASKS[4 * Math.min(prefixD, 128) + word] ?? 0;
		askedMasks[4 + word] = PREFIX_MASKS[4 * Math.min(prefixS, 128) + word] ?? 0;
	}
	askedMasks[KeyWord.Ports] = words[SelectorWord.PortMasks] ?? 0;
	askedMasks[KeyWord.Mark] = policy.markMask;
	askedMasks[KeyWord.Proto] = words[SelectorWord.Proto] === 0 ? 0 : -1;
	askedMasks[KeyWord.Ifindex] = words[SelectorWord.Ifindex] === 0 ? 0 : -1;
	askedMasks[KeyWord.IfId] = -1;
	let sum = (prefixD << 8) | prefixS;
	for (let word = KeyWord.Ports; word < KeyWord.IfId; word++) {
		sum = (sum + wordPart(askedMasks[word] ?? 0, word)) | 0;
	}
	return hashOfSum(sum);
}

/** The shape of the policy of `askShape`, in memory of its own. */
export function askedShape(policy: XfrmPolicy): Shape {
	const [prefixD, prefixS] = prefixesOf(policy);
	return { prefixD, prefixS, impossible: isImpossible(policy), masks: askedMasks.slice() };
}

/** Has the policy of `askShape` this shape? */
export function hasAskedShape(policy: XfrmPolicy, shape: Shape): boolean {
	const [prefixD, prefixS] = prefixesOf(policy);
	if (prefixD !== shape.prefixD || prefixS !== shape.prefixS) {
		return false;
	}
	for (let word = KeyWord.Ports; word < KEY_WORDS; word++) {
		if (shape.masks[word] !== askedMasks[word]) {
			return false;
		}
	}
	return true;
}

function prefixesOf(policy: XfrmPolicy): [prefixD: number, prefixS: number] {
	const shape = policy.words[SelectorWord.Shape] ?? 0;
	return [(shape >>> 8) & 0xff, shape & 0xff];
}

function isImpossible(policy: XfrmPolicy): boolean {
	const [prefixD, prefixS] = prefixesOf(policy);
	const bits = policy.family === Family.Ipv4 ? 32 : 128;
	return prefixD > bits || prefixS > bits;
}

/** Does the asked key, a flow's, fall under a policy? Field by field, those first that tell most apart. */
export function fallsUnder(policy: XfrmPolicy): boolean {
	const { words } = policy;
	const shape = words[SelectorWord.Shape] ?? 0;
	const proto = words[SelectorWord.Proto] ?? 0;
	const ifindex = words[SelectorWord.Ifindex] ?? 0;
	const ports = (asked[KeyWord.Ports] ?? 0) ^ (words[SelectorWord.Ports] ?? 0);
	return (
		prefixFits(KeyWord.Daddr, words, (shape >>> 8) & 0xff) &&
		prefixFits(KeyWord.Saddr, words, shape & 0xff) &&
		(ports & (words[SelectorWord.PortMasks] ?? 0)) === 0 &&
		((asked[KeyWord.Mark] ?? 0) & policy.markMask) === policy.markValue &&
		(proto === 0 || proto === asked[KeyWord.Proto]) &&
		(ifindex === 0 || ifindex === asked[KeyWord.Ifindex]) &&
		policy.ifId === asked[KeyWord.IfId]
	);
}

/** The address at `KeyWord.Daddr` or `Saddr`; a selector has its own at the same places. */
function prefixFits(at: number, words: readonly number[], prefix: number): boolean {
	for (let word = 0; word < 4 && 32 * word < prefix; word++) {
		const difference = (asked[at + word] ?? 0) ^ (words[at + word] ?? 0);
		if ((difference & (PREFIX_MASKS[4 * prefix + word] ?? 0)) !== 0) {
			return false;
		}
	}
	return true;
}
