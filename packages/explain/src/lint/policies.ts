/** Policies by themselves and beside each other: missing directions, plaintext, ties, odd selectors. */
import type { XfrmPolicy } from '@xfrm/engine';
import {
	DefaultAction,
	Direction,
	IpProto,
	isAnyAddress,
	Mode,
	PolicyAction,
	PolicyType,
} from '@xfrm/wire/xfrm';
import { actionName, policyName, selectorText, stateName } from '../names.ts';
import {
	familyBits,
	inPrefix,
	type LintFacts,
	mirrored,
	selectorCovers,
	selectorsMeet,
} from './facts.ts';
import { type Finding, finding, type MissingPolicy } from './finding.ts';

export function checkPolicies(facts: LintFacts): Finding[] {
	return [
		...facts.policies.flatMap((policy) => [
			...checkSelector(policy),
			...checkPlaintext(policy),
			...checkPorts(facts, policy),
			...checkWayBack(facts, policy),
			...checkForward(facts, policy),
		]),
		...checkUnguarded(facts),
		...checkUnadmitted(facts),
		...checkTies(facts),
	];
}

function when(holds: boolean, id: string, policy: XfrmPolicy, reason: string): Finding[] {
	return holds ? [finding(id, [policy], reason)] : [];
}

function isTunnel(policy: XfrmPolicy): boolean {
	return policy.templates.some(({ mode }) => mode === Mode.Tunnel || mode === Mode.Iptfs);
}

function checkSelector(policy: XfrmPolicy): Finding[] {
	const name = policyName(policy);
	const { selector } = policy.config;
	const { proto, sportMask, dportMask, ifindex } = selector;
	const ports = (sportMask | dportMask) !== 0;
	const inward = policy.direction === Direction.In;
	return [
		...when(hasHostBits(policy), 'host-bits', policy, `${name} has host bits beyond its prefixes`),
		...when(
			ports && proto === 0,
			'port-without-protocol',
			policy,
			`${name} has ports and no protocol`,
		),
		...when(ports && proto === IpProto.Dccp, 'dccp-ports', policy, `${name} has ports of DCCP`),
		...when(ifindex > 1 && inward, 'dev-inbound', policy, `${name} has a device that is not lo`),
	];
}

function hasHostBits(policy: XfrmPolicy): boolean {
	const { selector } = policy.config;
	const beyond = (address: Uint8Array, length: number): boolean =>
		address.subarray(0, familyBits(policy.family) / 8).some((octet, i) => {
			const bits = Math.min(8, Math.max(0, length - 8 * i));
			return (octet & (0xff >> bits)) !== 0;
		});
	return beyond(selector.saddr, selector.prefixlenS) || beyond(selector.daddr, selector.prefixlenD);
}

function checkPlaintext(policy: XfrmPolicy): Finding[] {
	const { templates, direction } = policy;
	if (direction === Direction.Out || templates.length === 0) {
		return [];
	}
	const name = policyName(policy);
	const optional = templates.filter((template) => template.optional !== 0);
	const all = optional.length === templates.length;
	const beside =
		!all && optional.some(({ mode, id }) => mode === Mode.Transport && id.proto !== IpProto.Comp);
	const comp = templates.some(
		(template) => template.id.proto === IpProto.Comp && template.optional === 0,
	);
	return [
		...when(all, 'plaintext-optional', policy, `${name} has templates of level use only`),
		...when(
			beside,
			'optional-transport-inbound',
			policy,
			`${name} has an optional transport template`,
		),
		...when(comp, 'ipcomp-required-inbound', policy, `${name} requires comp`),
	];
}

