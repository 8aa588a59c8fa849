/** Parts of dumps that states and policies share: selectors, lifetimes, flags, marks, devices, labels. */
import { attribute, type XfrmAttribute } from '@xfrm/netlink';
import { encodeUtf8 } from '@xfrm/wire';
import {
	anySelector,
	IpProto,
	type LifetimeConfig,
	type LifetimeCurrent,
	type Selector,
	UNLIMITED,
	UNUSED,
} from '@xfrm/wire/xfrm';
import { INVALID_TIME, parseCivil, TIME_MAX } from './civil-time.ts';
import type { CommandContext } from './command.ts';
import type { DumpWords } from './dump-words.ts';
import type { FlagWords } from './flag-words.ts';
import { parseU64, parseUnsigned, U8_MAX, U16_MAX, U32_MAX } from './number-text.ts';
import { protocolNumber } from './protocol-names.ts';

/** What reading a dump needs from outside, and what it finds out. */
export interface DumpReading {
	readonly words: DumpWords;
	readonly context: CommandContext;
	readonly hiddenKeys: string[];
	/** What had to be assumed, in words. */
	readonly notes: string[];
	/** -s was used. */
	statistics: boolean;
}

/** A protocol by name or number. */
export function readProtocol(words: DumpWords): number {
	const text = words.take('a protocol');
	const number = protocolNumber(text) ?? parseUnsigned(text, U8_MAX);
	return number ?? words.refuseLast('a protocol by name or number');
}

type SelectorDraft = { -readonly [K in keyof Selector]: Selector[K] };

/** Reads one `sport N` and the like; false when the current word is none. */
function readPort(words: DumpWords, selector: SelectorDraft): boolean {
	switch (words.text) {
		case 'sport':
		case 'type':
			selector.sport = words.named(words.text, U16_MAX);
			selector.sportMask = U16_MAX;
			return true;
		case 'dport':
		case 'code':
			selector.dport = words.named(words.text, U16_MAX);
			selector.dportMask = U16_MAX;
			return true;
		case '(dport)': {
			// Of mobility headers, with -s: the octets as a number of the machine.
			const swapped = words.named('(dport)', U16_MAX);
			selector.dport = ((swapped & 0xff) << 8) | (swapped >> 8);
			selector.dportMask = U16_MAX;
			return true;
		}
		case 'key': {
			const key = words.named('key');
			selector.sport = key >>> 16;
			selector.dport = key & U16_MAX;
			selector.sportMask = U16_MAX;
			selector.dportMask = U16_MAX;
			return true;
		}
		default:
			return false;
	}
}

/** The index of an interface; `if7` is 7 where no interface has that name. */
export function readDevice(reading: DumpReading): number {
	const { words, context } = reading;
	const name = words.take('a device');
	const known = context.interfaceIndex?.(name) ?? 0;
	const digits = /^if([0-9]+)$/.exec(name)?.[1];
	const index = known > 0 ? known : parseUnsigned(digits ?? '', 0x7fff_ffff);
	return index ?? words.refuseLast('a device of this host');
}

/** `src A/P dst A/P [proto NAME] [sport N] … [dev DEV] [uid N]` */
export function readDumpedSelector(reading: DumpReading): Selector {
	const { words } = reading;
	words.expect('src');
	const source = words.prefix();
	words.expect('dst');
	const destination = words.prefix();
	const selector: SelectorDraft = {
		...anySelector(source.family),
		saddr: source.address,
		daddr: destination.address,
		prefixlenS: source.length,
		prefixlenD: destination.length,
	};
	if (destination.family !== source.family) {
		words.refuseLast('an address of the same family as the source');
	}
	if (words.takeIf('proto')) {
		selector.proto = readProtocol(words);
	}
	while (readPort(words, selector)) {
		// All parts in any order.
	}
	if (words.takeIf('dev')) {
		selector.ifindex = readDevice(reading);
	}
	if (words.text === 'uid') {
		selector.user = words.named('uid');
		reading.statistics = true;
	}
	return selector;
}

/** Names of flags, then what has no name in hexadecimal; the bits in parentheses (-s) repeat them. */
export function readDumpedFlags(reading: DumpReading, names: FlagWords): number {
	const { words } = reading;
	let flags = 0;
	for (;;) {
		const { text } = words;
		const bit = names.find(([name]) => name === text)?.[1];
		// `aead` looks like a number, but is the next line's keyword.
		const isRest = text !== 'aead' && /^[0-9a-f]{1,8}$/.test(text);
		const rest = isRest ? Number.parseInt(text, 16) : undefined;
		if (bit === undefined && (rest === undefined || rest === 0)) {
			return flags >>> 0;
		}
		flags |= bit ?? rest ?? 0;
		words.take('a flag');
	}
}

/** Passes over `(0x00000000)`. */
export function passBits(reading: DumpReading): void {
	if (/^\(0x[0-9a-f]+\)$/.test(reading.words.text)) {
		reading.words.take('');
		reading.statistics = true;
	}
}

/** `V/M`, numbers with or without 0x. */
export function readMarkPair(words: DumpWords): { readonly v: number; readonly m?: number } {
	const [value = '', mask, ...more] = words.take('VALUE/MASK').split('/');
	const v = parseUnsigned(value, U32_MAX);
	const m = mask === undefined ? undefined : parseUnsigned(mask, U32_MAX);
	if (v === undefined || (mask !== undefined && m === undefined) || more.length > 0) {
		return words.refuseLast('VALUE/MASK');
	}
	return m === undefined ? { v } : { v, m };
}

