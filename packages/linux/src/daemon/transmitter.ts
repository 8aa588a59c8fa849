/**
 * The last step outward: whole packets to the network by raw sockets, ESP in UDP by the socket of its port, or
 * to the kernel by a lane's device. Packets are collected and sent many a call; what does not stand in the slab
 * (pieces, held packets, errors made here) is copied into spare slots.
 *
 * @hotpath
 */
import { type PacketBuffer, setIpv4Checksum } from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';
import { PACKET_SLOT_OCTETS, PACKETS_PER_CALL } from '../limits.ts';
import { AF_INET, AF_INET6 } from '../native/abi.ts';
import { LOCAL_OCTETS, PacketBatch, PEER_OCTETS } from '../native/packet-batch.ts';
import type { Native } from '../native/seam.ts';
import { routeMark } from '../rtnetlink/kernel-routes.ts';
import { DatagramSender } from './datagram-sender.ts';
import type { EncapPort } from './encap-ports.ts';
import type { OuterSockets } from './outer-sockets.ts';
import { PacketRows, placeInSlab, SLOT_PACKET_OCTETS } from './packet-rows.ts';
import type { PacketSlab } from './packet-slab.ts';
import { SegmentRun } from './segment-run.ts';
import { VNET_HEADER_OCTETS, writePlainVnet } from './vnet-header.ts';

/** Beside a whole packet, which has its own. */
const ANY_HOP_LIMIT = 64;

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
	readonly #slabView: DataView;
	readonly #spare: PacketRows;
	#spareUsed: number = 0;
	readonly #out4: PacketBatch;
	readonly #out6: PacketBatch;
	readonly #datagrams: DatagramSender;
	readonly #tun: PacketBatch;
	/** What the last message to the device may be gone on with. */
	readonly #run: SegmentRun = new SegmentRun();
	#tunFd: number = -1;

	constructor(native: Native, sockets: OuterSockets, slab: PacketSlab) {
		this.#native = native;
		this.#sockets = sockets;
		const { bytes } = slab;
		this.#slab = bytes;
		this.#slabView = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
		this.#spare = new PacketRows(slab, PACKET_SLOT_OCTETS, PACKETS_PER_CALL);
		this.#out4 = new PacketBatch(bytes, PACKETS_PER_CALL);
		this.#out6 = new PacketBatch(bytes, PACKETS_PER_CALL);
		this.#out4.hopLimit.fill(ANY_HOP_LIMIT);
		this.#out6.hopLimit.fill(ANY_HOP_LIMIT);
		this.#datagrams = new DatagramSender(native, bytes);
		this.#tun = new PacketBatch(bytes, PACKETS_PER_CALL);
	}

	/** Whether the kernel takes datagrams joined. */
	get joinsDatagrams(): boolean {
		return this.#run.joinsDatagrams;
	}
	set joinsDatagrams(joins: boolean) {
		this.#run.joinsDatagrams = joins;
	}

	/** A whole IP packet to the network, to the destination in its header. */
	toNetwork(packet: PacketBuffer): void {
		const ipv4 = packet.family === Family.Ipv4;
		const batch = ipv4 ? this.#out4 : this.#out6;
		const row = this.#append(packet, batch);
		if (row < 0) {
			return;
		}
		const { peer, peerView, local, trafficClass } = batch;
		const { view, bytes, start } = packet;
		batch.mark[row] = routeMark(packet.route);
		trafficClass[row] = ipv4 ? view.getUint8(start + 1) : (view.getUint16(start) >> 4) & 0xff;
		const peerAt = row * PEER_OCTETS;
		batch.clearPeer(row);
		peerView.setUint16(peerAt, ipv4 ? AF_INET : AF_INET6, true);
		const octets = ipv4 ? 4 : 16;
		const from = start + (ipv4 ? 12 : 8);
		const to = peerAt + (ipv4 ? 4 : 8);
		const localAt = row * LOCAL_OCTETS;
		// A source of one link would have to come with the link, and chooses nothing.
		const hasSource = ipv4 || (view.getUint16(from) & 0xffc0) !== 0xfe80;
		for (let i = 0; i < octets; i++) {
			local[localAt + i] = hasSource ? (bytes[from + i] ?? 0) : 0;
			peer[to + i] = bytes[from + octets + i] ?? 0;
		}
	}

	/** A whole IP packet in UDP, whose header is at `udpAt`, by the socket of its source port. */
	toPort(packet: PacketBuffer, udpAt: number, port: EncapPort): void {
		if (!this.#datagrams.accepts(packet, port)) {
			this.#datagrams.flush(this.counters);
		}
		const at = this.#place(packet);
		if (at >= 0) {
			this.#datagrams.add(packet, udpAt, at, port);
		}
	}

	/**
	 * A whole IP packet to the kernel, as if it had come by this device; the checksum of an IPv4 header is written
	 * here. `sum` is that of a segment with its pseudo header (`segmentSumStart`), `NOT` where it is not known.
	 */
	toKernel(packet: PacketBuffer, tunFd: number, sum: number): void {
		if (this.#tunFd !== tunFd) {
			this.#flushTun();
			this.#tunFd = tunFd;
		}
		const tun = this.#tun;
		const inSlab = placeInSlab(packet) >= 0;
		if (inSlab && tun.count > 0 && tun.count < tun.capacity && this.#run.join(packet, sum)) {
			const row = this.#append(packet, tun);
			const { headerOctets } = this.#run;
			tun.joined[row] = 1;
			tun.at[row] = (tun.at[row] ?? 0) + headerOctets;
			tun.octets[row] = (tun.octets[row] ?? 0) - headerOctets;
			return;
		}
		this.#run.finish();
		if (packet.family === Family.Ipv4) {
			setIpv4Checksum(packet.view, packet.start);
		}
		const row = this.#append(packet, tun);
		if (row < 0) {
			return;
		}
		const at = (tun.at[row] ?? 0) - VNET_HEADER_OCTETS;
		writePlainVnet(this.#slabView, at);
		tun.at[row] = at;
		tun.octets[row] = (tun.octets[row] ?? 0) + VNET_HEADER_OCTETS;
		if (inSlab) {
			this.#run.begin(packet, sum);
		}
	}

	/** Sends all that was collected; afterwards the packets' slots are free. */
	flush(): void {
		this.#flushOut(Family.Ipv4, this.#out4);
		this.#flushOut(Family.Ipv6, this.#out6);
		this.#datagrams.flush(this.counters);
		this.#flushTun();
		this.#spareUsed = 0;
	}

	#append(packet: PacketBuffer, batch: PacketBatch): number {
		if (batch.count === batch.capacity) {
			this.flush();
		}
		const at = this.#place(packet);
		if (at < 0) {
			return -1;
		}
		const row = batch.count++;
		batch.at[row] = at;
		batch.octets[row] = packet.end - packet.start;
		batch.joined[row] = 0;
		return row;
	}

	/** Where it is in the slab, copied there if need be; -1 when it is too long. */
	#place(packet: PacketBuffer): number {
		const at = placeInSlab(packet);
		const place = at < 0 ? this.#copyToSpare(packet) : at;
		if (place < 0) {
			this.counters.failed++;
		}
		return place;
	}

	#copyToSpare(packet: PacketBuffer): number {
		const octets = packet.end - packet.start;
		if (octets > SLOT_PACKET_OCTETS) {
			return -1;
		}
		if (this.#spareUsed === PACKETS_PER_CALL) {
			this.flush();
		}
		const at = this.#spare.slotAt(this.#spareUsed++) + VNET_HEADER_OCTETS;
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
			this.#run.finish();
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
