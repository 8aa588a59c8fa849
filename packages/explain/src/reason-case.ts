/** What a reason is made of, and phrases that several reasons share. */
import type { PolicyLookupTrace, XfrmPolicy, XfrmState } from '@xfrm/engine';
import { Flow } from '@xfrm/wire';
import { addressEquals, Direction, Family, formatAddress, IpProto } from '@xfrm/wire/xfrm';
import type { NearMiss, Outcome } from './answer.ts';
import type { Digest } from './digest.ts';
import {
	type ExpiredObjects,
	expiredPolicyText,
	expiredStateText,
	hadIdentity,
} from './expired-objects.ts';
import { selectorTakes } from './fix-parts.ts';
import { directionName, stateName, templateText } from './names.ts';
import {
	misses,
	missInSentence,
	missText,
	nearPolicies,
	nearSelections,
	otherDirections,
	policyInSentence,
} from './near-miss.ts';
import type { Setting } from './story.ts';

export interface Reason {
	readonly code: string;
	readonly reason: string;
}

/** What a reason is made of. */
export interface Case {
	readonly digest: Digest;
	readonly outcome: Outcome;
	readonly direction: 'in' | 'out' | 'fwd';
	readonly counter: string | undefined;
	readonly error: number;
	/** Its key is hidden, and the key decides. */
	readonly hiddenKey: XfrmState | undefined;
	readonly setting: Setting;
	readonly mark: number;
	readonly larvalSeconds: number;
	readonly expired: ExpiredObjects;
}

export function sentence(...parts: readonly (string | undefined)[]): string {
	return parts.filter((part) => part !== undefined && part !== '').join(' ');
}

/**
 * The lookup that decided. Where Linux looked for no policy, there being none for output, one that found nothing:
 * policies for another direction are told all the same.
 */
function decidingLookup({ digest, outcome, direction }: Case): PolicyLookupTrace | undefined {
	const last = digest.lastPolicyLookup;
	const leaves = outcome === 'pass' && direction !== 'in';
	if (!leaves || last?.direction === Direction.Out) {
		return last;
	}
	const flow = last?.flow ?? digest.plainFlow();
	return flow === undefined
		? undefined
		: {
				kind: 'policy',
				table: 'main',
				direction: Direction.Out,
				flow,
				ifId: 0,
				winner: undefined,
				losers: [],
				embedded: false,
			};
}

/** Policies that ask for states and match, but come behind the one that lets the packet pass; nearest first. */
export function overtaken({ digest }: Case): readonly NearMiss[] {
	const lookup = digest.lastPolicyLookup;
	const losers = (lookup?.losers ?? []).filter(
		({ object, field }) =>
			(field === 'priority' || field === 'order') &&
			object.templates.some((template) => template.optional === 0),
	);
	return lookup === undefined ? [] : nearPolicies({ ...lookup, losers });
}

/** A policy of the direction whose selector takes the answer to the flow. */
function exchanged(lookup: PolicyLookupTrace): XfrmPolicy | undefined {
	const { flow, ifId, losers } = lookup;
	const back = new Flow();
	back.copyFrom(flow);
	back.saddr.set(flow.daddr);
	back.daddr.set(flow.saddr);
	back.sport = flow.dport;
	back.dport = flow.sport;
	// One that takes both ways lost by something else.
	return losers.find(
		({ object }) => misses(object, back, ifId) === 0 && misses(object, flow, ifId) > 1,
	)?.object;
}

/** Policies that may have been meant for the lookup's direction: for output those that begin at this host. */
function policiesToTurn(
	{ setting, outcome }: Case,
	{ direction }: PolicyLookupTrace,
): readonly XfrmPolicy[] {
	const all = [...setting.policies()];
	if (direction !== Direction.Out || outcome !== 'pass') {
		return all;
	}
	return all.filter(({ templates, config }) =>
		templates.some(({ family, saddr }) => {
			const known = (family || config.selector.family) === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
			return setting.owner(known, formatAddress(saddr, known)) !== undefined;
		}),
	);
}

