/**
 * The way of a packet as steps, one station each: what the engine and the host told, in words. Losers
 * stand under the station where they lost. The answer comes first elsewhere (reasons.ts); here it is
 * only told what happened, in order.
 */
import {
	type PolicyLookupTrace,
	type StateCheckTrace,
	type StateLookupTrace,
	type StateSelectTrace,
	type TemplateCheckTrace,
	type TemplateTrace,
	type TransformTrace,
	type VerdictTrace,
	verdictName,
	type XfrmPolicy,
	type XfrmState,
} from '@xfrm/engine';
import type { DecisionTrace, HostEffect } from '@xfrm/host';
import { formatHex, formatHex32 } from '@xfrm/wire';
import { Family, formatAddress, IpProto, isAnyAddress, Mode } from '@xfrm/wire/xfrm';
import type { Step } from './answer.ts';
import { fieldsOf } from './byte-view.ts';
import { kernelPlace } from './kernel-place.ts';
import {
	algorithmText,
	directionName,
	encapName,
	endpoints,
	flowText,
	hasSpi,
	hexNumber,
	modeName,
	policyText,
	protocolName,
	stateProtoName,
	stateText,
	templateText,
} from './names.ts';
import {
	nearLookups,
	nearPolicies,
	nearSelections,
	nearStates,
	otherDirections,
	policyRef,
	stateRef,
} from './near-miss.ts';
import { packetFacts, packetText } from './packet-text.ts';
import { reasonTitle } from './reason-codes.ts';
import type { Fact } from './recorder.ts';
import { replayText } from './replay-text.ts';

/** What a story needs to know of the world. */
export interface Setting {
	readonly deviceName: (ifindex: number) => string | undefined;
	/** The device that has an address of this host. */
	readonly owner: (family: number, address: string) => string | undefined;
	readonly policies: () => Iterable<XfrmPolicy>;
	readonly states: () => Iterable<XfrmState>;
	readonly localSocket: string;
	readonly mark: number;
	readonly ifId: number;
	/** The device that it came by, where no policy is asked for what comes by it (disable_policy). */
	readonly unchecked: string | undefined;
	/** Are packets told by their header fields too? */
	readonly showFields: boolean;
}

/** All steps of one packet's way. */
export function tellStory(
	facts: readonly Fact[],
	packet: Uint8Array,
	direction: 'in' | 'out' | 'fwd',
	setting: Setting,
): readonly Step[] {
	const steps: Step[] = [];
	if (direction === 'out') {
		steps.push({
			step: 'SEND',
			text: `${packetText(packet)}${markSuffix(setting.mark)}${ifIdSuffix(setting.ifId)}  ${setting.localSocket}`,
		});
	}
	const seen: Seen = { packet, template: undefined };
	for (const fact of facts) {
		seen.packet = fact.kind === 'receive' ? fact.packet : seen.packet;
		seen.template = fact.kind === 'template' ? fact : seen.template;
		const step = stepOf(fact, setting, seen);
		if (step !== undefined) {
			const kernel = kernelPlace(fact);
			steps.push(kernel === undefined ? step : { ...step, kernel });
		}
	}
	return withHook(steps, direction);
}

function decisionStep(fact: DecisionTrace, packet: Uint8Array, setting: Setting): Step {
	const facts = packetFacts(packet);
	const destination = facts?.destination ?? 'the destination';
	if (fact.decision === 'forward') {
		return {
			step: 'ROUTE',
			which: 'forward',
			text: `${destination} is not an address of this host: forwarding`,
		};
	}
	const owner = facts === undefined ? undefined : setting.owner(facts.family, destination);
	const whose = owner === undefined ? 'is for this host' : `is an address of ${owner}`;
	return { step: 'ROUTE', which: 'local', text: `${destination} ${whose}` };
}

