/**
 * Packets that are handled by one call. One packet is a batch of one, and a batch of n does what n
 * batches of one would: bytes, verdicts, counters, events and their order.
 */
import type { PacketBuffer } from '@xfrm/wire';

export class Batch {
	readonly packets: PacketBuffer[] = [];
	/** Microseconds since the Unix epoch; of the batch, since a number above 2^31 costs heap as an argument. */
	nowUs: number = 0.5;
	/** Processor that handles it (per-processor states, S-24). */
	processor: number = 0;

	/** A batch of these packets at this time. */
	static of(nowUs: number, ...packets: PacketBuffer[]): Batch {
		const batch = new Batch();
		batch.nowUs = nowUs;
		batch.packets.push(...packets);
		return batch;
	}

	/**
	 * Forgets all packets but the first `count`. An array whose `length` is set gives its memory back, by a call into
	 * V8, and takes it anew for the next packet.
	 */
	truncate(count: number): void {
		const { packets } = this;
		while (packets.length > count) {
			packets.pop();
		}
	}
}
