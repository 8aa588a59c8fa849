/**
 * Outer packets, from the network to the kernel, in the order in which they are processed:
 *
 *     receive   a batch from a raw socket, or from beside an IKE daemon's port
 *     open      states, replay, opening (the engine), transform after transform
 *     check     what is inside against the IN or FWD policies (the engine)
 *     deliver   to the kernel, by the first lane's device: for a program here, or to go on
 *
 * @hotpath
 */
import { Batch, type Engine, PacketAction, type XfrmState } from '@xfrm/engine';
import {
	fitsIpv4,
	fitsIpv6,
	IPV6_HEADER_OCTETS,
	ipv4HeaderOctets,
	ipv4Protocol,
	ipv6NextHeader,
	type PacketBuffer,
	setIpv4Checksum,
} from '@xfrm/wire';
import { addressFrom, anyAddress, Direction, EncapType, Family, IpProto } from '@xfrm/wire/xfrm';
import { PACKETS_PER_CALL } from '../limits.ts';
import type { Native } from '../native/seam.ts';
import type { KernelRoutes } from '../rtnetlink/kernel-routes.ts';
import type { DropSamples } from './drop-samples.ts';
import { type EncapPort, takeDatagram, udpGap } from './encap-ports.ts';
import type { Lane } from './outbound.ts';
import { type OuterSocket, rawGap, takeRaw } from './outer-sockets.ts';
import { PacketRows } from './packet-rows.ts';
import type { SequenceLedger } from './sequence-ledger.ts';
import type { Transmitter } from './transmitter.ts';

/** Tunnels in tunnels: as many as a packet may have states. */
const PASSES_MAX = 6;
const LOOPBACK = 1;

export class Inbound {
	readonly #native: Native;
	readonly #engine: Engine;
	readonly #routes: KernelRoutes;
	readonly #transmitter: Transmitter;
	readonly #ledger: SequenceLedger;
	readonly #samples: DropSamples;
	readonly #rows: PacketRows;
	readonly #batch: Batch = new Batch();
	readonly #one: Batch = new Batch();

	constructor(
		native: Native,
		engine: Engine,
		routes: KernelRoutes,
		transmitter: Transmitter,
		ledger: SequenceLedger,
		samples: DropSamples,
		slab: Uint8Array,
		firstSlot: number,
	) {
		this.#native = native;
		this.#engine = engine;
		this.#routes = routes;
		this.#transmitter = transmitter;
		this.#ledger = ledger;
		this.#samples = samples;
		this.#rows = new PacketRows(slab, firstSlot, PACKETS_PER_CALL);
	}

	/** Receives once from a raw socket; false when nothing was there. */
	passRaw(socket: OuterSocket, lane: Lane, nowUs: number): boolean {
		const rows = this.#rows;
		rows.prepare(rawGap(socket.family));
		const count = this.#native.receivePackets(socket.fd, 'socket', rows.batch);
		const batch = this.#begin(nowUs);
		for (let row = 0; row < count; row++) {
			const packet = rows.fresh(row);
			if (takeRaw(packet, rows.batch, row, socket)) {
				batch.packets.push(packet);
			}
		}
		this.#samples.begin(batch.packets, nowUs);
		this.#engine.input(batch);
		this.#finish(batch, lane, nowUs);
		return count > 0;
	}

	/** Receives once from beside an IKE daemon's port; false when nothing was there. */
	passDatagrams(port: EncapPort, lane: Lane, nowUs: number): boolean {
		const rows = this.#rows;
		rows.prepare(udpGap(port.family));
		const count = this.#native.receivePackets(port.fd, 'socket', rows.batch);
		const batch = this.#begin(nowUs);
		for (let row = 0; row < count; row++) {
			const packet = rows.fresh(row);
			takeDatagram(packet, rows.batch, row, port);
			batch.packets.push(packet);
		}
		this.#samples.begin(batch.packets, nowUs);
		this.#engine.udpEncapInput(batch, EncapType.EspInUdp);
		this.#finish(batch, lane, nowUs);
		return count > 0;
	}

