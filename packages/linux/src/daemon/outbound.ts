/**
 * Captured packets, from a lane's device to the network, in the order in which they are processed:
 *
 *     read      a batch from the device; family, mark and route of each
 *     cut       what a program has sent in one large piece, into packets as its connection wants them
 *     lookup    policies and states (the engine)
 *     size      what does not fit the path is told to its sender, where it may not be cut
 *     transform headers, numbers, sealing (the engine)
 *     send      pieces where the outer packet is too long; by raw socket, or the socket of a port
 *
 * All packets of a device count as forwarded: who sent them, this host or one behind it, hears of their
 * size by ICMP in either case; but for datagrams of IPv6 that are sent here, which are cut as Linux cuts them.
 *
 * @hotpath
 */
import {
	Batch,
	type Bundle,
	type Engine,
	PacketAction,
	Verdict,
	type XfrmState,
} from '@xfrm/engine';
import { fragmentPacket, PeerRates } from '@xfrm/host';
import {
	beginSegment,
	endSegment,
	fitsIpv4,
	fitsIpv6,
	HEADROOM_OCTETS,
	IPV6_HEADER_OCTETS,
	ipv4DontFragment,
	ipv4HeaderOctets,
	ipv4Protocol,
	ipv4TotalLength,
	ipv6NextHeader,
	ipv6PayloadLength,
	type PacketBuffer,
	planSegments,
	SegmentPlan,
	udpSourcePort,
} from '@xfrm/wire';
import { Errno, Family, IpProto } from '@xfrm/wire/xfrm';
import { LARGE_SLOT_OCTETS, LARGE_SLOTS, PACKET_SLOT_OCTETS, PACKETS_PER_CALL } from '../limits.ts';
import { NOT, OctetMoves } from '../native/octet-moves.ts';
import type { Native } from '../native/seam.ts';
import type { KernelRoutes } from '../rtnetlink/kernel-routes.ts';
import type { DropSamples } from './drop-samples.ts';
import type { EncapPort, EncapPorts } from './encap-ports.ts';
import { tooBigError, unreachableError } from './icmp-error.ts';
import { OwnDrop } from './own-drops.ts';
import { PacketRows } from './packet-rows.ts';
import type { PacketSlab } from './packet-slab.ts';
import type { SequenceLedger } from './sequence-ledger.ts';
import type { Transmitter } from './transmitter.ts';
import {
	completeChecksum,
	SegmentType,
	VNET_HEADER_OCTETS,
	vnetSegmentOctets,
	vnetSegmentType,
} from './vnet-header.ts';

/** Numbers that a batch may take of one state, pieces of its packets included. */
const NUMBERS_PER_BATCH = 16 * PACKETS_PER_CALL;

/** Errors of a kind to one address, behind the first few: Linux's net.ipv4.icmp_ratelimit. */
const UNREACHABLE_EVERY_US = 1_000_000;

/** Linux keeps what it has heard of a path for ten minutes. */
const TOLD_AGAIN_US = 60_000_000;

/** A device that packets of one mark are captured by. */
export interface Lane {
	readonly fd: number;
	readonly ifindex: number;
	/** Mark that its packets had. */
	readonly mark: number;
	/** if_id that its packets are looked up by, 0 for none. */
	readonly ifId: number;
}

export class Outbound {
	readonly #native: Native;
	readonly #engine: Engine;
	readonly #routes: KernelRoutes;
	readonly #ports: EncapPorts;
	readonly #transmitter: Transmitter;
	readonly #ledger: SequenceLedger;
	readonly #samples: DropSamples;
	readonly #rows: PacketRows;
	readonly #segments: PacketRows;
	readonly #plan: SegmentPlan = new SegmentPlan();
	/** Payloads of the segments that are being cut. */
	readonly #moves: OctetMoves;
	readonly #batch: Batch = new Batch();
	readonly #one: Batch = new Batch();
	/** ESP in UDP that could not go, as nobody has its port. */
	portless: number = 0;
	/** Packets that could not go, as no numbers could be leased for them. */
	unleased: number = 0;
	/** By the names of Linux: what has no policy and states in a device by if_id, and what would go out by its own. */
	carrier: number = 0;
	collisions: number = 0;
	readonly #peers: PeerRates = new PeerRates();
	/** Whose path's MTU this host was told last, by the end of the address, and when. */
	#toldPeer: number = 0;
	#toldMtu: number = 0;
	#toldUs: number = 0;

