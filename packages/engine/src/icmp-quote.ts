/**
 * ICMP errors as Linux from 6.9 on sees them for policies: by the packet that they quote, turned round
 * (net/xfrm/xfrm_policy.c: icmp_err_packet, xfrm_icmp_flow_decode).
 *
 * @hotpath
 */
import { decodeFlowAt, type Flow, IcmpType, Icmpv6Type, type PacketBuffer } from '@xfrm/wire';
import { Family, IpProto } from '@xfrm/wire/xfrm';

/** The quoted packet stands behind a header without options and the eight octets of the error. */
const QUOTE_AT_IPV4 = 28;
const QUOTE_AT_IPV6 = 48;

/**
 * Is the flow that of an error which is looked up by what it quotes? Redirects, parameter problems and
 * source quenches are not.
 *
 * @spec I-12 F-6
 */
export function isQuotingError(flow: Flow): boolean {
	if (flow.family === Family.Ipv4) {
		return (
			flow.proto === IpProto.Icmp &&
			(flow.sport === IcmpType.DestinationUnreachable || flow.sport === IcmpType.TimeExceeded)
		);
	}
	return (
		flow.proto === IpProto.Icmpv6 &&
		(flow.sport === Icmpv6Type.DestinationUnreachable ||
			flow.sport === Icmpv6Type.PacketTooBig ||
			flow.sport === Icmpv6Type.TimeExceeded)
	);
}

/**
 * The reversed flow of the packet that an error quotes, with the error's mark and interface; false when
 * no IP header is there. Options or extension headers of the error lead astray, as in the kernel.
 *
 * @spec I-12 F-6
 */
export function decodeQuotedFlow(quoted: Flow, packet: PacketBuffer, flow: Flow): boolean {
	quoted.mark = flow.mark;
	quoted.oif = flow.oif;
	const at = packet.start + (flow.family === Family.Ipv4 ? QUOTE_AT_IPV4 : QUOTE_AT_IPV6);
	return decodeFlowAt(quoted, packet.view, at, packet.end, flow.family, true);
}
