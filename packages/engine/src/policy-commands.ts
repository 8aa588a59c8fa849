/**
 * What can be asked of the set of policies (xfrm_policy.c: xfrm_policy_insert, xfrm_policy_bysel_ctx,
 * xfrm_sk_policy_insert …; xfrm_user.c around them). Templates were checked by whoever decoded the request
 * (P-12); nothing in it makes a command throw. Notifications are the caller's.
 */
import {
	DefaultAction,
	Direction,
	Errno,
	Family,
	type PolicyConfig,
	type PolicySnapshot,
	PolicyType,
	type Refusal,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { type Answer, answer, refuse } from './answer.ts';
import type { PolicyQuery, SpdInfo } from './engine.ts';
import { purgeHeld, requeueHeld } from './hold-queue.ts';
import type { Namespace } from './namespace.ts';
import { type PackedPolicy, XfrmPolicy } from './policy.ts';
import { insertPolicy, removePolicy } from './policy-life.ts';
import { snapshotPolicy } from './snapshot.ts';

/** Sockets' policies show 3 + direction in their index (P-19). */
const SOCKET_DIRECTION = 3;
/** Most buckets of the kernel's tables (xfrm_policy_hashmax). */
const BUCKETS_MAX = 1 << 20;

/** What no decoder lets through: the tables have no place for it. */
function checkPlace(direction: number, type: number, family: number): Refusal | undefined {
	if (direction < 0 || direction > Direction.Fwd) {
		return { errno: Errno.EINVAL, message: 'Invalid policy direction' };
	}
	if (type !== PolicyType.Main && type !== PolicyType.Sub) {
		return { errno: Errno.EINVAL, message: 'Invalid policy type' };
	}
	if (family !== Family.Ipv4 && family !== Family.Ipv6) {
		return { errno: Errno.EINVAL, message: 'Invalid selector family' };
	}
	return undefined;
}

/**
 * Adds a policy: NEWPOLICY, where the identity is free.
 *
 * @spec P-5 P-6 P-8 P-9
 */
export function addPolicy(net: Namespace, config: PolicyConfig | PackedPolicy): Answer<XfrmPolicy> {
	return putPolicy(net, config, true);
}

/**
 * Adds a policy, or replaces the one of the same identity, whose index stays: UPDPOLICY.
 *
 * @spec P-5 P-7
 */
export function updatePolicy(
	net: Namespace,
	config: PolicyConfig | PackedPolicy,
): Answer<XfrmPolicy> {
	return putPolicy(net, config, false);
}

function putPolicy(
	net: Namespace,
	config: PolicyConfig | PackedPolicy,
	exclusive: boolean,
): Answer<XfrmPolicy> {
	const policy = new XfrmPolicy(config, 0);
	const refusal = checkPlace(policy.direction, policy.type, policy.family);
	if (refusal !== undefined) {
		return { refusal };
	}
	const twin = net.spd.twin(policy);
	if (twin !== null && exclusive) {
		return refuse(Errno.EEXIST);
	}
	policy.index = twin?.index ?? net.spd.freeIndex(config.direction, config.index);
	insertPolicy(net, policy, twin);
	return answer(policy);
}

/**
 * The policy that a request names: by index, else by selector; mark, type and if_id have to be equal too.
 *
 * @spec P-5
 */
export function findPolicy(net: Namespace, query: PolicyQuery): XfrmPolicy | undefined {
	const { direction, type, selector, mark } = query;
	if (
		checkPlace(direction, type, query.index === 0 ? selector.family : Family.Ipv4) !== undefined
	) {
		return undefined;
	}
	if (query.index !== 0) {
		const policy = net.spd.byPolicyIndex(query.index);
		const isIt =
			policy !== null &&
			policy.direction === direction &&
			policy.type === type &&
			policy.ifId === (query.ifId | 0) &&
			policy.markValue === (mark.v | 0) &&
			policy.markMask === (mark.m | 0);
		return isIt ? policy : undefined;
	}
	// The stored value is masked, the wanted one is not: with bits outside of its mask it equals none.
	if ((mark.v & ~mark.m) !== 0) {
		return undefined;
	}
	return net.spd.twin(new XfrmPolicy(wantedConfig(query), 0)) ?? undefined;
}

/** A configuration of the identity that a query names. */
function wantedConfig(query: PolicyQuery): PolicyConfig {
	return {
		selector: query.selector,
		lifetime: UNLIMITED,
		priority: 0,
		index: 0,
		direction: query.direction,
		action: 0,
		flags: 0,
		share: 0,
		type: query.type,
		templates: [],
		mark: query.mark,
		ifId: query.ifId,
	};
}

/** Deletes a policy: DELPOLICY. The answer is the policy as it was. */
export function deletePolicy(net: Namespace, query: PolicyQuery): Answer<PolicySnapshot> {
	const policy = findPolicy(net, query);
	if (policy === undefined) {
		return refuse(Errno.ENOENT);
	}
	const snapshot = snapshotPolicy(policy);
	removePolicy(net, policy);
	return answer(snapshot);
}

/** Deletes all policies of a type, but sockets'; answers how many went. */
export function flushPolicies(net: Namespace, type: number): number {
	let count = 0;
	for (const policy of net.spd.policies()) {
		if (policy.socketId === 0 && policy.type === type && removePolicy(net, policy)) {
			count++;
		}
	}
	return count;
}

/** Expires a policy because a user says so: POLEXPIRE. The answer is what to tell of it. */
export function expirePolicy(
	net: Namespace,
	query: PolicyQuery,
	hard: boolean,
): Answer<PolicySnapshot> {
	const policy = findPolicy(net, query);
	if (policy === undefined) {
		return refuse(Errno.ENOENT);
	}
	const snapshot = snapshotPolicy(policy);
	if (hard) {
		removePolicy(net, policy);
	}
	return answer(snapshot);
}

/**
 * Sets or takes away a socket's policy of one direction. Always of type main; never IN or OUT of a table.
 *
 * @spec P-19
 */
export function setSocketPolicy(
	net: Namespace,
	socketId: number,
	direction: number,
	config: PolicyConfig | undefined,
): Refusal | undefined {
	if (direction !== Direction.In && direction !== Direction.Out) {
		return { errno: Errno.EINVAL, message: 'Invalid policy direction' };
	}
	let policy: XfrmPolicy | null = null;
	if (config !== undefined) {
		const index = net.spd.freeIndex(SOCKET_DIRECTION + direction, 0);
		policy = new XfrmPolicy({ ...config, direction, type: PolicyType.Main }, index);
		policy.socketId = socketId;
		policy.addTime = net.nowSeconds();
	}
	const old = net.spd.setSocketPolicy(socketId, direction, policy);
	if (old !== null) {
		if (policy === null) {
			purgeHeld(net, old);
		} else {
			requeueHeld(net, old, policy);
		}
	}
	net.generation++;
	return undefined;
}

/**
 * Sets the default policy of a direction; anything but block and accept is ignored.
 *
 * @spec D-1 D-2
 */
export function setDefault(net: Namespace, direction: number, action: number): void {
	if (action !== DefaultAction.Block && action !== DefaultAction.Accept) {
		return;
	}
	if (direction === Direction.In || direction === Direction.Out || direction === Direction.Fwd) {
		net.defaults[direction] = action;
		net.generation++;
	}
}

/**
 * Sets the prefix lengths from which policies of a family are exact.
 *
 * @spec P-11
 */
export function setThreshold(
	net: Namespace,
	family: number,
	local: number,
	remote: number,
): Refusal | undefined {
	const refusal = net.spd.setThreshold(family, local, remote);
	if (refusal === undefined) {
		net.generation++;
	}
	return refusal;
}

/**
 * Counts as GETSPDINFO tells them. We have no fixed buckets: the mask is what the kernel's index table
 * would have grown to.
 */
export function spdInfo(net: Namespace): SpdInfo {
	const { counts, threshold4, threshold6 } = net.spd;
	return {
		counts: [
			counts[0] ?? 0,
			counts[1] ?? 0,
			counts[2] ?? 0,
			counts[3] ?? 0,
			counts[4] ?? 0,
			counts[5] ?? 0,
		],
		bucketMask: net.spd.indexMask,
		bucketCountMax: BUCKETS_MAX,
		threshold4: [threshold4[0], threshold4[1]],
		threshold6: [threshold6[0], threshold6[1]],
	};
}
