/**
 * Packets between the operating system and the engine: one slab of memory that never moves, and columns
 * that say where in it packets are and where they come from or go to. A native provider reads the columns
 * without touching an object.
 *
 * @hotpath
 */
import { RECEIVE_OCTETS } from '../limits.ts';
import { SOCKADDR_OCTETS_MAX } from './abi.ts';

/** Octets of a row of `peer`: a socket address, and room to the next multiple of eight. */
export const PEER_OCTETS = 32;
/** Octets of a row of `local`. */
export const LOCAL_OCTETS = 16;

export class PacketBatch {
	readonly slab: Uint8Array;
	readonly capacity: number;
	/** By which number its native provider knows it, -1 before it does. */
	number: number = -1;
	/** Rows in use. */
	count: number = 0;
	/** Offset of the packet in the slab. */
	readonly at: Int32Array;
	/** Octets that may be received there. */
	readonly room: Int32Array;
	readonly octets: Int32Array;
	/**
	 * Octets of each segment but the last when the message is several datagrams in one (UDP_SEGMENT, UDP_GRO);
	 * 0 for one datagram.
	 */
	readonly segmentOctets: Int32Array;
	/** To be sent: 1 when the row goes on with the message of the row before (writev), whose columns count. */
	readonly joined: Int32Array;
	/** Socket addresses. */
	readonly peer: Uint8Array;
	readonly peerView: DataView;
	/** Address of ours that it came to, or is to leave from. */
	readonly local: Uint8Array;
	readonly localView: DataView;
	readonly ifindex: Int32Array;
	readonly trafficClass: Int32Array;
	readonly hopLimit: Int32Array;
	/** Of what was received, where the socket has `ReceiveMark`; to be sent: in place of the socket's when it is not 0. */
	readonly mark: Int32Array;
	/** What became of it: 0, or a negative errno. */
	readonly status: Int32Array;

	constructor(slab: Uint8Array, capacity: number) {
		this.slab = slab;
		this.capacity = capacity;
		this.at = new Int32Array(capacity);
		this.room = new Int32Array(capacity);
		this.octets = new Int32Array(capacity);
		this.segmentOctets = new Int32Array(capacity);
		this.joined = new Int32Array(capacity);
		this.peer = new Uint8Array(capacity * PEER_OCTETS);
		this.peerView = new DataView(this.peer.buffer);
		this.local = new Uint8Array(capacity * LOCAL_OCTETS);
		this.localView = new DataView(this.local.buffer);
		this.ifindex = new Int32Array(capacity);
		this.trafficClass = new Int32Array(capacity);
		this.hopLimit = new Int32Array(capacity);
		this.mark = new Int32Array(capacity);
		this.status = new Int32Array(capacity);
	}

	/** After a receive of `count` rows: did it stop because it had enough? */
	isFilled(count: number): boolean {
		let octets = 0;
		for (let row = 0; row < count; row++) {
			octets += this.octets[row] ?? 0;
		}
		return count === this.capacity || octets >= RECEIVE_OCTETS;
	}

	/** Forgets a row's peer; for so few octets a loop takes less than a call into V8. */
	clearPeer(row: number): void {
		for (let at = row * PEER_OCTETS; at < (row + 1) * PEER_OCTETS; at += 4) {
			this.peerView.setInt32(at, 0);
		}
	}

	/** Copies a row's peer out of a socket address. */
	setPeer(row: number, address: Uint8Array): void {
		const octets = Math.min(address.length, SOCKADDR_OCTETS_MAX);
		for (let i = 0; i < octets; i++) {
			this.peer[row * PEER_OCTETS + i] = address[i] ?? 0;
		}
	}

	/** Copies where a row goes, and how, into one before it. */
	copyAddresses(from: number, to: number): void {
		this.trafficClass[to] = this.trafficClass[from] ?? 0;
		this.hopLimit[to] = this.hopLimit[from] ?? 0;
		this.mark[to] = this.mark[from] ?? 0;
		this.peer.copyWithin(to * PEER_OCTETS, from * PEER_OCTETS, (from + 1) * PEER_OCTETS);
		this.local.copyWithin(to * LOCAL_OCTETS, from * LOCAL_OCTETS, (from + 1) * LOCAL_OCTETS);
	}
}