/** The nearest policy that did not match, as a sentence. */
export function nearestPolicy(asked: Case): string | undefined {
	const lookup = decidingLookup(asked);
	if (lookup === undefined) {
		return undefined;
	}
	const expired = asked.expired.findPolicy(
		({ selector, direction }) =>
			direction === lookup.direction && selectorTakes(selector, lookup.flow),
	);
	if (expired !== undefined) {
		return expiredPolicyText(expired);
	}
	const [other] = otherDirections(lookup, policiesToTurn(asked, lookup));
	const [near] = nearPolicies(lookup);
	const parts: string[] = [];
	const turned = exchanged(lookup);
	if (turned !== undefined) {
		return (
			`${upperFirst(policyInSentence(turned))} would match if its src and dst were exchanged: ` +
			`src is the sender's side.`
		);
	}
	if (other !== undefined) {
		parts.push(
			`${upperFirst(missInSentence(other))} would match, but it is for ${other.want}: ` +
				`here a policy with ${other.have} is needed.`,
		);
	}
	if (near !== undefined) {
		parts.push(
			`The nearest is ${missInSentence(near)}, which does not match by ${missText(near)}.`,
		);
		if (asked.digest.first?.fragment === true && /^(sport|dport|type|code)$/.test(near.field)) {
			parts.push('The packet is a fragment: policies are asked without ports for fragments.');
		}
	}
	if (parts.length === 0 && ![...asked.setting.policies()].some(isOf(lookup.direction))) {
		parts.push(`There is no policy ${directionName(lookup.direction)} at all.`);
	}
	return parts.join(' ');
}

function isOf(direction: number): (policy: XfrmPolicy) => boolean {
	return (policy) => policy.direction === direction && policy.socketId === 0;
}

export function upperFirst(text: string): string {
	return text.charAt(0).toUpperCase() + text.slice(1);
}

export function listText(parts: readonly string[]): string {
	if (parts.length <= 1) {
		return parts[0] ?? 'nothing';
	}
	return `${parts.slice(0, -1).join(', ')} and ${parts[parts.length - 1]}`;
}

export function wantedTemplate(asked: Case): string {
	const { template, stateSelect } = asked.digest;
	if (template !== undefined) {
		return `(${templateText(template.template, template.family, template.saddr, template.daddr)})`;
	}
	return stateSelect === undefined ? '' : `(${templateText(stateSelect.template, 2)})`;
}

/** The nearest state that was not taken, as a sentence. */
export function nearestState(asked: Case): string | undefined {
	const { stateSelect, template } = asked.digest;
	const [near] =
		stateSelect === undefined
			? []
			: nearSelections(stateSelect, template?.daddr ?? stateSelect.template.id.daddr);
	if (near === undefined) {
		return undefined;
	}
	return `The nearest, ${missInSentence(near)}, does not fit by ${missText(near)}.`;
}

/** A state that would have fitted the template, or taken the packet, and has expired; as a sentence. */
export function expiredState({ digest, expired }: Case): string | undefined {
	const { template: wanted, stateSelect, stateLookup } = digest;
	const found = expired.findState((state) => {
		if (stateSelect === undefined || wanted === undefined) {
			return stateLookup !== undefined && hadIdentity(state, stateLookup);
		}
		const { template, saddr, daddr, family } = wanted;
		return (
			state.family === family &&
			state.id.proto === template.id.proto &&
			state.mode === template.mode &&
			(template.reqid === 0 || state.reqid === template.reqid >>> 0) &&
			addressEquals(state.saddr, saddr, family) &&
			addressEquals(state.id.daddr, daddr, family)
		);
	});
	return found === undefined ? undefined : expiredStateText(found);
}

/** ESP in UDP that came to a port where no socket has UDP_ENCAP, so that it is any UDP packet. */
export function encapWithoutSocket({ digest, setting }: Case): string | undefined {
	const { first, stateLookup } = digest;
	if (first?.udp === undefined || first.spi === undefined || stateLookup !== undefined) {
		return undefined;
	}
	const { spi, udp, destination } = first;
	const family = first.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	for (const state of setting.states()) {
		const isItsOwn =
			state.proto === IpProto.Esp &&
			state.spi >>> 0 === spi &&
			formatAddress(state.config.id.daddr, family) === destination;
		if (isItsOwn) {
			return (
				`What is inside looks like ESP for ${stateName(state)}, but no socket with UDP_ENCAP is on port ` +
				`${udp.dport}, so it is any UDP packet: the key manager (IKE) that opens that socket does not run, ` +
				'or uses another port.'
			);
		}
	}
	return undefined;
}