	/** A packet that came out of the engine by itself (IPTFS). */
	receiveInner(packet: PacketBuffer, lane: Lane, nowUs: number): void {
		packet.action = PacketAction.Reinject;
		this.#settle(packet, lane, nowUs);
	}

	#begin(nowUs: number): Batch {
		const batch = this.#batch;
		batch.nowUs = nowUs;
		batch.packets.length = 0;
		return batch;
	}

	#finish(batch: Batch, lane: Lane, nowUs: number): void {
		for (const packet of batch.packets) {
			this.#note(packet);
		}
		for (const packet of batch.packets) {
			this.#settle(packet, lane, nowUs);
		}
		this.#transmitter.flush();
	}

	/** Takes off what is left to take off, and delivers. */
	#settle(packet: PacketBuffer, lane: Lane, nowUs: number): void {
		const one = this.#one;
		one.nowUs = nowUs;
		for (let passes = 0; passes < PASSES_MAX; passes++) {
			const inner = packet.action === PacketAction.Reinject;
			if (!inner && packet.action !== PacketAction.Continue) {
				if (packet.action === PacketAction.Drop) {
					this.#samples.note(packet, 'inward', nowUs);
				}
				return;
			}
			if (inner && !this.#locate(packet)) {
				return;
			}
			const local = !inner || this.#isLocal(packet);
			one.packets.length = 0;
			one.packets.push(packet);
			if (!local || !isTransform(packet.proto)) {
				this.#deliver(packet, local, lane, nowUs);
				return;
			}
			packet.encapType = 0;
			this.#engine.input(one);
			this.#note(packet);
		}
	}

	/** Windows are durable before what they let in is delivered. */
	#note(packet: PacketBuffer): void {
		for (let i = 0; i < packet.pathCount; i++) {
			// Only the engine puts objects there, and only states.
			this.#ledger.note(packet.path[i] as XfrmState);
		}
	}

	/** Where in the packet out of a tunnel its next header is; false when it is none. */
	#locate(packet: PacketBuffer): boolean {
		const { view, start, end } = packet;
		if (packet.family === Family.Ipv4 && fitsIpv4(view, start, end)) {
			packet.nextHeaderAt = start + 9;
			packet.transportAt = start + ipv4HeaderOctets(view, start);
			packet.proto = ipv4Protocol(view, start);
			return true;
		}
		if (packet.family === Family.Ipv6 && fitsIpv6(view, start, end)) {
			packet.nextHeaderAt = start + 6;
			packet.transportAt = start + IPV6_HEADER_OCTETS;
			packet.proto = ipv6NextHeader(view, start);
			return true;
		}
		return false;
	}

	#isLocal(packet: PacketBuffer): boolean {
		const ipv4 = packet.family === Family.Ipv4;
		const at = packet.start + (ipv4 ? 16 : 24);
		const address = addressFrom(packet.bytes, at, ipv4 ? 4 : 16);
		return this.#routes.isLocal(packet.family, address);
	}

	#deliver(packet: PacketBuffer, local: boolean, lane: Lane, nowUs: number): void {
		packet.flow.oif = local ? LOOPBACK : this.#outputDevice(packet);
		this.#engine.policyCheck(this.#one, local ? Direction.In : Direction.Fwd);
		if (packet.action !== PacketAction.Pass) {
			this.#samples.note(packet, 'inward', nowUs);
			return;
		}
		if (packet.family === Family.Ipv4) {
			setIpv4Checksum(packet.view, packet.start);
		}
		this.#transmitter.toKernel(packet, lane.fd);
	}

	#outputDevice(packet: PacketBuffer): number {
		const ipv4 = packet.family === Family.Ipv4;
		const at = packet.start + (ipv4 ? 16 : 24);
		const address = addressFrom(packet.bytes, at, ipv4 ? 4 : 16);
		return this.#routes.lookup(packet.family, address, anyAddress(), 0, 0)?.ifindex ?? 0;
	}
}

function isTransform(proto: number): boolean {
	return proto === IpProto.Esp || proto === IpProto.Ah || proto === IpProto.Comp;
}
