/**
 * The frame of every call: time moves on first, and before the call returns all packets that came up on
 * the way are received: out of tunnels, sent to ourselves, released by the engine.
 */
import { PacketAction } from '@xfrm/engine';
import { IcmpType, Icmpv6Type, type PacketBuffer } from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';
import { HostDrop } from './host-trace.ts';
import { sendIcmpError } from './icmp-send.ts';
import { outputPacket, writeToStream } from './output.ts';
import { receivePacket } from './receive.ts';
import { Reception } from './reception.ts';
import type { Stack } from './stack.ts';

/** Code of "time exceeded": in reassembly. */
const REASSEMBLY_TIME = 1;

/** Begins a call: what ended meanwhile ends. */
export function advance(stack: Stack, nowUs: number): void {
	stack.nowUs = nowUs;
	if (stack.pathMtus.expire(nowUs)) {
		stack.routeGeneration++;
	}
	if (stack.reassembly.deadlineUs() > nowUs) {
		return;
	}
	for (const first of stack.reassembly.expire(nowUs)) {
		stack.drop(HostDrop.ReassemblyTimeout);
		const ipv4 = first.packet.family === Family.Ipv4;
		const type = ipv4 ? IcmpType.TimeExceeded : Icmpv6Type.TimeExceeded;
		sendIcmpError(stack, first, type, REASSEMBLY_TIME, 0);
	}
}

/** Ends a call: nothing is left to be received or sent. */
export function settle(stack: Stack): void {
	for (;;) {
		const next = stack.pending.shift();
		if (next !== undefined) {
			receivePacket(stack, next);
			continue;
		}
		const kept = stack.engine.pollPacket();
		if (kept === undefined) {
			return;
		}
		if (kept.action === PacketAction.Reinject) {
			receiveInner(stack, kept);
		} else if (kept.action === PacketAction.ToStream) {
			writeToStream(stack, kept);
		} else {
			outputPacket(stack, kept, false, stack.devices.loopback);
		}
	}
}

/** A packet that came out of an IPTFS tunnel, on the device of the last outer one. */
function receiveInner(stack: Stack, packet: PacketBuffer): void {
	const device = stack.devices.numbered(packet.iif);
	if (device !== undefined) {
		receivePacket(stack, new Reception(packet, device, 1, false));
	}
}
