/**
 * States and policies as commands of `ip xfrm`, to be pasted or carried out. A key is written by whoever asks:
 * the trial needs its octets, a reader sees its name.
 *
 *     xfrm state add ID reqid N mode M … ALGO    xfrm policy add SELECTOR dir D … tmpl …
 */
import { formatHex, formatHex32 } from '@xfrm/wire';
import {
	Family,
	formatAddress,
	IpProto,
	isAnyAddress,
	type LifetimeConfig,
	Mode,
	PolicyAction,
	type PolicyConfig,
	PolicyType,
	type Selector,
	type StateConfig,
	StateFlag,
	type Template,
} from '@xfrm/wire/xfrm';
import { directionName, hexNumber, modeName, portTexts, stateProtoName } from './names.ts';

/** How a key is written. */
export type KeyWriter = (key: Uint8Array) => string;

/** Octets as the commands want them. */
export const keyOctets: KeyWriter = (key) => `0x${formatHex(key)}`;

type DeviceName = (ifindex: number) => string | undefined;

function known(family: number): Family {
	return family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
}

/** Names that every `ip` knows; other protocols as numbers. */
const PROTOCOL_WORDS: Readonly<Record<number, string>> = {
	[IpProto.Icmp]: 'icmp',
	[IpProto.Tcp]: 'tcp',
	[IpProto.Udp]: 'udp',
	[IpProto.Gre]: 'gre',
	[IpProto.Icmpv6]: 'ipv6-icmp',
	[IpProto.Sctp]: 'sctp',
};

function markWords(mark: { readonly v: number; readonly m: number } | undefined): string[] {
	return mark === undefined || mark.m === 0
		? []
		: [`mark ${hexNumber(mark.v)} mask ${hexNumber(mark.m)}`];
}

/** `src 10.1.0.0/16 dst 10.2.0.0/16 proto udp dport 53`. */
export function selectorWords(selector: Selector, deviceName: DeviceName): string {
	const { proto, ifindex } = selector;
	const family = known(selector.family);
	return [
		`src ${formatAddress(selector.saddr, family)}/${selector.prefixlenS}`,
		`dst ${formatAddress(selector.daddr, family)}/${selector.prefixlenD}`,
		...(proto === 0 ? [] : [`proto ${PROTOCOL_WORDS[proto] ?? proto}`]),
		...portTexts(selector),
		...(ifindex === 0 ? [] : [`dev ${deviceName(ifindex) ?? ifindex}`]),
	].join(' ');
}

const LIMIT_WORDS: readonly (readonly [keyof LifetimeConfig, string])[] = [
	['softAddExpiresSeconds', 'time-soft'],
	['hardAddExpiresSeconds', 'time-hard'],
	['softUseExpiresSeconds', 'time-use-soft'],
	['hardUseExpiresSeconds', 'time-use-hard'],
	['softByteLimit', 'byte-soft'],
	['hardByteLimit', 'byte-hard'],
	['softPacketLimit', 'packet-soft'],
	['hardPacketLimit', 'packet-hard'],
];

function limitWords(lifetime: LifetimeConfig): string[] {
	return LIMIT_WORDS.flatMap(([field, word]) => {
		const value = lifetime[field];
		const unlimited = value === Number.POSITIVE_INFINITY || (value === 0 && /time/.test(word));
		return unlimited ? [] : [`limit ${word} ${value}`];
	});
}

function hasSpiWord(proto: number): boolean {
	return proto === IpProto.Esp || proto === IpProto.Ah || proto === IpProto.Comp;
}

/** What names a state: `src S dst D proto esp spi 0x00000001 mark …`. */
export function stateIdWords(config: StateConfig): string {
	const family = known(config.family);
	const { id, saddr } = config;
	return [
		`src ${formatAddress(saddr, family)} dst ${formatAddress(id.daddr, family)}`,
		`proto ${stateProtoName(id.proto)}`,
		...(hasSpiWord(id.proto) ? [`spi ${formatHex32(id.spi)}`] : []),
		...markWords(config.mark),
	].join(' ');
}

const STATE_FLAGS: readonly (readonly [number, string])[] = [
	[StateFlag.NoEcn, 'noecn'],
	[StateFlag.DecapDscp, 'decap-dscp'],
	[StateFlag.NoPmtuDisc, 'nopmtudisc'],
	[StateFlag.WildRecv, 'wildrecv'],
	[StateFlag.Icmp, 'icmp'],
	[StateFlag.AfUnspec, 'af-unspec'],
	[StateFlag.Align4, 'align4'],
	[StateFlag.Esn, 'esn'],
];

const ENCAP_WORDS: Readonly<Record<number, string>> = {
	1: 'espinudp-nonike',
	2: 'espinudp',
	7: 'espintcp',
};

function encapWords(config: StateConfig): string[] {
	const { encap } = config;
	if (encap === undefined) {
		return [];
	}
	const oa = formatAddress(encap.oa, known(config.family));
	return [`encap ${ENCAP_WORDS[encap.type] ?? encap.type} ${encap.sport} ${encap.dport} ${oa}`];
}

/** Sequence numbers go on where they were: with a key that stays none may be used twice. */
function replayWords(config: StateConfig): string[] {
	const { replayEsn, replay, replayWindow } = config;
	const window = replayEsn?.replayWindow ?? replayWindow;
	const numbers: readonly (readonly [string, number])[] = [
		['replay-seq', replayEsn?.seq ?? replay?.seq ?? 0],
		['replay-oseq', replayEsn?.oseq ?? replay?.oseq ?? 0],
		['replay-seq-hi', replayEsn?.seqHi ?? 0],
		['replay-oseq-hi', replayEsn?.oseqHi ?? 0],
	];
	return [
		...(window === 0 ? [] : [`replay-window ${window}`]),
		...numbers.flatMap(([word, value]) => (value === 0 ? [] : [`${word} ${hexNumber(value)}`])),
	];
}

