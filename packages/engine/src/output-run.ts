/**
 * What the output path keeps between packets and batches: packets that wait for the crypto provider,
 * random octets, the counter of IPv4 identifications, and the flows seen lately. One a namespace.
 *
 * @hotpath
 */
import type { PacketBuffer } from '@xfrm/wire';
import type { Bundle, BundleStep } from './bundle.ts';
import { FlowCache } from './flow-cache.ts';
import { COMPRESSION_SCRATCH_OCTETS, CRYPTO_JOBS_MAX, RANDOM_POOL_OCTETS } from './limits.ts';
import type { XfrmState } from './state.ts';

export class OutputRun {
	readonly flows: FlowCache = new FlowCache();
	/** Packets planned and not yet sealed, by number of their job. */
	readonly packets: (PacketBuffer | null)[] = new Array<PacketBuffer | null>(CRYPTO_JOBS_MAX).fill(
		null,
	);
	readonly steps: (BundleStep | null)[] = new Array<BundleStep | null>(CRYPTO_JOBS_MAX).fill(null);
	/** Whole Unix seconds of the batch in work. */
	seconds: number = 0;
	/** Generation of the routes, asked for once a batch. */
	routeGeneration: number = 0;
	/**
	 * Sum over the IPv4 header that the mode has just put in front of the packet, but for protocol and length,
	 * which follow; 0 when it made none.
	 */
	headerSum: number = 0;
	/** States of the bundle that is being resolved. */
	readonly states: (XfrmState | null)[] = [null, null, null, null, null, null];
	/** Held packets that may go now (O-8), and what else timers have made, oldest first. */
	private readonly released: PacketBuffer[] = [];
	/** The bundle that each of them has gone through, null for none. */
	private readonly releasedBundles: (Bundle | null)[] = [];
	/** That of the packet which was taken last. */
	takenBundle: Bundle | null = null;
	private readonly pool: Uint8Array = new Uint8Array(RANDOM_POOL_OCTETS);
	private poolAt: number = RANDOM_POOL_OCTETS;
	private ipId: number = -1;
	private compressed: Uint8Array | null = null;
	private readonly random: (bytes: Uint8Array) => void;

	constructor(random: (bytes: Uint8Array) => void) {
		this.random = random;
	}

	/** Packets that wait for `takeReleased`. */
	get releasedCount(): number {
		return this.released.length;
	}

	/** Keeps a packet for `takeReleased`; `bundle` is what it has gone through, null for none. */
	release(packet: PacketBuffer, bundle: Bundle | null): void {
		this.released.push(packet);
		this.releasedBundles.push(bundle);
	}

	/** The oldest one. */
	takeReleased(): PacketBuffer | undefined {
		// Asked after every round of a driver's loop: mostly there is none.
		if (this.released.length === 0) {
			this.takenBundle = null;
			return undefined;
		}
		this.takenBundle = this.releasedBundles.shift() ?? null;
		return this.released.shift();
	}

	/** Writes `octets` random octets (at most 16) at `at`. */
	writeRandom(bytes: Uint8Array, at: number, octets: number): void {
		if (this.poolAt + octets > RANDOM_POOL_OCTETS) {
			this.random(this.pool);
			this.poolAt = 0;
		}
		for (let i = 0; i < octets; i++) {
			bytes[at + i] = this.pool[this.poolAt + i] ?? 0;
			this.pool[this.poolAt + i] = 0;
		}
		this.poolAt += octets;
	}

	/** The next identification of an outer IPv4 header that may be fragmented: a counter from a random start. */
	nextIpId(): number {
		if (this.ipId < 0) {
			const start = new Uint8Array(2);
			this.random(start);
			this.ipId = ((start[0] ?? 0) << 8) | (start[1] ?? 0);
		}
		this.ipId = (this.ipId + 1) & 0xffff;
		return this.ipId;
	}

	/** Room for what a compressor makes of one packet. */
	compressionScratch(): Uint8Array {
		this.compressed ??= new Uint8Array(COMPRESSION_SCRATCH_OCTETS);
		return this.compressed;
	}
}