/** Where a mark decided, the place where a firewall rule could set it stands in the way too. */
function withHook(steps: readonly Step[], direction: 'in' | 'out' | 'fwd'): readonly Step[] {
	const byMark = steps.some((one) => one.near?.some((near) => near.field === 'mark') ?? false);
	const [first, ...rest] = steps;
	if (!byMark || first === undefined) {
		return steps;
	}
	const which = direction === 'out' ? 'output' : 'prerouting';
	const text = 'a rule of nftables or iptables in raw or mangle could set the mark here';
	return [first, { step: 'HOOK', which, text }, ...rest];
}

function markSuffix(mark: number): string {
	return mark === 0 ? '' : `  mark ${hexNumber(mark)}`;
}

function ifIdSuffix(ifId: number): string {
	return ifId === 0 ? '' : `  if_id ${hexNumber(ifId)}`;
}

/** What was told last, for facts that speak of it. */
interface Seen {
	packet: Uint8Array;
	template: TemplateTrace | undefined;
}

function stepOf(fact: Fact, setting: Setting, seen: Seen): Step | undefined {
	switch (fact.kind) {
		case 'receive': {
			const suffix = fact.again ? '' : `${markSuffix(setting.mark)}${ifIdSuffix(setting.ifId)}`;
			const text = `${packetText(fact.packet)}${suffix}`;
			return { step: fact.again ? 'INSIDE' : 'RECEIVE', which: fact.device, text };
		}
		case 'decision':
			return decisionStep(fact, seen.packet, setting);
		case 'route':
			return routeStep(fact, setting);
		case 'reassembly':
			return {
				step: 'FRAGMENT',
				text: fact.complete ? 'the datagram is complete' : 'waits for the other fragments',
			};
		case 'policy':
			return policyStep(fact, setting);
		case 'default-policy':
			return {
				step: 'DEFAULT',
				which: directionName(fact.direction),
				text: `no policy: the default is ${fact.accepted ? 'accept' : 'block'}`,
			};
		case 'template':
			return {
				step: 'TEMPLATE',
				which: `${fact.position + 1} of ${fact.count}`,
				text: `needs ${templateText(fact.template, fact.family, fact.saddr, fact.daddr)}`,
				object: { kind: 'template', index: fact.position },
			};
		case 'state-select':
			return selectStep(fact, seen.template);
		case 'state-lookup':
			return isWildcardTry(fact) ? undefined : lookupStep(fact);
		case 'state-check':
			return checkStep(fact, seen.packet);
		case 'transform':
			return setting.showFields ? withFields(transformStep(fact), fact) : transformStep(fact);
		case 'template-check':
			return templateCheckStep(fact);
		case 'kept':
			return { step: 'IPTFS', text: reasonTitle(fact.code), object: stateRef(fact.state) };
		case 'verdict':
			return verdictStep(fact);
		case 'drop':
			return {
				step: 'DROP',
				which: fact.code.replace('host.', ''),
				text: 'dropped by a rule of IP',
			};
		case 'icmp-error':
			return icmpStep(fact.family, fact.type, fact.code, fact.rest);
		case 'icmp-received':
			return {
				step: 'ICMP',
				which: `type ${fact.type}`,
				text:
					fact.mtu === undefined
						? `an ICMP error, type ${fact.type} code ${fact.code}, that teaches nothing`
						: `an ICMP error teaches the path MTU ${fact.mtu}`,
			};
		case 'effect':
			return effectStep(fact.effect);
		default:
			return undefined;
	}
}

function routeStep(fact: Extract<Fact, { kind: 'route' }>, setting: Setting): Step | undefined {
	const family = fact.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	const to = formatAddress(fact.daddr, family);
	const { route } = fact;
	if (route === undefined) {
		return { step: 'ROUTE', which: 'none', text: `no route to ${to}` };
	}
	if (fact.purpose === 'input') {
		return undefined; // the decision tells it
	}
	const device = setting.deviceName(route.ifindex) ?? `${route.ifindex}`;
	const via = route.gateway === undefined ? '' : ` via ${formatAddress(route.gateway, family)}`;
	const what = fact.purpose === 'engine' ? 'the outer packet, ' : '';
	const kind = route.kind === 'unicast' ? '' : ` (${route.kind})`;
	return {
		step: 'ROUTE',
		which: device,
		text: `${what}to ${to}${via}, MTU ${route.mtu}${kind}`,
		object: { kind: 'route', name: device },
	};
}

