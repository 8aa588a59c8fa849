/**
 * What input knows of packets while it handles a batch: those that wait, and the header that is being
 * worked on. Made once a namespace; input.ts explains how it is used.
 *
 * @hotpath
 */
import { CryptoBatch } from '@xfrm/crypto/provider';
import type { PacketBuffer } from '@xfrm/wire';
import { Batch } from './batch.ts';
import { CRYPTO_JOBS_MAX } from './limits.ts';
import type { XfrmState } from './state.ts';
import { IPCOMP_RESULT_OCTETS_MAX } from './transforms/ipcomp-input.ts';
import { Opened } from './transforms/opened.ts';

/** A packet that has a job and waits for the provider's call, with what of the plan was its own. */
export class WaitingPacket {
	/** Null between calls: a plan keeps no buffer. */
	packet: PacketBuffer | null = null;
	/** The state of its outermost transform. Not cleared, only overwritten. */
	state: XfrmState | null = null;
	/** Sequence number on the wire and the high half that its job was made with. */
	sequence: number = 0;
	seqHi: number = 0;
	/** Mark it arrived with. */
	mark: number = 0;
}

export class InputPlan {
	/** Packets that wait to be opened, at most CRYPTO_JOBS_MAX; their places are those of their jobs. */
	count: number = 0;
	readonly waiting: WaitingPacket[] = [];
	/** Whole Unix seconds of the call. */
	seconds: number = 0;
	/** Jobs of the packets that wait, and of a transform behind another one. */
	readonly jobs: CryptoBatch = new CryptoBatch(CRYPTO_JOBS_MAX);
	readonly alone: CryptoBatch = new CryptoBatch(1);
	/** What the last transform that was opened left behind. */
	readonly opened: Opened = new Opened();

	// The transform header at hand, and what its state is looked up by.

	/** Is there such a header? */
	isParsed: boolean = false;
	/** int32; a CPI for IPComp, the source address for IPv4 helpers. */
	spi: number = 0;
	/** int32; 0 where the protocol has none. */
	sequence: number = 0;
	/** The high half that it is taken to have, once its state admitted it; 0 without ESN. */
	seqHi: number = 0;
	/** Family and mark of the lookup: those of the packet as it arrived. */
	family: number = 0;
	mark: number = 0;
	/** Destination of the lookup: the packet's, or behind a transport mode that of the state before. */
	destination: Int32Array;
	/** UDP encapsulation that the state must have; only the outermost may. */
	encapType: number = 0;
	/** The last answer of the table, and for which mark and generation it was. */
	found: XfrmState | null = null;
	foundMark: number = 0;
	foundGeneration: number = 0;
	/** Addresses of the packet at hand; the source only after `loadSource`. */
	readonly daddr: Int32Array = new Int32Array(4);
	readonly saddr: Int32Array = new Int32Array(4);

	/** ESP in UDP that goes on to `input`; empty between calls. */
	readonly datagrams: Batch = new Batch();
	/** With a tracer: the packet before what is being done to it. */
	sealed: Uint8Array | null = null;
	/** Where a packet is inflated; made for the first IPComp packet. */
	private inflated: Uint8Array | null = null;

	constructor() {
		this.destination = this.daddr;
		for (let place = 0; place < CRYPTO_JOBS_MAX; place++) {
			this.waiting.push(new WaitingPacket());
		}
	}

	/** Room for the longest inflated payload. There is one, so IPComp packets are opened one by one. */
	get scratch(): Uint8Array {
		this.inflated ??= new Uint8Array(IPCOMP_RESULT_OCTETS_MAX);
		return this.inflated;
	}

	/** The packet at hand has got a job with this state. */
	wait(packet: PacketBuffer, state: XfrmState): void {
		const waiting = this.waiting[this.count++];
		if (waiting !== undefined) {
			waiting.packet = packet;
			waiting.state = state;
			waiting.sequence = this.sequence;
			waiting.seqHi = this.seqHi;
			waiting.mark = this.mark;
		}
	}

	/** As between two calls of the provider; the packets have been taken out. */
	clear(): void {
		this.count = 0;
		this.jobs.count = 0;
		this.destination = this.daddr;
		this.sealed = null;
	}
}
