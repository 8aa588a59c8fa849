/**
 * Mobile IPv6 on the way in: a home address option or a type 2 routing header is only believed when a
 * state says so (net/ipv6/xfrm6_input.c: xfrm6_input_addr; net/ipv6/mip6.c: mip6_destopt_input,
 * mip6_rthdr_input). Such a state has no SPI; it is found by addresses and stands for a binding.
 *
 * The extension header itself, its rules and the exchange of addresses (T-57, T-58) are the caller's.
 */
import { IPV6_DESTINATION_AT, IPV6_SOURCE_AT, type PacketBuffer } from '@xfrm/wire';
import {
	type Address,
	addressFrom,
	Family,
	formatAddress,
	IpProto,
	isAnyAddress,
	MAX_DEPTH,
	SaDirection,
	StateFlag,
} from '@xfrm/wire/xfrm';
import { traceCheck, traceStateLookup, traceVerdict } from './input-trace.ts';
import { checkExpire } from './lifetime.ts';
import type { Namespace } from './namespace.ts';
import { addressWords } from './selector-match.ts';
import { Current, StateCondition, type XfrmState } from './state.ts';
import { PacketAction, Verdict } from './verdict.ts';

const ANY = new Int32Array(4);

/**
 * Is there a state for this binding? Appends it to the sec path and counts the packet; without one the
 * packet is dropped (InNoStates). `transportAt` is at the extension header: octets are counted from there.
 *
 * @param daddr of the option: the packet's destination; of the routing header: the home address in it
 * @param saddr of the option: the home address; of the routing header: the packet's source
 * @param proto 60 for the option, 43 for the routing header
 * @spec T-54 T-55 S-35
 */
export function addressInput(
	net: Namespace,
	packet: PacketBuffer,
	daddr: Address,
	saddr: Address,
	proto: number,
): boolean {
	packet.verdict = Verdict.Pass;
	if (isTooDeep(net, packet)) {
		return refuse(net, packet, Verdict.InBufferError, 'in.depth');
	}
	const destination = addressWords(daddr, Family.Ipv6);
	const source = addressWords(saddr, Family.Ipv6);
	const state =
		tryState(net, packet, destination, source, proto, false) ??
		tryState(net, packet, destination, ANY, proto, true) ??
		tryState(net, packet, ANY, ANY, proto, true);
	if (state === null) {
		return refuse(net, packet, Verdict.InNoStates, 'in.binding.none');
	}
	packet.path[packet.pathCount++] = state;
	const { lifetime } = state;
	lifetime[Current.Bytes] = (lifetime[Current.Bytes] ?? 0) + packet.end - packet.transportAt;
	lifetime[Current.Packets] = (lifetime[Current.Packets] ?? 0) + 1;
	return true;
}

/**
 * Are there states enough on the path? 6.19 compares one off, and looks for equality only, so that it
 * takes a seventh state; more than that never fit.
 *
 * @spec T-55
 */
function isTooDeep(net: Namespace, packet: PacketBuffer): boolean {
	if (net.profile.bindingDepthOffByOne) {
		return packet.pathCount === MAX_DEPTH - 1 || packet.pathCount > MAX_DEPTH;
	}
	return packet.pathCount >= MAX_DEPTH;
}

/** The state of these addresses, if it may be used for this packet. */
function tryState(
	net: Namespace,
	packet: PacketBuffer,
	daddr: Int32Array,
	saddr: Int32Array,
	proto: number,
	wildcard: boolean,
): XfrmState | null {
	const state = net.sad.byAddress(Family.Ipv6, daddr, saddr, proto, packet.mark);
	if (net.tracer !== null) {
		const wanted = { family: Family.Ipv6, daddr, saddr, spi: 0, proto, mark: packet.mark };
		traceStateLookup(net, wanted, state);
	}
	if (state === null) {
		return null;
	}
	if (state.direction === SaDirection.Out) {
		net.count(Verdict.InStateDirError);
		traceVerdict(net, Verdict.InStateDirError, 'in.state.direction', state);
		return null;
	}
	if (wildcard && (state.flags & StateFlag.WildRecv) === 0) {
		traceCheck(net, state, 'flag', 'wildrecv', 'none');
		return null;
	}
	if (state.condition !== StateCondition.Valid || checkExpire(net, state) !== 0) {
		traceCheck(net, state, 'limit', 'valid', 'not valid');
		return null;
	}
	return careOfAddressFits(net, packet, state, proto) ? state : null;
}

/** Does the packet go from or to the care-of address of the binding? */
function careOfAddressFits(
	net: Namespace,
	packet: PacketBuffer,
	state: XfrmState,
	proto: number,
): boolean {
	const { coaddr } = state;
	if (coaddr === undefined || isAnyAddress(coaddr, Family.Ipv6)) {
		return true;
	}
	const at =
		packet.start + (proto === IpProto.DestinationOptions ? IPV6_SOURCE_AT : IPV6_DESTINATION_AT);
	for (let i = 0; i < 16; i++) {
		if (packet.view.getUint8(at + i) !== coaddr[i]) {
			if (net.tracer !== null) {
				const have = addressFrom(packet.bytes, at, 16);
				const want = formatAddress(coaddr, Family.Ipv6);
				traceCheck(net, state, 'coa', want, formatAddress(have, Family.Ipv6));
			}
			return false;
		}
	}
	return true;
}

function refuse(net: Namespace, packet: PacketBuffer, verdict: Verdict, code: string): boolean {
	net.count(verdict);
	packet.verdict = verdict;
	packet.action = PacketAction.Drop;
	traceVerdict(net, verdict, code, null);
	return false;
}