function policyStep(fact: PolicyLookupTrace, setting: Setting): Step | undefined {
	const { winner, table } = fact;
	const direction = directionName(fact.direction);
	const asks = fact.embedded ? ' (by the packet that the ICMP error quotes)' : '';
	if (winner === undefined) {
		if (table !== 'main' && fact.losers.length === 0) {
			return undefined;
		}
		const near = [...nearPolicies(fact), ...otherDirections(fact, setting.policies())];
		return {
			step: 'POLICY',
			which: 'none',
			text: `no ${table} policy ${direction} for ${flowText(fact.flow)}${asks}`,
			...(near.length === 0 ? {} : { near }),
		};
	}
	const near = nearPolicies(fact);
	const name = table === 'socket' ? `socket ${direction}` : `${direction} ${winner.index}`;
	return {
		step: 'POLICY',
		which: name,
		text: `policy ${direction}: ${policyText(winner, setting.deviceName)}${asks}`,
		object: policyRef(winner),
		...(near.length === 0 ? {} : { near }),
	};
}

const SELECT_TEXTS: Readonly<Record<StateSelectTrace['outcome'], string>> = {
	found: '',
	acquire: 'no state fits: ACQUIRE, a key manager is asked and a larval state waits for its answer',
	larval: 'no state yet: a key manager was asked before (larval state)',
	'no-listener': 'no state fits, and no key manager listens',
	exists: 'no state fits, but one with the SPI of the template exists: EEXIST',
	error: 'the state that would fit is expired or in error',
};

function selectStep(fact: StateSelectTrace, template: TemplateTrace | undefined): Step {
	const near = nearSelections(fact, template?.daddr ?? fact.template.id.daddr);
	const nearPart = near.length === 0 ? {} : { near };
	const { winner } = fact;
	if (winner === undefined || fact.outcome !== 'found') {
		const optional = fact.optional ? ' (the template is optional: goes on without)' : '';
		const text = `${SELECT_TEXTS[fact.outcome]}${optional}`;
		return { step: 'STATE', which: 'none', text, ...nearPart };
	}
	return {
		step: 'STATE',
		which: hasSpi(winner) ? formatHex32(winner.spi) : stateProtoName(winner.proto),
		text: `fits: ${stateText(winner)}`,
		object: stateRef(winner),
		...nearPart,
	};
}

/** Behind a failed lookup for a mobility header two more are made, with the any-address: no news. */
function isWildcardTry(fact: StateLookupTrace): boolean {
	const bySpi = fact.proto !== IpProto.DestinationOptions && fact.proto !== IpProto.Routing;
	return !bySpi && fact.winner === undefined && isAnyAddress(fact.saddr, Family.Ipv6);
}

function lookupStep(fact: StateLookupTrace): Step {
	const family = fact.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	const proto = stateProtoName(fact.proto);
	const source = formatAddress(fact.saddr, family);
	const destination = formatAddress(fact.daddr, family);
	const bySpi = fact.proto !== IpProto.DestinationOptions && fact.proto !== IpProto.Routing;
	const key = bySpi
		? `dst ${destination} spi ${formatHex32(fact.spi)} ${proto}`
		: `${proto} (${mobilityHeader(fact.proto)}) src ${source} dst ${destination}`;
	const near = nearLookups(fact);
	const nearPart = near.length === 0 ? {} : { near };
	const { winner } = fact;
	if (winner === undefined) {
		const text = `no state for ${key} mark ${hexNumber(fact.mark)}`;
		return { step: 'STATE', which: 'none', text, ...nearPart };
	}
	return {
		step: 'STATE',
		which: hasSpi(winner) ? formatHex32(winner.spi) : proto,
		text: bySpi
			? `takes it: ${stateText(winner)}`
			: `${key}: ${stateText(winner)}${winner.flags & 8 ? ' (wildcard)' : ''}`,
		object: stateRef(winner),
		...nearPart,
	};
}

