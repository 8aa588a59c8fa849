/** Structs that states and policies share (include/uapi/linux/xfrm.h, spec 2.4). */
import type {
	Address,
	LifetimeConfig,
	LifetimeCurrent,
	Mark,
	Offload,
	Selector,
	StateId,
} from '@xfrm/wire/xfrm';
import { isUnlimited, UNLIMITED } from '@xfrm/wire/xfrm';
import {
	address,
	be16,
	be32,
	copyOctets,
	putOctets,
	readAddress,
	readU64,
	type Struct,
	s32,
	struct,
	u8,
	u16,
	u32,
	u64,
	type ValueCodec,
	writeAddress,
	writeU64,
} from './codec.ts';

/** `struct xfrm_id`. */
export const xfrmId: Struct<StateId> = struct<StateId>(
	'xfrm_id',
	24,
	{ daddr: [0, address], spi: [16, be32], proto: [20, u8] },
	{
		read: (view, at) => ({
			daddr: readAddress(view, at),
			spi: view.getUint32(at + 16),
			proto: view.getUint8(at + 20),
		}),
	},
);

/** `struct xfrm_selector`. */
export const xfrmSelector: Struct<Selector> = struct<Selector>(
	'xfrm_selector',
	56,
	{
		daddr: [0, address],
		saddr: [16, address],
		dport: [32, be16],
		dportMask: [34, be16],
		sport: [36, be16],
		sportMask: [38, be16],
		family: [40, u16],
		prefixlenD: [42, u8],
		prefixlenS: [43, u8],
		proto: [44, u8],
		ifindex: [48, s32],
		user: [52, u32],
	},
	{
		read: (view, at) => ({
			daddr: readAddress(view, at),
			saddr: readAddress(view, at + 16),
			dport: view.getUint16(at + 32),
			dportMask: view.getUint16(at + 34),
			sport: view.getUint16(at + 36),
			sportMask: view.getUint16(at + 38),
			family: view.getUint16(at + 40, true),
			prefixlenD: view.getUint8(at + 42),
			prefixlenS: view.getUint8(at + 43),
			proto: view.getUint8(at + 44),
			ifindex: view.getInt32(at + 48, true),
			user: view.getUint32(at + 52, true),
		}),
		write(view, at, selector) {
			writeAddress(view, at, selector.daddr);
			writeAddress(view, at + 16, selector.saddr);
			view.setUint16(at + 32, selector.dport);
			view.setUint16(at + 34, selector.dportMask);
			view.setUint16(at + 36, selector.sport);
			view.setUint16(at + 38, selector.sportMask);
			view.setUint16(at + 40, selector.family, true);
			view.setUint8(at + 42, selector.prefixlenD);
			view.setUint8(at + 43, selector.prefixlenS);
			view.setUint8(at + 44, selector.proto);
			view.setInt32(at + 48, selector.ifindex, true);
			view.setUint32(at + 52, selector.user, true);
		},
	},
);

/** `struct xfrm_lifetime_cfg`. */
export const lifetimeConfig: Struct<LifetimeConfig> = struct<LifetimeConfig>(
	'xfrm_lifetime_cfg',
	64,
	{
		softByteLimit: [0, u64],
		hardByteLimit: [8, u64],
		softPacketLimit: [16, u64],
		hardPacketLimit: [24, u64],
		softAddExpiresSeconds: [32, u64],
		hardAddExpiresSeconds: [40, u64],
		softUseExpiresSeconds: [48, u64],
		hardUseExpiresSeconds: [56, u64],
	},
	{ read: readLimits, write: writeLimits },
);

/** Nearly all objects have no limits: they share the one value that says so. */
function readLimits(view: DataView, at: number): LifetimeConfig {
	const limits: LifetimeConfig = {
		softByteLimit: readU64(view, at),
		hardByteLimit: readU64(view, at + 8),
		softPacketLimit: readU64(view, at + 16),
		hardPacketLimit: readU64(view, at + 24),
		softAddExpiresSeconds: readU64(view, at + 32),
		hardAddExpiresSeconds: readU64(view, at + 40),
		softUseExpiresSeconds: readU64(view, at + 48),
		hardUseExpiresSeconds: readU64(view, at + 56),
	};
	return isUnlimited(limits) ? UNLIMITED : limits;
}

