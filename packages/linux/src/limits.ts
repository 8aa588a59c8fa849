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

/** Answers about routes that are kept; more peers at once than a gateway has. Then all are asked anew. */
export const KERNEL_ROUTES_MAX = 16_384;

/** Octets of a slot: a jumbo frame with the engine's rooms on both sides. */
export const PACKET_SLOT_OCTETS = 10_752;

/**
 * Packets that one system call moves: three of the largest pieces of a TCP stream, some 47 packets of 1400 octets each.
 * Fewer would end in the midst of a piece, whose rest is a small message of its own at every step from there on.
 */
export const PACKETS_PER_CALL = 144;

/** Descriptors of the daemon's loop: devices, sockets of each port and protocol, processes watched. */
export const POLL_DESCRIPTORS_MAX = 256;

/** Programs that hold a socket to the daemon; a flood of port ids forgets the oldest. */
export const CLIENTS_MAX = 1024;

/** Datagrams that wait for a client that does not read; more are lost, as in the kernel (ENOBUFS). */
export const CLIENT_BACKLOG_DATAGRAMS_MAX = 4096;

/** Slots of the sequence ledger at first: half a megabyte, in steps of twice as many. */
export const LEDGER_SLOTS_FIRST = 4096;

/** The journal is written anew when it is longer than twice what it says, and this. */
export const JOURNAL_SLACK_OCTETS = 0x40_0000;

/** Causes that drops are counted by: more than a person reads, and than a time series database likes. */
export const DROP_CAUSES_MAX = 512;

/** States with series of their own in metrics; of more only the newest have. */
export const METRIC_STATES_MAX = 500;

/** Drops whose packets are kept, for their stories. */
export const DROP_SAMPLES_MAX = 16;

/** Octets of a packet that is kept as it came; longer ones are kept as they were when they were dropped. */
export const DROP_SAMPLE_OCTETS = 2048;

/** States and policies that all kept drops may hold together: then the oldest goes. */
export const DROP_TABLE_MEMBERS_MAX = 65_536;

/** Octets of a slot that takes whatever a system call brings, in steps of eight: the largest packet there is. */
export const LARGE_SLOT_OCTETS = 66_880;

/** Large slots of a device or socket: what one system call brings, which may be forty packets each. */
export const LARGE_SLOTS = 32;

/**
 * Octets that one system call's rows, or the calls of one receive, bring before they are worked on: what a
 * processor's own caches hold, so that a packet is still there when it is cut and sealed.
 */
export const RECEIVE_OCTETS = 0x2_0000;

/** Memory of packets: large slots of both directions, small ones of both and for what is made here. */
export const SLAB_OCTETS: number =
	2 * LARGE_SLOTS * LARGE_SLOT_OCTETS + 3 * PACKETS_PER_CALL * PACKET_SLOT_OCTETS;

/** Devices by if_id: each is a descriptor to poll, and a name that people look at. */
export const INTERFACES_MAX = 64;