/** A time; `-` is never. */
export function readTime(reading: DumpReading): number {
	const { words, context } = reading;
	if (words.takeIf('-')) {
		return 0;
	}
	if (words.takeIf(INVALID_TIME)) {
		return TIME_MAX;
	}
	const date = words.take('YYYY-MM-DD or -');
	const civil = parseCivil(date, words.text);
	if (civil === undefined) {
		return /^[0-9]+-[0-9]+-[0-9]+$/.test(date)
			? words.refuse('hh:mm:ss')
			: words.refuseLast('YYYY-MM-DD hh:mm:ss or -');
	}
	words.take('hh:mm:ss');
	const offset = context.utcOffsetSeconds ?? (() => 0);
	return civil - offset(civil - offset(civil));
}

/** `NUMBER(unit)`, a comma may follow. */
function readCount(words: DumpWords, unit: string): number {
	const text = words.take(`NUMBER(${unit})`);
	const digits = new RegExp(`^(\\(INF\\)|[0-9]+)\\(${unit}\\),?$`).exec(text)?.[1];
	const value = digits === '(INF)' ? Number.POSITIVE_INFINITY : parseU64(digits ?? 'none');
	return value ?? words.refuseLast(`NUMBER(${unit})`);
}

function readPair(words: DumpWords, unit: string): readonly [soft: number, hard: number] {
	words.expect('soft');
	const soft = readCount(words, unit);
	words.expect('hard');
	return [soft, readCount(words, unit)];
}

/** What a lifetime block says. */
export interface DumpedLifetime {
	readonly lifetime: LifetimeConfig;
	readonly lifetimeCurrent: LifetimeCurrent;
}

export const UNTOLD_LIFETIME: DumpedLifetime = { lifetime: UNLIMITED, lifetimeCurrent: UNUSED };

/** `lifetime config: … lifetime current: …` */
export function readDumpedLifetime(reading: DumpReading): DumpedLifetime {
	const { words } = reading;
	reading.statistics = true;
	words.expect('lifetime', 'config:', 'limit:');
	const [softByteLimit, hardByteLimit] = readPair(words, 'bytes');
	words.expect('limit:');
	const [softPacketLimit, hardPacketLimit] = readPair(words, 'packets');
	words.expect('expire', 'add:');
	const [softAddExpiresSeconds, hardAddExpiresSeconds] = readPair(words, 'sec');
	words.expect('expire', 'use:');
	const [softUseExpiresSeconds, hardUseExpiresSeconds] = readPair(words, 'sec');
	words.expect('lifetime', 'current:');
	const bytes = readCount(words, 'bytes');
	const packets = readCount(words, 'packets');
	words.expect('add');
	const addTime = readTime(reading);
	words.expect('use');
	const useTime = readTime(reading);
	return {
		lifetime: {
			softByteLimit,
			hardByteLimit,
			softPacketLimit,
			hardPacketLimit,
			softAddExpiresSeconds,
			hardAddExpiresSeconds,
			softUseExpiresSeconds,
			hardUseExpiresSeconds,
		},
		lifetimeCurrent: { bytes, packets, addTime, useTime },
	};
}

/** `security context LABEL` */
export function readDumpedLabel(words: DumpWords): XfrmAttribute {
	words.expect('security', 'context');
	const text = encodeUtf8(words.take('a label'));
	const context = new Uint8Array(text.length + 1);
	context.set(text);
	const ctxLen = context.length;
	return attribute('secCtx', {
		len: 8 + ctxLen,
		exttype: 8,
		ctxAlg: 1,
		ctxDoi: 1,
		ctxLen,
		context,
	});
}

const OFFLOAD_INBOUND = 2;
const OFFLOAD_PACKET = 4;

/** `crypto offload parameters: dev DEV [dir in|out] [mode crypto|packet]` */
export function readDumpedOffload(reading: DumpReading): XfrmAttribute {
	const { words } = reading;
	words.expect('crypto', 'offload', 'parameters:', 'dev');
	const ifindex = readDevice(reading);
	let flags = 0;
	if (words.takeIf('dir')) {
		flags |= words.choice({ in: OFFLOAD_INBOUND, out: 0 }, 0);
	}
	if (words.takeIf('mode')) {
		flags |= words.choice({ crypto: 0, packet: OFFLOAD_PACKET }, 0);
	}
	return attribute('offloadDev', { ifindex, flags });
}

/** `[proto P] [spi S] reqid N mode M` of states and templates. */
export interface DumpedTransform {
	readonly proto: number;
	readonly spi: number;
	readonly reqid: number;
	readonly mode: number;
}

const XFRM_PROTOCOLS: Readonly<Record<string, number>> = {
	esp: IpProto.Esp,
	ah: IpProto.Ah,
	comp: IpProto.Comp,
	route2: IpProto.Routing,
	hao: IpProto.DestinationOptions,
	'ipsec-any': IpProto.Raw,
};

const MODES: Readonly<Record<string, number>> = {
	transport: 0,
	tunnel: 1,
	ro: 2,
	in_trigger: 3,
	beet: 4,
	iptfs: 5,
};

/** `proto P [spi S] reqid N mode M`; the numbers' repetitions in parentheses are passed over. */
export function readTransform(words: DumpWords): DumpedTransform {
	words.expect('proto');
	const proto = words.choice(XFRM_PROTOCOLS, U8_MAX);
	const spi = words.text === 'spi' ? words.named('spi') : 0;
	const reqid = words.named('reqid');
	words.expect('mode');
	return { proto, spi, reqid, mode: words.choice(MODES, U8_MAX) };
}
