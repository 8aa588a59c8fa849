/**
 * A packet on its way in: the buffer, and what the host knows of it beside the octets (the kernel's
 * skb->dev, IPCB and IP6CB). One object serves the packet until it is delivered, forwarded or dropped;
 * what comes out of a tunnel is a new reception of the same buffer.
 */
import type { PacketBuffer } from '@xfrm/wire';
import type { Device } from './device.ts';

export class Reception {
	readonly packet: PacketBuffer;
	/** The device it arrived by: an XFRM interface or VTI behind the transforms, `lo` for packets sent to ourselves. */
	device: Device;
	/** How often this buffer has been received before. */
	readonly passes: number;
	/** Sent by this host to itself: `packet.route` is known, and local. */
	readonly looped: boolean;
	/** The device that has the destination address, for packets to us. */
	owner: Device | undefined;
	/** The policy check is left out: sysctl disable_policy (P-18). */
	exempt: boolean = false;
	/** Sent to a broadcast address: no ICMP errors about it. */
	broadcast: boolean = false;
	/** It came as ESP in UDP, transport mode: checksums behind it are taken for right (NT-8). */
	checksumTrusted: boolean = false;
	/** IPv4: offsets from the packet's start of the options record route and timestamp, 0 for none. */
	recordRouteAt: number = 0;
	timestampAt: number = 0;
	/** Octets of the options are not as they came; the header checksum still is. */
	optionsChanged: boolean = false;
	/** This host has put itself into them: octets by which it moved their pointers. */
	routeRecorded: number = 0;
	timeRecorded: number = 0;
	/** IPv6: an extension header for fragments has been dealt with. */
	reassembled: boolean = false;
	/** IPv6: offset from the packet's start of the address that changed places with the source (HAO), 0 for none. */
	homeAddressAt: number = 0;

	/** The VTI device whose transforms are being taken off, with mark and sec path as they were before. */
	vti: Device | undefined;
	markBefore: number = 0;
	pathBefore: number = 0;

	constructor(packet: PacketBuffer, device: Device, passes: number, looped: boolean) {
		this.packet = packet;
		this.device = device;
		this.passes = passes;
		this.looped = looped;
	}

	/** Another buffer in place of this one, with the same headers and all that is known of them. */
	withPacket(packet: PacketBuffer): Reception {
		const other = new Reception(packet, this.device, this.passes, this.looped);
		other.owner = this.owner;
		other.exempt = this.exempt;
		other.broadcast = this.broadcast;
		other.checksumTrusted = this.checksumTrusted;
		other.recordRouteAt = this.recordRouteAt;
		other.timestampAt = this.timestampAt;
		other.optionsChanged = this.optionsChanged;
		other.routeRecorded = this.routeRecorded;
		other.timeRecorded = this.timeRecorded;
		other.homeAddressAt = this.homeAddressAt;
		return other;
	}

	/** The same packet with a tunnel removed, to be received anew on the same device. */
	again(): Reception {
		return new Reception(this.packet, this.device, this.passes + 1, false);
	}
}
