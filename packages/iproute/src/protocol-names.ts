/**
 * Names of IP protocols, as getprotobyname(3) finds them (IANA's registry in the selection of netbase's
 * /etc/protocols), and of the protocols of XFRM, as `ip xfrm` calls them. Names before numbers, numbers
 * by their first name.
 */
import { IpProto } from '@xfrm/wire/xfrm';

/** Number and names, the first one is printed. */
const PROTOCOLS: readonly (readonly [number: number, ...names: string[]])[] = [
	[0, 'ip', 'IP'],
	[0, 'hopopt', 'HOPOPT'],
	[1, 'icmp', 'ICMP'],
	[2, 'igmp', 'IGMP'],
	[3, 'ggp', 'GGP'],
	[4, 'ipencap', 'IP-ENCAP'],
	[5, 'st', 'ST'],
	[6, 'tcp', 'TCP'],
	[8, 'egp', 'EGP'],
	[9, 'igp', 'IGP'],
	[12, 'pup', 'PUP'],
	[17, 'udp', 'UDP'],
	[20, 'hmp', 'HMP'],
	[22, 'xns-idp', 'XNS-IDP'],
	[27, 'rdp', 'RDP'],
	[29, 'iso-tp4', 'ISO-TP4'],
	[33, 'dccp', 'DCCP'],
	[36, 'xtp', 'XTP'],
	[37, 'ddp', 'DDP'],
	[38, 'idpr-cmtp', 'IDPR-CMTP'],
	[41, 'ipv6', 'IPv6'],
	[43, 'ipv6-route', 'IPv6-Route'],
	[44, 'ipv6-frag', 'IPv6-Frag'],
	[45, 'idrp', 'IDRP'],
	[46, 'rsvp', 'RSVP'],
	[47, 'gre', 'GRE'],
	[50, 'esp', 'IPSEC-ESP'],
	[51, 'ah', 'IPSEC-AH'],
	[57, 'skip', 'SKIP'],
	[58, 'ipv6-icmp', 'IPv6-ICMP'],
	[59, 'ipv6-nonxt', 'IPv6-NoNxt'],
	[60, 'ipv6-opts', 'IPv6-Opts'],
	[73, 'rspf', 'RSPF', 'CPHB'],
	[81, 'vmtp', 'VMTP'],
	[88, 'eigrp', 'EIGRP'],
	[89, 'ospf', 'OSPFIGP'],
	[93, 'ax.25', 'AX.25'],
	[94, 'ipip', 'IPIP'],
	[97, 'etherip', 'ETHERIP'],
	[98, 'encap', 'ENCAP'],
	[103, 'pim', 'PIM'],
	[108, 'ipcomp', 'IPCOMP'],
	[112, 'vrrp', 'VRRP'],
	[115, 'l2tp', 'L2TP'],
	[124, 'isis', 'ISIS'],
	[132, 'sctp', 'SCTP'],
	[133, 'fc', 'FC'],
	[135, 'mobility-header', 'Mobility-Header'],
	[136, 'udplite', 'UDPLite'],
	[137, 'mpls-in-ip', 'MPLS-in-IP'],
	[138, 'manet'],
	[139, 'hip', 'HIP'],
	[140, 'shim6', 'Shim6'],
	[141, 'wesp', 'WESP'],
	[142, 'rohc', 'ROHC'],
	[143, 'ethernet', 'Ethernet'],
];

const numbers = new Map<string, number>();
const names = new Map<number, string>();
for (const [number, ...all] of PROTOCOLS) {
	for (const name of all) {
		numbers.set(name, numbers.get(name) ?? number);
	}
	names.set(number, names.get(number) ?? all[0] ?? '');
}

/** The number of an IP protocol's name. */
export function protocolNumber(name: string): number | undefined {
	return numbers.get(name);
}

/** The name of an IP protocol, or its number. */
export function protocolName(number: number): string {
	return names.get(number) ?? String(number);
}

/** FLUSHSA and dumps: ESP, AH and IPComp. */
export const IPSEC_ANY = 255;

const XFRM_PROTOCOLS: readonly (readonly [name: string, number: number])[] = [
	['esp', IpProto.Esp],
	['ah', IpProto.Ah],
	['comp', IpProto.Comp],
	['route2', IpProto.Routing],
	['hao', IpProto.DestinationOptions],
	['ipsec-any', IPSEC_ANY],
];
const xfrmNumbers = new Map(XFRM_PROTOCOLS);
const xfrmNames = new Map(XFRM_PROTOCOLS.map(([name, number]) => [number, name]));

/** All names that `xfrmProtocolNumber` knows, for complaints. */
export const XFRM_PROTOCOL_WORDS: string = XFRM_PROTOCOLS.map(([name]) => name).join(', ');

/** The number of a transform's protocol by `ip xfrm`'s name. */
export function xfrmProtocolNumber(name: string): number | undefined {
	return xfrmNumbers.get(name);
}

/** `ip xfrm`'s name of a transform's protocol, or its number. */
export function xfrmProtocolName(number: number): string {
	return xfrmNames.get(number) ?? String(number);
}

/** ESP, AH or IPComp: states with an SPI. */
export function isIpsec(proto: number): boolean {
	return proto === IpProto.Esp || proto === IpProto.Ah || proto === IpProto.Comp;
}

/** Home address option or type 2 routing header. */
export function isMobility(proto: number): boolean {
	return proto === IpProto.Routing || proto === IpProto.DestinationOptions;
}
