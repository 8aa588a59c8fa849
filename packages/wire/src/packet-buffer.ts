/**
 * A packet on its way through the stack, with room to grow at both ends:
 *
 *     0        start                                   end      bytes.length
 *     | headroom | IP header | … transportAt … payload | tailroom |
 *
 * One class, one shape: every field is set here with its final type and none is added later (V8 keeps
 * field access at 2 ns). Headers are prepended in place; `reserve` is the only thing that may allocate,
 * when a packet outgrows its buffer. The buffer belongs to the driver and comes back to it.
 */
import { Flow } from './flow.ts';
import type { Route } from './route.ts';
import { MAX_DEPTH } from './xfrm/constants.ts';

/** Room kept in front of and behind a packet: six tunnels over IPv6 with UDP fit. */
export const HEADROOM_OCTETS = 640;
export const TAILROOM_OCTETS = 640;

/** The largest IP packet: an IPv6 header and 65535 octets of payload. */
export const PACKET_OCTETS_MAX = 65575;

/** A buffer will not grow beyond the largest packet and both rooms. */
export const BUFFER_OCTETS_MAX: number = PACKET_OCTETS_MAX + HEADROOM_OCTETS + TAILROOM_OCTETS;

export class PacketBuffer {
	bytes: Uint8Array;
	view: DataView;
	start: number;
	end: number;
	/** Where `bytes` begins in the memory that its driver has for packets; -1 for memory of its own. */
	slabAt: number = -1;

	/** IP version of the header at `start`, as a family (2 or 10). */
	family: number = 0;
	/** Protocol of the header at `transportAt`. */
	proto: number = 0;
	/** Offset of the header being worked on, behind IP header and skipped extension headers. */
	transportAt: number = 0;
	/** Offset of the octet that names the protocol at `transportAt`; 0 until headers were walked. */
	nextHeaderAt: number = 0;

	/** Packet mark, int32. */
	mark: number = 0;
	/** Interface it arrived by, 0 for a packet made here. */
	iif: number = 0;
	/** if_id for lookups: that of the xfrm interface it goes or came through, 0 otherwise. */
	ifId: number = 0;
	/** The socket that sends it, 0 for none (forwarded, kernel made). */
	socketId: number = 0;
	/** Forwarded rather than made here: who hears of too-big, and whether a hold queue may take it. */
	forwarded: boolean = false;
	/** Local sender said "do not fragment": too big is answered with EMSGSIZE. */
	dontFragment: boolean = false;
	/** UDP encapsulation it came in, 0 for none (I-4), with the source port it came from. */
	encapType: number = 0;
	encapSport: number = 0;

	/** It came to a VTI device, which takes tunnels only. */
	tunnelOnly: boolean = false;

	/** States that opened it, outermost first (the sec path), `pathCount` of them. Objects of the engine. */
	readonly path: (object | null)[];
	pathCount: number = 0;
	/** Leading entries of `path` that an earlier policy check has accepted (I-17). */
	verifiedCount: number = 0;

	/** The flow it is looked up by. */
	readonly flow: Flow = new Flow();
	/** Where it goes. */
	route: Route | null = null;

	/** The resolved output path, null for none: an object of the engine, from lookup to transform. */
	bundle: object | null = null;
	/** Octets that fit, when a packet is refused as too big or has to be fragmented first. */
	mtu: number = 0;

	/** What the engine decided: `Verdict`, `PacketAction`, and the sender's error (positive errno or 0). */
	verdict: number = 0;
	action: number = 0;
	error: number = 0;

	constructor(capacity: number) {
		this.bytes = new Uint8Array(capacity);
		this.view = new DataView(this.bytes.buffer);
		this.start = HEADROOM_OCTETS;
		this.end = HEADROOM_OCTETS;
		// One more than the engine's depth: some kernels take a binding as the seventh (T-55).
		this.path = new Array<object | null>(MAX_DEPTH + 1).fill(null);
	}

	/** A new buffer with rooms at both ends that holds a copy of `packet`. */
	static from(packet: Uint8Array): PacketBuffer {
		const buffer = new PacketBuffer(HEADROOM_OCTETS + packet.length + TAILROOM_OCTETS);
		buffer.fill(packet);
		return buffer;
	}

	get length(): number {
		return this.end - this.start;
	}

	/** Forgets the packet before and takes a copy of this one; `false` when it is longer than a buffer may be. */
	fill(packet: Uint8Array): boolean {
		this.reset();
		if (packet.length > PACKET_OCTETS_MAX) {
			return false;
		}
		if (this.end + packet.length > this.bytes.length) {
			this.reserve(0, packet.length + TAILROOM_OCTETS);
		}
		this.bytes.set(packet, this.start);
		this.end = this.start + packet.length;
		return true;
	}

	/** Everything but the bytes as it was when new. */
	reset(): void {
		this.start = HEADROOM_OCTETS;
		this.end = HEADROOM_OCTETS;
		this.family = 0;
		this.proto = 0;
		this.transportAt = 0;
		this.nextHeaderAt = 0;
		this.mark = 0;
		this.iif = 0;
		this.ifId = 0;
		this.socketId = 0;
		this.forwarded = false;
		this.dontFragment = false;
		this.encapType = 0;
		this.encapSport = 0;
		this.tunnelOnly = false;
		this.clearPath();
		this.flow.clear();
		this.route = null;
		this.bundle = null;
		this.mtu = 0;
		this.verdict = 0;
		this.action = 0;
		this.error = 0;
	}

	/** Forgets the sec path. */
	clearPath(): void {
		for (let i = 0; i < this.pathCount; i++) {
			this.path[i] = null;
		}
		this.pathCount = 0;
		this.verifiedCount = 0;
	}

	/**
	 * Makes sure of `head` octets before `start` and `tail` behind `end`; offsets move together. False,
	 * with nothing changed, when the buffer would become too long.
	 */
	reserve(head: number, tail: number): boolean {
		return (this.start >= head && this.bytes.length - this.end >= tail) || this.grow(head, tail);
	}

	private grow(head: number, tail: number): boolean {
		const lead = Math.max(head, HEADROOM_OCTETS);
		const capacity = lead + this.length + Math.max(tail, TAILROOM_OCTETS);
		if (capacity > BUFFER_OCTETS_MAX) {
			return false;
		}
		const bytes = new Uint8Array(capacity);
		bytes.set(this.bytes.subarray(this.start, this.end), lead);
		const shift = lead - this.start;
		this.bytes = bytes;
		this.view = new DataView(bytes.buffer);
		this.slabAt = -1;
		this.start += shift;
		this.end += shift;
		// 0 is "not known yet" and stays so.
		this.transportAt += this.transportAt === 0 ? 0 : shift;
		this.nextHeaderAt += this.nextHeaderAt === 0 ? 0 : shift;
		return true;
	}

	/** A copy of the packet's octets. */
	copy(): Uint8Array {
		return this.bytes.slice(this.start, this.end);
	}
}
