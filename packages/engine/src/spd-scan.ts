/**
 * The plain twin of the policy lookup: looks at every policy of a direction and says of each that lost by
 * which field (xfrm_policy_match, __xfrm4_selector_match, field by field in the kernel's order). A tracer
 * uses it, and tests hold the fast lookup against it; never used without one of them.
 */
import type { Flow } from '@xfrm/wire';
import { Family, formatAddress, IpProto } from '@xfrm/wire/xfrm';
import type { XfrmPolicy } from './policy.ts';
import { comesBefore } from './policy-order.ts';
import type { SelectorMatcher } from './selector-match.ts';
import { wordsAddress } from './selector-match.ts';
import type { Spd } from './spd.ts';
import type { Loser } from './trace.ts';

/** A field that kept an object from being taken; see `Loser`. */
export interface Mismatch {
	readonly field: string;
	readonly want: string;
	readonly have: string;
}

export interface PolicyScan {
	readonly winner: XfrmPolicy | undefined;
	readonly losers: readonly Loser<XfrmPolicy>[];
}

/**
 * Everything of this direction and type: who wins, and by which field each other one lost, newest first.
 *
 * @spec P-2 P-3 P-4 P-4b
 */
export function scanPolicies(
	spd: Spd,
	flow: Flow,
	direction: number,
	type: number,
	ifId: number,
): PolicyScan {
	const first: (XfrmPolicy | null)[] = [null, null, null, null, null];
	const mismatches: [XfrmPolicy, Mismatch | undefined][] = [];
	for (const policy of spd.policies()) {
		if (policy.socketId !== 0 || policy.direction !== direction || policy.type !== type) {
			continue;
		}
		const mismatch = firstMismatch(policy, flow, ifId);
		mismatches.push([policy, mismatch]);
		const other = first[policy.list] ?? null;
		if (mismatch === undefined && (other === null || comesBefore(policy, other))) {
			first[policy.list] = policy;
		}
	}
	const winner = spd.decide(direction, first) ?? undefined;
	const losers = mismatches.flatMap(([policy, mismatch]) =>
		policy === winner ? [] : [{ object: policy, ...(mismatch ?? tieMismatch(policy, winner)) }],
	);
	return { winner, losers };
}

/**
 * The first field, in the kernel's order, by which a policy does not fit a flow; undefined when it fits.
 *
 * @spec P-2 P-25
 */
export function firstMismatch(policy: XfrmPolicy, flow: Flow, ifId: number): Mismatch | undefined {
	if (policy.family !== flow.family) {
		return { field: 'family', want: familyName(policy.family), have: familyName(flow.family) };
	}
	if (policy.ifId !== ifId) {
		return { field: 'if_id', want: hex(policy.ifId), have: hex(ifId) };
	}
	if (!policy.markFits(flow.mark)) {
		return {
			field: 'mark',
			want: `${hex(policy.markValue)}/${hex(policy.markMask)}`,
			have: hex(flow.mark),
		};
	}
	return selectorMismatch(policy.selector, flow);
}

/**
 * The first field by which a flow does not fall under a selector, seen as one of the flow's family. Ports
 * are named by what they are for the flow's protocol.
 *
 * @spec P-25 P-26
 */
export function selectorMismatch(selector: SelectorMatcher, flow: Flow): Mismatch | undefined {
	const { family } = flow;
	const impossible = family === Family.Ipv4 ? selector.impossible4 : selector.impossible6;
	const address = (words: Int32Array): string => formatAddress(wordsAddress(words), family);
	if (impossible || !prefixFits(flow.daddr, selector.daddr, selector.daddrMask)) {
		const want = `${address(selector.daddr)}/${selector.prefixlenD}`;
		return { field: 'dst', want, have: address(flow.daddr) };
	}
	if (!prefixFits(flow.saddr, selector.saddr, selector.saddrMask)) {
		const want = `${address(selector.saddr)}/${selector.prefixlenS}`;
		return { field: 'src', want, have: address(flow.saddr) };
	}
	const [sportName, dportName] = portNames(selector.proto || flow.proto);
	if (((flow.dport ^ selector.dport) & selector.dportMask) !== 0) {
		const want = portText(selector.dport, selector.dportMask);
		return { field: dportName, want, have: `${flow.dport}` };
	}
	if (((flow.sport ^ selector.sport) & selector.sportMask) !== 0) {
		const want = portText(selector.sport, selector.sportMask);
		return { field: sportName, want, have: `${flow.sport}` };
	}
	if (selector.proto !== 0 && selector.proto !== flow.proto) {
		return { field: 'proto', want: `${selector.proto}`, have: `${flow.proto}` };
	}
	if (selector.ifindex !== 0 && selector.ifindex !== flow.oif) {
		return { field: 'dev', want: `${selector.ifindex}`, have: `${flow.oif}` };
	}
	return undefined;
}

/** Both match, and another one was taken. */
function tieMismatch(policy: XfrmPolicy, winner: XfrmPolicy | undefined): Mismatch {
	if (winner !== undefined && winner.priority !== policy.priority) {
		return { field: 'priority', want: `${winner.priority}`, have: `${policy.priority}` };
	}
	return { field: 'order', want: `before index ${winner?.index ?? 0}`, have: 'behind it' };
}

function prefixFits(address: Int32Array, network: Int32Array, masks: Int32Array): boolean {
	return address.every((word, i) => ((word ^ (network[i] ?? 0)) & (masks[i] ?? 0)) === 0);
}

/** What `ip xfrm` calls the two numbers in the place of ports (P-26). */
function portNames(proto: number): [sport: string, dport: string] {
	switch (proto) {
		case IpProto.Icmp:
		case IpProto.Icmpv6:
			return ['type', 'code'];
		case IpProto.MobilityHeader:
			return ['type', 'code'];
		case IpProto.Gre:
			return ['key', 'key'];
		default:
			return ['sport', 'dport'];
	}
}

function portText(port: number, mask: number): string {
	return mask === 0xffff ? `${port}` : `${port}/0x${mask.toString(16)}`;
}

function familyName(family: number): string {
	return family === Family.Ipv4 ? 'ipv4' : family === Family.Ipv6 ? 'ipv6' : `${family}`;
}

function hex(word: number): string {
	return `0x${(word >>> 0).toString(16)}`;
}
