/**
 * IPComp (RFC 3173): what a state needs to be one, and its sizes. Counterpart of ipcomp_init_state in
 * net/xfrm/xfrm_ipcomp.c and of ipcomp4_init_state and ipcomp6_init_state.
 *
 * Not here: the helper state for packets that come uncompressed (S-19, T-32), which is made when the state is
 * added; output is in ipcomp-output.ts, input in ipcomp-input.ts.
 */
import { findComp } from '@xfrm/crypto/algorithms';
import { Errno, Family, Mode, type Refusal } from '@xfrm/wire/xfrm';
import type { Namespace } from '../namespace.ts';
import type { XfrmState } from '../state.ts';

/**
 * Makes a VOID state an IPComp state: algorithm, key, sizes.
 *
 * @returns why Linux would refuse, or undefined
 * @spec T-35 NT-6 U-2; RFC 3173 §3
 */
export function ipcompInit(net: Namespace, state: XfrmState): Refusal | undefined {
	if (state.mode !== Mode.Transport && state.mode !== Mode.Tunnel) {
		return { errno: Errno.EINVAL, message: 'Unsupported XFRM mode for IPcomp' };
	}
	const { comp } = state.config;
	if (comp === undefined) {
		return { errno: Errno.EINVAL, message: 'Missing required compression algorithm' };
	}
	if (state.encap !== undefined) {
		return { errno: Errno.EINVAL, message: 'IPComp is not compatible with encapsulation' };
	}
	const info = findComp(comp.name);
	if (info === undefined || !net.available.algorithm('comp', info.name)) {
		return { errno: Errno.ENOSYS, message: 'Requested COMP algorithm not found' };
	}
	state.comp = info;
	state.transformOctets = 0;
	state.headerOctets = outerHeaderOctets(state);
	state.trailerOctets = 0;
	state.key = net.provider.compressor(info.name);
	return undefined;
}

/**
 * Makes a VOID state one of IPComp's helpers (protocol 4 or 41), which only strip the outer header.
 *
 * @spec T-40
 */
export function ipipInit(_net: Namespace, state: XfrmState): Refusal | undefined {
	const version = state.family === Family.Ipv4 ? 'IPv4' : 'IPv6';
	if (state.mode !== Mode.Tunnel) {
		return { errno: Errno.EINVAL, message: `${version} tunnel can only be used with tunnel mode` };
	}
	if (state.encap !== undefined) {
		return {
			errno: Errno.EINVAL,
			message: `${version} tunnel is not compatible with encapsulation`,
		};
	}
	state.transformOctets = 0;
	state.headerOctets = outerHeaderOctets(state);
	state.trailerOctets = 0;
	return undefined;
}

function outerHeaderOctets(state: XfrmState): number {
	if (state.mode !== Mode.Tunnel) {
		return 0;
	}
	return state.family === Family.Ipv4 ? 20 : 40;
}
