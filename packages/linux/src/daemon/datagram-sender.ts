/**
 * ESP in UDP on its way out: datagrams of one peer that follow each other leave by one system call, cut by the
 * kernel or its device (UDP_SEGMENT, udp(7)). All but the last are as long as the first.
 *
 * What the engine has written into the outer headers goes to the socket as addresses and control messages; the
 * kernel writes them anew, with an identification and a UDP checksum of its own.
 *
 * @hotpath
 */
import { ipv4DontFragment, type PacketBuffer, UDP_HEADER_OCTETS } from '@xfrm/wire';
import { Errno, Family } from '@xfrm/wire/xfrm';
import { PACKETS_PER_CALL } from '../limits.ts';
import { AF_INET, AF_INET6, IpOption, intValue, Level, MtuDiscover } from '../native/abi.ts';
import { LOCAL_OCTETS, PacketBatch, PEER_OCTETS } from '../native/packet-batch.ts';
import type { Native } from '../native/seam.ts';
import { routeMark } from '../rtnetlink/kernel-routes.ts';
import type { EncapPort } from './encap-ports.ts';
import type { TransmitCounters } from './transmitter.ts';

/** A device without checksum offload cannot cut. */
const EIO = 5;

/** UDP_MAX_SEGMENTS, and the longest IP packet less room for headers. */
const SEGMENTS_MAX = 64;
const MESSAGE_OCTETS_MAX = 65_000;

export class DatagramSender {
	readonly #native: Native;
	readonly #batch: PacketBatch;
	#port: EncapPort | null = null;
	#dontFragment: boolean = false;
	/** First row of the message that the next datagram may be joined to, -1 for none; its packet and UDP header. */
	#first: number = -1;
	#firstPacket: PacketBuffer | null = null;
	#firstUdpAt: number = 0;
	#messageOctets: number = 0;
	/** The kernel or a device has refused to cut: all go one by one from then on. */
	#cuts: boolean = true;

	constructor(native: Native, slab: Uint8Array) {
		this.#native = native;
		this.#batch = new PacketBatch(slab, PACKETS_PER_CALL);
	}

	/** Can the packet go with those that wait? Otherwise they have to be flushed first. */
	accepts(packet: PacketBuffer, port: EncapPort): boolean {
		const { count, capacity } = this.#batch;
		const fits = this.#port === port && this.#dontFragment === dontFragment(packet);
		return count === 0 || (fits && count < capacity);
	}

	/** Takes a packet whose UDP header is at `udpAt`; `at` is its place in the slab. */
	add(packet: PacketBuffer, udpAt: number, at: number, port: EncapPort): void {
		const batch = this.#batch;
		const row = batch.count++;
		const octets = packet.end - udpAt - UDP_HEADER_OCTETS;
		this.#port = port;
		this.#dontFragment = dontFragment(packet);
		batch.at[row] = at + udpAt - packet.start + UDP_HEADER_OCTETS;
		batch.octets[row] = octets;
		batch.segmentOctets[row] = 0;
		batch.mark[row] = routeMark(packet.route);
		const first = this.#first;
		if (first >= 0 && this.#joins(first, row, octets, packet, udpAt)) {
			const segmentOctets = batch.octets[first] ?? 0;
			batch.joined[row] = 1;
			batch.segmentOctets[first] = segmentOctets;
			this.#messageOctets += octets;
			this.#first = octets < segmentOctets ? -1 : first;
			return;
		}
		batch.joined[row] = 0;
		this.#writeAddresses(packet, udpAt, row);
		this.#first = row;
		this.#firstPacket = packet;
		this.#firstUdpAt = udpAt;
		this.#messageOctets = octets;
	}

	/** Sends all that wait. */
	flush(counters: TransmitCounters): void {
		const batch = this.#batch;
		const port = this.#port;
		this.#first = -1;
		this.#firstPacket = null;
		if (batch.count === 0 || port === null) {
			return;
		}
		this.#setDiscovery(port);
		this.#native.sendPackets(port.fd, 'datagram', batch);
		if (this.#cuts && this.#keepRefused(counters)) {
			this.#cuts = false;
			this.#native.sendPackets(port.fd, 'datagram', batch);
		}
		for (let row = 0; row < batch.count; row++) {
			if (batch.status[row] === 0) {
				counters.sent++;
			} else {
				counters.failed++;
			}
		}
		batch.count = 0;
		this.#port = null;
	}

