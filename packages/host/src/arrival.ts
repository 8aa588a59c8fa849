/**
 * What XFRM interfaces and VTI devices have to do with a packet that is opened here: before its transforms
 * (a check of what a tunnel brought, the mark of a VTI) and behind them (the packet now comes from the
 * device) (net/xfrm/xfrm_interface_core.c: xfrmi_input, xfrmi_rcv_cb; net/ipv4/ip_vti.c: vti_input,
 * vti_rcv_cb; net/ipv6/ip6_vti.c).
 */
import { PacketAction, Verdict, type XfrmState } from '@xfrm/engine';
import type { PacketBuffer } from '@xfrm/wire';
import {
	type Address,
	addressEquals,
	Direction,
	Family,
	IpProto,
	isAnyAddress,
} from '@xfrm/wire/xfrm';
import { destinationOf, sourceOf } from './address-words.ts';
import type { Device } from './device.ts';
import { policyAccepts } from './policy.ts';
import type { Reception } from './reception.ts';
import type { Stack } from './stack.ts';

/** Can `admitTransform` say anything but yes? So that nothing is made for most datagrams. */
export function needsAdmission(stack: Stack, packet: PacketBuffer): boolean {
	return packet.pathCount > 0 || stack.devices.virtual.length > 0;
}

/**
 * Asked before a packet's transforms are taken off; false: it was dropped.
 *
 * While the module xfrm_interface is loaded, ESP that something has already vouched for is checked by the
 * IN policies first.
 *
 * @spec X-7 X-8 X-9 X-21
 */
export function admitTransform(stack: Stack, reception: Reception): boolean {
	const { packet } = reception;
	const vti = stack.devices.virtual.length === 0 ? undefined : vtiFor(stack, packet);
	if (vti !== undefined) {
		return policyAccepts(stack, reception, Direction.In) && enterVti(reception, vti);
	}
	return (
		packet.proto !== IpProto.Esp ||
		packet.pathCount === 0 ||
		!stack.engine.net.modules.has('xfrm_interface') ||
		policyAccepts(stack, reception, Direction.In)
	);
}

/** The state lookup goes by the device's key from here on. */
function enterVti(reception: Reception, device: Device): boolean {
	const { packet } = reception;
	reception.vti = device;
	reception.markBefore = packet.mark;
	reception.pathBefore = packet.pathCount;
	packet.tunnelOnly = true;
	packet.mark = device.virtual?.kind === 'vti' ? device.virtual.inKey : 0;
	return true;
}

function vtiFor(stack: Stack, packet: PacketBuffer): Device | undefined {
	return vtiBetween(stack, packet.family, sourceOf(packet), destinationOf(packet));
}

/**
 * The VTI device between these outer addresses that is up; those that name both ends first, then IPv4 those
 * that name the other end, IPv6 those that name this one.
 *
 * @spec X-21 X-22
 */
export function vtiBetween(
	stack: Stack,
	family: number,
	remote: Address,
	local: Address,
): Device | undefined {
	const [remoteWeight, localWeight] = family === Family.Ipv4 ? [2, 1] : [1, 2];
	let best: Device | undefined;
	let bestScore = 0;
	for (const device of stack.devices.virtual) {
		const { virtual, up } = device;
		if (virtual?.kind !== 'vti' || virtual.family !== family || !up) {
			continue;
		}
		const score =
			remoteWeight * endFits(virtual.remote, remote, family) +
			localWeight * endFits(virtual.local, local, family);
		if (score > bestScore) {
			best = device;
			bestScore = score;
		}
	}
	return best;
}

/** 1 for the same address, 0 for any, a large negative number for another. */
function endFits(own: Address, address: Address, family: number): number {
	return addressEquals(own, address, family) ? 1 : isAnyAddress(own, family) ? 0 : -10;
}

/**
 * The engine has taken transforms off, or has failed to: the packet now comes by the device that its last
 * state belongs to, or the device counts an error. Everything else goes on as before.
 *
 * @spec X-5 X-6 X-16 X-18
 */
export function arriveByDevice(stack: Stack, reception: Reception): void {
	const { packet } = reception;
	if (reception.vti !== undefined) {
		arriveByVti(stack, reception, reception.vti);
		reception.vti = undefined;
		return;
	}
	const state = packet.path[packet.pathCount - 1] as XfrmState | null | undefined;
	if (state === undefined || state === null || packet.verdict === Verdict.InEncapShort) {
		return;
	}
	const device = xfrmDeviceFor(stack, state.ifId);
	if (device === undefined) {
		// It stays on the device that it came by; an external one has no if_id but the state's.
		const { virtual } = reception.device;
		if (virtual?.kind === 'xfrm' && virtual.external) {
			packet.ifId = state.ifId;
		}
		return;
	}
	if (isOpened(packet)) {
		enter(stack, reception, device);
		packet.ifId =
			device.virtual?.kind === 'xfrm' && !device.virtual.external
				? device.virtual.ifId
				: state.ifId;
	} else {
		countError(device);
	}
}

function isOpened(packet: PacketBuffer): boolean {
	return packet.action === PacketAction.Reinject || packet.action === PacketAction.Continue;
}

function countError(device: Device): void {
	device.counters.rxErrors++;
	device.counters.rxDropped++;
}

/** From now on the packet came by this device. @spec X-5 X-15 */
function enter(stack: Stack, reception: Reception, device: Device): void {
	const { packet } = reception;
	const inside = packet.action === PacketAction.Reinject;
	device.counters.rxPackets++;
	device.counters.rxBytes += packet.end - (inside ? packet.start : packet.transportAt);
	reception.device = device;
	packet.iif = device.ifindex;
	if (!inside && packet.family === Family.Ipv4) {
		// It is routed anew, which is when IPv4 looks at the device's exemption.
		const own = device.conf4.disable_policy | stack.sysctls.all4.disable_policy;
		reception.exempt = own !== 0;
	}
}

/** The device of this if_id that is up, else an external one that is. */
function xfrmDeviceFor(stack: Stack, ifId: number): Device | undefined {
	let external: Device | undefined;
	for (const device of stack.devices.virtual) {
		const { virtual, up } = device;
		if (virtual?.kind !== 'xfrm' || !up) {
			continue;
		}
		if (virtual.external) {
			external = device;
		} else if (virtual.ifId === ifId) {
			return device;
		}
	}
	return external;
}

/** @spec X-21 */
function arriveByVti(stack: Stack, reception: Reception, device: Device): void {
	const { packet } = reception;
	packet.tunnelOnly = false;
	if (!isOpened(packet)) {
		countError(device);
		return;
	}
	const { action } = packet;
	packet.nextHeaderAt = 0;
	packet.ifId = 0;
	packet.mark = device.virtual?.kind === 'vti' ? device.virtual.inKey : 0;
	const accepted = policyAccepts(stack, reception, Direction.In);
	packet.mark = markBehind(reception);
	if (!accepted) {
		countError(device);
		packet.action = PacketAction.Drop;
		return;
	}
	packet.action = action;
	packet.clearPath();
	enter(stack, reception, device);
}

/** The mark that the packet came with, as the output marks of its states have changed it. */
function markBehind(reception: Reception): number {
	const { packet, markBefore, pathBefore } = reception;
	let mark = markBefore;
	for (let i = pathBefore; i < packet.pathCount; i++) {
		const state = packet.path[i] as XfrmState | null | undefined;
		if (state !== undefined && state !== null) {
			const { outputMarkValue: value, outputMarkMask: mask } = state;
			mark = (value & mask) | (mark & ~mask);
		}
	}
	return mark;
}
