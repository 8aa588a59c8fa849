/**
 * A packet arrives (net/ipv4/ip_input.c, net/ipv6/ip6_input.c): is it IP at all, and where does it go? To
 * us (deliver.ts), on (forward.ts), back to its source as an ICMP error, or nowhere.
 */
import {
	fitsIpv4,
	fitsIpv6,
	IcmpType,
	IcmpUnreachableCode,
	Icmpv6Type,
	Icmpv6UnreachableCode,
	IPV4_HEADER_OCTETS,
	IPV6_DESTINATION_AT,
	IPV6_HEADER_OCTETS,
	IPV6_NEXT_HEADER_AT,
	IPV6_SOURCE_AT,
	ipv4HeaderOctets,
	ipv4LengthIsSound,
	ipv4Source,
	ipv4Tos,
	ipv4TotalLength,
	ipv6LengthIsSound,
	ipv6NextHeader,
	ipv6PayloadLength,
	PacketBuffer,
	verifyIpv4Checksum,
} from '@xfrm/wire';
import { Errno, Family, IpProto } from '@xfrm/wire/xfrm';
import { destinationOf, sourceOf } from './address-words.ts';
import { deliverIpv4, deliverIpv6 } from './deliver.ts';
import type { Device } from './device.ts';
import { receiveHopByHop } from './extension-headers.ts';
import { forwardPacket } from './forward.ts';
import type { Arrival } from './host.ts';
import { HostDrop } from './host-trace.ts';
import { sendIcmpError } from './icmp-send.ts';
import { type InputRoute, routeInput } from './input-route.ts';
import { receiveIpv4Options } from './ipv4-options.ts';
import { PASSES_MAX } from './limits.ts';
import { Reception } from './reception.ts';
import type { Stack } from './stack.ts';

/** Longest IP packet: an IPv6 header and 65535 octets. */
const PACKET_OCTETS_MAX = 65575;

/**
 * Takes a packet from a device outside. Throws RangeError for a device that is not there: that is no
 * packet's fault.
 */
export function receiveFromDevice(
	stack: Stack,
	name: string,
	octets: Uint8Array,
	arrival: Arrival,
): void {
	const device = stack.devices.named(name);
	if (device === undefined) {
		throw new RangeError(`no device ${name}`);
	}
	if (!device.up) {
		stack.drop(HostDrop.DeviceDown);
		return;
	}
	if (octets.length === 0 || octets.length > PACKET_OCTETS_MAX) {
		stack.drop(HostDrop.Ipv4Header);
		return;
	}
	const packet = PacketBuffer.from(octets);
	packet.mark = (arrival.mark ?? 0) | 0;
	packet.ifId = (arrival.ifId ?? 0) | 0;
	packet.iif = device.ifindex;
	packet.family = packet.view.getUint8(packet.start) >> 4 === 4 ? Family.Ipv4 : Family.Ipv6;
	receivePacket(stack, new Reception(packet, device, 0, false));
}

/** Receives a packet from outside, out of a tunnel, or from ourselves; `packet.family` says what it claims to be. */
export function receivePacket(stack: Stack, reception: Reception): void {
	const { packet, device, passes } = reception;
	if (passes > PASSES_MAX) {
		stack.drop(HostDrop.Loop);
		return;
	}
	if (stack.tracer !== null) {
		stack.tracer.note({
			kind: 'receive',
			device: device.name,
			packet: packet.copy(),
			again: passes > 0,
		});
	}
	packet.forwarded = false;
	packet.socketId = 0;
	packet.bundle = null;
	if (packet.family === Family.Ipv4) {
		receiveIpv4(stack, reception);
	} else {
		receiveIpv6(stack, reception);
	}
}

