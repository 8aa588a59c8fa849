/** Selectors as `ip xfrm` prints them (spec 5.2). */
import { type Address, Family, formatAddress, IpProto, type Selector } from '@xfrm/wire/xfrm';
import type { Layout } from './layout.ts';
import { protocolName } from './protocol-names.ts';

/** An address as text; of an unknown family `???`, as iproute2. */
export function addressText(address: Address, family: number): string {
	return family === Family.Ipv4 || family === Family.Ipv6 ? formatAddress(address, family) : '???';
}

/** Ports by what they mean for the protocol (P-26). */
function portText(selector: Selector, layout: Layout): string {
	const { sport, dport, sportMask, dportMask } = selector;
	switch (selector.proto) {
		case IpProto.Icmp:
		case IpProto.Icmpv6:
			return `${sportMask === 0 ? '' : `type ${sport} `}${dportMask === 0 ? '' : `code ${dport} `}`;
		case IpProto.Gre:
			return sportMask === 0 && dportMask === 0 ? '' : `key ${sport * 0x10000 + dport} `;
		case IpProto.MobilityHeader: {
			const type = sportMask === 0 ? '' : `type ${sport} `;
			if (dportMask === 0 || layout.stats === 0) {
				return type;
			}
			// As iproute2: the octets as a number of the machine, not of the network.
			const swapped = ((dport & 0xff) << 8) | (dport >> 8);
			return `${type}(dport) 0x${swapped.toString(16).padStart(4, '0')} `;
		}
		default:
			return `${sportMask === 0 ? '' : `sport ${sport} `}${dportMask === 0 ? '' : `dport ${dport} `}`;
	}
}

/**
 * One line: `src A/P dst A/P [proto NAME ] …`.
 *
 * @param family of the addresses when the selector has none
 */
export function selectorLine(selector: Selector, family: number, layout: Layout): string {
	const of = selector.family || family || layout.family;
	const source = `src ${addressText(selector.saddr, of)}/${selector.prefixlenS} `;
	const destination = `dst ${addressText(selector.daddr, of)}/${selector.prefixlenD} `;
	const proto = selector.proto === 0 ? '' : `proto ${protocolName(selector.proto)} `;
	const device = selector.ifindex > 0 ? `dev ${layout.deviceName(selector.ifindex)} ` : '';
	const uid = layout.stats > 0 ? `uid ${selector.user}` : '';
	const upper = proto + portText(selector, layout);
	return source + destination + upper + device + uid + layout.end;
}

/** Are all octets zero? Such a selector is not printed. */
export function isZeroSelector(selector: Selector): boolean {
	const { saddr, daddr, ...numbers } = selector;
	return (
		Object.values(numbers).every((value) => value === 0) &&
		saddr.every((octet) => octet === 0) &&
		daddr.every((octet) => octet === 0)
	);
}
