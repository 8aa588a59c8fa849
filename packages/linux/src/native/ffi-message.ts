/**
 * The structs of recvmmsg(2) and sendmmsg(2) for a batch, laid out once; what changes from call to call is
 * where the octets are.
 *
 *     struct mmsghdr   name 8 | name octets 4 + 4 | iov 8 | iov count 8 | control 8 | control octets 8
 *                      | flags 4 + 4 | message octets 4 + 4                                       = 64
 *     struct iovec     base 8 | octets 8
 *     struct cmsghdr   octets 8 | level 4 | type 4 | value, to a multiple of 8
 */
import { viewOf } from '@xfrm/netlink';
import { Family } from '@xfrm/wire/xfrm';
import {
	AF_INET,
	IpOption,
	Ipv6Option,
	Level,
	SOCKADDR_OCTETS_MAX,
	SocketOption,
	sockaddrOctets,
	UdpOption,
} from './abi.ts';
import { LOCAL_OCTETS, type PacketBatch, PEER_OCTETS } from './packet-batch.ts';
import type { PortKind } from './seam.ts';

const HEADER_OCTETS = 64;
const IOVEC_OCTETS = 16;
const CONTROL_OCTETS = 192;
const CMSG_HEADER_OCTETS = 16;

/** Offsets in `struct mmsghdr`. */
const NameOctetsAt = 8;
const IovAt = 16;
const IovCountAt = 24;
const ControlAt = 32;
const ControlOctetsAt = 40;
const MessageOctetsAt = 56;

/** Writes a 64-bit number that a double holds exactly. What is too much for 32 bits falls off, and so do fractions. */
export function setPointer(view: DataView, at: number, value: number): void {
	view.setUint32(at, value, true);
	view.setUint32(at + 4, value / 2 ** 32, true);
}

/** Finds the address of a typed array's memory. */
export type AddressOf = (bytes: Uint8Array) => number;

export class MessageRows {
	readonly headers: Uint8Array;
	readonly headersAddress: number;
	readonly #view: DataView;
	readonly #iovecs: DataView;
	readonly #control: Uint8Array;
	readonly #controlView: DataView;
	readonly #controlAddress: number;
	readonly #slabAddress: number;
	readonly #iovecsAddress: number;
	readonly #peerAddress: number;
	/** Row that each message to be sent begins with, and how many messages there are. */
	readonly #firstRows: Int32Array;
	messages: number = 0;
	/** Memory that C knows by address only. */
	readonly #kept: readonly Uint8Array[];

	constructor(batch: PacketBatch, addressOf: AddressOf) {
		const { capacity, slab, peer } = batch;
		this.headers = new Uint8Array(capacity * HEADER_OCTETS);
		this.#view = viewOf(this.headers);
		const iovecs = new Uint8Array(capacity * IOVEC_OCTETS);
		this.#iovecs = viewOf(iovecs);
		this.#control = new Uint8Array(capacity * CONTROL_OCTETS);
		this.#controlView = viewOf(this.#control);
		this.headersAddress = addressOf(this.headers);
		this.#controlAddress = addressOf(this.#control);
		this.#slabAddress = addressOf(slab);
		this.#kept = [iovecs, slab, peer];
		this.#iovecsAddress = addressOf(iovecs);
		this.#peerAddress = addressOf(peer);
		this.#firstRows = new Int32Array(capacity);
	}

