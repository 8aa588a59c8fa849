/**
 * A policy's selector and templates as one flat array of int32: tables may hold a hundred thousand policies,
 * and as objects each would take kilobytes, most of it for addresses. Nothing is lost: what was put in comes
 * out again, the octets behind an IPv4 address too.
 *
 *     selector:  daddr (4) saddr (4) ports masks shape proto ifindex user       14 words
 *     template:  daddr (4) saddr (4) spi family kind reqid aalgos ealgos calgos 15 words, each
 *
 *     ports, masks   source in the upper half, destination in the lower
 *     shape          family, prefix of daddr, prefix of saddr
 *     kind           protocol, mode, share, optional
 */
import type { Address, Selector, Template } from '@xfrm/wire/xfrm';
import { anyAddress } from '@xfrm/wire/xfrm';

/** Places of the selector's words. */
export const SelectorWord = {
	Daddr: 0,
	Saddr: 4,
	Ports: 8,
	PortMasks: 9,
	Shape: 10,
	Proto: 11,
	Ifindex: 12,
	User: 13,
} as const;
export const SELECTOR_WORDS = 14;

/** Places of a template's words, from its first. */
export const TemplateWord = {
	Daddr: 0,
	Saddr: 4,
	Spi: 8,
	Family: 9,
	Kind: 10,
	Reqid: 11,
	Aalgos: 12,
	Ealgos: 13,
	Calgos: 14,
} as const;
export const TEMPLATE_WORDS = 15;

function putAddress(words: number[], at: number, address: Address): void {
	for (let i = 0; i < 4; i++) {
		words[at + i] =
			((address[4 * i] ?? 0) << 24) |
			((address[4 * i + 1] ?? 0) << 16) |
			((address[4 * i + 2] ?? 0) << 8) |
			(address[4 * i + 3] ?? 0);
	}
}

function takeAddress(words: readonly number[], at: number): Address {
	const address = anyAddress();
	for (let i = 0; i < 16; i++) {
		address[i] = (words[at + (i >> 2)] ?? 0) >>> (24 - 8 * (i & 3));
	}
	return address;
}

/** All of it, in a new array. */
export function packPolicy(selector: Selector, templates: readonly Template[]): readonly number[] {
	// Made at its final length: an array that grows keeps room that nobody needs.
	const words = new Array<number>(SELECTOR_WORDS + TEMPLATE_WORDS * templates.length).fill(0);
	putAddress(words, SelectorWord.Daddr, selector.daddr);
	putAddress(words, SelectorWord.Saddr, selector.saddr);
	words[SelectorWord.Ports] = (selector.sport << 16) | selector.dport;
	words[SelectorWord.PortMasks] = (selector.sportMask << 16) | selector.dportMask;
	words[SelectorWord.Shape] =
		(selector.family << 16) | (selector.prefixlenD << 8) | selector.prefixlenS;
	words[SelectorWord.Proto] = selector.proto;
	words[SelectorWord.Ifindex] = selector.ifindex | 0;
	words[SelectorWord.User] = selector.user | 0;
	let at = SELECTOR_WORDS;
	for (const template of templates) {
		const { id, mode, share, optional } = template;
		putAddress(words, at + TemplateWord.Daddr, id.daddr);
		putAddress(words, at + TemplateWord.Saddr, template.saddr);
		words[at + TemplateWord.Spi] = id.spi | 0;
		words[at + TemplateWord.Family] = template.family;
		words[at + TemplateWord.Kind] = (id.proto << 24) | (mode << 16) | (share << 8) | optional;
		words[at + TemplateWord.Reqid] = template.reqid | 0;
		words[at + TemplateWord.Aalgos] = template.aalgos | 0;
		words[at + TemplateWord.Ealgos] = template.ealgos | 0;
		words[at + TemplateWord.Calgos] = template.calgos | 0;
		at += TEMPLATE_WORDS;
	}
	return words;
}

/** The selector's family. */
export function familyOf(words: readonly number[]): number {
	return (words[SelectorWord.Shape] ?? 0) >>> 16;
}

/** The selector, as it was given. */
export function unpackSelector(words: readonly number[]): Selector {
	const ports = words[SelectorWord.Ports] ?? 0;
	const masks = words[SelectorWord.PortMasks] ?? 0;
	const shape = words[SelectorWord.Shape] ?? 0;
	return {
		daddr: takeAddress(words, SelectorWord.Daddr),
		saddr: takeAddress(words, SelectorWord.Saddr),
		dport: ports & 0xffff,
		dportMask: masks & 0xffff,
		sport: ports >>> 16,
		sportMask: masks >>> 16,
		family: shape >>> 16,
		prefixlenD: (shape >>> 8) & 0xff,
		prefixlenS: shape & 0xff,
		proto: words[SelectorWord.Proto] ?? 0,
		ifindex: words[SelectorWord.Ifindex] ?? 0,
		user: (words[SelectorWord.User] ?? 0) >>> 0,
	};
}

/** The templates, as they were given. */
export function unpackTemplates(words: readonly number[]): readonly Template[] {
	const templates: Template[] = [];
	for (let at = SELECTOR_WORDS; at < words.length; at += TEMPLATE_WORDS) {
		const kind = words[at + TemplateWord.Kind] ?? 0;
		templates.push({
			id: {
				daddr: takeAddress(words, at + TemplateWord.Daddr),
				spi: (words[at + TemplateWord.Spi] ?? 0) >>> 0,
				proto: kind >>> 24,
			},
			saddr: takeAddress(words, at + TemplateWord.Saddr),
			family: words[at + TemplateWord.Family] ?? 0,
			reqid: (words[at + TemplateWord.Reqid] ?? 0) >>> 0,
			mode: (kind >>> 16) & 0xff,
			share: (kind >>> 8) & 0xff,
			optional: kind & 0xff,
			aalgos: (words[at + TemplateWord.Aalgos] ?? 0) >>> 0,
			ealgos: (words[at + TemplateWord.Ealgos] ?? 0) >>> 0,
			calgos: (words[at + TemplateWord.Calgos] ?? 0) >>> 0,
		});
	}
	return templates;
}

/**
 * Are the selectors equal in all that counts for identity: host bits, user and interface too?
 *
 * @spec P-5 P-6
 */
export function selectorWordsEqual(a: readonly number[], b: readonly number[]): boolean {
	for (let i = 0; i < SELECTOR_WORDS; i++) {
		if (a[i] !== b[i]) {
			return false;
		}
	}
	return true;
}
