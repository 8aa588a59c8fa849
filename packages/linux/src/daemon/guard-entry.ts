/**
 * A policy as the guard sees it: what becomes of packets that it is first to match, and its place among others.
 *
 * OUT: a policy with templates, or one that blocks, protects: its packets are captured. IN and FWD: a policy with
 * a template that is not optional, or one that blocks, protects: plaintext is dropped. Any other lets packets
 * go as they are.
 *
 * Policies of an if_id are met in their device only and are not here.
 */
import {
	comesBefore,
	SELECTOR_WORDS,
	SelectorWord,
	TEMPLATE_WORDS,
	TemplateWord,
	type XfrmPolicy,
} from '@xfrm/engine';
import { Direction, Family, IpProto, PolicyAction } from '@xfrm/wire/xfrm';

/** The verdict of what lets packets go; any other is a mark for capture (OUT), or `FORBID`. */
export const LET_GO = 0;
export const FORBID = 1;

/** Of a template's kind. */
const OPTIONAL_BITS = 0xff;

export interface GuardEntry {
	readonly policy: XfrmPolicy;
	/** `LET_GO`, `FORBID`, or the mark that packets are captured by. */
	readonly verdict: number;
	/** Which of the layers it is in; kept by guard-layers.ts. */
	layer: number;
	/** Its place in a list there. */
	place: number;
}

/**
 * Does the policy demand that its packets are protected? Templates are looked at as words: made into objects, they
 * would take more memory than all else of most policies.
 */
export function protects({ action, direction, words }: XfrmPolicy): boolean {
	if (action !== PolicyAction.Allow) {
		return true;
	}
	if (direction === Direction.Out) {
		return words.length > SELECTOR_WORDS;
	}
	for (let at = SELECTOR_WORDS; at < words.length; at += TEMPLATE_WORDS) {
		if (((words[at + TemplateWord.Kind] ?? 0) & OPTIONAL_BITS) === 0) {
			return true;
		}
	}
	return false;
}

/** Mark that packets of the policy are known to have: what its lane's device gives back to them. */
export function laneMark(policy: XfrmPolicy): number {
	return policy.markValue >>> 0;
}

/** Can it match anything at all? A prefix may be longer than an address (P-25). */
export function isPossible({ family, words }: XfrmPolicy): boolean {
	const shape = words[SelectorWord.Shape] ?? 0;
	const bits = family === Family.Ipv4 ? 32 : 128;
	return (shape & 0xff) <= bits && ((shape >>> 8) & 0xff) <= bits;
}

/** Is there possibly a packet that both match? Interfaces are not looked at, ports only where both have them exactly. */
export function overlap(a: GuardEntry, b: GuardEntry): boolean {
	const [x, y] = [a.policy.words, b.policy.words];
	const protoX = x[SelectorWord.Proto] ?? 0;
	const protoY = y[SelectorWord.Proto] ?? 0;
	if (protoX !== protoY && protoX !== 0 && protoY !== 0) {
		return false;
	}
	const shapeX = x[SelectorWord.Shape] ?? 0;
	const shapeY = y[SelectorWord.Shape] ?? 0;
	const prefixD = Math.min((shapeX >>> 8) & 0xff, (shapeY >>> 8) & 0xff);
	const prefixS = Math.min(shapeX & 0xff, shapeY & 0xff);
	if (
		!sharePrefix(x, y, SelectorWord.Daddr, prefixD) ||
		!sharePrefix(x, y, SelectorWord.Saddr, prefixS)
	) {
		return false;
	}
	const { markValue, markMask } = a.policy;
	if (((markValue ^ b.policy.markValue) & markMask & b.policy.markMask) !== 0) {
		return false;
	}
	if (protoX !== protoY || protoX === 0 || protoX === IpProto.Gre) {
		// Ports that cannot be said exactly are left out (guard-shape.ts).
		return true;
	}
	const masks = (x[SelectorWord.PortMasks] ?? 0) & (y[SelectorWord.PortMasks] ?? 0);
	return (((x[SelectorWord.Ports] ?? 0) ^ (y[SelectorWord.Ports] ?? 0)) & masks) === 0;
}

function sharePrefix(
	x: readonly number[],
	y: readonly number[],
	from: number,
	bits: number,
): boolean {
	let at = from;
	let rest = bits;
	for (; rest >= 32; rest -= 32, at++) {
		if (x[at] !== y[at]) {
			return false;
		}
	}
	return rest === 0 || ((x[at] ?? 0) ^ (y[at] ?? 0)) >>> (32 - rest) === 0;
}

/**
 * Is `a` met before `b` by a packet that both match, and nothing else? By priority; of equal ones by place in the
 * kernel's list of both, or by age between lists (P-4, P-4b). With three policies this may go round in a circle.
 */
export function isBefore(a: XfrmPolicy, b: XfrmPolicy): boolean {
	if (a.priority !== b.priority || a.list === b.list) {
		return comesBefore(a, b);
	}
	return a.age < b.age;
}

/** Of two entries of equal priority: an order without circles that differs from it to the safe side only. */
export function isSafelyBefore(a: GuardEntry, b: GuardEntry): boolean {
	if ((a.verdict === LET_GO) !== (b.verdict === LET_GO)) {
		return b.verdict === LET_GO;
	}
	return a.policy.age < b.policy.age;
}
