/** Structs about states (include/uapi/linux/xfrm.h, spec 2.4). */
import type {
	Address,
	Encap,
	LifetimeConfig,
	LifetimeCurrent,
	Mark,
	ReplayEsn,
	ReplayLegacy,
	Selector,
	StateId,
	StateStats,
} from '@xfrm/wire/xfrm';
import {
	address,
	be16,
	be32,
	readAddress,
	type Struct,
	struct,
	u8,
	u16,
	u32,
	type ValueCodec,
} from './codec.ts';
import { lifetimeConfig, lifetimeCurrent, xfrmId, xfrmMark, xfrmSelector } from './selector.ts';

/** `struct xfrm_stats`. */
export const xfrmStats: Struct<StateStats> = struct<StateStats>(
	'xfrm_stats',
	12,
	{ replayWindow: [0, u32], replay: [4, u32], integrityFailed: [8, u32] },
	{
		read: (view, at) => ({
			replayWindow: view.getUint32(at, true),
			replay: view.getUint32(at + 4, true),
			integrityFailed: view.getUint32(at + 8, true),
		}),
	},
);

/** `struct xfrm_usersa_info`: the payload of NEWSA and UPDSA. */
export interface UserSaInfo {
	readonly selector: Selector;
	readonly id: StateId;
	readonly saddr: Address;
	readonly lifetime: LifetimeConfig;
	readonly lifetimeCurrent: LifetimeCurrent;
	readonly stats: StateStats;
	readonly seq: number;
	readonly reqid: number;
	readonly family: number;
	readonly mode: number;
	readonly replayWindow: number;
	readonly flags: number;
}

/** `struct xfrm_usersa_info`. */
export const userSaInfo: Struct<UserSaInfo> = struct<UserSaInfo>(
	'xfrm_usersa_info',
	224,
	{
		selector: [0, xfrmSelector],
		id: [56, xfrmId],
		saddr: [80, address],
		lifetime: [96, lifetimeConfig],
		lifetimeCurrent: [160, lifetimeCurrent],
		stats: [192, xfrmStats],
		seq: [204, u32],
		reqid: [208, u32],
		family: [212, u16],
		mode: [214, u8],
		replayWindow: [215, u8],
		flags: [216, u8],
	},
	{
		read: (view, at) => ({
			selector: xfrmSelector.read(view, at),
			id: xfrmId.read(view, at + 56),
			saddr: readAddress(view, at + 80),
			lifetime: lifetimeConfig.read(view, at + 96),
			lifetimeCurrent: lifetimeCurrent.read(view, at + 160),
			stats: xfrmStats.read(view, at + 192),
			seq: view.getUint32(at + 204, true),
			reqid: view.getUint32(at + 208, true),
			family: view.getUint16(at + 212, true),
			mode: view.getUint8(at + 214),
			replayWindow: view.getUint8(at + 215),
			flags: view.getUint8(at + 216),
		}),
	},
);

/** `struct xfrm_usersa_id`: names a state. */
export interface UserSaId {
	readonly daddr: Address;
	readonly spi: number;
	readonly family: number;
	readonly proto: number;
}

/** `struct xfrm_usersa_id`. */
export const userSaId: Struct<UserSaId> = struct<UserSaId>('xfrm_usersa_id', 24, {
	daddr: [0, address],
	spi: [16, be32],
	family: [20, u16],
	proto: [22, u8],
});

/** `struct xfrm_userspi_info`: ALLOCSPI; the range is host order. */
export interface UserSpiInfo {
	readonly info: UserSaInfo;
	readonly min: number;
	readonly max: number;
}

/** `struct xfrm_userspi_info`. */
export const userSpiInfo: Struct<UserSpiInfo> = struct<UserSpiInfo>('xfrm_userspi_info', 232, {
	info: [0, userSaInfo],
	min: [224, u32],
	max: [228, u32],
});

/** `struct xfrm_aevent_id`: NEWAE and GETAE. */
export interface AeventId {
	readonly saId: UserSaId;
	readonly saddr: Address;
	readonly flags: number;
	readonly reqid: number;
}

/** `struct xfrm_aevent_id`. */
export const aeventId: Struct<AeventId> = struct<AeventId>('xfrm_aevent_id', 48, {
	saId: [0, userSaId],
	saddr: [24, address],
	flags: [40, u32],
	reqid: [44, u32],
});

/** `struct xfrm_user_expire`. */
export interface UserExpire {
	readonly state: UserSaInfo;
	readonly hard: number;
}

