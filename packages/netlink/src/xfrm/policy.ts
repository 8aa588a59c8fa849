/** Structs about policies and endpoints that move (include/uapi/linux/xfrm.h, spec 2.4). */
import type {
	Address,
	KmAddress,
	LifetimeConfig,
	LifetimeCurrent,
	MigrateEntry,
	Selector,
	StateId,
	Template,
} from '@xfrm/wire/xfrm';
import { address, readAddress, type Struct, struct, u8, u16, u32 } from './codec.ts';
import { lifetimeConfig, lifetimeCurrent, xfrmId, xfrmSelector } from './selector.ts';

/** `struct xfrm_userpolicy_info`: the payload of NEWPOLICY and UPDPOLICY. */
export interface UserPolicyInfo {
	readonly selector: Selector;
	readonly lifetime: LifetimeConfig;
	readonly lifetimeCurrent: LifetimeCurrent;
	readonly priority: number;
	readonly index: number;
	readonly direction: number;
	readonly action: number;
	readonly flags: number;
	readonly share: number;
}

/** `struct xfrm_userpolicy_info`. */
export const userPolicyInfo: Struct<UserPolicyInfo> = struct<UserPolicyInfo>(
	'xfrm_userpolicy_info',
	168,
	{
		selector: [0, xfrmSelector],
		lifetime: [56, lifetimeConfig],
		lifetimeCurrent: [120, lifetimeCurrent],
		priority: [152, u32],
		index: [156, u32],
		direction: [160, u8],
		action: [161, u8],
		flags: [162, u8],
		share: [163, u8],
	},
	{
		read: (view, at) => ({
			selector: xfrmSelector.read(view, at),
			lifetime: lifetimeConfig.read(view, at + 56),
			lifetimeCurrent: lifetimeCurrent.read(view, at + 120),
			priority: view.getUint32(at + 152, true),
			index: view.getUint32(at + 156, true),
			direction: view.getUint8(at + 160),
			action: view.getUint8(at + 161),
			flags: view.getUint8(at + 162),
			share: view.getUint8(at + 163),
		}),
	},
);

/** `struct xfrm_userpolicy_id`: names a policy; MIGRATE's payload too. */
export interface UserPolicyId {
	readonly selector: Selector;
	readonly index: number;
	readonly direction: number;
}

/** `struct xfrm_userpolicy_id`. */
export const userPolicyId: Struct<UserPolicyId> = struct<UserPolicyId>(
	'xfrm_userpolicy_id',
	64,
	{ selector: [0, xfrmSelector], index: [56, u32], direction: [60, u8] },
	{
		read: (view, at) => ({
			selector: xfrmSelector.read(view, at),
			index: view.getUint32(at + 56, true),
			direction: view.getUint8(at + 60),
		}),
	},
);

/** `struct xfrm_user_polexpire`. */
export interface UserPolExpire {
	readonly policy: UserPolicyInfo;
	readonly hard: number;
}

/** `struct xfrm_user_polexpire`. */
export const userPolExpire: Struct<UserPolExpire> = struct<UserPolExpire>(
	'xfrm_user_polexpire',
	176,
	{ policy: [0, userPolicyInfo], hard: [168, u8] },
);

/** `struct xfrm_user_tmpl`. */
export const userTemplate: Struct<Template> = struct<Template>(
	'xfrm_user_tmpl',
	64,
	{
		id: [0, xfrmId],
		family: [24, u16],
		saddr: [28, address],
		reqid: [44, u32],
		mode: [48, u8],
		share: [49, u8],
		optional: [50, u8],
		aalgos: [52, u32],
		ealgos: [56, u32],
		calgos: [60, u32],
	},
	{
		read: (view, at) => ({
			id: xfrmId.read(view, at),
			family: view.getUint16(at + 24, true),
			saddr: readAddress(view, at + 28),
			reqid: view.getUint32(at + 44, true),
			mode: view.getUint8(at + 48),
			share: view.getUint8(at + 49),
			optional: view.getUint8(at + 50),
			aalgos: view.getUint32(at + 52, true),
			ealgos: view.getUint32(at + 56, true),
			calgos: view.getUint32(at + 60, true),
		}),
	},
);

/** `struct xfrm_user_acquire`. */
export interface UserAcquire {
	readonly id: StateId;
	readonly saddr: Address;
	readonly selector: Selector;
	readonly policy: UserPolicyInfo;
	readonly aalgos: number;
	readonly ealgos: number;
	readonly calgos: number;
	readonly seq: number;
}

/** `struct xfrm_user_acquire`. */
export const userAcquire: Struct<UserAcquire> = struct<UserAcquire>('xfrm_user_acquire', 280, {
	id: [0, xfrmId],
	saddr: [24, address],
	selector: [40, xfrmSelector],
	policy: [96, userPolicyInfo],
	aalgos: [264, u32],
	ealgos: [268, u32],
	calgos: [272, u32],
	seq: [276, u32],
});

/** `struct xfrm_userpolicy_default`: `DefaultAction`s, 0 leaves a direction as it is. */
export interface UserPolicyDefault {
	readonly in: number;
	readonly fwd: number;
	readonly out: number;
}

/** `struct xfrm_userpolicy_default`. */
export const userPolicyDefault: Struct<UserPolicyDefault> = struct<UserPolicyDefault>(
	'xfrm_userpolicy_default',
	3,
	{ in: [0, u8], fwd: [1, u8], out: [2, u8] },
);

/** `struct xfrm_userpolicy_type`. */
export interface UserPolicyType {
	readonly type: number;
}

/** `struct xfrm_userpolicy_type`: one octet that counts, five of padding. */
export const userPolicyType: Struct<UserPolicyType> = struct<UserPolicyType>(
	'xfrm_userpolicy_type',
	6,
	{ type: [0, u8] },
);

/** `struct xfrm_user_migrate`. */
export const userMigrate: Struct<MigrateEntry> = struct<MigrateEntry>('xfrm_user_migrate', 76, {
	oldDaddr: [0, address],
	oldSaddr: [16, address],
	newDaddr: [32, address],
	newSaddr: [48, address],
	proto: [64, u8],
	mode: [65, u8],
	reqid: [68, u32],
	oldFamily: [72, u16],
	newFamily: [74, u16],
});

/** `struct xfrm_user_kmaddress`. */
export const userKmAddress: Struct<KmAddress> = struct<KmAddress>('xfrm_user_kmaddress', 40, {
	local: [0, address],
	remote: [16, address],
	family: [36, u16],
});
