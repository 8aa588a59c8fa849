/**
 * Why, in a sentence or two and in the user's words: each code has a sentence that names the objects, the
 * field that decided, what was wanted and what was there. Codes are stable and listed in docs/reasons.md;
 * those of drops are in drop-reasons.ts.
 */
import type { XfrmState } from '@xfrm/engine';
import { Direction, Family, formatAddress } from '@xfrm/wire/xfrm';
import { dropReason } from './drop-reasons.ts';
import { algorithmText, stateName, stateText, templateText } from './names.ts';
import { misses, missInSentence, missText, nearPolicies, policyInSentence } from './near-miss.ts';
import {
	type Case,
	encapWithoutSocket,
	expiredState,
	listText,
	nearestPolicy,
	nearestState,
	overtaken,
	type Reason,
	sentence,
	upperFirst,
	wantedTemplate,
} from './reason-case.ts';
import { reasonTitle } from './reason-codes.ts';

/** The reason for an outcome. */
export function reasonFor(asked: Case): Reason {
	switch (asked.outcome) {
		case 'pass':
			return passReason(asked);
		case 'transform':
			return transformReason(asked);
		case 'acquire':
			return acquireReason(asked);
		case 'consume':
			return consumeReason(asked);
		case 'unknown':
			return unknownReason(asked);
		default:
			return dropReason(asked);
	}
}

function passReason(asked: Case): Reason {
	const { digest, direction } = asked;
	if (digest.streamMessage) {
		return {
			code: 'in.stream.message',
			reason:
				'The segment ends a message of its TCP connection that is not ESP but IKE: whoever has the connection reads it.',
		};
	}
	// What is delivered here may be answered: the answer meets policies of direction out.
	const lookups = digest.policyLookups.filter(
		(one) => !digest.isOnlyAnswered || one.direction === Direction.In,
	);
	// A main policy decides beside a sub policy; without one the sub policy does alone.
	const lookup = lookups.findLast(({ winner }) => winner !== undefined) ?? lookups.at(-1);
	const optional =
		digest.stateSelect !== undefined && digest.stateSelect.winner === undefined
			? `No state for its optional template (${templateText(
					digest.stateSelect.template,
					digest.stateSelect.template.family || 2,
				)}), so it goes on without.`
			: undefined;
	const what = howItGoesOn(asked);
	if (lookup?.winner !== undefined) {
		const [hidden] = overtaken(asked);
		const code = optional === undefined ? `${direction}.policy.allow` : `${direction}.optional`;
		return {
			code,
			reason: sentence(
				`The packet ${what}: ${policyInSentence(lookup.winner)} allows it.`,
				hidden === undefined
					? undefined
					: `${upperFirst(missInSentence(hidden))}, which would protect it, was not taken, by ${missText(hidden)}.`,
				optional,
			),
		};
	}
	const exempt = exemptReason(asked);
	if (exempt !== undefined) {
		return exempt;
	}
	// What leaves does so by the lookup for output, whatever was checked before.
	const policyDirection = direction === 'in' ? 'in' : 'out';
	return {
		code: `${direction}.policy.none`,
		reason: sentence(
			`The packet ${what}: no policy ${policyDirection} matches it, and the default is accept.`,
			stateOfForeign(asked) ?? encapWithoutSocket(asked) ?? nearestPolicy(asked),
		),
	};
}

/** A state for the ESP packet that goes by: its destination should be an address of this host. */
function stateOfForeign({ digest, direction, setting }: Case): string | undefined {
	const { first } = digest;
	if (direction !== 'fwd' || first?.spi === undefined) {
		return undefined;
	}
	const family = first.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	for (const state of setting.states()) {
		const { id } = state.config;
		if (state.spi >>> 0 === first.spi && formatAddress(id.daddr, family) === first.destination) {
			return `${upperFirst(stateName(state))} would take it, were ${first.destination} an address of this host.`;
		}
	}
	return undefined;
}

function howItGoesOn({ digest, direction }: Case): string {
	const { first } = digest;
	if (direction === 'in') {
		return 'is delivered as it came';
	}
	return direction === 'fwd' && first?.spi !== undefined
		? `goes on as it came, protected by somebody else (${first.destination} is no address of this host)`
		: 'leaves in clear, untouched';
}

/** It leaves by a device for which no policy is asked; `lo` is one. */
function exemptReason({ digest, direction, setting }: Case): Reason | undefined {
	const { exemptBy } = digest;
	if (direction === 'in' && setting.unchecked !== undefined && digest.policyLookups.length === 0) {
		return {
			code: 'in.exempt',
			reason:
				`The packet is delivered as it came: disable_policy is set for ${setting.unchecked}, ` +
				'so no policy in is asked.',
		};
	}
	// IPv6 knows no disable_xfrm: there a policy is asked for lo too.
	const byLo = direction === 'out' && digest.looped && digest.first?.family === Family.Ipv4;
	if (direction === 'in' || (exemptBy === undefined && !byLo)) {
		return undefined;
	}
	const device = exemptBy === undefined ? 'lo' : (setting.deviceName(exemptBy) ?? `${exemptBy}`);
	return {
		code: `${direction}.exempt`,
		reason:
			device === 'lo'
				? 'The packet is for this host itself and stays on it: it goes by lo, for which no policy is asked' +
					' (disable_xfrm).'
				: `The packet leaves in clear, untouched: disable_xfrm is set for ${device}, so no policy out is asked.`,
	};
}

