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
	HEADROOM_OCTETS,
	IPV6_HEADER_OCTETS,
	ipv4HeaderOctets,
	ipv4Protocol,
	ipv6NextHeader,
	type PacketBuffer,
	type Route,
} from '@xfrm/wire';
import { Direction, EncapType, Family, IpProto } from '@xfrm/wire/xfrm';
import { LARGE_SLOT_OCTETS, LARGE_SLOTS, PACKET_SLOT_OCTETS, PACKETS_PER_CALL } from '../limits.ts';
import { NOT, OctetMoves } from '../native/octet-moves.ts';
import type { Native } from '../native/seam.ts';
import type { KernelRoutes } from '../rtnetlink/kernel-routes.ts';
import type { ArrivalDevices } from './arrival-devices.ts';
import type { DropSamples } from './drop-samples.ts';
import { type EncapPort, takeDatagram, takeTwin, udpGap } from './encap-ports.ts';
import { hasHelperState } from './helper-state.ts';
import type { Lane } from './outbound.ts';
import { type OuterSocket, rawGap, takeRaw } from './outer-sockets.ts';
import { PacketRows } from './packet-rows.ts';
import type { PacketSlab } from './packet-slab.ts';
import { segmentSumStart } from './segment-run.ts';
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
	readonly #devices: ArrivalDevices;
	readonly #rows: PacketRows;
	readonly #segments: PacketRows;
	/** Of what is being taken apart, and of what is to be joined again. */
	readonly #moves: OctetMoves;
	/** Rows of the batch's packets in these, `NOT` for none. */
	readonly #sumRows: Int32Array = new Int32Array(PACKETS_PER_CALL);
	readonly #batch: Batch = new Batch();
	readonly #one: Batch = new Batch();

	constructor(
		native: Native,
		engine: Engine,
		routes: KernelRoutes,
		transmitter: Transmitter,
		ledger: SequenceLedger,
		samples: DropSamples,
		devices: ArrivalDevices,
		slab: PacketSlab,
	) {
		this.#native = native;
		this.#engine = engine;
		this.#routes = routes;
		this.#transmitter = transmitter;
		this.#ledger = ledger;
		this.#samples = samples;
		this.#devices = devices;
		this.#rows = new PacketRows(slab, LARGE_SLOT_OCTETS, LARGE_SLOTS);
		this.#segments = new PacketRows(slab, PACKET_SLOT_OCTETS, PACKETS_PER_CALL);
		this.#moves = new OctetMoves(slab.bytes, PACKETS_PER_CALL);
	}

	/** Receives once from a raw socket; false when there was no more. */
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
		return rows.batch.isFilled(count);
	}

	/** Receives once from beside an IKE daemon's port; false when there was no more. */
	passDatagrams(port: EncapPort, lane: Lane, nowUs: number): boolean {
		const rows = this.#rows;
		rows.prepare(udpGap(port.family));
		const count = this.#native.receivePackets(port.fd, 'datagram', rows.batch);
		const batch = this.#begin(nowUs);
		const { octets, segmentOctets } = rows.batch;
		for (let row = 0; row < count; row++) {
			const whole = octets[row] ?? 0;
			const each = segmentOctets[row] ?? 0;
			if (each > 0 && each < whole) {
				this.#cut(row, whole, each, port, lane);
				continue;
			}
			if (batch.packets.length === PACKETS_PER_CALL) {
				this.#open(batch, lane);
			}
			const packet = rows.fresh(row);
			takeDatagram(packet, rows.batch, row, whole, port);
			batch.packets.push(packet);
		}
		this.#open(batch, lane);
		return rows.batch.isFilled(count);
	}

	/** Takes apart what the kernel has joined (UDP_GRO): datagrams of one peer, all but the last of one length. */
	#cut(row: number, whole: number, each: number, port: EncapPort, lane: Lane): void {
		const rows = this.#rows;
		const { packets } = this.#batch;
		const first = rows.fresh(row);
		takeDatagram(first, rows.batch, row, each, port);
		const payloadAt = HEADROOM_OCTETS + udpGap(port.family);
		if (each > PACKET_SLOT_OCTETS - payloadAt) {
			this.#transmitter.counters.failed++;
			return;
		}
		const moves = this.#moves;
		moves.count = 0;
		for (let from = 0; from < whole; from += each) {
			if (packets.length === PACKETS_PER_CALL) {
				this.#native.moveOctets(moves);
				this.#open(this.#batch, lane);
				moves.count = 0;
			}
			const packet = this.#segments.fresh(packets.length);
			const octets = Math.min(each, whole - from);
			moves.add(first.slabAt + payloadAt + from, packet.slabAt + payloadAt, octets, NOT);
			if (octets === each) {
				takeTwin(packet, first);
			} else {
				takeDatagram(packet, rows.batch, row, octets, port);
			}
			packets.push(packet);
		}
		this.#native.moveOctets(moves);
	}

	/** From ESP in UDP to the kernel; the packets' slots are free afterwards. */
	#open(batch: Batch, lane: Lane): void {
		this.#samples.begin(batch.packets, batch.nowUs);
		this.#engine.udpEncapInput(batch, EncapType.EspInUdp);
		for (const packet of batch.packets) {
			if (packet.action === PacketAction.ToSocket) {
				// The kernel has joined a datagram of the owner's to ESP before it: it goes back, alone.
				this.#transmitter.toKernel(packet, lane.fd, NOT);
			}
		}
		this.#finish(batch, lane, batch.nowUs);
		batch.truncate(0);
	}

	/** A packet that came out of the engine by itself (IPTFS). */
	receiveInner(packet: PacketBuffer, lane: Lane, nowUs: number): void {
		packet.action = PacketAction.Reinject;
		this.#settle(packet, NOT, lane, nowUs);
	}

	#begin(nowUs: number): Batch {
		const batch = this.#batch;
		batch.nowUs = nowUs;
		batch.truncate(0);
		return batch;
	}

	#finish(batch: Batch, lane: Lane, nowUs: number): void {
		for (const packet of batch.packets) {
			this.#note(packet);
		}
		this.#sum(batch);
		const { packets } = batch;
		for (let i = 0; i < packets.length; i++) {
			const row = this.#sumRows[i] ?? NOT;
			// A batch has no holes.
			const packet = packets[i] as PacketBuffer;
			this.#settle(packet, row === NOT ? NOT : (this.#moves.sum[row] ?? NOT), lane, nowUs);
		}
		this.#transmitter.flush();
	}

	/** Sums the segments and datagrams that came out of tunnels, if there are any to be joined. */
	#sum({ packets }: Batch): void {
		const { joinsDatagrams } = this.#transmitter;
		const moves = this.#moves;
		const rows = this.#sumRows;
		moves.count = 0;
		for (let i = 0; i < packets.length; i++) {
			rows[i] = NOT;
			const packet = packets[i];
			if (
				packet !== undefined &&
				packet.action === PacketAction.Reinject &&
				packet.slabAt >= 0 &&
				this.#locate(packet) &&
				(packet.proto === IpProto.Tcp || (joinsDatagrams && packet.proto === IpProto.Udp))
			) {
				const { slabAt, transportAt, end } = packet;
				rows[i] = moves.add(slabAt + transportAt, NOT, end - transportAt, segmentSumStart(packet));
			}
		}
		if (moves.count > 1) {
			this.#native.moveOctets(moves);
			return;
		}
		for (let i = 0; i < packets.length; i++) {
			rows[i] = NOT;
		}
	}

	/** Takes off what is left to take off, and delivers; `sum` as `Transmitter.toKernel` takes it. */
	#settle(packet: PacketBuffer, sum: number, lane: Lane, nowUs: number): void {
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
			const local = !inner || this.#routeOf(packet)?.kind === 'local';
			one.packets[0] = packet;
			if (!local || !(isTransform(packet.proto) || hasHelperState(this.#engine, packet))) {
				this.#deliver(packet, local, passes === 0 ? sum : NOT, lane, nowUs);
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

	/** Where the kernel would send it. */
	#routeOf(packet: PacketBuffer): Route | undefined {
		const at = packet.start + (packet.family === Family.Ipv4 ? 16 : 24);
		return this.#routes.lookupIn(packet.family, packet.bytes, at, -1, packet.mark);
	}

	#deliver(packet: PacketBuffer, local: boolean, sum: number, lane: Lane, nowUs: number): void {
		const device = this.#devices.choose(packet, lane);
		packet.flow.oif = local ? LOOPBACK : (this.#routeOf(packet)?.ifindex ?? 0);
		this.#engine.policyCheck(this.#one, local ? Direction.In : Direction.Fwd);
		if (packet.action !== PacketAction.Pass) {
			this.#samples.note(packet, 'inward', nowUs, true);
			return;
		}
		this.#transmitter.toKernel(packet, device.fd, sum);
	}
}

function isTransform(proto: number): boolean {
	return proto === IpProto.Esp || proto === IpProto.Ah || proto === IpProto.Comp;
}
