/**
 * What an inbound IPTFS state remembers between payloads: the packet under reassembly, and the reorder
 * window with its payloads. iptfs-input.ts and iptfs-window.ts work on it.
 */
import { IPTFS_LENGTH_OCTETS, PacketBuffer } from '@xfrm/wire';
import type { Namespace } from '../namespace.ts';
import type { XfrmState } from '../state.ts';
import { Timer, TimerKind } from '../timer-table.ts';

/** Numbers of one high half. */
const HIGH = 0x1_0000_0000;

/** A sequence number as two halves: a double is not exact for all of 64 bits. */
export interface Sequence {
	hi: number;
	lo: number;
}

/** Adds to a sequence number. */
export function advanceSequence(sequence: Sequence, count: number): void {
	const lo = sequence.lo + count;
	sequence.lo = lo >>> 0;
	sequence.hi = (sequence.hi + Math.floor(lo / HIGH)) >>> 0;
}

/** An IPTFS payload, and what its packet hands on to those inside. */
export class Payload {
	readonly packet: PacketBuffer;
	readonly bytes: Uint8Array;
	readonly view: DataView;
	/** Where the IPTFS header is, and the end. */
	readonly start: number;
	readonly end: number;
	readonly hi: number;
	readonly lo: number;

	constructor(packet: PacketBuffer, start: number, seqHi: number, seqLo: number) {
		this.packet = packet;
		this.bytes = packet.bytes;
		this.view = packet.view;
		this.start = start;
		this.end = packet.end;
		this.hi = seqHi >>> 0;
		this.lo = seqLo >>> 0;
	}

	/** How far behind `sequence` its own number is; exact as long as anybody cares. */
	distanceFrom(sequence: Sequence): number {
		return (this.hi - sequence.hi) * HIGH + (this.lo - sequence.lo);
	}

	/** The same with octets of its own, to be kept: the packet's go back to their owner. */
	keep(): Payload {
		const copy = PacketBuffer.from(this.bytes.subarray(this.start, this.end));
		this.passOn(copy, true);
		return new Payload(copy, copy.start, this.hi, this.lo);
	}

	/** Gives a packet from inside the sec path and the device of this one. */
	passOn(inner: PacketBuffer, withMark: boolean): void {
		const { packet } = this;
		for (let i = 0; i < packet.pathCount; i++) {
			inner.path[i] = packet.path[i] ?? null;
		}
		inner.pathCount = packet.pathCount;
		inner.verifiedCount = packet.verifiedCount;
		inner.iif = packet.iif;
		inner.ifId = packet.ifId;
		inner.mark = withMark ? packet.mark : 0;
	}
}

/** The packet under reassembly: its claimed length, and as many octets as have come. */
export class Waiting {
	readonly bytes: Uint8Array;
	private octets: number = 0;

	constructor(total: number) {
		this.bytes = new Uint8Array(total);
	}

	get octetsMissing(): number {
		return this.bytes.length - this.octets;
	}

	/** Appends what is between, as far as it is missing. */
	append(bytes: Uint8Array, from: number, to: number): void {
		const octets = Math.min(to - from, this.octetsMissing);
		this.bytes.set(bytes.subarray(from, from + octets), this.octets);
		this.octets += octets;
	}
}

export class IptfsReceiver {
	readonly state: XfrmState;
	readonly timer: Timer = new Timer(TimerKind.Iptfs, this);

	// Reassembly.
	waiting: Waiting | null = null;
	/** First octets of a packet whose length is not known yet; at most 5. */
	readonly runt: Uint8Array = new Uint8Array(IPTFS_LENGTH_OCTETS);
	runtOctets: number = 0;
	/** Sequence number of the payload that goes on. */
	readonly nextSequence: Sequence = { hi: 0, lo: 0 };

	// Reorder window.
	/** The number that is waited for; null before the first payload. */
	wanted: Sequence | null = null;
	/** What came early, by distance less one, null for what is missing; the last one is always there. */
	readonly early: (Payload | null)[] = [];
	/** When `early` of the same place is given up if it is missing, or let go: microseconds. */
	readonly dropUs: number[] = [];
	/** Octets in `early`. */
	earlyOctets: number = 0;

	constructor(state: XfrmState) {
		this.state = state;
	}

	get isWaiting(): boolean {
		return this.waiting !== null || this.runtOctets > 0;
	}

	/** Begins a packet of `total` octets with those between. */
	begin(total: number, bytes: Uint8Array, from: number, to: number): Waiting {
		this.waiting = new Waiting(total);
		this.waiting.append(bytes, from, to);
		this.runtOctets = 0;
		return this.waiting;
	}

	/** The packet is complete, or given up. */
	forget(net: Namespace): void {
		this.waiting = null;
		this.runtOctets = 0;
		const [deadlineUs] = this.dropUs;
		if (deadlineUs === undefined) {
			net.timers.stop(this.timer);
		} else {
			net.timers.set(this.timer, deadlineUs);
		}
	}

	/** What is begun goes on in the payload after this one. */
	expectAfter(payload: Payload): void {
		this.nextSequence.hi = payload.hi;
		this.nextSequence.lo = payload.lo;
		advanceSequence(this.nextSequence, 1);
	}

	/** From now on the drop time runs, unless it does. */
	startDropTimer(net: Namespace): void {
		if (!this.timer.isSet) {
			net.timers.set(this.timer, (net.now[0] ?? 0) + this.dropTimeUs);
		}
	}

	get dropTimeUs(): number {
		return this.state.config.iptfs?.dropTimeUs ?? 0;
	}
}
