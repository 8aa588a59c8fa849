/**
 * The attributes of NETLINK_XFRM as a table: number, name, value (include/uapi/linux/xfrm.h, spec 2.5).
 * Information messages have number spaces of their own. A list of attributes keeps their order, repeats,
 * and what is not known.
 */
import type {
	Address,
	AeadAlgorithm,
	Algorithm,
	AuthAlgorithm,
	Encap,
	KmAddress,
	LifetimeCurrent,
	Mark,
	MigrateEntry,
	Offload,
	ReplayEsn,
	ReplayLegacy,
	Template,
} from '@xfrm/wire/xfrm';
import { AttributeReader } from '../attribute.ts';
import type { MessageWriter } from '../message-writer.ts';
import { aeadAlgorithm, algorithm, authAlgorithm } from './algorithm.ts';
import {
	address,
	arrayOf,
	copyOctets,
	fixed,
	flag,
	u8,
	u16,
	u32,
	u64,
	type ValueCodec,
} from './codec.ts';
import {
	type SadHashInfo,
	type SpdCounts,
	type SpdHashInfo,
	type SpdHashThreshold,
	sadHashInfo,
	spdCounts,
	spdHashInfo,
	spdHashThreshold,
} from './info.ts';
import {
	type UserPolicyInfo,
	type UserPolicyType,
	userKmAddress,
	userMigrate,
	userPolicyInfo,
	userPolicyType,
	userTemplate,
} from './policy.ts';
import {
	type AddressFilter,
	addressFilter,
	lifetimeCurrent,
	type UserSecCtx,
	userOffload,
	userSecCtx,
	xfrmMark,
} from './selector.ts';
import {
	encapTemplate,
	replayState,
	replayStateEsn,
	type UserSaInfo,
	userSaInfo,
} from './state.ts';

/** Values by name; a name is the kernel's constant without `XFRMA_`, by rule. */
export interface AttributeValues {
	readonly algAuth: Algorithm;
	readonly algCrypt: Algorithm;
	readonly algComp: Algorithm;
	readonly encap: Encap;
	readonly tmpl: readonly Template[];
	readonly sa: UserSaInfo;
	readonly policy: UserPolicyInfo;
	readonly secCtx: UserSecCtx;
	readonly ltimeVal: LifetimeCurrent;
	readonly replayVal: ReplayLegacy;
	readonly replayThresh: number;
	readonly etimerThresh: number;
	readonly srcaddr: Address;
	readonly coaddr: Address;
	/** Unix seconds. */
	readonly lastused: number;
	readonly policyType: UserPolicyType;
	readonly migrate: readonly MigrateEntry[];
	readonly algAead: AeadAlgorithm;
	readonly kmaddress: KmAddress;
	readonly algAuthTrunc: AuthAlgorithm;
	readonly mark: Mark;
	readonly tfcpad: number;
	readonly replayEsnVal: ReplayEsn;
	readonly saExtraFlags: number;
	readonly proto: number;
	readonly addressFilter: AddressFilter;
	readonly offloadDev: Offload;
	readonly setMark: number;
	readonly setMarkMask: number;
	readonly ifId: number;
	/** Seconds. */
	readonly mtimerThresh: number;
	readonly saDir: number;
	/** Seconds. */
	readonly natKeepaliveInterval: number;
	readonly saPcpu: number;
	/** Microseconds. */
	readonly iptfsDropTime: number;
	/** Packets. */
	readonly iptfsReorderWindow: number;
	readonly iptfsDontFrag: true;
	/** Microseconds. */
	readonly iptfsInitDelay: number;
	/** Octets. */
	readonly iptfsMaxQsize: number;
	/** Octets. */
	readonly iptfsPktSize: number;
	readonly sadCnt: number;
	readonly sadHinfo: SadHashInfo;
	readonly spdInfo: SpdCounts;
	readonly spdHinfo: SpdHashInfo;
	readonly spdIpv4Hthresh: SpdHashThreshold;
	readonly spdIpv6Hthresh: SpdHashThreshold;
}
export type AttributeName = keyof AttributeValues;

/** One row of the table. */
export interface AttributeSpec<N extends AttributeName = AttributeName> {
	readonly number: number;
	readonly name: N;
	readonly codec: ValueCodec<AttributeValues[N]>;
	/** Values outside are ERANGE (N-8). */
	readonly range?: readonly [min: number, max: number];
	/** Only the kernel sends it: nobody checks that of a request. */
	readonly answerOnly?: true;
}

