/** How things are called in a story: as `ip xfrm` prints them, so that a user finds them in a dump. */
import type { XfrmPolicy, XfrmState } from '@xfrm/engine';
import { type Flow, formatHex32 } from '@xfrm/wire';
import {
	type Address,
	DefaultAction,
	Direction,
	EncapType,
	Family,
	formatAddress,
	IpProto,
	isAnyAddress,
	Mode,
	PolicyAction,
	PolicyType,
	type Selector,
	type Template,
} from '@xfrm/wire/xfrm';

const PROTOCOLS: Readonly<Record<number, string>> = {
	[IpProto.HopByHop]: 'hopopts',
	[IpProto.Icmp]: 'icmp',
	[IpProto.Ipip]: 'ipip',
	[IpProto.Tcp]: 'tcp',
	[IpProto.Udp]: 'udp',
	[IpProto.Dccp]: 'dccp',
	[IpProto.Ipv6]: 'ipv6',
	[IpProto.Routing]: 'routing header',
	[IpProto.Fragment]: 'fragment',
	[IpProto.Gre]: 'gre',
	[IpProto.Esp]: 'esp',
	[IpProto.Ah]: 'ah',
	[IpProto.Icmpv6]: 'ipv6-icmp',
	[IpProto.DestinationOptions]: 'destination options',
	[IpProto.Comp]: 'comp',
	[IpProto.Sctp]: 'sctp',
	[IpProto.MobilityHeader]: 'mobility-header',
};

/** Names of upper protocols, as in /etc/protocols where it has them. */
export function protocolName(proto: number): string {
	return PROTOCOLS[proto] ?? `proto ${proto}`;
}

/** The word of `ip xfrm` for a state's protocol: esp ah comp hao route2 ipip ipv6. */
export function stateProtoName(proto: number): string {
	switch (proto) {
		case IpProto.DestinationOptions:
			return 'hao';
		case IpProto.Routing:
			return 'route2';
		default:
			return PROTOCOLS[proto] ?? `${proto}`;
	}
}

const MODES: Readonly<Record<number, string>> = {
	[Mode.Transport]: 'transport',
	[Mode.Tunnel]: 'tunnel',
	[Mode.RouteOptimization]: 'ro',
	[Mode.InTrigger]: 'in_trigger',
	[Mode.Beet]: 'beet',
	[Mode.Iptfs]: 'iptfs',
};

export function modeName(mode: number): string {
	return MODES[mode] ?? `mode ${mode}`;
}

export function directionName(direction: number): 'in' | 'out' | 'fwd' {
	return direction === Direction.In ? 'in' : direction === Direction.Out ? 'out' : 'fwd';
}

export function policyTypeName(policy: XfrmPolicy): 'main' | 'sub' | 'socket' {
	return policy.socketId !== 0 ? 'socket' : policy.type === PolicyType.Sub ? 'sub' : 'main';
}

export function actionName(action: number): 'allow' | 'block' {
	return action === PolicyAction.Block ? 'block' : 'allow';
}

export function defaultActionName(action: number): 'accept' | 'block' {
	return action === DefaultAction.Block ? 'block' : 'accept';
}

/** A number as `ip` prints marks and if_ids. */
export function hexNumber(value: number): string {
	return `0x${(value >>> 0).toString(16)}`;
}

/** `0xd00/0xf00`; empty when the mark asks for nothing. */
export function markText(value: number, mask: number): string {
	return value === 0 && mask === 0 ? '' : `${hexNumber(value)}/${hexNumber(mask)}`;
}

/** `src 10.1.0.0/16 dst 10.2.0.0/16 proto udp dport 53 dev wan`, as `ip xfrm policy` prints a selector. */
export function selectorText(
	selector: Selector,
	deviceName: (ifindex: number) => string | undefined = () => undefined,
): string {
	const family = selector.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	const parts = [
		`src ${formatAddress(selector.saddr, family)}/${selector.prefixlenS}`,
		`dst ${formatAddress(selector.daddr, family)}/${selector.prefixlenD}`,
	];
	if (selector.proto !== 0) {
		parts.push(`proto ${protocolName(selector.proto).replace(/^proto /, '')}`);
	}
	parts.push(...portTexts(selector));
	if (selector.ifindex !== 0) {
		parts.push(`dev ${deviceName(selector.ifindex) ?? selector.ifindex}`);
	}
	return parts.join(' ');
}

/** What the two port fields mean for a protocol. */
export function portWords(proto: number): [sport: string, dport: string] {
	return proto === IpProto.Icmp || proto === IpProto.Icmpv6 || proto === IpProto.MobilityHeader
		? ['type', 'code']
		: ['sport', 'dport'];
}

/** `sport 5 dport 53`, `type 8`, `key 7`: what a selector asks of ports, as `ip xfrm` has it. */
export function portTexts(selector: Selector): string[] {
	const { proto, sport, sportMask, dport, dportMask } = selector;
	if (proto === IpProto.Gre) {
		return sportMask === 0 && dportMask === 0 ? [] : [`key ${greKey(selector)}`];
	}
	const [first, second] = portWords(proto);
	return [
		...(sportMask === 0 ? [] : [`${first} ${sport}`]),
		...(dportMask === 0 ? [] : [`${second} ${dport}`]),
	];
}

/** GRE has a key where others have ports: its upper half is the source port. */
export function greKey({
	sport,
	dport,
}: {
	readonly sport: number;
	readonly dport: number;
}): number {
	return sport * 0x10000 + dport;
}

