/**
 * What a transform's input leaves behind for the removal of the mode's header: where the payload begins
 * and which protocol it is. One object is reused for all packets.
 */

export class Opened {
	/** Offset of the first octet behind the transform's header (and IV). */
	payloadAt: number = 0;
	/** Protocol of the payload, as the transform's header or trailer names it. */
	nextHeader: number = 0;
}