function algorithmWords(config: StateConfig, writer: KeyWriter): string[] {
	const key: KeyWriter = (octets) => (octets.length === 0 ? "''" : writer(octets));
	const { aead, auth, crypt, comp } = config;
	const quoted = (name: string): string => (/^[a-z0-9-]+$/.test(name) ? name : `'${name}'`);
	return [
		...(aead === undefined ? [] : [`aead ${quoted(aead.name)} ${key(aead.key)} ${aead.icvBits}`]),
		...(auth === undefined
			? []
			: auth.truncBits === 0
				? [`auth ${quoted(auth.name)} ${key(auth.key)}`]
				: [`auth-trunc ${quoted(auth.name)} ${key(auth.key)} ${auth.truncBits}`]),
		...(crypt === undefined ? [] : [`enc ${quoted(crypt.name)} ${key(crypt.key)}`]),
		...(comp === undefined ? [] : [`comp ${comp.name}`]),
	];
}

function stateWords(config: StateConfig, key: KeyWriter, deviceName: DeviceName): string {
	const flags = STATE_FLAGS.filter(([bit]) => (config.flags & bit) !== 0).map(([, word]) => word);
	const extra = config.extraFlags ?? 0;
	const { selector, outputMark, coaddr, tfcpad = 0, ifId = 0, direction = 0 } = config;
	const anySelector =
		selector.prefixlenS === 0 && selector.prefixlenD === 0 && selector.proto === 0;
	return [
		stateIdWords({ ...config, mark: { v: 0, m: 0 } }),
		`reqid ${config.reqid >>> 0}`,
		config.mode === Mode.Iptfs ? 'iptfs' : `mode ${modeName(config.mode)}`,
		...replayWords(config),
		...(flags.length === 0 ? [] : [`flag ${flags.join(' ')}`]),
		...((extra & 1) === 0 ? [] : ['extra-flag dont-encap-dscp']),
		...((extra & 2) === 0 ? [] : ['extra-flag oseq-may-wrap']),
		...markWords(config.mark),
		...(outputMark === undefined || (outputMark.v === 0 && outputMark.m === 0)
			? []
			: [`output-mark ${hexNumber(outputMark.v)} mask ${hexNumber(outputMark.m)}`]),
		...(ifId === 0 ? [] : [`if_id ${hexNumber(ifId)}`]),
		...limitWords(config.lifetime),
		...algorithmWords(config, key),
		...encapWords(config),
		...(coaddr === undefined ? [] : [`coa ${formatAddress(coaddr, Family.Ipv6)}`]),
		...(anySelector ? [] : [`sel ${selectorWords(selector, deviceName)}`]),
		...(tfcpad === 0 ? [] : [`tfcpad ${tfcpad}`]),
		...(direction === 0 ? [] : [`dir ${direction === 1 ? 'in' : 'out'}`]),
		...(config.pcpu === undefined ? [] : [`pcpu-num ${config.pcpu}`]),
	].join(' ');
}

/** `ip xfrm state add|update …`. */
export function stateCommand(
	verb: 'add' | 'update',
	config: StateConfig,
	key: KeyWriter,
	deviceName: DeviceName,
): string {
	return `ip xfrm state ${verb} ${stateWords(config, key, deviceName)}`;
}

export function stateDelete(config: StateConfig): string {
	return `ip xfrm state delete ${stateIdWords(config)}`;
}

function templateWords(template: Template, policyFamily: number): string {
	const { id, saddr } = template;
	const family = known(template.family === 0 ? policyFamily : template.family);
	const other = template.family !== 0 && template.family !== policyFamily;
	const any = isAnyAddress(saddr, family) && isAnyAddress(id.daddr, family) && !other;
	return [
		'tmpl',
		...(any ? [] : [`src ${formatAddress(saddr, family)} dst ${formatAddress(id.daddr, family)}`]),
		`proto ${stateProtoName(id.proto)}`,
		...(id.spi === 0 ? [] : [`spi ${formatHex32(id.spi)}`]),
		...(template.reqid === 0 ? [] : [`reqid ${template.reqid >>> 0}`]),
		template.mode === Mode.Iptfs ? 'iptfs' : `mode ${modeName(template.mode)}`,
		...(template.optional === 0 ? [] : ['level use']),
	].join(' ');
}

function policyIdWords(config: PolicyConfig, deviceName: DeviceName): string {
	return [
		selectorWords(config.selector, deviceName),
		`dir ${directionName(config.direction)}`,
		...(config.type === PolicyType.Sub ? ['ptype sub'] : []),
		...markWords(config.mark),
		...((config.ifId ?? 0) === 0 ? [] : [`if_id ${hexNumber(config.ifId ?? 0)}`]),
	].join(' ');
}

/** `ip xfrm policy add|update …`. */
export function policyCommand(
	verb: 'add' | 'update',
	config: PolicyConfig,
	deviceName: DeviceName,
): string {
	const { flags, priority, action, templates, selector } = config;
	return [
		`ip xfrm policy ${verb} ${policyIdWords(config, deviceName)}`,
		...(priority === 0 ? [] : [`priority ${priority}`]),
		...(action === PolicyAction.Block ? ['action block'] : []),
		...((flags & 1) === 0 ? [] : ['flag localok']),
		...((flags & 2) === 0 ? [] : ['flag icmp']),
		...limitWords(config.lifetime),
		...templates.map((template) => templateWords(template, selector.family)),
	].join(' ');
}

export function policyDelete(config: PolicyConfig, deviceName: DeviceName): string {
	return `ip xfrm policy delete ${policyIdWords(config, deviceName)}`;
}
