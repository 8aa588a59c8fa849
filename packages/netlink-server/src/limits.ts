/** Bounds of the server, with their reasons. */

/** Notifications that may wait for a listener: as many as a burst of acquires or expiries may be. */
export const QUEUE_MESSAGES_MAX = 4096;

/** Their octets: messages can be large, and what a listener does not read must not fill the memory. */
export const QUEUE_OCTETS_MAX = 0x40_0000;

/** Octets of one part of a dump: what a client's buffer surely takes (the kernel's, too, are no longer). */
export const DUMP_PART_OCTETS = 16384;
