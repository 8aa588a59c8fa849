/**
 * AH (RFC 4302): what a state needs to be one, and the sizes it takes on the wire. Counterpart of
 * ah_init_state in net/ipv4/ah4.c and ah6_init_state in net/ipv6/ah6.c.
 *
 * Output is in ah-output.ts, input in ah-input.ts, what the ICV does not cover in ah-mutable.ts.
 */
import { findAuth, keyFits } from '@xfrm/crypto/algorithms';
import { AH_FIXED_OCTETS } from '@xfrm/wire';
import { Errno, Family, Mode, type Refusal, StateFlag } from '@xfrm/wire/xfrm';
import type { Namespace } from '../namespace.ts';
import type { XfrmState } from '../state.ts';

/**
 * Makes a VOID state an AH state: algorithm, key, sizes.
 *
 * @returns why Linux would refuse, or undefined
 * @spec T-20 T-25 NT-6 U-2; RFC 4302 §2
 */
export function ahInit(net: Namespace, state: XfrmState): Refusal | undefined {
	const { auth } = state.config;
	if (auth === undefined) {
		return { errno: Errno.EINVAL, message: 'AH requires a state with an AUTH algorithm' };
	}
	if (state.encap !== undefined) {
		return { errno: Errno.EINVAL, message: 'AH is not compatible with encapsulation' };
	}
	const info = findAuth(auth.name);
	if (
		info === undefined ||
		!net.available.algorithm('auth', info.name) ||
		!keyFits(info, auth.key.length) ||
		auth.truncBits > info.icvFullBits
	) {
		return {
			errno: Errno.EINVAL,
			message: 'Kernel was unable to initialize cryptographic operations',
		};
	}
	if (
		state.family === Family.Ipv6 &&
		state.mode !== Mode.Transport &&
		state.mode !== Mode.Tunnel &&
		state.mode !== Mode.Beet
	) {
		return {
			errno: Errno.EINVAL,
			message: 'Invalid mode requested for AH, must be one of TRANSPORT, TUNNEL, BEET',
		};
	}
	state.auth = info;
	state.icvOctets = (auth.truncBits || info.icvDefaultBits) >> 3;
	state.transformOctets = ahHeaderOctets(state, state.icvOctets);
	state.headerOctets = state.transformOctets;
	if (state.mode === Mode.Tunnel) {
		state.headerOctets += state.family === Family.Ipv4 ? 20 : 40;
	}
	state.trailerOctets = 0;
	state.key = net.provider.macKey({
		name: info.name,
		key: auth.key,
		icvOctets: state.icvOctets,
		esn: (state.flags & StateFlag.Esn) !== 0,
	});
	return undefined;
}

/** Octets of the whole header with an ICV of this length: a multiple of 8, or of 4 with ALIGN4 on IPv4 (T-20). */
export function ahHeaderOctets(state: XfrmState, icvOctets: number): number {
	const align = state.family === Family.Ipv4 && (state.flags & StateFlag.Align4) !== 0 ? 4 : 8;
	return (AH_FIXED_OCTETS + icvOctets + align - 1) & -align;
}