function receiveIpv4(stack: Stack, reception: Reception): void {
	const { packet, device, looped } = reception;
	const { view, start, end } = packet;
	if (start + IPV4_HEADER_OCTETS > end || !fitsIpv4(view, start, end)) {
		stack.drop(HostDrop.Ipv4Header);
		return;
	}
	if (!verifyIpv4Checksum(view, start)) {
		stack.drop(HostDrop.Ipv4Checksum);
		return;
	}
	if (!ipv4LengthIsSound(view, start, end)) {
		stack.drop(HostDrop.Ipv4Header);
		return;
	}
	packet.end = start + ipv4TotalLength(view, start);
	const conf = device.conf4.disable_policy | stack.sysctls.all4.disable_policy;
	reception.exempt = conf !== 0;
	if (looped) {
		reception.owner = device;
		if (receiveOptions(stack, reception)) {
			deliverIpv4(stack, reception);
		}
		return;
	}
	const found = routeInput(stack, {
		family: Family.Ipv4,
		daddr: destinationOf(packet),
		saddr: sourceOf(packet),
		mark: packet.mark,
		device,
		tos: ipv4Tos(view, start),
		unwrapped: packet.pathCount > 0,
	});
	applyRoute(reception, found);
	// Options are looked at after the route is known, as an error about them needs one.
	if (found.decision !== 'refused' && !receiveOptions(stack, reception)) {
		return;
	}
	switch (found.decision) {
		case 'local':
			noteDecision(stack, 'local');
			deliverIpv4(stack, reception);
			return;
		case 'forward':
			noteDecision(stack, 'forward');
			forwardPacket(stack, reception);
			return;
		case 'unreachable':
			refuseIpv4(stack, reception, found.error);
			return;
		case 'refused':
			stack.drop(found.code);
			return;
	}
}

function receiveOptions(stack: Stack, reception: Reception): boolean {
	const { view, start } = reception.packet;
	return (
		ipv4HeaderOctets(view, start) === IPV4_HEADER_OCTETS || receiveIpv4Options(stack, reception)
	);
}

function noteDecision(stack: Stack, decision: 'local' | 'forward'): void {
	if (stack.tracer !== null) {
		stack.tracer.note({ kind: 'decision', decision });
	}
}

function applyRoute(reception: Reception, found: InputRoute): void {
	reception.packet.route =
		found.decision === 'local' || found.decision === 'forward' ? found.route : null;
	if (found.decision === 'local') {
		reception.owner = found.owner;
		reception.broadcast = found.route.kind === 'broadcast';
	}
}

/** Nowhere to go: a router says so, a host is silent (net/ipv4/route.c, ip_error). */
function refuseIpv4(stack: Stack, reception: Reception, error: Errno): void {
	if (reception.device.conf4.forwarding === 0) {
		stack.drop(HostDrop.NotForwarding);
		return;
	}
	stack.drop(HostDrop.NoRoute);
	const code = unreachableCode(error);
	const { view, start } = reception.packet;
	if (code !== undefined && stack.peers.admitUnreachable(ipv4Source(view, start), stack.nowUs)) {
		sendIcmpError(stack, reception, IcmpType.DestinationUnreachable, code, 0);
	}
}

function unreachableCode(error: Errno): number | undefined {
	switch (error) {
		case Errno.EHOSTUNREACH:
			return IcmpUnreachableCode.Host;
		case Errno.ENETUNREACH:
			return IcmpUnreachableCode.Network;
		case Errno.EACCES:
			return IcmpUnreachableCode.AdministrativelyProhibited;
		default:
			return undefined;
	}
}

function receiveIpv6(stack: Stack, reception: Reception): void {
	const { packet, device } = reception;
	const { view, start } = packet;
	if (!fitsIpv6(view, start, packet.end) || !addressesAreSound(packet, device)) {
		stack.drop(HostDrop.Ipv6Header);
		return;
	}
	if (!ipv6LengthIsSound(view, start, packet.end)) {
		stack.drop(HostDrop.Ipv6Header);
		return;
	}
	packet.end = start + IPV6_HEADER_OCTETS + ipv6PayloadLength(view, start);
	packet.nextHeaderAt = start + IPV6_NEXT_HEADER_AT;
	packet.transportAt = start + IPV6_HEADER_OCTETS;
	packet.proto = ipv6NextHeader(view, start);
	if (packet.proto === IpProto.HopByHop && !receiveHopByHop(stack, reception)) {
		return;
	}
	routeIpv6(stack, reception);
}