type AnySpec = { [N in AttributeName]: AttributeSpec<N> }[AttributeName];

/** A number space: rows by number and by name. */
export interface AttributeSpace {
	readonly name: 'xfrm' | 'sad' | 'spd';
	/** Highest number. */
	readonly max: number;
	byNumber(number: number): AnySpec | undefined;
}

function space(name: AttributeSpace['name'], rows: readonly AnySpec[]): AttributeSpace {
	const byNumber = new Map(rows.map((row) => [row.number, row]));
	const max = Math.max(...byNumber.keys());
	return { name, max, byNumber: (number) => byNumber.get(number) };
}

const word: ValueCodec<number> = fixed(u32);
const octet: ValueCodec<number> = fixed(u8);

/** First number whose attributes are parsed strictly (N-8). */
export const STRICT_FROM = 33;

const XFRM_ROWS: readonly AnySpec[] = [
	{ number: 1, name: 'algAuth', codec: algorithm },
	{ number: 2, name: 'algCrypt', codec: algorithm },
	{ number: 3, name: 'algComp', codec: algorithm },
	{ number: 4, name: 'encap', codec: fixed(encapTemplate) },
	{ number: 5, name: 'tmpl', codec: arrayOf(userTemplate) },
	{ number: 6, name: 'sa', codec: fixed(userSaInfo) },
	{ number: 7, name: 'policy', codec: fixed(userPolicyInfo) },
	{ number: 8, name: 'secCtx', codec: userSecCtx },
	{ number: 9, name: 'ltimeVal', codec: fixed(lifetimeCurrent) },
	{ number: 10, name: 'replayVal', codec: fixed(replayState) },
	{ number: 11, name: 'replayThresh', codec: word },
	{ number: 12, name: 'etimerThresh', codec: word },
	{ number: 13, name: 'srcaddr', codec: fixed(address) },
	{ number: 14, name: 'coaddr', codec: fixed(address) },
	{ number: 15, name: 'lastused', codec: fixed(u64) },
	{ number: 16, name: 'policyType', codec: fixed(userPolicyType) },
	// One attribute may hold several entries. @spec G-8
	{ number: 17, name: 'migrate', codec: arrayOf(userMigrate) },
	{ number: 18, name: 'algAead', codec: aeadAlgorithm },
	{ number: 19, name: 'kmaddress', codec: fixed(userKmAddress) },
	{ number: 20, name: 'algAuthTrunc', codec: authAlgorithm },
	{ number: 21, name: 'mark', codec: fixed(xfrmMark) },
	{ number: 22, name: 'tfcpad', codec: word },
	{ number: 23, name: 'replayEsnVal', codec: replayStateEsn },
	{ number: 24, name: 'saExtraFlags', codec: word },
	{ number: 25, name: 'proto', codec: octet },
	{ number: 26, name: 'addressFilter', codec: fixed(addressFilter) },
	{ number: 28, name: 'offloadDev', codec: fixed(userOffload) },
	{ number: 29, name: 'setMark', codec: word },
	{ number: 30, name: 'setMarkMask', codec: word },
	{ number: 31, name: 'ifId', codec: word },
	{ number: 32, name: 'mtimerThresh', codec: word },
	{ number: 33, name: 'saDir', codec: octet, range: [1, 2] },
	{ number: 34, name: 'natKeepaliveInterval', codec: word },
	{ number: 35, name: 'saPcpu', codec: word },
	{ number: 36, name: 'iptfsDropTime', codec: word },
	{ number: 37, name: 'iptfsReorderWindow', codec: fixed(u16) },
	{ number: 38, name: 'iptfsDontFrag', codec: flag },
	{ number: 39, name: 'iptfsInitDelay', codec: word },
	{ number: 40, name: 'iptfsMaxQsize', codec: word },
	{ number: 41, name: 'iptfsPktSize', codec: word },
];

/** Attributes of all messages but those about the databases; 27 is padding. */
export const XFRM_ATTRIBUTES: AttributeSpace = space('xfrm', XFRM_ROWS);

/** Attributes of NEWSADINFO. */
export const SAD_ATTRIBUTES: AttributeSpace = space('sad', [
	{ number: 1, name: 'sadCnt', codec: word },
	{ number: 2, name: 'sadHinfo', codec: fixed(sadHashInfo) },
]);