/** `out 1`, and `sub` or `socket` where it is not of the main table. */
export function policyName(policy: XfrmPolicy): string {
	const type = policyTypeName(policy);
	if (type === 'socket') {
		return `socket policy ${directionName(policy.direction)}`;
	}
	return `policy ${directionName(policy.direction)} ${policy.index}${type === 'sub' ? ' (sub)' : ''}`;
}

/** `policy out 1` with its selector, mark, if_id, priority and action. */
export function policyText(
	policy: XfrmPolicy,
	deviceName?: (ifindex: number) => string | undefined,
): string {
	const mark = markText(policy.markValue, policy.markMask);
	return [
		selectorText(policy.config.selector, deviceName),
		...(policyTypeName(policy) === 'sub' ? ['ptype sub'] : []),
		`priority ${policy.priority}`,
		...(mark === '' ? [] : [`mark ${mark}`]),
		...(policy.ifId === 0 ? [] : [`if_id ${hexNumber(policy.ifId)}`]),
		actionName(policy.action),
	].join(' ');
}

/** `0xc0000101`, or for types without SPI their addresses. */
export function stateName(state: XfrmState): string {
	if (hasSpi(state)) {
		return `state ${formatHex32(state.spi)}`;
	}
	return `state ${stateProtoName(state.proto)} ${endpoints(state)}`;
}

/** Is it told apart by an SPI? */
export function hasSpi(state: XfrmState): boolean {
	return state.proto === IpProto.Esp || state.proto === IpProto.Ah || state.proto === IpProto.Comp;
}

/** `192.0.2.1 → 192.0.2.2`. */
export function endpoints(state: XfrmState): string {
	const family = state.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	return `${formatAddress(state.config.saddr, family)} → ${formatAddress(state.config.id.daddr, family)}`;
}

/** `esp tunnel 192.0.2.1 → 198.51.100.7 reqid 5 mark 0x1/0xf if_id 0x2a`. */
export function stateText(state: XfrmState): string {
	const mark = markText(state.markValue, state.markMask);
	const { coaddr } = state;
	return [
		`${stateProtoName(state.proto)} ${modeName(state.mode)} ${endpoints(state)}`,
		`reqid ${state.reqid >>> 0}`,
		...(mark === '' ? [] : [`mark ${mark}`]),
		...(state.ifId === 0 ? [] : [`if_id ${hexNumber(state.ifId)}`]),
		...(coaddr === undefined ? [] : [`coa ${formatAddress(coaddr, Family.Ipv6)}`]),
		...((state.flags & 8) === 0 ? [] : ['flag wildrecv']),
	].join(' ');
}

/** Names of a state's algorithms, never its keys: `rfc4106(gcm(aes)) icv 16`. */
export function algorithmText(state: XfrmState): string {
	const { aead, crypt, auth, comp } = state.config;
	return [
		...(aead === undefined ? [] : [`${aead.name} icv ${aead.icvBits / 8}`]),
		...(crypt === undefined ? [] : [crypt.name]),
		...(auth === undefined ? [] : [auth.name]),
		...(comp === undefined ? [] : [comp.name]),
	].join(', ');
}

/** `esp tunnel 192.0.2.1 → 198.51.100.7 reqid 5 level use`. */
export function templateText(
	template: Template,
	family: number,
	saddr: Address = template.saddr,
	daddr: Address = template.id.daddr,
): string {
	const known = family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	const any = isAnyAddress(saddr, known) && isAnyAddress(daddr, known);
	return [
		`${stateProtoName(template.id.proto)} ${modeName(template.mode)}`,
		any ? 'any addresses' : `${formatAddress(saddr, known)} → ${formatAddress(daddr, known)}`,
		...(template.id.spi === 0 ? [] : [`spi ${formatHex32(template.id.spi)}`]),
		`reqid ${template.reqid}`,
		...(template.optional === 0 ? [] : ['level use (optional)']),
	].join(' ');
}

/** `10.1.0.5 → 10.2.0.9  udp 40000 → 53`. */
export function flowText(flow: Flow): string {
	return `${flowAddress(flow.saddr, flow.family)} → ${flowAddress(flow.daddr, flow.family)}  ${flowPorts(flow)}`;
}

function flowPorts(flow: Flow): string {
	const name = protocolName(flow.proto);
	if (flow.proto === IpProto.MobilityHeader) {
		return `${name} type ${flow.sport}${flow.sport === 5 ? ' (binding update)' : ''}`;
	}
	if (flow.proto === IpProto.Icmp || flow.proto === IpProto.Icmpv6) {
		return `${name} type ${flow.sport} code ${flow.dport}`;
	}
	if (flow.proto === IpProto.Gre && flow.sport + flow.dport > 0) {
		return `${name} key ${greKey(flow)}`;
	}
	return flow.sport === 0 && flow.dport === 0 ? name : `${name} ${flow.sport} → ${flow.dport}`;
}

/** An address of a flow as text. */
export function flowAddress(words: Int32Array, family: number): string {
	const bytes = new Uint8Array(16);
	const view = new DataView(bytes.buffer);
	for (let i = 0; i < 4; i++) {
		view.setInt32(4 * i, words[i] ?? 0);
	}
	return formatAddress(bytes, family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6);
}

/** Encapsulation types by the words of `ip xfrm`; a check's values are their numbers as text. */
export function encapName(type: string): string {
	const names: Readonly<Record<string, string>> = {
		0: 'none',
		[EncapType.EspInUdpNonIke]: 'espinudp-nonike',
		[EncapType.EspInUdp]: 'espinudp',
		[EncapType.EspInTcp]: 'espintcp',
	};
	return names[type] ?? type;
}