	constructor(
		native: Native,
		engine: Engine,
		routes: KernelRoutes,
		ports: EncapPorts,
		transmitter: Transmitter,
		ledger: SequenceLedger,
		samples: DropSamples,
		slab: PacketSlab,
	) {
		this.#native = native;
		this.#engine = engine;
		this.#routes = routes;
		this.#ports = ports;
		this.#transmitter = transmitter;
		this.#ledger = ledger;
		this.#samples = samples;
		this.#rows = new PacketRows(slab, LARGE_SLOT_OCTETS, LARGE_SLOTS);
		this.#segments = new PacketRows(slab, PACKET_SLOT_OCTETS, PACKETS_PER_CALL);
		this.#moves = new OctetMoves(slab.bytes, PACKETS_PER_CALL);
	}

	/** Reads once from a lane's device and sends what comes of it; false when there was no more. */
	pass(lane: Lane, nowUs: number): boolean {
		const rows = this.#rows;
		rows.prepare(-VNET_HEADER_OCTETS);
		const count = this.#native.receivePackets(lane.fd, 'tun', rows.batch);
		if (count <= 0) {
			return false;
		}
		const batch = this.#batch;
		batch.nowUs = nowUs;
		batch.truncate(0);
		for (let row = 0; row < count; row++) {
			const packet = rows.fresh(row);
			packet.end = packet.start + (rows.batch.octets[row] ?? 0) - VNET_HEADER_OCTETS;
			if (!this.#begin(packet, lane)) {
				continue;
			}
			const vnetAt = HEADROOM_OCTETS - VNET_HEADER_OCTETS;
			if (vnetSegmentType(packet.view, vnetAt) !== SegmentType.None) {
				this.#cut(packet, vnetSegmentOctets(packet.view, vnetAt), batch, lane);
			} else if (completeChecksum(packet, vnetAt)) {
				this.#take(packet, batch, lane);
			}
		}
		this.#process(batch, lane);
		return rows.batch.isFilled(count);
	}

