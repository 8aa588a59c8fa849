/**
 * The last step outward: whole packets to the network by raw sockets, or to the kernel by a lane's device.
 * Packets are collected and sent many a call; what does not stand in the slab (pieces, held packets, errors
 * made here) is copied into spare slots.
 *
 * @hotpath
 */
import type { PacketBuffer } from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';
import { PACKETS_PER_CALL } from '../limits.ts';
import { AF_INET, AF_INET6 } from '../native/abi.ts';
import { PacketBatch, PEER_OCTETS } from '../native/packet-batch.ts';
import type { Native } from '../native/seam.ts';
import type { OuterSockets } from './outer-sockets.ts';
import { PacketRows, placeInSlab, SLOT_PACKET_OCTETS } from './packet-rows.ts';

/** What the kernel would not take. */
export interface TransmitCounters {
	sent: number;
	delivered: number;
	failed: number;
}

export class Transmitter {
	readonly counters: TransmitCounters = { sent: 0, delivered: 0, failed: 0 };
	readonly #native: Native;
	readonly #sockets: OuterSockets;
	readonly #slab: Uint8Array;
	readonly #spare: PacketRows;
	#spareUsed: number = 0;
	readonly #out4: PacketBatch;
	readonly #out6: PacketBatch;
	readonly #tun: PacketBatch;
	#tunFd: number = -1;

	/** Takes `PACKETS_PER_CALL` slots of the slab from `firstSlot` on. */
	constructor(native: Native, sockets: OuterSockets, slab: Uint8Array, firstSlot: number) {
		this.#native = native;
		this.#sockets = sockets;
		this.#slab = slab;
		this.#spare = new PacketRows(slab, firstSlot, PACKETS_PER_CALL);
		this.#out4 = new PacketBatch(slab, PACKETS_PER_CALL);
		this.#out6 = new PacketBatch(slab, PACKETS_PER_CALL);
		this.#tun = new PacketBatch(slab, PACKETS_PER_CALL);
	}

	/** A whole IP packet to the network, to the destination in its header. */
	toNetwork(packet: PacketBuffer): void {
		const ipv4 = packet.family === Family.Ipv4;
		const batch = ipv4 ? this.#out4 : this.#out6;
		const row = this.#append(packet, batch);
		if (row < 0) {
			return;
		}
		const { peer, peerView } = batch;
		const peerAt = row * PEER_OCTETS;
		peer.fill(0, peerAt, peerAt + PEER_OCTETS);
		peerView.setUint16(peerAt, ipv4 ? AF_INET : AF_INET6, true);
		const from = packet.start + (ipv4 ? 16 : 24);
		const octets = ipv4 ? 4 : 16;
		const to = peerAt + (ipv4 ? 4 : 8);
		for (let i = 0; i < octets; i++) {
			peer[to + i] = packet.bytes[from + i] ?? 0;
		}
	}

	/** A whole IP packet to the kernel, as if it had come by this device. */
	toKernel(packet: PacketBuffer, tunFd: number): void {
		if (this.#tunFd !== tunFd) {
			this.#flushTun();
			this.#tunFd = tunFd;
		}
		this.#append(packet, this.#tun);
	}

	/** Sends all that was collected; afterwards the packets' slots are free. */
	flush(): void {
		this.#flushOut(Family.Ipv4, this.#out4);
		this.#flushOut(Family.Ipv6, this.#out6);
		this.#flushTun();
		this.#spareUsed = 0;
	}

	#append(packet: PacketBuffer, batch: PacketBatch): number {
		if (batch.count === batch.capacity) {
			this.flush();
		}
		let at = placeInSlab(this.#slab, packet);
		if (at < 0) {
			at = this.#copyToSpare(packet);
		}
		if (at < 0) {
			this.counters.failed++;
			return -1;
		}
		const row = batch.count++;
		batch.at[row] = at;
		batch.octets[row] = packet.end - packet.start;
		return row;
	}

	#copyToSpare(packet: PacketBuffer): number {
		const octets = packet.end - packet.start;
		if (octets > SLOT_PACKET_OCTETS) {
			return -1;
		}
		if (this.#spareUsed === PACKETS_PER_CALL) {
			this.flush();
		}
		const at = this.#spare.slotAt(this.#spareUsed++);
		this.#slab.set(packet.bytes.subarray(packet.start, packet.end), at);
		return at;
	}

	#flushOut(family: number, batch: PacketBatch): void {
		if (batch.count > 0) {
			this.#sockets.send(family, batch);
			this.counters.sent += this.#settle(batch);
		}
	}

	#flushTun(): void {
		if (this.#tun.count > 0) {
			this.#native.sendPackets(this.#tunFd, 'tun', this.#tun);
			this.counters.delivered += this.#settle(this.#tun);
		}
	}

	/** How many rows went. */
	#settle(batch: PacketBatch): number {
		let failed = 0;
		for (let row = 0; row < batch.count; row++) {
			failed += batch.status[row] === 0 ? 0 : 1;
		}
		this.counters.failed += failed;
		const gone = batch.count - failed;
		batch.count = 0;
		return gone;
	}
}
