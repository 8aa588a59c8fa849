/** Parts of states and policies as JSON: what json-state.ts and json-policy.ts share (schema/parts.schema.json). */
import type { AttributeSource, XfrmAttribute } from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';
import {
	type Address,
	Family,
	formatAddress,
	IpProto,
	type LifetimeConfig,
	type LifetimeCurrent,
	type Mark,
	type Offload,
	type ReplayEsn,
	type ReplayLegacy,
	type Selector,
	type Template,
} from '@xfrm/wire/xfrm';
import type { CommandContext } from './command.ts';
import type { FlagWords } from './flag-words.ts';
import type { KeyNames } from './key-names.ts';
import { hex8 } from './layout.ts';
import { protocolName } from './protocol-names.ts';

/** An object of JSON, in the making. */
export type JsonObject = { [name: string]: unknown };

/** How JSON is written. */
export interface JsonOptions {
	/** Hides keys behind names; absent: keys are shown. */
	readonly keys?: KeyNames | undefined;
	readonly context?: CommandContext;
}

/** Words of protocols, modes and so on by number. */
export const PROTOCOL_WORDS: Readonly<Record<number, string>> = {
	[IpProto.Esp]: 'esp',
	[IpProto.Ah]: 'ah',
	[IpProto.Comp]: 'comp',
	[IpProto.Routing]: 'route2',
	[IpProto.DestinationOptions]: 'hao',
	[IpProto.Raw]: 'ipsec-any',
};
export const MODE_WORDS: Readonly<Record<number, string>> = {
	0: 'transport',
	1: 'tunnel',
	2: 'ro',
	3: 'in_trigger',
	4: 'beet',
	5: 'iptfs',
};
export const SHARE_WORDS: Readonly<Record<number, string>> = {
	0: 'any',
	1: 'session',
	2: 'user',
	3: 'unique',
};
export const LEVEL_WORDS: Readonly<Record<number, string>> = { 0: 'required', 1: 'use' };
export const TYPE_WORDS: Readonly<Record<number, string>> = { 0: 'main', 1: 'sub' };
export const DIRECTION_WORDS: Readonly<Record<number, string>> = { 0: 'in', 1: 'out', 2: 'fwd' };
export const STATE_DIRECTION_WORDS: Readonly<Record<number, string>> = { 1: 'in', 2: 'out' };
export const ACTION_WORDS: Readonly<Record<number, string>> = { 0: 'allow', 1: 'block' };
export const ENCAP_WORDS: Readonly<Record<number, string>> = {
	1: 'espinudp-nonike',
	2: 'espinudp',
	7: 'espintcp',
};
export const DEFAULT_WORDS: Readonly<Record<number, string>> = {
	0: 'unspec',
	1: 'block',
	2: 'accept',
};

/** The word of a number, or the number. */
export function wordJson(words: Readonly<Record<number, string>>, number: number): string | number {
	return words[number] ?? number;
}

/** An address; of an unknown family all 16 octets as one of IPv6. */
export function addressJson(address: Address, family: number): string {
	return formatAddress(address, family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6);
}

/** `family`, where addresses do not show it. */
export function familyJson(family: number): JsonObject {
	return family === Family.Ipv4 || family === Family.Ipv6 ? {} : { family };
}

export function hexJson(number: number): string {
	return `0x${number.toString(16)}`;
}

export function hex32Json(number: number): string {
	return `0x${hex8(number)}`;
}

export function markJson(mark: Mark): string {
	return `${hexJson(mark.v)}/${hexJson(mark.m)}`;
}

/** Names of flags; what has none in hexadecimal. */
export function flagsJson(flags: number, words: FlagWords): string[] {
	let rest = flags >>> 0;
	const names: string[] = [];
	for (const [name, bit] of words) {
		if ((rest & bit) !== 0) {
			rest = (rest & ~bit) >>> 0;
			names.push(name);
		}
	}
	return rest === 0 ? names : [...names, hexJson(rest)];
}

export function deviceJson(ifindex: number, options: JsonOptions): string {
	return options.context?.interfaceName?.(ifindex) ?? `if${ifindex}`;
}

function portsJson(selector: Selector): JsonObject {
	const { proto, sport, sportMask, dport, dportMask } = selector;
	const icmp = proto === IpProto.Icmp || proto === IpProto.Icmpv6;
	const part = (name: string, icmpName: string, value: number, mask: number): JsonObject => {
		if (value === 0 && mask === 0) {
			return {};
		}
		return mask === 0xffff
			? { [icmp ? icmpName : name]: value }
			: { [name]: value, [`${name}_mask`]: mask };
	};
	return {
		...part('sport', 'type', sport, sportMask),
		...part('dport', 'code', dport, dportMask),
	};
}

