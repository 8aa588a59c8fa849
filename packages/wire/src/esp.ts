/**
 * The parts of an ESP packet that are in clear, and its trailer (RFC 4303 §2).
 *
 *     +---------------------------------------------------------------+
 *     |               Security Parameters Index (SPI)                 |  0
 *     |                      Sequence Number                          |  4
 *     |              IV · payload data · padding …                    |  8
 *     +               +-----------------------------------------------+
 *     |               … |   Pad Length    |  Next Header              |  the last two before the ICV
 *     |                        ICV …                                  |
 *
 * The IV's and ICV's sizes belong to the state's algorithm.
 *
 * @hotpath
 */

export const ESP_HEADER_OCTETS = 8;
/** Pad length and next header. */
export const ESP_TRAILER_OCTETS = 2;

/** Are SPI and sequence number there? */
export function fitsEsp(_view: DataView, at: number, end: number): boolean {
	return at + ESP_HEADER_OCTETS <= end;
}

/** SPI as an int32. */
export function espSpi(view: DataView, at: number): number {
	return view.getInt32(at);
}
/** Low half of the sequence number as an int32. */
export function espSequence(view: DataView, at: number): number {
	return view.getInt32(at + 4);
}
export function setEspSpi(view: DataView, at: number, spi: number): void {
	view.setInt32(at, spi | 0);
}
export function setEspSequence(view: DataView, at: number, sequence: number): void {
	view.setInt32(at + 4, sequence | 0);
}

/** Pad length of a decrypted payload; `end` is where the ICV begins and at least two octets must be there. */
export function espPadLength(view: DataView, end: number): number {
	return view.getUint8(end - 2);
}
/** Protocol of a decrypted payload. */
export function espNextHeader(view: DataView, end: number): number {
	return view.getUint8(end - 1);
}

/** Writes SPI and sequence number; returns 8. */
export function writeEsp(view: DataView, at: number, spi: number, sequence: number): number {
	view.setInt32(at, spi | 0);
	view.setInt32(at + 4, sequence | 0);
	return ESP_HEADER_OCTETS;
}

/** Writes the default padding 1, 2, 3 … (RFC 4303 §2.4), pad length and next header; returns their octets. */
export function writeEspTrailer(
	view: DataView,
	at: number,
	padOctets: number,
	nextHeader: number,
): number {
	for (let i = 0; i < padOctets; i++) {
		view.setUint8(at + i, i + 1);
	}
	view.setUint8(at + padOctets, padOctets);
	view.setUint8(at + padOctets + 1, nextHeader);
	return padOctets + ESP_TRAILER_OCTETS;
}
