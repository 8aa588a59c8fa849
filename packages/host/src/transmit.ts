/**
 * A packet was routed into an XFRM interface or a VTI device (net/xfrm/xfrm_interface_core.c: xfrmi_xmit2;
 * net/ipv4/ip_vti.c: vti_xmit; net/ipv6/ip6_vti.c: vti6_xmit): it is looked up once more, under the if_id
 * or the mark of the device, and leaves protected or not at all.
 *
 *     lookup     no bundle: link failure, the sender gets "unreachable"
 *     loop       the bundle's device is this one: collisions
 *     size       too long for the bundle: path MTU, ICMP error
 *     out        the bundle's transforms, then its device
 */
import { Bundle } from '@xfrm/engine';
import {
	IcmpType,
	IcmpUnreachableCode,
	Icmpv6Type,
	Icmpv6UnreachableCode,
	IPV6_MTU_MIN,
	ipv4DontFragment,
	type PacketBuffer,
} from '@xfrm/wire';
import { addressEquals, Family, isAnyAddress, Mode } from '@xfrm/wire/xfrm';
import { destinationOf } from './address-words.ts';
import type { Device } from './device.ts';
import { HostDrop } from './host-trace.ts';
import { sendIcmpError } from './icmp-send.ts';
import { PMTU_MIN, VIRTUAL_HOPS_MAX } from './limits.ts';
import { outputPacket } from './output.ts';
import { Reception } from './reception.ts';
import { routeEncap } from './route-lookup.ts';
import type { Stack } from './stack.ts';
import type { VirtualLink, VtiLink } from './virtual-link.ts';

/** By what a packet is looked up in the device. */
interface LookupKey {
	readonly ifId: number;
	/** Output interface of the flow. */
	readonly oif: number;
	readonly mark: number;
}

/**
 * Sends a packet by a virtual device. Its sender is never told by an errno what becomes of it.
 *
 * @spec X-3 X-13 X-20
 */
export function transmit(stack: Stack, packet: PacketBuffer, device: Device): void {
	const { virtual, counters } = device;
	if (virtual === null) {
		return;
	}
	const key = lookupKey(stack, packet, device, virtual);
	if (key === undefined || stack.virtualHops >= VIRTUAL_HOPS_MAX) {
		counters.txErrors++;
		counters.txDropped++;
		stack.drop(key === undefined ? HostDrop.NoMetadata : HostDrop.Loop);
		return;
	}
	stack.virtualHops++;
	send(stack, packet, device, virtual, key);
	stack.virtualHops--;
}

/** @spec X-10 X-11 X-13 */
function lookupKey(
	stack: Stack,
	packet: PacketBuffer,
	device: Device,
	virtual: VirtualLink,
): LookupKey | undefined {
	const { mark } = packet;
	if (virtual.kind === 'vti') {
		return { ifId: 0, oif: device.ifindex, mark: virtual.outKey };
	}
	if (!virtual.external) {
		return { ifId: virtual.ifId, oif: virtual.link, mark };
	}
	const encap = routeEncap(packet.route);
	if (encap === undefined) {
		return undefined;
	}
	const link = encap.link === undefined ? undefined : stack.devices.named(encap.link);
	return { ifId: encap.ifId | 0, oif: link?.ifindex ?? 0, mark };
}

function send(
	stack: Stack,
	packet: PacketBuffer,
	device: Device,
	virtual: VirtualLink,
	key: LookupKey,
): void {
	const { counters } = device;
	const octets = packet.length;
	packet.ifId = key.ifId;
	stack.engine.lookupByDevice(packet, key.oif, key.mark, stack.nowUs);
	packet.ifId = 0;
	const { bundle } = packet;
	if (!(bundle instanceof Bundle) || bundle.first === null || !serves(virtual, bundle)) {
		failLink(stack, packet, device, virtual);
		return;
	}
	if (bundle.route.ifindex === device.ifindex) {
		packet.bundle = null;
		counters.collisions++;
		countError(device, virtual);
		stack.drop(HostDrop.DeviceLoop);
		return;
	}
	if (octets > bundle.mtu && isTooBig(stack, packet, device, bundle.mtu)) {
		packet.bundle = null;
		countError(device, virtual);
		return;
	}
	if (outputPacket(stack, packet, false, device) === 0) {
		counters.txPackets++;
		counters.txBytes += octets;
	} else {
		counters.txErrors++;
		counters.carrier++;
	}
}

/** A packet that is refused in the device: ip_vti alone does not count it as dropped too. */
function countError(device: Device, virtual: VirtualLink): void {
	device.counters.txErrors++;
	if (virtual.kind !== 'vti' || virtual.family !== Family.Ipv4) {
		device.counters.txDropped++;
	}
}

/** A VTI wants a tunnel between its own addresses. @spec X-20 */
function serves(virtual: VirtualLink, bundle: Bundle): boolean {
	return virtual.kind === 'xfrm' || isTunnelOf(virtual, bundle);
}

function isTunnelOf({ family, local, remote }: VtiLink, bundle: Bundle): boolean {
	const state = bundle.first?.state;
	if (state === undefined || state.mode !== Mode.Tunnel || state.family !== family) {
		return false;
	}
	const { saddr, id } = state.config;
	return (
		addressEquals(saddr, local, family) &&
		(isAnyAddress(remote, family) || addressEquals(id.daddr, remote, family))
	);
}

/** No protected way: the sender hears that its destination is unreachable. */
function failLink(stack: Stack, packet: PacketBuffer, device: Device, virtual: VirtualLink): void {
	packet.bundle = null;
	device.counters.carrier++;
	countError(device, virtual);
	stack.drop(HostDrop.LinkFailure);
	const about = new Reception(packet, device, 0, false);
	if (packet.family === Family.Ipv4) {
		const code = IcmpUnreachableCode.Host;
		sendIcmpError(stack, about, IcmpType.DestinationUnreachable, code, 0);
	} else {
		const code = Icmpv6UnreachableCode.Address;
		sendIcmpError(stack, about, Icmpv6Type.DestinationUnreachable, code, 0);
	}
}

/**
 * Longer than the bundle takes: the path MTU to the inner destination is learned, and the packet refused,
 * unless it may be cut on the way.
 *
 * @spec X-4
 */
function isTooBig(stack: Stack, packet: PacketBuffer, device: Device, mtu: number): boolean {
	learn(stack, packet, mtu);
	const about = new Reception(packet, device, 0, false);
	if (packet.family === Family.Ipv4) {
		if (!ipv4DontFragment(packet.view, packet.start)) {
			return false;
		}
		stack.drop(HostDrop.TooBig);
		const code = IcmpUnreachableCode.FragmentationNeeded;
		sendIcmpError(stack, about, IcmpType.DestinationUnreachable, code, mtu);
		return true;
	}
	if (device.virtual?.kind === 'xfrm' && packet.length <= IPV6_MTU_MIN) {
		return false;
	}
	stack.drop(HostDrop.TooBig);
	sendIcmpError(stack, about, Icmpv6Type.PacketTooBig, 0, Math.max(mtu, IPV6_MTU_MIN));
	return true;
}

function learn(stack: Stack, packet: PacketBuffer, told: number): void {
	const { route, family } = packet;
	const before = route?.mtu ?? 0;
	const least = family === Family.Ipv4 ? Math.min(before, PMTU_MIN) : IPV6_MTU_MIN;
	const mtu = Math.max(told, least);
	if (mtu < before) {
		stack.pathMtus.learn(family, destinationOf(packet), mtu, stack.nowUs);
		stack.routeGeneration++;
	}
}