/** `struct xfrm_user_expire`. */
export const userExpire: Struct<UserExpire> = struct<UserExpire>('xfrm_user_expire', 232, {
	state: [0, userSaInfo],
	hard: [224, u8],
});

/** `struct xfrm_usersa_flush`. */
export interface UserSaFlush {
	readonly proto: number;
}

/** `struct xfrm_usersa_flush`. */
export const userSaFlush: Struct<UserSaFlush> = struct<UserSaFlush>('xfrm_usersa_flush', 1, {
	proto: [0, u8],
});

/** `struct xfrm_user_report`. */
export interface UserReport {
	readonly proto: number;
	readonly selector: Selector;
}

/** `struct xfrm_user_report`. */
export const userReport: Struct<UserReport> = struct<UserReport>('xfrm_user_report', 60, {
	proto: [0, u8],
	selector: [4, xfrmSelector],
});

/** `struct xfrm_user_mapping`; its identity is a `xfrm_usersa_id`. */
export interface UserMapping {
	readonly id: UserSaId;
	readonly reqid: number;
	readonly oldSaddr: Address;
	readonly newSaddr: Address;
	readonly oldSport: number;
	readonly newSport: number;
}

/** `struct xfrm_user_mapping`. */
export const userMapping: Struct<UserMapping> = struct<UserMapping>('xfrm_user_mapping', 64, {
	id: [0, userSaId],
	reqid: [24, u32],
	oldSaddr: [28, address],
	newSaddr: [44, address],
	oldSport: [60, be16],
	newSport: [62, be16],
});

/** `struct xfrm_user_migrate_state`: one state moves (after 6.18). */
export interface UserMigrateState {
	readonly id: UserSaId;
	readonly newDaddr: Address;
	readonly newSaddr: Address;
	readonly oldMark: Mark;
	readonly newSelector: Selector;
	readonly newReqid: number;
	readonly flags: number;
	readonly newFamily: number;
	readonly reserved: number;
}

/** `struct xfrm_user_migrate_state`. */
export const userMigrateState: Struct<UserMigrateState> = struct<UserMigrateState>(
	'xfrm_user_migrate_state',
	132,
	{
		id: [0, userSaId],
		newDaddr: [24, address],
		newSaddr: [40, address],
		oldMark: [56, xfrmMark],
		newSelector: [64, xfrmSelector],
		newReqid: [120, u32],
		flags: [124, u32],
		newFamily: [128, u16],
		reserved: [130, u16],
	},
);

/** `struct xfrm_encap_tmpl`. */
export const encapTemplate: Struct<Encap> = struct<Encap>('xfrm_encap_tmpl', 24, {
	type: [0, u16],
	sport: [2, be16],
	dport: [4, be16],
	oa: [8, address],
});

/** `struct xfrm_replay_state`. */
export const replayState: Struct<ReplayLegacy> = struct<ReplayLegacy>('xfrm_replay_state', 12, {
	oseq: [0, u32],
	seq: [4, u32],
	bitmap: [8, u32],
});

const esnHeader: Struct<Omit<ReplayEsn, 'bmp'>> = struct<Omit<ReplayEsn, 'bmp'>>(
	'xfrm_replay_state_esn',
	24,
	{
		bmpLen: [0, u32],
		oseq: [4, u32],
		seq: [8, u32],
		oseqHi: [12, u32],
		seqHi: [16, u32],
		replayWindow: [20, u32],
	},
);

/**
 * `struct xfrm_replay_state_esn`: 24 octets, then the bitmap, `bmpLen` words or fewer when the
 * attribute is shorter; what is behind the bitmap is not looked at.
 */
export const replayStateEsn: ValueCodec<ReplayEsn> = {
	name: esnHeader.name,
	octetsMin: esnHeader.octets,
	octetsOf: (value) => esnHeader.octets + value.bmp.length * 4,
	read(view, at, length) {
		const header = esnHeader.read(view, at);
		const bmp = new Uint32Array(Math.min(header.bmpLen, (length - esnHeader.octets) >> 2));
		for (let i = 0; i < bmp.length; i++) {
			bmp[i] = view.getUint32(at + esnHeader.octets + 4 * i, true);
		}
		return { ...header, bmp };
	},
	write(view, at, value) {
		esnHeader.write(view, at, value);
		for (const [i, word] of value.bmp.entries()) {
			view.setUint32(at + esnHeader.octets + 4 * i, word, true);
		}
	},
};
