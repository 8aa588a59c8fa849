/**
 * Packet buffers over slots of one slab: what a system call brings into a slot, the engine rewrites there
 * in place, and another system call sends from there.
 *
 *     slot   | room for headers | packet … | room for trailers |
 *
 * Slots are of two sizes: large ones for what system calls bring, which may be many packets in one, and small
 * ones for packets that are cut out of these.
 *
 * @hotpath
 */
import { HEADROOM_OCTETS, PacketBuffer, TAILROOM_OCTETS } from '@xfrm/wire';
import { PACKET_SLOT_OCTETS } from '../limits.ts';
import { PacketBatch } from '../native/packet-batch.ts';
import type { PacketSlab } from './packet-slab.ts';

/** Longest packet of a small slot. */
export const SLOT_PACKET_OCTETS: number = PACKET_SLOT_OCTETS - HEADROOM_OCTETS - TAILROOM_OCTETS;

export class PacketRows {
	readonly slab: Uint8Array;
	readonly packets: PacketBuffer[] = [];
	/** The batch that receives into these slots. */
	readonly batch: PacketBatch;
	readonly #at: number;
	readonly #slotOctets: number;
	readonly #bytes: Uint8Array[] = [];
	readonly #views: DataView[] = [];
	/** What the rows are ready for. */
	#gap: number = Number.NaN;

	/** Takes `count` slots of this size from the slab. */
	constructor(slab: PacketSlab, slotOctets: number, count: number) {
		this.slab = slab.bytes;
		this.#slotOctets = slotOctets;
		this.#at = slab.take(count * slotOctets);
		this.batch = new PacketBatch(this.slab, count);
		for (let row = 0; row < count; row++) {
			const at = this.slab.byteOffset + this.slotAt(row);
			this.#bytes.push(new Uint8Array(this.slab.buffer, at, slotOctets));
			this.#views.push(new DataView(this.slab.buffer, at, slotOctets));
			this.packets.push(new PacketBuffer(0));
		}
	}

	/** Offset of a row's slot in the slab. */
	slotAt(row: number): number {
		return this.#at + row * this.#slotOctets;
	}

	/**
	 * Makes all rows ready to be received into, so many octets behind the room for headers, or, below zero, that
	 * much before its end.
	 */
	prepare(gap: number): void {
		if (gap === this.#gap) {
			return;
		}
		this.#gap = gap;
		const room = this.#slotOctets - HEADROOM_OCTETS - TAILROOM_OCTETS - gap;
		for (let row = 0; row < this.packets.length; row++) {
			this.batch.at[row] = this.slotAt(row) + HEADROOM_OCTETS + gap;
			this.batch.room[row] = room;
		}
	}

	/** The buffer of a row, as new: without a packet, over its slot. */
	fresh(row: number): PacketBuffer {
		// A row is always there: callers count.
		const packet = this.packets[row] as PacketBuffer;
		packet.bytes = this.#bytes[row] as Uint8Array;
		packet.view = this.#views[row] as DataView;
		packet.slabAt = this.slotAt(row);
		packet.reset();
		return packet;
	}
}

/** Where a packet's first octet is in the slab, or -1 when it has outgrown its slot. */
export function placeInSlab({ slabAt, start }: PacketBuffer): number {
	return slabAt < 0 ? -1 : slabAt + start;
}