	/** Cuts a large packet into those that its sender wants on the wire. */
	#cut(whole: PacketBuffer, octets: number, batch: Batch, lane: Lane): void {
		const plan = this.#plan;
		if (!planSegments(plan, whole, octets)) {
			this.#transmitter.counters.failed++;
			return;
		}
		for (let index = 0; index < plan.count; ) {
			if (batch.packets.length === PACKETS_PER_CALL) {
				this.#process(batch, lane);
			}
			const end = Math.min(plan.count, index + PACKETS_PER_CALL - batch.packets.length);
			this.#cutSome(whole, index, end, batch);
			index = end;
		}
	}

	/** Segments `index` … `end` - 1 of the planned packet; the batch has room for them. */
	#cutSome(whole: PacketBuffer, index: number, end: number, batch: Batch): void {
		const plan = this.#plan;
		const moves = this.#moves;
		const { packets } = batch;
		const first = packets.length;
		const payloadAt = whole.slabAt + whole.start + plan.headerOctets;
		moves.count = 0;
		for (let i = index; i < end; i++) {
			const segment = this.#segments.fresh(packets.length);
			if (!beginSegment(plan, whole, i, segment) || segment.slabAt < 0) {
				this.#transmitter.counters.failed++;
				continue;
			}
			const at = segment.start + plan.headerOctets;
			moves.add(payloadAt + i * plan.gsoOctets, segment.slabAt + at, segment.end - at, 0);
			segment.forwarded = true;
			segment.mark = whole.mark;
			segment.ifId = whole.ifId;
			segment.route = whole.route;
			packets.push(segment);
		}
		this.#native.moveOctets(moves);
		for (let row = 0; row < moves.count; row++) {
			const segment = packets[first + row];
			if (segment !== undefined) {
				endSegment(plan, segment, moves.sum[row] ?? 0);
			}
		}
	}

	#take(packet: PacketBuffer, batch: Batch, lane: Lane): void {
		if (batch.packets.length === PACKETS_PER_CALL) {
			this.#process(batch, lane);
		}
		batch.packets.push(packet);
	}

	/** From lookup to the wire; the packets' slots are free afterwards. */
	#process(batch: Batch, lane: Lane): void {
		this.#samples.begin(batch.packets, batch.nowUs);
		this.#engine.lookup(batch);
		if (lane.ifId !== 0) {
			this.#refuseUnprotected(batch, lane);
		}
		this.#dropTooBig(batch, lane);
		this.#lease(batch);
		this.#engine.transform(batch);
		for (const packet of batch.packets) {
			this.finish(packet, lane, batch.nowUs);
		}
		batch.truncate(0);
		this.#transmitter.flush();
	}

	/** No number is used before it is leased: packets without go no further. */
	#lease(batch: Batch): void {
		const { packets } = batch;
		let kept = 0;
		for (let i = 0; i < packets.length; i++) {
			const packet = packets[i];
			// Only the lookup puts an object there, and only a bundle.
			if (packet !== undefined && this.#leases(packet.bundle as Bundle | null)) {
				packets[kept++] = packet;
			} else if (packet !== undefined) {
				this.unleased++;
				this.#samples.refuse(packet, OwnDrop.Unleased, 'daemon.ledger', true, batch.nowUs);
			}
		}
		batch.truncate(kept);
	}

	/** Are all numbers leased that its states have used, and what a batch may use? */
	#leases(bundle: Bundle | null): boolean {
		for (let step = bundle?.first ?? null; step !== null; step = step.next) {
			if (!this.#ledger.cover(step.state, NUMBERS_PER_BATCH)) {
				return false;
			}
		}
		return true;
	}

	/**
	 * Sends what the engine had kept, or made, and has put through a bundle: its numbers were taken before anybody
	 * could lease them, so that they are now, before they are on the wire.
	 */
	finishKept(packet: PacketBuffer, bundle: Bundle | null, lane: Lane, nowUs: number): void {
		if (this.#leases(bundle)) {
			this.finish(packet, lane, nowUs);
		} else {
			this.unleased++;
			this.#samples.refuse(packet, OwnDrop.Unleased, 'daemon.ledger', false, nowUs);
		}
	}

	/** Carries out what the engine has decided for a packet. */
	finish(packet: PacketBuffer, lane: Lane, nowUs: number): void {
		switch (packet.action) {
			case PacketAction.Pass:
				if (isOfOneLink(packet)) {
					// Some program's, to whoever is behind our device: it means no other.
					this.#transmitter.counters.failed++;
					return;
				}
				this.#send(packet, lane, nowUs);
				return;
			case PacketAction.Transformed:
				this.#send(packet, lane, nowUs);
				return;
			case PacketAction.Fragment:
				this.#transformPieces(packet, lane, nowUs);
				return;
			case PacketAction.Drop:
				this.#samples.note(packet, 'outward', nowUs);
				if (packet.error === Errno.EMSGSIZE && packet.mtu > 0) {
					this.#tellTooBig(packet, packet.mtu, lane);
				}
				return;
			default:
				return;
		}
	}

	/** What the engine has to know of a packet; false when it is none, or has nowhere to go. */
	#begin(packet: PacketBuffer, lane: Lane): boolean {
		const { view, bytes, start, end } = packet;
		if (fitsIpv4(view, start, end)) {
			packet.family = Family.Ipv4;
			packet.end = Math.min(end, start + ipv4TotalLength(view, start));
		} else if (fitsIpv6(view, start, end)) {
			packet.family = Family.Ipv6;
			packet.end = Math.min(end, start + IPV6_HEADER_OCTETS + ipv6PayloadLength(view, start));
		} else {
			return false;
		}
		packet.forwarded = true;
		packet.mark = lane.mark;
		packet.ifId = lane.ifId;
		const ipv4 = packet.family === Family.Ipv4;
		const sourceAt = start + (ipv4 ? 12 : 8);
		const destinationAt = start + (ipv4 ? 16 : 24);
		const { family } = packet;
		packet.route = this.#routes.lookupIn(family, bytes, destinationAt, sourceAt, lane.mark) ?? null;
		return true;
	}

	/**
	 * A device of an if_id takes nowhere what no policy and states of it protect, and tells its sender; nothing waits
	 * for states here.
	 *
	 * @spec X-3 X-12
	 */
	#refuseUnprotected(batch: Batch, lane: Lane): void {
		const { packets } = batch;
		let kept = 0;
		for (let i = 0; i < packets.length; i++) {
			// A batch has no holes.
			const packet = packets[i] as PacketBuffer;
			const bundle = packet.bundle as Bundle | null;
			if (bundle === null || bundle.first === null) {
				this.carrier++;
				this.#tellUnreachable(packet, batch.nowUs, lane);
				this.#noteRefused(packet, OwnDrop.Carrier, 'host.link-failure', batch.nowUs);
			} else if (bundle.route.ifindex === lane.ifindex) {
				this.collisions++;
				this.#noteRefused(packet, OwnDrop.Collision, 'host.device-loop', batch.nowUs);
			} else {
				packets[kept++] = packet;
			}
		}
		batch.truncate(kept);
	}

	/** What the engine has dropped already is its own to tell. */
	#noteRefused(packet: PacketBuffer, verdict: number, code: string, nowUs: number): void {
		if (packet.action === PacketAction.Drop) {
			this.#samples.note(packet, 'outward', nowUs);
		} else {
			this.#samples.refuse(packet, verdict, code, true, nowUs);
		}
	}

	/** Takes packets out of the batch that are too long for their bundle and may not be cut. */
	#dropTooBig(batch: Batch, lane: Lane): void {
		const { packets } = batch;
		let kept = 0;
		for (let i = 0; i < packets.length; i++) {
			const packet = packets[i];
			if (packet === undefined) {
				continue;
			}
			if (!this.#isTooBig(packet)) {
				packets[kept++] = packet;
			} else if (this.#isOwnDatagram(packet)) {
				this.#tellOnce(packet, batch.nowUs, lane);
				packet.forwarded = false;
				packet.dontFragment = false;
				packets[kept++] = packet;
			} else {
				this.#tellTooBig(packet, packet.mtu, lane);
				this.#samples.refuse(packet, Verdict.OutTooBig, 'fwd.too-big', true, batch.nowUs);
			}
		}
		batch.truncate(kept);
	}

	/**
	 * Is it IPv6 of a program here that the kernel would have cut itself, for a device of another MTU than ours? It does
	 * so as the packet leaves, so that hearing of the path's MTU changes nothing; TCP makes its segments by it.
	 */
	#isOwnDatagram({ family, view, bytes, start, mark }: PacketBuffer): boolean {
		return (
			family === Family.Ipv6 &&
			ipv6NextHeader(view, start) !== IpProto.Tcp &&
			this.#routes.lookupIn(family, bytes, start + 8, -1, mark)?.kind === 'local'
		);
	}

	/**
	 * What keeps to the link's MTU may be a search for the path's, by a socket that has no fragments: the kernel
	 * refuses them to it, when it knows. The others, pings among them, need not hear again and again.
	 */
	#tellOnce(packet: PacketBuffer, nowUs: number, lane: Lane): void {
		const { mtu, view, start, route } = packet;
		const peer = view.getInt32(start + 36);
		const isKnown =
			this.#toldPeer === peer && this.#toldMtu === mtu && nowUs - this.#toldUs < TOLD_AGAIN_US;
		if (packet.length <= (route?.mtu ?? 0) && !isKnown) {
			this.#toldPeer = peer;
			this.#toldMtu = mtu;
			this.#toldUs = nowUs;
			this.#tellTooBig(packet, mtu, lane);
		}
	}

	/** IPv6 tunnels are the engine's to judge; what it does not cut is too big here as well. */
	#isTooBig(packet: PacketBuffer): boolean {
		const goes = packet.action === PacketAction.Transformed || packet.action === PacketAction.Pass;
		if (!goes || packet.length <= packet.mtu) {
			return false;
		}
		return packet.family === Family.Ipv6 || ipv4DontFragment(packet.view, packet.start);
	}

	#tellTooBig(packet: PacketBuffer, mtu: number, lane: Lane): void {
		const error = tooBigError(packet, mtu);
		if (error !== undefined) {
			this.#transmitter.toKernel(error, lane.fd, NOT);
		}
	}

	/** At most so often as Linux tells a peer. */
	#tellUnreachable(packet: PacketBuffer, nowUs: number, lane: Lane): void {
		const sourceEndAt = packet.start + (packet.family === Family.Ipv4 ? 16 : 24);
		const peer = packet.view.getInt32(sourceEndAt - 4);
		const error = unreachableError(packet);
		if (error !== undefined && this.#peers.admitError(peer, nowUs, UNREACHABLE_EVERY_US)) {
			this.#transmitter.toKernel(error, lane.fd, NOT);
		}
	}

	#transformPieces(packet: PacketBuffer, lane: Lane, nowUs: number): void {
		const one = this.#one;
		one.nowUs = nowUs;
		for (const piece of fragmentPacket(packet, packet.mtu, randomId()) ?? []) {
			one.truncate(0);
			one.packets.push(piece);
			this.#engine.transform(one);
			this.finish(piece, lane, nowUs);
		}
	}

	/** Out, in pieces if it is too long. */
	#send(packet: PacketBuffer, lane: Lane, nowUs: number): void {
		const { route } = packet;
		if (route === null) {
			this.#transmitter.counters.failed++;
			return;
		}
		if (route.ifindex === lane.ifindex) {
			// Somebody leads there what no policy protects, or what protects it: it would come back at once.
			this.collisions++;
			const untouched = packet.action === PacketAction.Pass;
			this.#samples.refuse(packet, OwnDrop.Collision, 'host.device-loop', untouched, nowUs);
			return;
		}
		const udpAt = packet.action === PacketAction.Transformed ? udpHeaderAt(packet) : -1;
		const port = udpAt < 0 ? undefined : this.#portOf(packet, udpAt);
		if (udpAt >= 0 && port === undefined) {
			this.portless++;
			const state = this.#stateIn(packet, udpAt);
			this.#samples.refuse(packet, OwnDrop.Portless, 'daemon.port', false, nowUs, state);
			return;
		}
		if (packet.length <= route.mtu) {
			if (port === undefined) {
				this.#transmitter.toNetwork(packet);
			} else {
				this.#transmitter.toPort(packet, udpAt, port);
			}
			return;
		}
		const whole = packet.family === Family.Ipv4 && ipv4DontFragment(packet.view, packet.start);
		const pieces = whole ? undefined : fragmentPacket(packet, route.mtu, randomId());
		if (pieces === undefined) {
			this.#tellTooBig(packet, route.mtu, lane);
			this.#samples.refuse(packet, Verdict.OutTooBig, 'fwd.too-big', false, nowUs);
			return;
		}
		for (const piece of pieces) {
			this.#transmitter.toNetwork(piece);
		}
	}

	/** The state whose ESP this is, in UDP. */
	#stateIn({ family, view, bytes, start, mark }: PacketBuffer, udpAt: number): XfrmState | null {
		const at = start + (family === Family.Ipv4 ? 16 : 24);
		const daddr = new Uint8Array(16);
		daddr.set(bytes.subarray(at, at + (family === Family.Ipv4 ? 4 : 16)));
		const id = { daddr, spi: view.getUint32(udpAt + 8), proto: IpProto.Esp };
		return this.#engine.findState({ family, id, mark }) ?? null;
	}

	/** ESP in UDP goes only as long as somebody has its port, as in Linux. */
	#portOf({ family, view, bytes, start }: PacketBuffer, udpAt: number): EncapPort | undefined {
		const sourceAt = start + (family === Family.Ipv4 ? 12 : 8);
		return this.#ports.find(family, udpSourcePort(view, udpAt), bytes, sourceAt);
	}
}

/** Offset of the UDP header of a packet in UDP, else -1. */
function udpHeaderAt({ view, start, family }: PacketBuffer): number {
	const ipv4 = family === Family.Ipv4;
	const proto = ipv4 ? ipv4Protocol(view, start) : ipv6NextHeader(view, start);
	const octets = ipv4 ? ipv4HeaderOctets(view, start) : IPV6_HEADER_OCTETS;
	return proto === IpProto.Udp ? start + octets : -1;
}

/** Is it to a group, or to a neighbour by a link-local address? */
function isOfOneLink({ family, view, start }: PacketBuffer): boolean {
	if (family === Family.Ipv4) {
		const first = view.getUint8(start + 16);
		return (first >= 224 && first < 240) || view.getUint16(start + 16) === 0xa9fe;
	}
	const first = view.getUint16(start + 24);
	return first >= 0xff00 || (first & 0xffc0) === 0xfe80;
}

/** Identification of the pieces of a packet. */
function randomId(): number {
	return (Math.random() * 2 ** 32) | 0;
}
