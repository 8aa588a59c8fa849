/**
 * Making a state of a configuration (xfrm_user.c: xfrm_state_construct, xfrm_state.c: __xfrm_init_state):
 * algorithms by name, mode, type, replay window, each refused as Linux refuses, in its order. Whether the
 * request is well-formed was checked by whoever decoded it.
 */
import { findAead, findAuth, findComp, findCrypt } from '@xfrm/crypto/algorithms';
import {
	anySelector,
	EncapType,
	Errno,
	Family,
	isUnlimited,
	Mode,
	type Refusal,
	SaDirection,
	type Selector,
	type StateConfig,
	StateFlag,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { type Answer, answer, refuse } from './answer.ts';
import { checkIptfs, completeIptfs } from './iptfs-settings.ts';
import { TICKS_PER_SECOND } from './limits.ts';
import type { Namespace } from './namespace.ts';
import { ReplayMode } from './replay-window.ts';
import { sharedAddress } from './shared-addresses.ts';
import { selectorsEqual } from './spd.ts';
import { Current, isTunnelFlagged, XfrmState } from './state.ts';
import { disposeState } from './state-life.ts';
import { initTransform } from './transforms/transform-init.ts';

/**
 * A VOID state whose transform is ready, in no table yet; or why Linux refuses. Keys are copied: they are
 * the state's own from here on.
 *
 * @param anyFamily a selector of no family stays one, as it does in states that no request asks for
 * @spec S-13 S-14 S-15 S-16 T-8
 */
export function initState(
	net: Namespace,
	config: StateConfig,
	anyFamily: boolean = (config.flags & StateFlag.AfUnspec) !== 0,
): Answer<XfrmState> {
	const named = nameAlgorithms(net, config);
	if (named.refusal !== undefined) {
		return named;
	}
	if (config.pcpu !== undefined && config.pcpu >= net.processors) {
		return refuse(Errno.ERANGE, 'pCPU number too big');
	}
	const state = new XfrmState(completeConfig(net, named.value, anyFamily));
	const refusal =
		checkMode(net, state) ??
		initTransform(net, state) ??
		checkNatKeepalive(state) ??
		checkReplay(state) ??
		checkIptfs(state);
	if (refusal !== undefined) {
		disposeState(net, state);
		return { refusal };
	}
	setThresholds(net, state);
	setCurrent(net, state);
	return answer(state);
}

/** What the kernel fills in while it copies the request. */
function completeConfig(net: Namespace, config: StateConfig, anyFamily: boolean): StateConfig {
	const { selector, family } = config;
	const noPmtuDisc = family === Family.Ipv4 && net.sysctl.ip_no_pmtu_disc !== 0;
	const selectorFamily = selector.family === Family.Unspec && !anyFamily ? family : selector.family;
	const { daddr, spi, proto } = config.id;
	return {
		...completeIptfs(config),
		id: { daddr: sharedAddress(daddr), spi, proto },
		saddr: sharedAddress(config.saddr),
		flags: noPmtuDisc ? config.flags | StateFlag.NoPmtuDisc : config.flags,
		selector: sharedSelector(selector, selectorFamily),
		lifetime: isUnlimited(config.lifetime) ? UNLIMITED : config.lifetime,
	};
}

/** Selectors that match everything of a family, as most tunnels have: one for all of them. */
const ANY_SELECTORS: ReadonlyMap<number, Selector> = new Map(
	[Family.Unspec, Family.Ipv4, Family.Ipv6].map((family) => [family, anySelector(family)]),
);

function sharedSelector(selector: Selector, family: number): Selector {
	const whole = family === selector.family ? selector : { ...selector, family };
	const shared = ANY_SELECTORS.get(family);
	return shared !== undefined && selectorsEqual(whole, shared) ? shared : whole;
}

/** Canonical names, default lengths, own copies of the keys. */
function nameAlgorithms(net: Namespace, config: StateConfig): Answer<StateConfig> {
	const { aead, auth, crypt, comp } = config;
	const named: { -readonly [Key in 'aead' | 'auth' | 'crypt' | 'comp']?: StateConfig[Key] } = {};
	if (aead !== undefined) {
		const info = findAead(aead.name, aead.icvBits);
		if (info === undefined || !net.available.algorithm('aead', info.name, info.icvBits)) {
			return refuse(Errno.ENOSYS, 'Requested AEAD algorithm not found');
		}
		named.aead = { ...aead, name: info.name, key: aead.key.slice() };
	}
	if (auth !== undefined) {
		const info = findAuth(auth.name);
		if (info === undefined || !net.available.algorithm('auth', info.name)) {
			const attribute = auth.truncBits === 0 ? 'AUTH' : 'AUTH_TRUNC';
			return refuse(Errno.ENOSYS, `Requested ${attribute} algorithm not found`);
		}
		if (auth.truncBits > info.icvFullBits) {
			return refuse(Errno.EINVAL, 'Invalid length requested for truncated ICV');
		}
		const truncBits = auth.truncBits === 0 ? info.icvDefaultBits : auth.truncBits;
		named.auth = { ...auth, name: info.name, truncBits, key: auth.key.slice() };
	}
	if (crypt !== undefined) {
		const info = findCrypt(crypt.name);
		if (info === undefined || !net.available.algorithm('crypt', info.name)) {
			return refuse(Errno.ENOSYS, 'Requested CRYPT algorithm not found');
		}
		named.crypt = { ...crypt, name: info.name, key: crypt.key.slice() };
	}
	if (comp !== undefined) {
		const info = findComp(comp.name);
		if (info === undefined || !net.available.algorithm('comp', info.name)) {
			return refuse(Errno.ENOSYS, 'Requested COMP algorithm not found');
		}
		named.comp = { ...comp, name: info.name };
	}
	return answer({ ...config, ...named });
}

/**
 * Does the mode exist, for the inner family and for the outer one?
 *
 * @spec S-16 M-7
 */
function checkMode(net: Namespace, state: XfrmState): Refusal | undefined {
	const inner = state.config.selector.family;
	if (!modeExists(net, state.mode, inner === Family.Unspec ? state.family : inner)) {
		return { errno: Errno.EPROTONOSUPPORT, message: 'Requested mode not found' };
	}
	if (inner !== Family.Unspec && inner !== state.family && !isTunnelFlagged(state.mode)) {
		return {
			errno: Errno.EPROTONOSUPPORT,
			message: 'Only tunnel modes can accommodate a change of family',
		};
	}
	// A mode of the inner family that is tunnel-flagged exists for every outer family.
	return undefined;
}

/** @spec S-16 M-22 */
function modeExists(net: Namespace, mode: number, family: number): boolean {
	if (mode === Mode.InTrigger || (mode === Mode.RouteOptimization && family !== Family.Ipv6)) {
		return false;
	}
	if (mode === Mode.Iptfs && !net.profile.iptfs) {
		return false;
	}
	return net.available.modes.has(mode);
}

/**
 * Keepalives are sent outward and over UDP only.
 *
 * @spec NT-9
 */
function checkNatKeepalive(state: XfrmState): Refusal | undefined {
	if ((state.config.natKeepaliveSeconds ?? 0) === 0) {
		return undefined;
	}
	if (state.direction !== SaDirection.Out) {
		return {
			errno: Errno.EINVAL,
			message: 'NAT keepalive is only supported for outbound SAs',
		};
	}
	if (state.encap?.type !== EncapType.EspInUdp) {
		return {
			errno: Errno.EINVAL,
			message: 'NAT keepalive is only supported for UDP encapsulation',
		};
	}
	return undefined;
}

/**
 * Is the replay window one that works?
 *
 * @spec R-1
 */
function checkReplay(state: XfrmState): Refusal | undefined {
	const { replay } = state;
	if (replay.mode === ReplayMode.Legacy) {
		return undefined;
	}
	if (replay.windowPackets > replay.bitmap.length * 32) {
		return {
			errno: Errno.EINVAL,
			message: 'ESN replay window is too large for the chosen bitmap size',
		};
	}
	const mayBeZero = state.direction === SaDirection.Out;
	if (replay.mode === ReplayMode.Esn && replay.windowPackets === 0 && !mayBeZero) {
		return { errno: Errno.EINVAL, message: 'ESN replay window must be > 0' };
	}
	return undefined;
}

/** Thresholds of replay notifications: as asked, or by sysctl. */
function setThresholds(net: Namespace, state: XfrmState): void {
	const { config, replay } = state;
	// The sysctl counts in 100 ms, the state in ticks.
	const defaultTicks = Math.floor((net.sysctl.xfrm_aevent_etime * TICKS_PER_SECOND) / 10);
	replay.maxDiff = config.replayThreshold ?? net.sysctl.xfrm_aevent_rseqth;
	replay.maxAgeTicks = config.expiryTimer ?? defaultTicks;
}

function setCurrent(net: Namespace, state: XfrmState): void {
	const current = state.config.lifetimeCurrent;
	state.lifetime[Current.Bytes] = current?.bytes ?? 0;
	state.lifetime[Current.Packets] = current?.packets ?? 0;
	state.lifetime[Current.AddTime] = current?.addTime ?? net.nowSeconds();
	state.lifetime[Current.UseTime] = current?.useTime ?? 0;
}
