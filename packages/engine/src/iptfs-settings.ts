/**
 * Settings of mode IPTFS (RFC 9347; net/xfrm/xfrm_iptfs.c: iptfs_user_init, iptfs_copy_to_user): what is in
 * force where a request says nothing, which packet size is too small, and how much fits. Aggregation itself is
 * in transforms/iptfs-output.ts.
 */
import { IPV4_PACKET_OCTETS_MAX, PACKET_OCTETS_MAX } from '@xfrm/wire';
import {
	Errno,
	Family,
	type IptfsConfig,
	Mode,
	type Refusal,
	SaDirection,
	type StateConfig,
} from '@xfrm/wire/xfrm';
import type { XfrmState } from './state.ts';

const DEFAULTS_IN: IptfsConfig = { dropTimeUs: 1_000_000, reorderWindow: 3 };
const DEFAULTS_OUT: IptfsConfig = { initDelayUs: 0, maxQueueOctets: 10_485_760, packetOctets: 0 };

/** The configuration with everything that its direction has a default for. */
export function completeIptfs(config: StateConfig): StateConfig {
	if (config.mode !== Mode.Iptfs) {
		return config;
	}
	const defaults = config.direction === SaDirection.In ? DEFAULTS_IN : DEFAULTS_OUT;
	return { ...config, iptfs: { ...defaults, ...config.iptfs } };
}

/**
 * Is a packet of the wanted size large enough for its headers? Called when the sizes of ESP are known.
 *
 * @spec S-32 M-34
 */
export function checkIptfs(state: XfrmState): Refusal | undefined {
	const packetOctets = state.config.iptfs?.packetOctets ?? 0;
	if (state.mode === Mode.Iptfs && packetOctets !== 0 && packetOctets <= state.headerOctets) {
		return {
			errno: Errno.EINVAL,
			message: 'Packet size must be 0 or greater than IPTFS/ESP header length',
		};
	}
	return undefined;
}

/** Pad length and next header of ESP. */
const TRAILER_OCTETS = 2;

/**
 * Octets of data blocks that a path of this MTU takes. Payload and trailer are rounded down to whole blocks
 * first, and the IPTFS header is not: with blocks of 16 octets a full payload comes out larger than the MTU,
 * and is lost, as in Linux.
 *
 * @spec M-33 M-34
 */
export function iptfsPathOctets(state: XfrmState, mtu: number): number {
	return ((mtu - state.headerOctets - state.icvOctets) & -state.blockOctets) - TRAILER_OCTETS;
}

/**
 * Octets of packet that an IPTFS state takes: what fits into one payload if it must not cut, else any.
 *
 * @spec U-1 M-33
 */
export function iptfsMtu(state: XfrmState, mtu: number): number {
	if (state.config.iptfs?.dontFragment === true) {
		return Math.max(1, iptfsPathOctets(state, mtu));
	}
	return state.family === Family.Ipv4 ? IPV4_PACKET_OCTETS_MAX : PACKET_OCTETS_MAX;
}
