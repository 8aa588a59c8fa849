/**
 * The policy of a request, read from the datagram straight into the words that the engine keeps of it: ten
 * thousand tunnels are ten thousand requests, and to make values of selector and templates first would take
 * longer than to add the policy. The twin of policy-writer.ts; reads what `policyConfigOf` reads by way of
 * values, which a test holds it against.
 */
import {
	type PackedPolicy,
	SELECTOR_WORDS,
	SelectorWord,
	TEMPLATE_WORDS,
	TemplateWord,
} from '@xfrm/engine';
import { lifetimeConfig, userTemplate } from '@xfrm/netlink';
import type { Mark } from '@xfrm/wire/xfrm';
import type { RequestAttributes } from './request.ts';

/** In `xfrm_userpolicy_info`, behind the selector. */
const LIMITS_AT = 56;
const PRIORITY_AT = 152;
const INDEX_AT = 156;
const DIRECTION_AT = 160;
const ACTION_AT = 161;
const FLAGS_AT = 162;
const SHARE_AT = 163;

/** What of a request's policy is not in its attributes, checked by nobody yet. */
export interface PolicyInfo {
	/** Room for so many templates behind the selector. */
	readonly words: number[];
	readonly priority: number;
	readonly index: number;
	readonly direction: number;
	readonly action: number;
	readonly flags: number;
	readonly share: number;
}

/** Templates that the request has, a rest of its attribute that is none not counted. */
export function templateCountOf(attributes: RequestAttributes): number {
	return Math.floor(attributes.lengthOf('tmpl') / userTemplate.octets);
}

function readAddress(view: DataView, at: number, words: number[], to: number): void {
	words[to] = view.getInt32(at);
	words[to + 1] = view.getInt32(at + 4);
	words[to + 2] = view.getInt32(at + 8);
	words[to + 3] = view.getInt32(at + 12);
}

/** The `xfrm_userpolicy_info` at `at`, with room for templates. */
export function readPolicyInfo(view: DataView, at: number, templateCount: number): PolicyInfo {
	const words = new Array<number>(SELECTOR_WORDS + TEMPLATE_WORDS * templateCount).fill(0);
	readAddress(view, at, words, SelectorWord.Daddr);
	readAddress(view, at + 16, words, SelectorWord.Saddr);
	words[SelectorWord.Ports] = (view.getUint16(at + 36) << 16) | view.getUint16(at + 32);
	words[SelectorWord.PortMasks] = (view.getUint16(at + 38) << 16) | view.getUint16(at + 34);
	words[SelectorWord.Shape] = (view.getUint16(at + 40, true) << 16) | view.getUint16(at + 42);
	words[SelectorWord.Proto] = view.getUint8(at + 44);
	words[SelectorWord.Ifindex] = view.getInt32(at + 48, true);
	words[SelectorWord.User] = view.getInt32(at + 52, true);
	return {
		words,
		priority: view.getUint32(at + PRIORITY_AT, true),
		index: view.getUint32(at + INDEX_AT, true),
		direction: view.getUint8(at + DIRECTION_AT),
		action: view.getUint8(at + ACTION_AT),
		flags: view.getUint8(at + FLAGS_AT),
		share: view.getUint8(at + SHARE_AT),
	};
}

/** Reads the request's templates into the room that was left for them. */
export function readTemplates(attributes: RequestAttributes, words: number[]): void {
	const { view } = attributes;
	let at = attributes.atOf('tmpl');
	for (let to = SELECTOR_WORDS; to < words.length; to += TEMPLATE_WORDS) {
		readAddress(view, at, words, to + TemplateWord.Daddr);
		readAddress(view, at + 28, words, to + TemplateWord.Saddr);
		words[to + TemplateWord.Spi] = view.getInt32(at + 16);
		words[to + TemplateWord.Family] = view.getUint16(at + 24, true);
		words[to + TemplateWord.Kind] =
			(view.getUint8(at + 20) << 24) | (view.getUint16(at + 48) << 8) | view.getUint8(at + 50);
		words[to + TemplateWord.Reqid] = view.getInt32(at + 44, true);
		words[to + TemplateWord.Aalgos] = view.getInt32(at + 52, true);
		words[to + TemplateWord.Ealgos] = view.getInt32(at + 56, true);
		words[to + TemplateWord.Calgos] = view.getInt32(at + 60, true);
		at += userTemplate.octets;
	}
}

/** All of it together; `at` is where the `xfrm_userpolicy_info` is. */
export function packedPolicy(
	{ words, priority, index, direction, action, flags, share }: PolicyInfo,
	type: number,
	at: number,
	attributes: RequestAttributes,
): PackedPolicy {
	const lifetime = lifetimeConfig.read(attributes.view, at + LIMITS_AT);
	const packed = { words, lifetime, priority, index, direction, action, flags, share, type };
	const mark: Mark | undefined = attributes.get('mark');
	const ifId: number | undefined = attributes.get('ifId');
	if (mark === undefined && ifId === undefined) {
		return packed;
	}
	return {
		...packed,
		...(mark === undefined ? {} : { mark }),
		...(ifId === undefined ? {} : { ifId }),
	};
}