/** Attributes of NEWSPDINFO. */
export const SPD_ATTRIBUTES: AttributeSpace = space('spd', [
	{ number: 1, name: 'spdInfo', codec: fixed(spdCounts), answerOnly: true },
	{ number: 2, name: 'spdHinfo', codec: fixed(spdHashInfo), answerOnly: true },
	{ number: 3, name: 'spdIpv4Hthresh', codec: fixed(spdHashThreshold) },
	{ number: 4, name: 'spdIpv6Hthresh', codec: fixed(spdHashThreshold) },
]);

const byName = new Map<AttributeName, AnySpec>();
for (const attributes of [XFRM_ATTRIBUTES, SAD_ATTRIBUTES, SPD_ATTRIBUTES]) {
	for (let number = 1; number <= attributes.max; number++) {
		const row = attributes.byNumber(number);
		if (row !== undefined) {
			byName.set(row.name, row);
		}
	}
}

/** The row of a name. */
export function attributeSpec<N extends AttributeName>(name: N): AttributeSpec<N> {
	// Rows are stored under their own name, so the row of N is an AttributeSpec<N>.
	return byName.get(name) as unknown as AttributeSpec<N>;
}

/** An attribute that is known, with its value. */
export interface KnownAttribute<N extends AttributeName> {
	readonly name: N;
	readonly value: AttributeValues[N];
	/** `AttributeFlag`s, when any were set. */
	readonly flags?: number;
}

/** An attribute whose number is not known, or that is too short for its value: kept as it is. */
export interface UnknownAttribute {
	readonly name: 'unknown';
	/** Flags included. */
	readonly type: number;
	readonly value: Uint8Array;
}

export type XfrmAttribute =
	| { [N in AttributeName]: KnownAttribute<N> }[AttributeName]
	| UnknownAttribute;

/** An attribute, typed by its name. */
export function attribute<N extends AttributeName>(
	name: N,
	value: AttributeValues[N],
): XfrmAttribute {
	// The compiler does not distribute the union over N; the parameters did.
	return { name, value } as unknown as XfrmAttribute;
}

/** The value of the last attribute of this name: of repeated ones the last wins (N-8). */
export function attributeValue<N extends AttributeName>(
	attributes: readonly XfrmAttribute[],
	name: N,
): AttributeValues[N] | undefined {
	for (let i = attributes.length - 1; i >= 0; i--) {
		const candidate = attributes[i];
		if (candidate?.name === name) {
			// The name says which value it is.
			return candidate.value as AttributeValues[N];
		}
	}
	return undefined;
}

/** Attributes read from memory, and the octets behind them that are none. */
export interface AttributeList {
	readonly attributes: readonly XfrmAttribute[];
	readonly rest: Uint8Array;
}

/** Reads all attributes of `bytes` from `from` on; never throws. */
export function readAttributes(
	bytes: Uint8Array,
	from: number,
	attributes: AttributeSpace,
): AttributeList {
	const reader = new AttributeReader(bytes, from);
	const list: XfrmAttribute[] = [];
	while (reader.next()) {
		const row = attributes.byNumber(reader.type);
		if (row === undefined || reader.length < row.codec.octetsMin) {
			const value = copyOctets(reader.view, reader.at, reader.length);
			list.push({ name: 'unknown', type: reader.type | reader.flags, value });
			continue;
		}
		const value = row.codec.read(reader.view, reader.at, reader.length);
		const known = { name: row.name, value };
		// The row's codec made the value that belongs to the row's name.
		list.push((reader.flags === 0 ? known : { ...known, flags: reader.flags }) as XfrmAttribute);
	}
	return { attributes: list, rest: bytes.slice(bytes.length - reader.leftover) };
}

/** Appends attributes to a message, in order. */
export function writeAttributes(writer: MessageWriter, list: readonly XfrmAttribute[]): void {
	for (const item of list) {
		if (item.name === 'unknown') {
			const at = writer.appendAttribute(item.type, item.value.length);
			writer.bytes.set(item.value, at);
			continue;
		}
		writeAttribute(writer, item.name, item.value as never, item.flags);
	}
}

/** Appends one attribute to a message. */
export function writeAttribute<N extends AttributeName>(
	writer: MessageWriter,
	name: N,
	value: AttributeValues[N],
	flags: number = 0,
): void {
	const row = attributeSpec(name);
	const at = writer.appendAttribute(row.number | flags, row.codec.octetsOf(value));
	row.codec.write(writer.view, at, value);
}
