/** Counts of the two databases, and the thresholds of exact policies (spec 2.3 GETSADINFO …, 2.4). */
import { type Struct, struct, u8, u32 } from './codec.ts';

/** Flags of an information request; answers repeat them. */
export interface InfoFlags {
	readonly flags: number;
}

/** A `u32` of flags. */
export const infoFlags: Struct<InfoFlags> = struct<InfoFlags>('u32', 4, { flags: [0, u32] });

/** `struct xfrmu_sadhinfo`. */
export interface SadHashInfo {
	readonly sadhcnt: number;
	readonly sadhmcnt: number;
}

/** `struct xfrmu_sadhinfo`. */
export const sadHashInfo: Struct<SadHashInfo> = struct<SadHashInfo>('xfrmu_sadhinfo', 8, {
	sadhcnt: [0, u32],
	sadhmcnt: [4, u32],
});

/** `struct xfrmu_spdinfo`: policies by direction, then those of sockets. */
export interface SpdCounts {
	readonly incnt: number;
	readonly outcnt: number;
	readonly fwdcnt: number;
	readonly inscnt: number;
	readonly outscnt: number;
	readonly fwdscnt: number;
}

/** `struct xfrmu_spdinfo`. */
export const spdCounts: Struct<SpdCounts> = struct<SpdCounts>('xfrmu_spdinfo', 24, {
	incnt: [0, u32],
	outcnt: [4, u32],
	fwdcnt: [8, u32],
	inscnt: [12, u32],
	outscnt: [16, u32],
	fwdscnt: [20, u32],
});

/** `struct xfrmu_spdhinfo`. */
export interface SpdHashInfo {
	readonly spdhcnt: number;
	readonly spdhmcnt: number;
}

/** `struct xfrmu_spdhinfo`. */
export const spdHashInfo: Struct<SpdHashInfo> = struct<SpdHashInfo>('xfrmu_spdhinfo', 8, {
	spdhcnt: [0, u32],
	spdhmcnt: [4, u32],
});

/** `struct xfrmu_spdhthresh`: prefix lengths from which policies are exact (P-11). */
export interface SpdHashThreshold {
	readonly lbits: number;
	readonly rbits: number;
}

/** `struct xfrmu_spdhthresh`. */
export const spdHashThreshold: Struct<SpdHashThreshold> = struct<SpdHashThreshold>(
	'xfrmu_spdhthresh',
	2,
	{ lbits: [0, u8], rbits: [1, u8] },
);
