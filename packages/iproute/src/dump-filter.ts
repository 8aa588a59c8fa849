/** Which objects of a dump a command is about: the kernel filters little (N-14, N-15), so clients do (C-7). */
import type { UserPolicyInfo, UserSaInfo } from '@xfrm/netlink';
import { type Address, prefixMatches } from '@xfrm/wire/xfrm';
import type { Identity } from './identity-grammar.ts';
import type { ReadSelector } from './selector-grammar.ts';

/** Fields that are undefined are not looked at. */
export interface StateFilter {
	readonly object: 'state';
	/** False: everything passes. */
	readonly active: boolean;
	/** 0: either. */
	readonly family: number;
	readonly identity: Identity | undefined;
	readonly mode: number | undefined;
	readonly reqid: number | undefined;
	/** Any of these bits. */
	readonly flags: number | undefined;
}

/** Fields that are undefined are not looked at. */
export interface PolicyFilter {
	readonly object: 'policy';
	readonly active: boolean;
	readonly family: number;
	readonly selector: ReadSelector | undefined;
	readonly direction: number | undefined;
	readonly index: number | undefined;
	readonly type: number | undefined;
	readonly action: number | undefined;
	readonly priority: number | undefined;
	/** Any of these bits. */
	readonly flags: number | undefined;
	/** Sockets' policies do not pass. */
	readonly noSocket: boolean;
}

/** All 16 octets are compared, whatever the family, as `ip` does; no bits, no comparison. */
function inside(address: Address, network: Address, bits: number | undefined): boolean {
	return bits === undefined || prefixMatches(address, network, bits, 10);
}

function fits<T>(wanted: T | undefined, have: T): boolean {
	return wanted === undefined || wanted === have;
}

/** Does a state pass? */
export function stateMatches(filter: StateFilter, state: UserSaInfo): boolean {
	if (!filter.active) {
		return true;
	}
	const id = filter.identity;
	return (
		(filter.family === 0 || filter.family === state.family) &&
		inside(state.saddr, id?.saddr ?? state.saddr, id?.srcBits) &&
		inside(state.id.daddr, id?.daddr ?? state.id.daddr, id?.dstBits) &&
		fits(id?.hasProto ? id.proto : undefined, state.id.proto) &&
		fits(id?.hasSpi ? id.spi : undefined, state.id.spi) &&
		fits(filter.mode, state.mode) &&
		fits(filter.reqid, state.reqid) &&
		(filter.flags === undefined || (state.flags & filter.flags) !== 0)
	);
}

const SOCKET_DIRECTION = 3;

/** Does a policy pass? `type` is that of its attribute, main without one. */
export function policyMatches(filter: PolicyFilter, policy: UserPolicyInfo, type: number): boolean {
	if (!filter.active) {
		return true;
	}
	const given = filter.selector;
	const wanted = given?.selector;
	const { selector } = policy;
	return (
		(filter.family === 0 || filter.family === selector.family) &&
		fits(filter.direction, policy.direction) &&
		!(filter.noSocket && policy.direction >= SOCKET_DIRECTION) &&
		fits(filter.type, type) &&
		inside(selector.saddr, wanted?.saddr ?? selector.saddr, given?.srcBits) &&
		inside(selector.daddr, wanted?.daddr ?? selector.daddr, given?.dstBits) &&
		fits(given?.hasDev ? wanted?.ifindex : undefined, selector.ifindex) &&
		fits(given?.hasProto ? wanted?.proto : undefined, selector.proto) &&
		fits(given?.hasSport ? wanted?.sport : undefined, selector.sport) &&
		fits(given?.hasDport ? wanted?.dport : undefined, selector.dport) &&
		fits(filter.index, policy.index) &&
		fits(filter.action, policy.action) &&
		fits(filter.priority, policy.priority) &&
		(filter.flags === undefined || (policy.flags & filter.flags) !== 0)
	);
}
