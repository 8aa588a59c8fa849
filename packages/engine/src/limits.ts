/** Bounds of every queue and loop of the engine, each with its reason. */

/** Events waiting for `pollEvent`; more are lost and counted, as a netlink listener would lose them. */
export const EVENTS_MAX = 65536;

/** Taken events that stay in the queue's front, so that taking one does not move all. */
export const EVENTS_TAKEN_MAX = 1024;

/** Packets a policy's hold queue takes (XFRM_MAX_QUEUE_LEN). */
export const HOLD_QUEUE_PACKETS_MAX = 100;
/** Hold queue: first retry and the longest wait between retries (O-8). */
export const HOLD_QUEUE_RETRY_FIRST_US = 100_000;
export const HOLD_QUEUE_RETRY_LAST_US = 60_000_000;

/** Words of a replay bitmap (XFRMA_REPLAY_ESN_MAX: 4096 bits). */
export const REPLAY_BITMAP_WORDS_MAX = 128;

/** Jobs of one call of the crypto provider: more than a batch of packets from any driver. */
export const CRYPTO_JOBS_MAX = 64;

/** Longest legacy window: the bits of its one word (S-13). */
export const LEGACY_WINDOW_MAX = 32;

/**
 * Timer ticks a second (HZ): ETIMER_THRESH is stored in ticks as sent, and told in 100 ms (trap 17). 100 as
 * in the kernels that we are judged by.
 */
export const TICKS_PER_SECOND = 100;

/** Flows whose OUT lookup is remembered; a power of two. More flows at once look their policies up again. */
export const FLOW_CACHE_ENTRIES = 4096;

/** Random octets fetched at once for IVs, so that a packet costs no call of the random source. */
export const RANDOM_POOL_OCTETS = 4096;

/** Longest payload that IPComp can make of a packet, and read one of (T-33: 65400 is what Linux takes). */
export const COMPRESSION_SCRATCH_OCTETS = 65400;

/** Timers met at their own time in one call; beyond, at the present: a day of one that ticks each second. */
export const TIMEOUT_STEPS_MAX = 86_400;

/** NAT keepalives that wait for `pollPacket`; a caller that came late by hours is not flooded with old ones. */
export const KEEPALIVES_WAITING_MAX = 4096;

/** Octets of IPTFS payloads that wait in one state's reorder window: more than any sound window holds. */
export const IPTFS_WINDOW_OCTETS_MAX = 16_777_216;

/** Packets in one state's IPTFS queue, whose octets the state bounds: small ones cost more than their octets. */
export const IPTFS_QUEUE_PACKETS_MAX = 65_536;
