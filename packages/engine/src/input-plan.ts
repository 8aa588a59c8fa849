/**
 * What input knows of packets while it handles a batch: columns with a place a packet, and the header
 * that is being worked on. Made once a namespace; input.ts explains how it is used.
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

/** `InputPlan.job` of a packet that has none, and the place of a packet that was not noted. */
export const NONE = -1;

export class InputPlan {
	/** Packets noted, at most CRYPTO_JOBS_MAX. */
	count: number = 0;
	readonly packets: (PacketBuffer | null)[];
	/** The state of the packet's first transform, null when none was found. */
	readonly states: (XfrmState | null)[];
	/** Sequence number on the wire and the high half that its job was made with. */
	readonly seq: Int32Array = new Int32Array(CRYPTO_JOBS_MAX);
	readonly seqHi: Int32Array = new Int32Array(CRYPTO_JOBS_MAX);
	/** Its place in `jobs`, or NONE. */
	readonly job: Int32Array = new Int32Array(CRYPTO_JOBS_MAX);
	/** The namespace's generation when the states were looked up. */
	generation: number = 0;

	/** Jobs of a whole batch, and of a packet that is opened alone. */
	readonly jobs: CryptoBatch = new CryptoBatch(CRYPTO_JOBS_MAX);
	readonly alone: CryptoBatch = new CryptoBatch(1);
	/** What the last transform that was opened left behind. */
	readonly opened: Opened = new Opened();

	// The transform header at hand, and what its state is looked up by.

	/** int32; a CPI for IPComp, the source address for IPv4 helpers. */
	spi: number = 0;
	/** int32; 0 where the protocol has none. */
	sequence: number = 0;
	/** Family and mark of the lookup: those of the packet as it arrived. */
	family: number = 0;
	mark: number = 0;
	/** Destination of the lookup: the packet's, or behind a transport mode that of the state before. */
	destination: Int32Array;
	/** UDP encapsulation that the state must have; only the outermost may. */
	encapType: number = 0;
	/** Addresses of the packet at hand. */
	readonly daddr: Int32Array = new Int32Array(4);
	readonly saddr: Int32Array = new Int32Array(4);

	/** ESP in UDP that goes on to `input`; empty between calls. */
	readonly datagrams: Batch = new Batch();
	/** Where a packet is inflated; made for the first IPComp packet. */
	private inflated: Uint8Array | null = null;

	constructor() {
		this.packets = new Array<PacketBuffer | null>(CRYPTO_JOBS_MAX).fill(null);
		this.states = new Array<XfrmState | null>(CRYPTO_JOBS_MAX).fill(null);
		this.destination = this.daddr;
	}

	/** Room for the longest inflated payload. There is one, so IPComp packets are opened one by one. */
	get scratch(): Uint8Array {
		this.inflated ??= new Uint8Array(IPCOMP_RESULT_OCTETS_MAX);
		return this.inflated;
	}

	/** Forgets all packets, and what could keep a buffer or a state alive. */
	clear(): void {
		for (let i = 0; i < this.count; i++) {
			this.packets[i] = null;
			this.states[i] = null;
		}
		this.count = 0;
		this.jobs.count = 0;
		this.destination = this.daddr;
	}
}