function transformReason(asked: Case): Reason {
	const { digest, direction } = asked;
	const named = (state: XfrmState): string => `${stateName(state)} (${stateText(state)})`;
	const states = digest.used.map(named);
	const policies = digest.policies.map((policy) => policyInSentence(policy));
	const size = `${digest.sizeBefore} bytes became ${digest.sizeAfter}.`;
	if (direction === 'in') {
		const sealed = digest.used.filter((state) => digest.sealed.has(state)).map(named);
		const opened = digest.used.filter((state) => !digest.sealed.has(state)).map(named);
		const onward = sealed.length === 0 ? '' : `, protected again by ${listText(sealed)}`;
		const nearby = digest.forwarded && sealed.length === 0 ? unprotectedOnward(asked) : undefined;
		const end = digest.forwarded ? `and is forwarded${onward}` : 'and is delivered';
		return {
			code: digest.forwarded ? 'in.forwarded' : 'in.delivered',
			reason: sentence(
				`The packet was opened by ${listText(opened)} ${end}.`,
				policies.length === 0
					? 'No policy was met: transport mode needs none.'
					: `What came out met ${listText(policies)}.`,
				nearby,
				digest.emitted.length > 0 && digest.used.length > 1 ? undefined : size,
			),
		};
	}
	const split =
		digest.emitted.length > 1
			? `It is too long for the MTU of ${mtuOf(asked)}, so it leaves as ${digest.emitted.length} fragments.`
			: undefined;
	return {
		code: `${direction}.transformed`,
		reason: sentence(
			policies.length === 0
				? undefined
				: `${upperFirst(listText(policies))} ${policies.length > 1 ? 'ask' : 'asks'} for it;`,
			`${listText(states)} ${states.length > 1 ? 'fit' : 'fits'}: the packet leaves protected.`,
			split,
			digest.emitted.length > 1 ? undefined : size,
		),
	};
}

/** What came out of a tunnel goes on in clear, and a policy that protects was near. */
function unprotectedOnward({ digest }: Case): string | undefined {
	const lookup = digest.lastPolicyLookup;
	if (lookup?.direction !== Direction.Out || lookup.winner !== undefined) {
		return undefined;
	}
	const losers = lookup.losers.filter(
		({ object }) =>
			object.templates.some(({ optional }) => optional === 0) &&
			misses(object, lookup.flow, lookup.ifId) <= NEARBY_MAX,
	);
	const [near] = nearPolicies({ ...lookup, losers });
	return near === undefined
		? undefined
		: `It goes on in clear: the nearest policy, ${missInSentence(near)}, does not match by ${missText(near)}.`;
}

/** One address, or one other field, is not as the flow has it. */
const NEARBY_MAX = 1.5;

function mtuOf(asked: Case): string {
	const last = asked.digest.routeMtu;
	return last === undefined ? 'the route' : `${last}`;
}

function acquireReason(asked: Case): Reason {
	const { digest } = asked;
	const template = wantedTemplate(asked);
	const [policy] = digest.policies.slice(-1);
	return {
		code: 'out.acquire',
		reason: sentence(
			policy === undefined ? undefined : `${upperFirst(policyInSentence(policy))} matches,`,
			`but there is no state for its template ${template}:`,
			'an ACQUIRE asks the key manager for one, and the packet is dropped.',
			expiredState(asked) ?? nearestState(asked),
			`A larval state holds its place for ${asked.larvalSeconds} s.`,
		),
	};
}

function consumeReason(asked: Case): Reason {
	const { digest, direction } = asked;
	if (digest.waiting) {
		return {
			code: `${direction}.fragment`,
			reason: 'The packet is a fragment and waits for the others of its datagram.',
		};
	}
	if (digest.streamWaits) {
		return {
			code: 'in.stream.partial',
			reason:
				'The segment ends no message of its TCP connection: its octets, if it has any, wait for the rest.',
		};
	}
	if (digest.kept !== undefined) {
		return { code: digest.kept, reason: reasonTitle(digest.kept) };
	}
	if (digest.stateSelect !== undefined) {
		return {
			code: 'out.held',
			reason: `No state for the template ${wantedTemplate(asked)} yet: the packet is held until there is one.`,
		};
	}
	return {
		code: 'in.keepalive',
		reason: 'A NAT keepalive: one octet, 0xff, swallowed by the socket with UDP_ENCAP.',
	};
}

/** A hidden key decides: both ways are told. */
function hiddenKeyReason(state: XfrmState): Reason {
	return {
		code: 'key.hidden',
		reason: sentence(
			`The packet reaches ${stateName(state)} (${stateText(state)}), whose key the dump hides: what comes now depends on it.`,
			'If the packet was sealed with that key, Linux opens it and goes on with what is inside: its ' +
				'addresses meet the policies.',
			'With another key the integrity check fails, and the packet is dropped: XfrmInStateProtoError.',
		),
	};
}

function unknownReason(asked: Case): Reason {
	if (asked.hiddenKey !== undefined) {
		return hiddenKeyReason(asked.hiddenKey);
	}
	const state = asked.digest.refused ?? asked.digest.verdicts[0]?.state;
	const which = state === undefined ? 'a state' : `${stateName(state)} (${stateText(state)})`;
	const algorithms = state === undefined ? '' : `, ${algorithmText(state)},`;
	const inward = asked.direction === 'in';
	return {
		code: 'provider.algorithm',
		reason: sentence(
			`The packet meets ${which}, whose algorithm${algorithms} this program cannot do.`,
			inward
				? 'With the right key Linux would open it and go on with what is inside; with another key the ' +
						'integrity check fails: XfrmInStateProtoError.'
				: 'Linux would transform the packet and send it.',
		),
	};
}