	/** Keeps what could not be cut, each datagram by itself; false when there was nothing of the kind. */
	#keepRefused(counters: TransmitCounters): boolean {
		const batch = this.#batch;
		let isRefused = false;
		for (let row = 0; row < batch.count; row++) {
			const status = batch.status[row];
			isRefused ||= batch.joined[row] === 1 && (status === -EIO || status === -Errno.EINVAL);
		}
		if (!isRefused) {
			return false;
		}
		let kept = 0;
		let keptFirst = 0;
		for (let row = 0; row < batch.count; row++) {
			if (batch.status[row] === 0) {
				counters.sent++;
				continue;
			}
			if (batch.joined[row] === 0) {
				keptFirst = kept;
				batch.copyAddresses(row, kept);
			} else {
				batch.copyAddresses(keptFirst, kept);
			}
			batch.at[kept] = batch.at[row] ?? 0;
			batch.octets[kept] = batch.octets[row] ?? 0;
			batch.joined[kept] = 0;
			batch.segmentOctets[kept] = 0;
			kept++;
		}
		batch.count = kept;
		return true;
	}

	/** May the datagram go on with the message that began with row `first`? */
	#joins(first: number, row: number, octets: number, packet: PacketBuffer, udpAt: number): boolean {
		const other = this.#firstPacket;
		return (
			this.#cuts &&
			other !== null &&
			octets <= (this.#batch.octets[first] ?? 0) &&
			this.#batch.mark[first] === this.#batch.mark[row] &&
			row - first < SEGMENTS_MAX &&
			this.#messageOctets + octets <= MESSAGE_OCTETS_MAX &&
			other.family === packet.family &&
			other.view.getInt32(this.#firstUdpAt) === packet.view.getInt32(udpAt) &&
			sameOuterHeader(other, packet)
		);
	}

	#writeAddresses(packet: PacketBuffer, udpAt: number, row: number): void {
		const { bytes, view, start } = packet;
		const { peer, peerView, local, trafficClass, hopLimit } = this.#batch;
		const ipv4 = packet.family === Family.Ipv4;
		const octets = ipv4 ? 4 : 16;
		const peerAt = row * PEER_OCTETS;
		const localAt = row * LOCAL_OCTETS;
		this.#batch.clearPeer(row);
		peerView.setUint16(peerAt, ipv4 ? AF_INET : AF_INET6, true);
		peerView.setUint16(peerAt + 2, view.getUint16(udpAt + 2));
		const sourceAt = start + (ipv4 ? 12 : 8);
		for (let i = 0; i < octets; i++) {
			local[localAt + i] = bytes[sourceAt + i] ?? 0;
			peer[peerAt + (ipv4 ? 4 : 8) + i] = bytes[sourceAt + octets + i] ?? 0;
		}
		trafficClass[row] = ipv4 ? view.getUint8(start + 1) : (view.getUint16(start) >> 4) & 0xff;
		hopLimit[row] = view.getUint8(start + (ipv4 ? 8 : 7));
	}

	/** Path MTUs are the engine's matter: the socket is to send what it gets, with DF or without. */
	#setDiscovery(port: EncapPort): void {
		const wanted = this.#dontFragment ? MtuDiscover.Probe : MtuDiscover.Omit;
		if (port.takesIpv4 && port.discovery !== wanted) {
			port.discovery = wanted;
			this.#native.setOption(port.fd, Level.Ip, IpOption.MtuDiscover, intValue(wanted));
		}
	}
}

function dontFragment(packet: PacketBuffer): boolean {
	return packet.family === Family.Ipv4 && ipv4DontFragment(packet.view, packet.start);
}

/** Equal in all that the socket is told of: addresses, traffic class, hop limit. */
function sameOuterHeader(one: PacketBuffer, other: PacketBuffer): boolean {
	const { view: a, start: at } = one;
	const { view: b, start: from } = other;
	if (one.family === Family.Ipv4) {
		return (
			a.getUint8(at + 1) === b.getUint8(from + 1) &&
			a.getUint8(at + 8) === b.getUint8(from + 8) &&
			a.getInt32(at + 12) === b.getInt32(from + 12) &&
			a.getInt32(at + 16) === b.getInt32(from + 16)
		);
	}
	let differs =
		((a.getUint16(at) ^ b.getUint16(from)) & 0xfff0) | (a.getUint8(at + 7) ^ b.getUint8(from + 7));
	for (let i = 8; i < 40; i += 4) {
		differs |= a.getInt32(at + i) ^ b.getInt32(from + i);
	}
	return differs === 0;
}
