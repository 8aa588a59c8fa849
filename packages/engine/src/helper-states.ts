/**
 * The kernel's own states beside IPComp tunnels (net/ipv4/ipcomp.c, net/ipv6/ipcomp6.c, xfrm6_tunnel.c).
 * IPComp leaves a packet alone that does not shrink; behind a tunnel it then is plain IP in IP, and a state
 * of protocol 4 or 41 stands for it on input. One helper serves all IPComp tunnels of the same addresses.
 *
 * A helper's SPI is its source address (IPv4) or a number for the source (IPv6), so that a packet without
 * SPI leads to it.
 */
import {
	Errno,
	Family,
	IpProto,
	Mode,
	type Refusal,
	type StateConfig,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import type { Namespace } from './namespace.ts';
import { StateCondition, type XfrmState } from './state.ts';
import { initState } from './state-init.ts';
import { insertState } from './state-life.ts';

/**
 * Gives an initialized IPComp tunnel state its helper, making one if there is none for its addresses.
 * Other states are left alone.
 *
 * @spec S-19 T-32
 */
export function attachHelper(net: Namespace, state: XfrmState): Refusal | undefined {
	if (state.proto !== IpProto.Comp || state.mode !== Mode.Tunnel) {
		return undefined;
	}
	const isIpv4 = state.family === Family.Ipv4;
	const proto = isIpv4 ? IpProto.Ipip : IpProto.Ipv6;
	const known = isIpv4 ? (state.saddr[0] ?? 0) : net.helperSpis.spiOf(state.saddr);
	const mark = state.markValue & state.markMask;
	let helper = known === 0 ? null : net.sad.bySpi(state.family, state.daddr, known, proto, mark);
	if (helper === null) {
		const spi = isIpv4 ? known : net.helperSpis.take(state.saddr);
		// The selector is the tunnel's, of no family where that one has AF_UNSPEC.
		const made = initState(net, helperConfig(state, spi, proto), true);
		if (made.refusal !== undefined) {
			return {
				errno: Errno.EINVAL,
				message: 'Kernel error: failed to initialize the associated state',
			};
		}
		helper = made.value;
		helper.kernelOwned = true;
		helper.condition = StateCondition.Valid;
		insertState(net, helper);
	}
	helper.helperUsers++;
	state.helper = helper;
	return undefined;
}

function helperConfig(state: XfrmState, spi: number, proto: number): StateConfig {
	const { config } = state;
	return {
		id: { daddr: config.id.daddr, spi: spi >>> 0, proto },
		saddr: config.saddr,
		family: state.family,
		selector: config.selector,
		lifetime: UNLIMITED,
		reqid: 0,
		mode: state.mode,
		replayWindow: 0,
		// Only the IPv4 helper takes the flags over.
		flags: state.family === Family.Ipv4 ? state.flags : 0,
		...(state.family === Family.Ipv4 && state.extraFlags !== 0
			? { extraFlags: state.extraFlags }
			: {}),
		seq: 0,
		...(config.mark === undefined ? {} : { mark: config.mark }),
		...(state.ifId === 0 ? {} : { ifId: state.ifId }),
	};
}