/** A selector; `owner` is the family of its addresses when it has none. */
export function selectorJson(
	selector: Selector,
	options: JsonOptions,
	owner: number = selector.family,
): JsonObject {
	const { family, proto, ifindex, user } = selector;
	const name = protocolName(proto);
	const of = family === Family.Unspec ? owner : family;
	return {
		src: `${addressJson(selector.saddr, of)}/${selector.prefixlenS}`,
		dst: `${addressJson(selector.daddr, of)}/${selector.prefixlenD}`,
		...familyJson(family),
		...(proto === 0 ? {} : { proto: name === String(proto) ? proto : name }),
		...portsJson(selector),
		...(ifindex === 0 ? {} : { dev: deviceJson(ifindex, options) }),
		...(user === 0 ? {} : { uid: user }),
	};
}

/** The largest u64 is no limit: null. */
function limitJson(value: number): number | null {
	return value === Number.POSITIVE_INFINITY ? null : value;
}

/** All eight limits. */
export function lifetimeJson(lifetime: LifetimeConfig): JsonObject {
	return {
		soft_bytes: limitJson(lifetime.softByteLimit),
		hard_bytes: limitJson(lifetime.hardByteLimit),
		soft_packets: limitJson(lifetime.softPacketLimit),
		hard_packets: limitJson(lifetime.hardPacketLimit),
		soft_add: limitJson(lifetime.softAddExpiresSeconds),
		hard_add: limitJson(lifetime.hardAddExpiresSeconds),
		soft_use: limitJson(lifetime.softUseExpiresSeconds),
		hard_use: limitJson(lifetime.hardUseExpiresSeconds),
	};
}

/** Counted octets and packets, times of adding and first use. */
export function currentJson(current: LifetimeCurrent): JsonObject {
	const { bytes, packets, addTime, useTime } = current;
	return { bytes, packets, add: addTime, use: useTime };
}

export function replayJson(replay: ReplayLegacy): JsonObject {
	return { seq: replay.seq, oseq: replay.oseq, bitmap: hex32Json(replay.bitmap) };
}

export function replayEsnJson(replay: ReplayEsn): JsonObject {
	const words = Array.from({ length: replay.bmpLen }, (_, i) => replay.bmp[i] ?? 0);
	return {
		seq_hi: replay.seqHi,
		seq: replay.seq,
		oseq_hi: replay.oseqHi,
		oseq: replay.oseq,
		replay_window: replay.replayWindow,
		bitmap: words.reverse().map(hex32Json),
	};
}

const OFFLOAD_INBOUND = 2;
const OFFLOAD_PACKET = 4;

export function offloadJson(offload: Offload, options: JsonOptions): JsonObject {
	return {
		dev: deviceJson(offload.ifindex, options),
		dir: (offload.flags & OFFLOAD_INBOUND) !== 0 ? 'in' : 'out',
		mode: (offload.flags & OFFLOAD_PACKET) !== 0 ? 'packet' : 'crypto',
	};
}

/** A template; the masks only where they forbid anything. */
export function templateJson(template: Template): JsonObject {
	const { id, saddr, family, reqid, mode, optional, share, ealgos, aalgos, calgos } = template;
	const mask = (name: string, value: number): JsonObject =>
		value === 0xffff_ffff ? {} : { [name]: hex32Json(value) };
	return {
		src: addressJson(saddr, family),
		dst: addressJson(id.daddr, family),
		...familyJson(family),
		proto: wordJson(PROTOCOL_WORDS, id.proto),
		spi: hex32Json(id.spi),
		reqid,
		mode: wordJson(MODE_WORDS, mode),
		...(optional === 0 ? {} : { level: wordJson(LEVEL_WORDS, optional) }),
		...(share === 0 ? {} : { share: wordJson(SHARE_WORDS, share) }),
		...mask('enc_mask', ealgos),
		...mask('auth_mask', aalgos),
		...mask('comp_mask', calgos),
	};
}

/** The text of a security label. */
export function labelJson(from: AttributeSource): JsonObject {
	const context = from.get('secCtx');
	if (context === undefined) {
		return {};
	}
	const end = context.context.indexOf(0);
	const label = context.context.subarray(0, end < 0 ? undefined : end);
	return { security_context: String.fromCharCode(...label) };
}

/** Attributes that are not known. */
export function unknownJson(attributes: readonly XfrmAttribute[]): JsonObject {
	const unknown = attributes.flatMap((one) =>
		one.name === 'unknown' ? [{ type: one.type, value: formatHex(one.value) }] : [],
	);
	return unknown.length === 0 ? {} : { unknown };
}

/** The member, when there is a value. */
export function member<T>(
	name: string,
	value: T | undefined,
	write: (value: T) => unknown,
): JsonObject {
	return value === undefined ? {} : { [name]: write(value) };
}

/** A number or text as it is. */
export function plain(value: number | string | true): unknown {
	return value;
}
