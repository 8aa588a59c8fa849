/**
 * REPORT: a packet with a home address option was refused by policy, which tells a Mobile IPv6 daemon
 * that a peer uses a binding it should not (net/ipv6/mip6.c: mip6_destopt_reject).
 */
import {
	type Flow,
	findDestinationOption,
	HeaderChain,
	homeAddressAt,
	IPV6_DESTINATION_AT,
	IPV6_SOURCE_AT,
	OptionType,
	type PacketBuffer,
	startChain,
	stepChain,
} from '@xfrm/wire';
import {
	type Address,
	addressFrom,
	anySelector,
	Family,
	IpProto,
	type Selector,
} from '@xfrm/wire/xfrm';
import type { Namespace } from './namespace.ts';
import type { XfrmState } from './state.ts';

/** Messages of these types are Mobile IPv6's own, and never reported (IP6_MH_TYPE_MAX). */
const MOBILITY_TYPE_MAX = 7;

/**
 * Emits a report if the refused state is one of destination options and this packet has not been
 * reported yet.
 *
 * @param ipAt the IPv6 header that the flow was decoded from
 * @spec I-20 T-60 A-5
 */
export function reportRefusal(
	net: Namespace,
	packet: PacketBuffer,
	state: XfrmState,
	flow: Flow,
	ipAt: number,
): void {
	if (
		state.proto !== IpProto.DestinationOptions ||
		(flow.proto === IpProto.MobilityHeader && flow.sport <= MOBILITY_TYPE_MAX) ||
		isReported(net, packet)
	) {
		return;
	}
	const { bytes } = packet;
	const selector: Selector = {
		...anySelector(Family.Ipv6),
		daddr: addressFrom(bytes, ipAt + IPV6_DESTINATION_AT, 16),
		saddr: addressFrom(bytes, ipAt + IPV6_SOURCE_AT, 16),
		prefixlenD: 128,
		prefixlenS: 128,
		proto: flow.proto,
		dport: flow.dport,
		dportMask: flow.dport === 0 ? 0 : 0xffff,
		sport: flow.sport,
		sportMask: flow.sport === 0 ? 0 : 0xffff,
		ifindex: flow.oif,
	};
	const address = optionAddress(packet);
	net.emit({
		kind: 'report',
		proto: IpProto.DestinationOptions,
		selector,
		...(address === undefined ? {} : { address }),
	});
}

/** A packet may be checked twice (raw socket and protocol): it is the same news. */
function isReported(net: Namespace, packet: PacketBuffer): boolean {
	const run = net.checkRun;
	const nowUs = net.now[0] ?? 0;
	if (run.reportedPacket === packet && run.reportedAt[0] === nowUs) {
		return true;
	}
	run.reportedPacket = packet;
	run.reportedAt[0] = nowUs;
	return false;
}

/** The address in the packet's home address option: the care-of address, once they were exchanged. */
function optionAddress(packet: PacketBuffer): Address | undefined {
	const { view, bytes, start, end } = packet;
	const chain = new HeaderChain();
	startChain(chain, view, start);
	do {
		if (chain.proto === IpProto.DestinationOptions) {
			const option = findDestinationOption(view, chain.at, end, OptionType.HomeAddress);
			const at = option < 0 ? -1 : homeAddressAt(view, option);
			if (at >= 0) {
				return addressFrom(bytes, at, 16);
			}
		}
	} while (stepChain(chain, view, end));
	return undefined;
}