/** Finds out where an IPv6 packet goes, and sends it there. */
function routeIpv6(stack: Stack, reception: Reception): void {
	const { packet, device } = reception;
	if (reception.looped) {
		reception.owner = stack.devices.withAddress(Family.Ipv6, destinationOf(packet)) ?? device;
		exemptIpv6(stack, reception);
		deliverIpv6(stack, reception);
		return;
	}
	switch (routeIpv6Input(stack, reception)) {
		case 'local':
			noteDecision(stack, 'local');
			deliverIpv6(stack, reception);
			return;
		case 'forward':
			noteDecision(stack, 'forward');
			forwardPacket(stack, reception);
			return;
		case 'dropped':
			return;
	}
}

/**
 * The decision alone, also for a destination that a routing header has changed; ICMP errors are sent
 * here.
 */
export function routeIpv6Input(
	stack: Stack,
	reception: Reception,
): 'local' | 'forward' | 'dropped' {
	const { packet, device } = reception;
	const daddr = destinationOf(packet);
	if (daddr[0] === 0xff) {
		// No groups are joined here.
		stack.drop(HostDrop.Martian);
		return 'dropped';
	}
	const found = routeInput(stack, {
		family: Family.Ipv6,
		daddr,
		saddr: sourceOf(packet),
		mark: packet.mark,
		device,
		tos: 0,
		unwrapped: packet.pathCount > 0,
	});
	applyRoute(reception, found);
	switch (found.decision) {
		case 'local':
			exemptIpv6(stack, reception);
			return 'local';
		case 'forward':
			reception.owner = undefined;
			reception.exempt = (device.conf6.disable_policy | stack.sysctls.all6.disable_policy) !== 0;
			return 'forward';
		case 'refused':
			stack.drop(found.code);
			return 'dropped';
		case 'unreachable':
			stack.drop(HostDrop.NoRoute);
			if (found.error !== Errno.EINVAL) {
				const code =
					found.error === Errno.EACCES
						? Icmpv6UnreachableCode.AdministrativelyProhibited
						: Icmpv6UnreachableCode.NoRoute;
				sendIcmpError(stack, reception, Icmpv6Type.DestinationUnreachable, code, 0);
			}
			return 'dropped';
	}
}

/** Local delivery goes by the device that has the address (P-18). */
function exemptIpv6(stack: Stack, reception: Reception): void {
	const own = reception.owner?.conf6.disable_policy ?? 0;
	reception.exempt = (own | stack.sysctls.all6.disable_policy) !== 0;
}

/** Addresses that no packet on a wire may have (RFC 4291 §2.5.3, §2.7). */
function addressesAreSound(packet: PacketBuffer, device: Device): boolean {
	const { bytes, start } = packet;
	const sourceAt = start + IPV6_SOURCE_AT;
	const destinationAt = start + IPV6_DESTINATION_AT;
	if (!device.loopback && (isLoopback(bytes, sourceAt) || isLoopback(bytes, destinationAt))) {
		return false;
	}
	if (bytes[sourceAt] === 0xff) {
		return false;
	}
	const scope = (bytes[destinationAt + 1] ?? 0) & 15;
	return bytes[destinationAt] !== 0xff || (scope !== 0 && (scope !== 1 || device.loopback));
}

function isLoopback(bytes: Uint8Array, at: number): boolean {
	for (let i = 0; i < 15; i++) {
		if (bytes[at + i] !== 0) {
			return false;
		}
	}
	return bytes[at + 15] === 1;
}