	/** Makes `count` rows from `first` on ready to be received into. */
	prepareReceive(batch: PacketBatch, first: number, count: number): void {
		for (let row = first; row < first + count; row++) {
			const at = row * HEADER_OCTETS;
			this.#beginMessage(at, row);
			this.#view.setUint32(at + NameOctetsAt, SOCKADDR_OCTETS_MAX, true);
			setPointer(this.#view, at + ControlAt, this.#controlAddress + row * CONTROL_OCTETS);
			setPointer(this.#view, at + ControlOctetsAt, CONTROL_OCTETS);
			setPointer(this.#iovecs, row * IOVEC_OCTETS, this.#slabAddress + (batch.at[row] ?? 0));
			setPointer(this.#iovecs, row * IOVEC_OCTETS + 8, batch.room[row] ?? 0);
		}
	}

	/** Takes what was received into these rows; answers the octets of all. */
	finishReceive(batch: PacketBatch, first: number, count: number): number {
		let sum = 0;
		for (let row = first; row < first + count; row++) {
			const octets = this.#view.getUint32(row * HEADER_OCTETS + MessageOctetsAt, true);
			sum += octets;
			batch.octets[row] = octets;
			batch.segmentOctets[row] = 0;
			this.#readControl(batch, row);
		}
		return sum;
	}

	/** Makes messages of the rows to be sent, those that are joined in one. */
	prepareSend(batch: PacketBatch, kind: PortKind): void {
		let messages = 0;
		for (let row = 0; row < batch.count; row++) {
			setPointer(this.#iovecs, row * IOVEC_OCTETS, this.#slabAddress + (batch.at[row] ?? 0));
			setPointer(this.#iovecs, row * IOVEC_OCTETS + 8, batch.octets[row] ?? 0);
			if (messages > 0 && batch.joined[row] === 1) {
				const countAt = (messages - 1) * HEADER_OCTETS + IovCountAt;
				this.#view.setUint32(countAt, this.#view.getUint32(countAt, true) + 1, true);
				continue;
			}
			const at = messages * HEADER_OCTETS;
			this.#beginMessage(at, row);
			this.#firstRows[messages] = row;
			const family = batch.peerView.getUint16(row * PEER_OCTETS, true);
			this.#view.setUint32(at + NameOctetsAt, sockaddrOctets(family), true);
			const from = messages * CONTROL_OCTETS;
			let octets = kind === 'datagram' ? this.#writeControl(batch, row, from, family) : 0;
			const mark = batch.mark[row] ?? 0;
			if (mark !== 0) {
				const valueAt = this.#beginControl(from + octets, Level.Socket, SocketOption.Mark, 4);
				this.#controlView.setInt32(valueAt, mark, true);
				octets = valueAt + 8 - from;
			}
			setPointer(this.#view, at + ControlAt, octets === 0 ? 0 : this.#controlAddress + from);
			setPointer(this.#view, at + ControlOctetsAt, octets);
			messages++;
		}
		this.messages = messages;
	}

	/** Name and first vector of a message. */
	#beginMessage(at: number, row: number): void {
		setPointer(this.#view, at, this.#peerAddress + row * PEER_OCTETS);
		setPointer(this.#view, at + IovAt, this.#iovecsAddress + row * IOVEC_OCTETS);
		setPointer(this.#view, at + IovCountAt, 1);
	}

	/** Address of a message's header. */
	addressOf(message: number): number {
		return this.headersAddress + message * HEADER_OCTETS;
	}

	/** Address and number of a message's vectors. */
	vectorsOf(message: number): number {
		return this.#iovecsAddress + (this.#firstRows[message] ?? 0) * IOVEC_OCTETS;
	}
	vectorCountOf(message: number): number {
		return this.#view.getUint32(message * HEADER_OCTETS + IovCountAt, true);
	}

	/** Sets the status of a message's rows. */
	settle(batch: PacketBatch, message: number, status: number): void {
		const first = this.#firstRows[message] ?? 0;
		batch.status.fill(status, first, first + this.vectorCountOf(message));
	}

	/** Source address, traffic class, hop limit and segments of a datagram; octets of it. */
	#writeControl(batch: PacketBatch, row: number, from: number, family: number): number {
		const ipv4 = family === AF_INET;
		const level = ipv4 ? Level.Ip : Level.Ipv6;
		const view = this.#controlView;
		const local = row * LOCAL_OCTETS;
		let at = from;
		// struct in_pktinfo: interface, source, destination; struct in6_pktinfo: source, interface.
		const infoOctets = ipv4 ? 12 : 20;
		const info = ipv4 ? IpOption.PacketInfo : Ipv6Option.PacketInfo;
		at = this.#beginControl(at, level, info, infoOctets);
		this.#control.fill(0, at, at + infoOctets);
		for (let i = 0; i < (ipv4 ? 4 : 16); i++) {
			this.#control[at + (ipv4 ? 4 : 0) + i] = batch.local[local + i] ?? 0;
		}
		at += (infoOctets + 7) & ~7;
		at = this.#beginControl(at, level, ipv4 ? IpOption.Tos : Ipv6Option.TrafficClass, 4);
		view.setInt32(at, batch.trafficClass[row] ?? 0, true);
		at = this.#beginControl(at + 8, level, ipv4 ? IpOption.Ttl : Ipv6Option.HopLimit, 4);
		view.setInt32(at, batch.hopLimit[row] ?? 0, true);
		at += 8;
		const segmentOctets = batch.segmentOctets[row] ?? 0;
		if (segmentOctets > 0) {
			at = this.#beginControl(at, Level.Udp, UdpOption.Segment, 2);
			view.setUint16(at, segmentOctets, true);
			at += 8;
		}
		return at - from;
	}

	/** Header of a control message; where its value goes. */
	#beginControl(at: number, level: number, type: number, octets: number): number {
		const view = this.#controlView;
		setPointer(view, at, CMSG_HEADER_OCTETS + octets);
		view.setInt32(at + 8, level, true);
		view.setInt32(at + 12, type, true);
		return at + CMSG_HEADER_OCTETS;
	}

	/** Whoever keeps this object keeps all memory that the structs point to. */
	get kept(): readonly Uint8Array[] {
		return this.#kept;
	}

	#readControl(batch: PacketBatch, row: number): void {
		const base = row * CONTROL_OCTETS;
		const octets = this.#view.getUint32(row * HEADER_OCTETS + ControlOctetsAt, true);
		const end = base + Math.min(octets, CONTROL_OCTETS);
		const view = this.#controlView;
		batch.ifindex[row] = 0;
		batch.trafficClass[row] = 0;
		batch.hopLimit[row] = 0;
		batch.mark[row] = 0;
		for (let at = base; at + CMSG_HEADER_OCTETS <= end; ) {
			const length = view.getUint32(at, true);
			if (length < CMSG_HEADER_OCTETS || at + length > end) {
				return;
			}
			const level = view.getInt32(at + 8, true);
			const type = view.getInt32(at + 12, true);
			this.#takeControl(batch, row, level, type, at + CMSG_HEADER_OCTETS);
			at += (length + 7) & ~7;
		}
	}

	#takeControl(batch: PacketBatch, row: number, level: number, type: number, at: number): void {
		const view = this.#controlView;
		if (level === Level.Ip && type === IpOption.PacketInfo) {
			// struct in_pktinfo: interface, address that it is for, destination in the header.
			batch.ifindex[row] = view.getInt32(at, true);
			this.#copyLocal(batch, row, at + 8, Family.Ipv4);
		} else if (level === Level.Ipv6 && type === Ipv6Option.PacketInfo) {
			batch.ifindex[row] = view.getInt32(at + 16, true);
			this.#copyLocal(batch, row, at, Family.Ipv6);
		} else if (level === Level.Ip && type === IpOption.Tos) {
			batch.trafficClass[row] = view.getUint8(at);
		} else if (level === Level.Ipv6 && type === Ipv6Option.TrafficClass) {
			batch.trafficClass[row] = view.getInt32(at, true);
		} else if (level === Level.Ip && type === IpOption.Ttl) {
			batch.hopLimit[row] = view.getInt32(at, true);
		} else if (level === Level.Ipv6 && type === Ipv6Option.HopLimit) {
			batch.hopLimit[row] = view.getInt32(at, true);
		} else if (level === Level.Udp && type === UdpOption.Gro) {
			batch.segmentOctets[row] = view.getInt32(at, true);
		} else if (level === Level.Socket && type === SocketOption.Mark) {
			batch.mark[row] = view.getInt32(at, true);
		}
	}

	#copyLocal(batch: PacketBatch, row: number, at: number, family: number): void {
		const octets = family === Family.Ipv4 ? 4 : 16;
		for (let i = 0; i < LOCAL_OCTETS; i++) {
			batch.local[row * LOCAL_OCTETS + i] = i < octets ? (this.#control[at + i] ?? 0) : 0;
		}
	}
}
