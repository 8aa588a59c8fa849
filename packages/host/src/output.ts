/**
 * The way out behind a lookup: the bundle's transforms, then cutting to the path's MTU, then a device.
 * Packets to ourselves come back in by `lo` (net/ipv4/ip_output.c, net/ipv6/ip6_output.c,
 * net/ipv6/xfrm6_output.c).
 */
import { Bundle, PacketAction } from '@xfrm/engine';
import {
	IcmpType,
	IcmpUnreachableCode,
	Icmpv6Type,
	ipv4DontFragment,
	type PacketBuffer,
	type Route,
} from '@xfrm/wire';
import { Errno, Family, Mode } from '@xfrm/wire/xfrm';
import type { Device } from './device.ts';
import { fragmentPacket } from './fragment.ts';
import { HostDrop } from './host-trace.ts';
import { sendIcmpError } from './icmp-send.ts';
import { Reception } from './reception.ts';
import { ownMtu } from './route-lookup.ts';
import type { Stack } from './stack.ts';
import { transmit } from './transmit.ts';

/**
 * Carries out what `engine.lookup` decided for a packet.
 *
 * @param mayCut the sender does not mind fragments: too long packets are cut whatever they say (ignore_df)
 * @param from the device it came by, for ICMP errors about a forwarded packet
 * @returns errno for a local sender, 0 when it went, or vanished without word
 */
export function outputPacket(
	stack: Stack,
	packet: PacketBuffer,
	mayCut: boolean,
	from: Device,
): number {
	if (packet.bundle === null) {
		return finishOutput(stack, packet, mayCut, from);
	}
	const { bundle } = packet;
	packet.dontFragment = !mayCut;
	stack.engine.transform(stack.batchOf(packet));
	switch (packet.action) {
		case PacketAction.Transformed:
			// What leaves is ours: a path MTU that was learned counts for it (IPCB is cleared there).
			packet.forwarded = false;
			return finishOutput(stack, packet, mayCut || makesIpv6(bundle), from);
		case PacketAction.ToStream:
			writeToStream(stack, packet);
			return 0;
		case PacketAction.Fragment:
			return outputPieces(stack, packet, mayCut, from);
		case PacketAction.Drop:
			return refuseOutput(stack, packet, from);
		default:
			return 0;
	}
}

/** ESP in TCP: what is left is a piece of the connection's stream. */
export function writeToStream(stack: Stack, packet: PacketBuffer): void {
	stack.effect({ kind: 'stream-write', streamId: packet.socketId, octets: packet.copy() });
}

/** IPv6 tunnels and BEET let their packets be cut, whatever was inside (xfrm6_prepare_output). */
function makesIpv6(bundle: object): boolean {
	if (!(bundle instanceof Bundle)) {
		return false;
	}
	for (let step = bundle.first; step !== null; step = step.next) {
		const { state } = step;
		if (state.family === Family.Ipv6 && (state.mode === Mode.Tunnel || state.mode === Mode.Beet)) {
			return true;
		}
	}
	return false;
}

/**
 * A packet too long for its IPv6 tunnel is cut first, and every piece is transformed.
 *
 * @spec U-6
 */
function outputPieces(stack: Stack, packet: PacketBuffer, mayCut: boolean, from: Device): number {
	const pieces = fragmentPacket(packet, packet.mtu, stack.random32());
	if (pieces === undefined) {
		return tooBig(stack, packet, packet.mtu, from);
	}
	for (const piece of pieces) {
		const error = outputPacket(stack, piece, mayCut, from);
		if (error !== 0) {
			return error;
		}
	}
	return 0;
}

/** The engine refused; the size of a packet that nobody here sent is told to who sent it. */
function refuseOutput(stack: Stack, packet: PacketBuffer, from: Device): number {
	const { error, mtu } = packet;
	if (error === Errno.EMSGSIZE && packet.forwarded && mtu > 0) {
		tellTooBig(stack, packet, mtu, from);
	}
	return error;
}

function tellTooBig(stack: Stack, packet: PacketBuffer, mtu: number, from: Device): void {
	const about = new Reception(packet, from, 0, false);
	if (packet.family === Family.Ipv4) {
		sendIcmpError(
			stack,
			about,
			IcmpType.DestinationUnreachable,
			IcmpUnreachableCode.FragmentationNeeded,
			mtu,
		);
	} else {
		sendIcmpError(stack, about, Icmpv6Type.PacketTooBig, 0, mtu);
	}
}

/** Longer than its path, and not to be cut: an ICMP error goes to its source, us included. */
function tooBig(stack: Stack, packet: PacketBuffer, mtu: number, from: Device): number {
	stack.drop(HostDrop.TooBig);
	tellTooBig(stack, packet, mtu, from);
	return Errno.EMSGSIZE;
}

/** Cuts what is too long for the route, and hands it to the device. */
function finishOutput(stack: Stack, packet: PacketBuffer, mayCut: boolean, from: Device): number {
	const { route } = packet;
	if (route === null) {
		return Errno.ENETUNREACH;
	}
	const mtu = pathMtu(packet, route);
	if (packet.length <= mtu) {
		return emit(stack, packet, route);
	}
	const { view, start, family } = packet;
	const keepsWhole = family === Family.Ipv4 ? ipv4DontFragment(view, start) && !mayCut : !mayCut;
	const pieces = keepsWhole ? undefined : fragmentPacket(packet, mtu, stack.random32());
	if (pieces === undefined) {
		return tooBig(stack, packet, mtu, from);
	}
	for (const piece of pieces) {
		emit(stack, piece, route);
	}
	return 0;
}

function pathMtu(packet: PacketBuffer, route: Route): number {
	return packet.forwarded && packet.family === Family.Ipv4 ? ownMtu(route) : route.mtu;
}

/** Out by the device, or back in. */
function emit(stack: Stack, packet: PacketBuffer, route: Route): number {
	const device = stack.devices.numbered(route.ifindex);
	if (route.loopback) {
		const { loopback } = stack.devices;
		packet.clearPath();
		packet.iif = loopback.ifindex;
		packet.forwarded = false;
		packet.socketId = 0;
		stack.pending.push(new Reception(packet, loopback, 0, true));
		return 0;
	}
	if (device === undefined || !device.up) {
		stack.drop(HostDrop.DeviceDown);
		return 0;
	}
	if (device.virtual !== null) {
		transmit(stack, packet, device);
		return 0;
	}
	stack.effect({ kind: 'emit', device: device.name, packet: packet.copy() });
	return 0;
}