function mobilityHeader(proto: number): string {
	return proto === IpProto.Routing ? 'type 2 routing header' : 'home address option';
}

function checkStep(fact: StateCheckTrace, packet: Uint8Array): Step {
	const { state, field, passed, want, have } = fact;
	const seq = packetFacts(packet)?.seq;
	const verb = passed ? 'fits' : 'does not fit';
	const text =
		field === 'replay' && seq !== undefined
			? replayText(state, seq)
			: field === 'encap'
				? `${verb}: the packet ${encapName(want)}, the state ${encapName(have)}`
				: `${verb}: want ${want}, have ${have}`;
	return { step: 'CHECK', which: field, text, object: stateRef(state) };
}

function transformStep(fact: TransformTrace): Step {
	const { state, operation, details } = fact;
	const bytes = { before: formatHex(fact.before), after: formatHex(fact.after) };
	const told = detailsText(details);
	const size = `${fact.before.length} → ${fact.after.length} bytes`;
	if (operation === 'mode') {
		return {
			step: 'MODE',
			which: modeName(state.mode),
			text: [modeText(fact), told, size].filter((part) => part !== '').join('  '),
			object: stateRef(state),
			bytes,
		};
	}
	if (state.proto === IpProto.Ipip || state.proto === IpProto.Ipv6) {
		// A helper of IPComp: nothing to open, its MODE takes the outer header off.
		return {
			step: stateProtoName(state.proto).toUpperCase(),
			which: 'IPComp left it alone',
			text: `${told}  ${size}`.trim(),
			object: stateRef(state),
			bytes,
		};
	}
	const parts = [
		operation === 'seal' ? 'put on' : 'opened and authentic',
		algorithmText(state),
		told,
		limitText(state),
		windowText(state, operation),
		size,
	];
	return {
		step: stateProtoName(state.proto).toUpperCase(),
		which: hasSpi(state) ? formatHex32(state.spi) : mobilityHeader(state.proto),
		text: parts.filter((part) => part !== '').join('  '),
		object: stateRef(state),
		bytes,
	};
}

/** The octets by header fields; what was opened has no ESP around it any more. */
function withFields(step: Step, { state, before, after }: TransformTrace): Step {
	const { ivOctets, icvOctets } = state;
	const sizes = { ivOctets, icvOctets };
	return { ...step, fields: { before: fieldsOf(before, sizes), after: fieldsOf(after, sizes) } };
}

/** Facts that the rest of the line tells already. */
const TOLD_ELSEWHERE = new Set([
	'spi',
	'icv',
	'icvOctets',
	'mode',
	'source',
	'destination',
	'payload',
]);

function detailsText(details: TransformTrace['details']): string {
	return Object.entries(details)
		.filter(([name]) => !TOLD_ELSEWHERE.has(name))
		.map(([name, value]) => {
			const isProtocol = /^(proto|next|nextHeader)$/.test(name) && typeof value === 'number';
			return isProtocol ? `inside ${protocolName(value)}` : `${name} ${value}`;
		})
		.join('  ');
}

function modeText(fact: TransformTrace): string {
	const { state, before, after } = fact;
	const inward = after.length < before.length;
	switch (state.mode) {
		case Mode.Transport:
			return 'the IP header stays';
		case Mode.Tunnel:
			return `outer header ${endpoints(state)} ${inward ? 'taken off' : 'put on'}`;
		case Mode.Beet:
			return inward
				? 'beet: the addresses of its selector come back'
				: `beet: addresses become ${endpoints(state)}, there is no inner header`;
		default:
			return endpoints(state);
	}
}

