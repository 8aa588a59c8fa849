/** Bounds of sockets, with their reasons. */

/**
 * The kernel's receive queue: some ten thousand events, each counted with its overhead. Asked for by
 * SO_RCVBUFFORCE, or as much of it as net.core.rmem_max lets a program without rights have.
 */
export const RECEIVE_QUEUE_OCTETS = 0x80_0000;

/** Parts of a dump have at most 32 KiB; a refusal quotes its request, which is bounded by the client. */
export const DATAGRAM_OCTETS_MAX = 0x4_1000;

/** Datagrams by one `receive`: enough that one wake-up pays for many, few enough to be gentle with memory. */
export const BATCH_MAX = 64;