/** Between the same hosts, an out policy with ports belongs to an in policy with the same ports mirrored. */
function checkPorts(facts: LintFacts, policy: XfrmPolicy): Finding[] {
	const { selector } = policy.config;
	const isIcmp = selector.proto === IpProto.Icmp || selector.proto === IpProto.Icmpv6;
	const ports = (selector.sportMask | selector.dportMask) !== 0 && !isIcmp;
	if (policy.direction !== Direction.Out || !ports || policy.templates.length === 0) {
		return [];
	}
	const back = mirrored(selector);
	const anyPorts = { ...back, sport: 0, sportMask: 0, dport: 0, dportMask: 0 };
	const coming = facts.policies.filter(
		(other) =>
			other.direction === Direction.In &&
			other.family === policy.family &&
			other.ifId === policy.ifId &&
			other.config.selector.proto === selector.proto &&
			selectorCovers(anyPorts, other.config.selector, policy.family) &&
			selectorsMeet(anyPorts, other.config.selector, policy.family),
	);
	const [first] = coming;
	if (
		first === undefined ||
		coming.some(({ config }) => selectorsMeet(config.selector, back, policy.family))
	) {
		return [];
	}
	const reason = `no in policy between the hosts of ${policyName(policy)} has its ports mirrored`;
	return [finding('ports-unmirrored', [policy, first], reason)];
}

/** What comes back by the tunnel of an out policy needs an in policy, or for others a fwd policy. */
function checkWayBack(facts: LintFacts, policy: XfrmPolicy): Finding[] {
	const { family, direction, ifId } = policy;
	if (direction !== Direction.Out || !isTunnel(policy) || policy.action === PolicyAction.Block) {
		return [];
	}
	const back = mirrored(policy.config.selector);
	const has = (wanted: number): boolean =>
		facts.policies.some(
			(other) =>
				other.direction === wanted &&
				other.family === family &&
				other.ifId === ifId &&
				selectorsMeet(other.config.selector, back, family),
		);
	const forHost = facts.local.some(
		(one) => one.family === family && inPrefix(one.address, back.daddr, back.prefixlenD, family),
	);
	if (has(Direction.In) || (has(Direction.Fwd) && !forHost)) {
		return [];
	}
	const missing: MissingPolicy = { missing: 'in', selector: selectorText(back) };
	const reason = has(Direction.Fwd)
		? `${policyName(policy)} is a tunnel from this host too, and no in policy is for its way back`
		: `${policyName(policy)} is a tunnel, and no in or fwd policy is for its way back`;
	return [finding('in-missing', [policy, missing], reason)];
}

/** Tunnels that end here, and no policy lets anything out of them. */
function checkUnadmitted(facts: LintFacts): Finding[] {
	const inward = facts.policies.some(({ direction }) => direction !== Direction.Out);
	return facts.states.flatMap((state) => {
		const tunnel = state.mode === Mode.Tunnel && facts.isInward(state) && !facts.used.has(state);
		if (!tunnel || inward) {
			return [];
		}
		const missing: MissingPolicy = { missing: 'in', selector: 'for what comes out of it' };
		return [
			finding(
				'in-missing',
				[state, missing],
				`${stateName(state)} is a tunnel, and there is no in or fwd policy at all`,
			),
		];
	});
}

/** A tunnel that ends here for a network needs fwd. */
function checkForward(facts: LintFacts, policy: XfrmPolicy): Finding[] {
	const { family, direction } = policy;
	if (direction !== Direction.In || !isTunnel(policy) || policy.action === PolicyAction.Block) {
		return [];
	}
	const { selector } = policy.config;
	const forHost =
		selector.prefixlenD === familyBits(family) ||
		facts.local.some(
			(one) => one.family === family && selector.prefixlenD > familyBits(family) - 2,
		);
	const has = facts.policies.some(
		(other) =>
			other.direction === Direction.Fwd &&
			other.family === family &&
			other.ifId === policy.ifId &&
			selectorsMeet(other.config.selector, selector, family),
	);
	if (forHost || has || policy.type === PolicyType.Sub) {
		return [];
	}
	const demands = facts.demands.filter((demand) => demand.policy === policy);
	const serving = new Set(demands.flatMap((demand) => facts.serving(demand)));
	if (serving.size === 0) {
		return [];
	}
	const states = facts.states.filter((state) => serving.has(state));
	const missing: MissingPolicy = { missing: 'fwd', selector: selectorText(selector) };
	return [
		finding(
			'fwd-missing',
			[policy, missing, ...states.slice(0, 3)],
			`${policyName(policy)} is for a network, and no fwd policy is for its flows`,
		),
	];
}