function writeLimits(view: DataView, at: number, limits: LifetimeConfig): void {
	if (limits === UNLIMITED) {
		for (let i = 0; i < 32; i += 4) {
			view.setInt32(at + i, -1);
			view.setInt32(at + 32 + i, 0);
		}
		return;
	}
	writeU64(view, at, limits.softByteLimit);
	writeU64(view, at + 8, limits.hardByteLimit);
	writeU64(view, at + 16, limits.softPacketLimit);
	writeU64(view, at + 24, limits.hardPacketLimit);
	writeU64(view, at + 32, limits.softAddExpiresSeconds);
	writeU64(view, at + 40, limits.hardAddExpiresSeconds);
	writeU64(view, at + 48, limits.softUseExpiresSeconds);
	writeU64(view, at + 56, limits.hardUseExpiresSeconds);
}

/** `struct xfrm_lifetime_cur`. */
export const lifetimeCurrent: Struct<LifetimeCurrent> = struct<LifetimeCurrent>(
	'xfrm_lifetime_cur',
	32,
	{ bytes: [0, u64], packets: [8, u64], addTime: [16, u64], useTime: [24, u64] },
	{
		read: (view, at) => ({
			bytes: readU64(view, at),
			packets: readU64(view, at + 8),
			addTime: readU64(view, at + 16),
			useTime: readU64(view, at + 24),
		}),
	},
);

/** `struct xfrm_mark`. */
export const xfrmMark: Struct<Mark> = struct<Mark>('xfrm_mark', 8, { v: [0, u32], m: [4, u32] });

/** `struct xfrm_user_offload`. */
export const userOffload: Struct<Offload> = struct<Offload>('xfrm_user_offload', 8, {
	ifindex: [0, s32],
	flags: [4, u8],
});

/** `struct xfrm_user_sec_ctx`, all fields as sent; `len` and `ctxLen` are checked by the receiver. */
export interface UserSecCtx {
	readonly len: number;
	readonly exttype: number;
	readonly ctxAlg: number;
	readonly ctxDoi: number;
	readonly ctxLen: number;
	readonly context: Uint8Array;
}

const secCtxHeader: Struct<Omit<UserSecCtx, 'context'>> = struct<Omit<UserSecCtx, 'context'>>(
	'xfrm_user_sec_ctx',
	8,
	{ len: [0, u16], exttype: [2, u16], ctxAlg: [4, u8], ctxDoi: [5, u8], ctxLen: [6, u16] },
);

/** Security label: a header of 8 octets, then the label. */
export const userSecCtx: ValueCodec<UserSecCtx> = {
	name: secCtxHeader.name,
	octetsMin: secCtxHeader.octets,
	octetsOf: (value) => secCtxHeader.octets + value.context.length,
	read(view, at, length) {
		const context = copyOctets(view, at + secCtxHeader.octets, length - secCtxHeader.octets);
		return { ...secCtxHeader.read(view, at), context };
	},
	write(view, at, value) {
		secCtxHeader.write(view, at, value);
		putOctets(view, at + secCtxHeader.octets, value.context);
	},
};

/** `struct xfrm_address_filter`: which states a dump is about (N-14). */
export interface AddressFilter {
	readonly saddr: Address;
	readonly daddr: Address;
	readonly family: number;
	readonly splen: number;
	readonly dplen: number;
}

/** `struct xfrm_address_filter`. */
export const addressFilter: Struct<AddressFilter> = struct<AddressFilter>(
	'xfrm_address_filter',
	36,
	{
		saddr: [0, address],
		daddr: [16, address],
		family: [32, u16],
		splen: [34, u8],
		dplen: [35, u8],
	},
);