/** Finite limits and what has been counted towards them, this packet included. */
function limitText(state: XfrmState): string {
	const { limits, lifetime } = state;
	const parts: string[] = [];
	const [softByte = 0, hardByte = 0, softPacket = 0, hardPacket = 0] = limits;
	if (hardByte !== Number.POSITIVE_INFINITY) {
		parts.push(`limit byte-hard ${hardByte}: ${lifetime[0]} bytes counted`);
	} else if (softByte !== Number.POSITIVE_INFINITY) {
		parts.push(`limit byte-soft ${softByte}: ${lifetime[0]} bytes counted`);
	}
	if (hardPacket !== Number.POSITIVE_INFINITY) {
		parts.push(`limit packet-hard ${hardPacket}: ${lifetime[1]} packets counted`);
	} else if (softPacket !== Number.POSITIVE_INFINITY) {
		parts.push(`limit packet-soft ${softPacket}: ${lifetime[1]} packets counted`);
	}
	return parts.join(', ');
}

function windowText(state: XfrmState, operation: TransformTrace['operation']): string {
	const { windowPackets } = state.replay;
	if (operation !== 'open' || (state.proto !== IpProto.Esp && state.proto !== IpProto.Ah)) {
		return '';
	}
	return windowPackets > 0 ? `replay window ${windowPackets}` : 'replay window 0: repeats pass';
}

function templateCheckStep(fact: TemplateCheckTrace): Step {
	const { template, policy, passed, state } = fact;
	const near = nearStates(fact.losers);
	const family = template.family || policy.family;
	const by = state === undefined ? '' : hasSpi(state) ? ` by ${formatHex32(state.spi)}` : '';
	return {
		step: 'TEMPLATE',
		which: `${fact.position + 1} of ${policy.templates.length}`,
		text: `${passed ? `satisfied${by}` : 'not satisfied'}: ${templateText(template, family)}`,
		object: { kind: 'template', index: fact.position },
		...(near.length === 0 ? {} : { near }),
	};
}

function verdictStep(fact: VerdictTrace): Step | undefined {
	const name = verdictName(fact.verdict);
	if (name === undefined) {
		return undefined;
	}
	return {
		step: 'DROP',
		which: name,
		text: fact.code === '' ? 'dropped' : reasonTitle(fact.code),
		...(fact.state === undefined ? {} : { object: stateRef(fact.state) }),
	};
}

function icmpStep(family: number, type: number, code: number, rest: number): Step {
	const tooBig = family === Family.Ipv4 ? type === 3 && code === 4 : type === 2;
	const text = tooBig
		? `too big: the sender is told by ICMP that MTU ${rest} fits`
		: `the sender is told by ICMP, type ${type} code ${code}`;
	return { step: 'ICMP', which: `type ${type}`, text };
}

function effectStep(effect: HostEffect): Step | undefined {
	switch (effect.kind) {
		case 'emit':
			return { step: 'EMIT', which: effect.device, text: `leaves: ${packetText(effect.packet)}` };
		case 'deliver': {
			const family = effect.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
			const ports = effect.proto === IpProto.Udp ? ` ${effect.sport} → ${effect.dport}` : '';
			return {
				step: 'DELIVER',
				which: protocolName(effect.proto),
				text:
					`${formatAddress(effect.source, family)} → ${formatAddress(effect.destination, family)}` +
					`${ports}, ${effect.payload.length} bytes to a socket of this host`,
			};
		}
		case 'stream-write':
			return { step: 'EMIT', which: 'tcp', text: `${effect.octets.length} bytes into a stream` };
		case 'stream-message':
			return { step: 'DELIVER', which: 'tcp', text: 'to whoever has the connection' };
		case 'stream-error':
			return { step: 'ERROR', text: 'the stream ends, by a length that is none' };
		default:
			return { step: 'ERROR', text: 'the socket is told of an ICMP error' };
	}
}