/** Transport states that open packets which no in policy demands to be protected. */
function checkUnguarded(facts: LintFacts): Finding[] {
	return facts.states.flatMap((state) => {
		const esp = state.proto === IpProto.Esp || state.proto === IpProto.Ah;
		if (
			!esp ||
			state.mode !== Mode.Transport ||
			!facts.isInward(state) ||
			facts.used.has(state) ||
			facts.isLocal(state.family, state.config.saddr)
		) {
			return [];
		}
		const guarded = facts.policies.some(
			(policy) =>
				policy.direction === Direction.In &&
				policy.family === state.family &&
				takes(policy, state.config.saddr, state.config.id.daddr),
		);
		return guarded
			? []
			: [
					finding(
						'plaintext-no-policy',
						[state],
						`${stateName(state)} is of transport mode, and no in policy is for its hosts`,
					),
				];
	});
}

function takes(policy: XfrmPolicy, source: Uint8Array, destination: Uint8Array): boolean {
	const bits = familyBits(policy.family);
	const any = isAnyAddress(source, policy.family);
	const hosts = {
		...policy.config.selector,
		saddr: source,
		daddr: destination,
		prefixlenS: any ? 0 : bits,
		prefixlenD: bits,
	};
	return selectorsMeet(policy.config.selector, hosts, policy.family);
}

/** Pairs of a tie that are told: a rule set of equal priorities may have millions. */
const TIES_MAX = 20;

function checkTies(facts: LintFacts): Finding[] {
	const groups = new Map<string, XfrmPolicy[]>();
	for (const policy of facts.policies) {
		const { family, direction, type, ifId, priority } = policy;
		const key = [family, direction, type, ifId, priority].join(' ');
		groups.set(key, [...(groups.get(key) ?? []), policy]);
	}
	const found: Finding[] = [];
	for (const group of groups.values()) {
		found.push(...tiesOf(group, TIES_MAX - found.length));
	}
	return found;
}

/** Groups beyond this are not compared pair by pair. */
const GROUP_MAX = 3000;

function tiesOf(group: readonly XfrmPolicy[], most: number): Finding[] {
	const found: Finding[] = [];
	const configs = group.slice(0, GROUP_MAX).map((policy) => ({
		policy,
		selector: policy.config.selector,
		treatment: treatmentText(policy),
	}));
	for (const [i, a] of configs.entries()) {
		for (const b of configs.slice(i + 1)) {
			if (found.length >= most) {
				return found;
			}
			const marks =
				((a.policy.markValue ^ b.policy.markValue) & a.policy.markMask & b.policy.markMask) === 0;
			if (
				a.treatment !== b.treatment &&
				marks &&
				selectorsMeet(a.selector, b.selector, a.policy.family)
			) {
				// Newest first, so the second is the older.
				const [name, older] = [policyName(a.policy), policyName(b.policy)];
				const reason = `${name} and ${older} overlap at priority ${a.policy.priority}; ${older} was added first`;
				found.push(finding('priority-tie', [a.policy, b.policy], reason));
			}
		}
	}
	return found;
}

/** What a policy does with a flow, as text to compare. */
export function treatmentText(policy: XfrmPolicy): string {
	const templates = policy.templates.map(
		({ id, saddr, mode, reqid, optional }) =>
			`${id.proto} ${id.daddr} ${saddr} ${mode} ${reqid} ${optional} ${id.spi}`,
	);
	return `${actionName(policy.action)} ${policy.action === PolicyAction.Block ? '' : templates.join()}`;
}

/** Protected policies below which there is nothing but the default, accept. */
export function checkGaps(facts: LintFacts): Finding[] {
	if (facts.world.engine.net.defaults[Direction.Out] === DefaultAction.Block) {
		return [];
	}
	return facts.policies.flatMap((policy) => {
		const { direction, templates, family, priority, ifId } = policy;
		if (
			direction !== Direction.Out ||
			!templates.some((template) => template.optional === 0) ||
			ifId !== 0
		) {
			return [];
		}
		const guarded = facts.policies.some(
			(other) =>
				other !== policy &&
				other.direction === direction &&
				other.family === family &&
				other.action === PolicyAction.Block &&
				other.priority >= priority &&
				selectorCovers(other.config.selector, policy.config.selector, family),
		);
		return when(
			!guarded,
			'gap-in-clear',
			policy,
			`${policyName(policy)} has neither a block policy behind it nor a default of block`,
		);
	});
}
