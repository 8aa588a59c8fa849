/**
 * Settings of mode IPTFS (RFC 9347; net/xfrm/xfrm_iptfs.c: iptfs_user_init, iptfs_copy_to_user): what is in
 * force where a request says nothing, and which packet size is too small. Aggregation itself is not here.
 */
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

/** Octets of the basic IPTFS header. */
const IPTFS_HEADER_OCTETS = 4;

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
	const outerOctets = state.family === Family.Ipv4 ? 20 : 40;
	const headerOctets = state.transformOctets + outerOctets + IPTFS_HEADER_OCTETS;
	if (state.mode === Mode.Iptfs && packetOctets !== 0 && packetOctets <= headerOctets) {
		return {
			errno: Errno.EINVAL,
			message: 'Packet size must be 0 or greater than IPTFS/ESP header length',
		};
	}
	return undefined;
}
