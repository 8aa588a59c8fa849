/**
 * Packet buffers over slots of one slab: what a system call brings into a slot, the engine rewrites there
 * in place, and another system call sends from there.
 *
 *     slot   | room for headers | packet … | room for trailers |
 *
 * @hotpath
 */
import { HEADROOM_OCTETS, PacketBuffer, TAILROOM_OCTETS } from '@xfrm/wire';
import { PACKET_SLOT_OCTETS } from '../limits.ts';
import { PacketBatch } from '../native/packet-batch.ts';

/** Longest packet of a slot. */
export const SLOT_PACKET_OCTETS: number = PACKET_SLOT_OCTETS - HEADROOM_OCTETS - TAILROOM_OCTETS;

export class PacketRows {
	readonly slab: Uint8Array;
	readonly packets: PacketBuffer[] = [];
	/** The batch that receives into these slots. */
	readonly batch: PacketBatch;
	readonly #firstSlot: number;
	readonly #bytes: Uint8Array[] = [];
	readonly #views: DataView[] = [];

	/** Takes `count` slots of the slab from `firstSlot` on. */
	constructor(slab: Uint8Array, firstSlot: number, count: number) {
		this.slab = slab;
		this.#firstSlot = firstSlot;
		this.batch = new PacketBatch(slab, count);
		for (let row = 0; row < count; row++) {
			const at = slab.byteOffset + this.slotAt(row);
			this.#bytes.push(new Uint8Array(slab.buffer, at, PACKET_SLOT_OCTETS));
			this.#views.push(new DataView(slab.buffer, at, PACKET_SLOT_OCTETS));
			this.packets.push(new PacketBuffer(0));
		}
	}

	/** Offset of a row's slot in the slab. */
	slotAt(row: number): number {
		return (this.#firstSlot + row) * PACKET_SLOT_OCTETS;
	}

	/** Makes all rows ready to be received into, so many octets behind the room for headers. */
	prepare(gap: number): void {
		for (let row = 0; row < this.packets.length; row++) {
			this.batch.at[row] = this.slotAt(row) + HEADROOM_OCTETS + gap;
			this.batch.room[row] = SLOT_PACKET_OCTETS - gap;
		}
	}

	/** The buffer of a row, as new: without a packet, over its slot. */
	fresh(row: number): PacketBuffer {
		// A row is always there: callers count.
		const packet = this.packets[row] as PacketBuffer;
		packet.bytes = this.#bytes[row] as Uint8Array;
		packet.view = this.#views[row] as DataView;
		packet.reset();
		return packet;
	}
}

/** Where a packet's first octet is in the slab, or -1 when it has outgrown its slot. */
export function placeInSlab(slab: Uint8Array, packet: PacketBuffer): number {
	const { bytes } = packet;
	return bytes.buffer === slab.buffer ? bytes.byteOffset - slab.byteOffset + packet.start : -1;
}
