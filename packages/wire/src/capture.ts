/**
 * What the capture formats have in common: a packet, its time, and an error.
 *
 * A reader runs over the bytes of a whole file. It hands out every packet in front of a damage, then
 * stops with an error that names the packet and the byte. It copies nothing: a packet's data is a part
 * of the file, so no length in the file makes it allocate.
 */
/** Since the Unix epoch; nanoseconds are those of the second, 0…999,999,999. */
export interface CaptureTime {
	readonly seconds: number;
	readonly nanoseconds: number;
}

/** One packet of a capture. */
export interface CapturePacket {
	/** As Wireshark counts: the first packet of the file is 1. */
	readonly number: number;
	/** Offset of `data` in the file. */
	readonly at: number;
	/** See `LinkType`. */
	readonly linkType: number;
	/** Absent where the format has none (simple packet blocks). */
	readonly time?: CaptureTime;
	/** What was captured, link layer included: a view into the file. */
	readonly data: Uint8Array;
	/** Octets the packet had on the link; more than `data` has when the capture was cut short. */
	readonly originalOctets: number;
}

/** Where a file stops to be a capture. */
export interface CaptureError {
	/** Number that the packet would have had. */
	readonly packet: number;
	/** Offset in the file. */
	readonly at: number;
	/** A sentence that names both, what was expected and what was found. */
	readonly message: string;
}

export interface CaptureReader {
	/** The next packet, or undefined at the end; then `error` says whether it was the end of the file. */
	next(): CapturePacket | undefined;
	readonly error: CaptureError | undefined;
	/** Damaged blocks of sound length that were passed over (pcapng). */
	readonly skippedBlocks: number;
}

/** Makes the sentence of an error. */
export function captureError(packet: number, at: number, what: string): CaptureError {
	return { packet, at, message: `packet ${packet}, byte ${at}: ${what}` };
}

/** Microseconds since the epoch, as the engine counts time; the rest of the nanoseconds is dropped. */
export function captureTimeUs(time: CaptureTime): number {
	return time.seconds * 1e6 + Math.floor(time.nanoseconds / 1000);
}

/** The other way. */
export function captureTimeFromUs(timeUs: number): CaptureTime {
	const seconds = Math.floor(timeUs / 1e6);
	return { seconds, nanoseconds: Math.floor(timeUs - seconds * 1e6) * 1000 };
}
