/**
 * A packet goes on (net/ipv4/ip_forward.c, net/ipv6/ip6_output.c, ip6_forward), in the kernel's order:
 * policy check FWD, TTL, OUT lookup, size, TTL less one, out.
 */
import { Bundle, PacketAction } from '@xfrm/engine';
import {
	checksumUpdate,
	IcmpType,
	IcmpUnreachableCode,
	Icmpv6Type,
	Icmpv6UnreachableCode,
	IPV6_MTU_MIN,
	ipv4DontFragment,
	ipv4Ttl,
	ipv6HopLimit,
	type PacketBuffer,
	setIpv4Ttl,
	setIpv6HopLimit,
} from '@xfrm/wire';
import { Direction, Family, isAnyAddress } from '@xfrm/wire/xfrm';
import { sourceOf } from './address-words.ts';
import { HostDrop } from './host-trace.ts';
import { sendIcmpError } from './icmp-send.ts';
import { forwardIpv4Options } from './ipv4-options.ts';
import { outputPacket } from './output.ts';
import { policyAccepts } from './policy.ts';
import type { Reception } from './reception.ts';
import { sendRedirect } from './redirect.ts';
import { ownMtu } from './route-lookup.ts';
import type { Stack } from './stack.ts';

/**
 * Forwards a packet along `packet.route`.
 *
 * @spec F-1 F-1b F-2 F-3 I-9
 */
export function forwardPacket(stack: Stack, reception: Reception): void {
	const { packet } = reception;
	const ipv4 = packet.family === Family.Ipv4;
	if (!ipv4 && stack.sysctls.all6.forwarding === 0) {
		stack.drop(HostDrop.NotForwarding);
		return;
	}
	if (!policyAccepts(stack, reception, Direction.Fwd)) {
		return;
	}
	const { view, start } = packet;
	const hopLimit = ipv4 ? ipv4Ttl(view, start) : ipv6HopLimit(view, start);
	if (hopLimit <= 1) {
		stack.drop(HostDrop.TimeExceeded);
		const type = ipv4 ? IcmpType.TimeExceeded : Icmpv6Type.TimeExceeded;
		sendIcmpError(stack, reception, type, 0, 0);
		return;
	}
	packet.forwarded = true;
	packet.ifId = 0;
	stack.engine.lookup(stack.batchOf(packet));
	if (packet.action !== PacketAction.Pass && packet.action !== PacketAction.Transformed) {
		return;
	}
	if (ipv4 ? !fitsIpv4Path(stack, reception) : !fitsIpv6Path(stack, reception)) {
		return;
	}
	if (ipv4) {
		decreaseTtl(packet);
		sendRedirect(stack, reception);
		forwardIpv4Options(stack, reception);
	} else {
		setIpv6HopLimit(view, start, hopLimit - 1);
	}
	// A packet that goes on is not cut for the sake of a sender that did not allow it.
	outputPacket(stack, packet, false, reception.device);
}

/**
 * With DF set and longer than the path, or the bundle, takes: told to its source.
 *
 * @spec U-4
 */
function fitsIpv4Path(stack: Stack, reception: Reception): boolean {
	const { packet } = reception;
	const { view, start, route } = packet;
	const mtu = packet.bundle !== null || route === null ? packet.mtu : ownMtu(route);
	if (packet.length <= mtu || !ipv4DontFragment(view, start)) {
		return true;
	}
	stack.drop(HostDrop.TooBig);
	sendIcmpError(
		stack,
		reception,
		IcmpType.DestinationUnreachable,
		IcmpUnreachableCode.FragmentationNeeded,
		mtu,
	);
	return false;
}

/**
 * IPv6 looks at the source, and at the MTU of the device only; a bundle's is met in its tunnel.
 *
 * @spec U-5
 */
function fitsIpv6Path(stack: Stack, reception: Reception): boolean {
	const { packet, device } = reception;
	const source = sourceOf(packet);
	const { bundle } = packet;
	const route = bundle instanceof Bundle ? bundle.route : packet.route;
	const out = route === null ? undefined : stack.devices.numbered(route.ifindex);
	if (out !== device || packet.pathCount > 0) {
		if (source[0] === 0xff || isAnyAddress(source, Family.Ipv6)) {
			stack.drop(HostDrop.Martian);
			return false;
		}
		if (source[0] === 0xfe && ((source[1] ?? 0) & 0xc0) === 0x80) {
			stack.drop(HostDrop.Martian);
			const code = Icmpv6UnreachableCode.BeyondScope;
			sendIcmpError(stack, reception, Icmpv6Type.DestinationUnreachable, code, 0);
			return false;
		}
	}
	const mtu = Math.max(out?.mtu ?? 0, IPV6_MTU_MIN);
	if (packet.length <= mtu) {
		return true;
	}
	stack.drop(HostDrop.TooBig);
	sendIcmpError(stack, reception, Icmpv6Type.PacketTooBig, 0, mtu);
	return false;
}

/** One less, with the header checksum brought up to date (RFC 1624). */
function decreaseTtl(packet: PacketBuffer): void {
	const { view, start } = packet;
	const before = view.getUint16(start + 8);
	setIpv4Ttl(view, start, ipv4Ttl(view, start) - 1);
	const checksum = checksumUpdate(view.getUint16(start + 10), before, view.getUint16(start + 8));
	view.setUint16(start + 10, checksum);
}
